//! `run`: from flags to a plan, and from its end to an exit code.

use std::fs;
use std::ops::ControlFlow;

use super::find::filter;
use super::run_plan::run_plan;
use super::service::options;
use crate::cli::Run;
use crate::error::{Error, Exit};
use crate::jobs::find::{FindPlan, PendingList, pending_list};
use crate::jobs::run::{Source, dry_run, run as run_job};
use crate::jobs::signals::{listen, unless_stopped};
use crate::jobs::simulated::recall;
use crate::jobs::verify::verify_after;
use crate::model::NextCommand;
use crate::session::{Endpoint, Purpose, Session};
use crate::terminal::Console;

/// Every machine would find a list of its own.
pub(super) const NO_SHARD: &str =
    "--shard needs the same list on all machines: find --out FILE first, then run FILE --shard on each";

/// `run`, and with `--from-find` and `--verify` what comes before and after it, in one session.
pub(super) async fn run(flags: Run, typed: &NextCommand, console: &Console) -> Result<Exit, Error> {
    if flags.from_find && flags.input.is_some() {
        return Err(Error::Usage("--from-find makes its own list: leave out the input".to_owned()));
    }
    if flags.from_find && flags.shard.is_some() {
        return Err(Error::Usage(NO_SHARD.to_owned()));
    }
    let options = options(&flags.service);
    let preparing = async {
        let endpoint = Endpoint::locate(&options).await?;
        let plan = run_plan(&flags, &endpoint, typed, console)?;
        if flags.dry_run && !flags.from_find {
            return Ok((plan, None));
        }
        let purpose = Purpose { writes: !flags.dry_run, kind: plan.kind, unattended: flags.yes };
        let session = Session::open(&options, endpoint, purpose, console).await?;
        if flags.from_find || flags.verify.is_some() {
            recall(&session, flags.out.as_deref(), console);
        }
        Ok((plan, Some(session)))
    };
    let (mut plan, session) =
        match unless_stopped(&mut listen()?, console, "nothing was sent", preparing).await? {
            ControlFlow::Continue(ready) => ready,
            ControlFlow::Break(exit) => return Ok(exit),
        };
    let Some(session) = session else { return dry_run(&plan, console).await };
    let (mut exit, mut found) = (Exit::Done, None);
    if flags.from_find {
        let (kind, filter, typed) = (plan.kind, filter(&flags.only), typed.clone());
        let scan = FindPlan { kind, filter, out: None, summary: false, typed };
        match pending_list(scan, flags.new_run, &session, console).await? {
            PendingList::Nothing(exit) => return Ok(exit),
            PendingList::Found(list, of_scan) => {
                plan.source = Source::File(list.clone());
                (exit, found) = (of_scan, Some(list));
            }
        }
        if flags.dry_run {
            return dry_run(&plan, console).await.map(|dry| exit.worse(dry));
        }
    }
    let ended = run_job(plan, &session, console).await?;
    let is_verified = matches!(ended.exit, Exit::Done | Exit::SomeFailed);
    exit = exit.worse(ended.exit);
    // Without a run nothing was sent, and no other run is verified in its place.
    let Some(run) = ended.run else { return Ok(exit) };
    if let Some(list) = found.filter(|_| run.is_complete) {
        // The folder of the run has its copy.
        let _ = fs::remove_file(list);
    }
    let Some(wait) = flags.verify.filter(|_| is_verified) else { return Ok(exit) };
    Ok(exit.worse(verify_after(wait, &run, &session, console).await?.exit))
}
