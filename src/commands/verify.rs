//! `verify`: which run is meant, and from the end of its verification to an exit code.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::newest::the_newest;
use super::service::options;
use crate::cli::Verify;
use crate::error::{Error, Exit};
use crate::jobs::signals::{listen, unless_stopped};
use crate::jobs::simulated::recall;
use crate::jobs::verify::{VerifyPlan, same_place, verify as verify_job};
use crate::rundir::{RUNS, find_run, newest_of, newest_run};
use crate::session::{Endpoint, Purpose, Session};
use crate::terminal::Console;

pub(super) async fn verify(flags: Verify, console: &Console) -> Result<Exit, Error> {
    let mut signals = listen()?;
    let folder = meant(&flags, console)?;
    let plan = VerifyPlan::of(&folder)?;
    let options = options(&flags.service);
    let connecting = async {
        let endpoint = Endpoint::locate(&options).await?;
        same_place(&endpoint, &plan)?;
        let purpose = Purpose { writes: false, kind: plan.kind(), unattended: true };
        let session = Session::open(&options, endpoint, purpose, console).await?;
        recall(&session, Some(&folder), console);
        Ok(session)
    };
    let session = match unless_stopped(&mut signals, console, "nothing was read", connecting).await? {
        ControlFlow::Continue(session) => session,
        ControlFlow::Break(exit) => return Ok(exit),
    };
    Ok(verify_job(&plan, &session, console).await?.exit)
}

/// The run that is named, or the newest: of the simulated tenant, of the tenant that is named, or of all.
fn meant(flags: &Verify, console: &Console) -> Result<PathBuf, Error> {
    let runs = Path::new(RUNS);
    let (folder, why) = match (&flags.run, &flags.service.simulate, flags.service.tenant.as_deref()) {
        (Some(run), ..) => (find_run(runs, run)?, String::new()),
        (None, Some(scenario), _) => {
            let newest = newest_run(runs, |run| run.scenario() == Some(scenario.as_str()));
            let (folder, _) = newest.ok_or_else(|| {
                Error::Usage(format!(
                    "no run of the simulated tenant {scenario} below {}. Name the folder of one, or leave --simulate out",
                    runs.display()
                ))
            })?;
            (folder, String::new())
        }
        (None, None, None) => (newest_of(runs, None)?.0, String::new()),
        (None, None, tenant) => (newest_of(runs, tenant)?.0, format!(" ({})", the_newest(tenant))),
    };
    console.status(&format!("Run      {}{why}", folder.display()));
    Ok(folder)
}
