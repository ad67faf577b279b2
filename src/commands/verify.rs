//! `verify`: which run is meant, and from the end of its verification to an exit code.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::service::options;
use crate::cli::Verify;
use crate::error::{Error, Exit};
use crate::jobs::chosen_run::RunChoice;
use crate::jobs::signals::{listen, unless_stopped};
use crate::jobs::simulated::recall;
use crate::jobs::verify::{VerifyPlan, same_place, verify as verify_job};
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
    let (scenario, tenant) = (flags.service.simulate.clone(), flags.service.tenant.clone());
    let is_of_tenant = tenant.is_some();
    let run = RunChoice { run: flags.run.clone(), scenario, tenant }.find()?;
    let reason = if is_of_tenant { run.reason() } else { String::new() };
    console.status(&format!("Run      {}{reason}", run.folder.display()));
    Ok(run.folder)
}
