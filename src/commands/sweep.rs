//! `sweep`: from flags to a plan, and from its end to an exit code.

use std::ops::ControlFlow;

use super::find::filter;
use super::run::NO_SHARD;
use super::run_plan::run_plan;
use super::service::options;
use crate::cli::Sweep;
use crate::error::{Error, Exit};
use crate::jobs::next_commands::no_terminal;
use crate::jobs::signals::{listen, unless_stopped};
use crate::jobs::simulated::recall;
use crate::jobs::sweep::{Policy, SweepPlan, sweep as sweep_job};
use crate::model::NextCommand;
use crate::session::{Endpoint, Purpose, Session};
use crate::terminal::Console;

pub(super) async fn sweep(mut flags: Sweep, typed: &NextCommand, console: &Console) -> Result<Exit, Error> {
    refuse_run_flags(&flags)?;
    let run = &mut flags.run;
    // The sweep finds its own list: until then there is none to check.
    run.from_find = true;
    let options = options(&run.service);
    let preparing = async {
        let endpoint = Endpoint::locate(&options).await?;
        if !run.yes && console.question(false).is_none() && endpoint.simulator.is_none() && !run.dry_run {
            return Err(no_terminal(typed, options.tenant.as_deref(), endpoint.is_loopback()));
        }
        let plan = run_plan(run, &endpoint, typed, console)?;
        let purpose = Purpose { writes: true, kind: plan.kind, unattended: run.yes };
        let session = Session::open(&options, endpoint, purpose, console).await?;
        recall(&session, None, console);
        Ok((plan, session))
    };
    let (plan, session) = match unless_stopped(&mut listen()?, console, "nothing was sent", preparing).await?
    {
        ControlFlow::Continue(ready) => ready,
        ControlFlow::Break(exit) => return Ok(exit),
    };
    let plan = SweepPlan {
        run: plan,
        dry_run: run.dry_run,
        filter: filter(&run.only),
        history: flags.history,
        policy: Policy { retry_interval: flags.retry_interval, max_retries: flags.max_retries },
    };
    Ok(sweep_job(plan, &session, console).await?.exit)
}

/// Flags of `run` that have no meaning for a sweep.
fn refuse_run_flags(flags: &Sweep) -> Result<(), Error> {
    let run = &flags.run;
    Err(Error::Usage(if run.from_find || run.verify.is_some() {
        "sweep always finds users and verifies the last run: leave out --from-find and --verify".to_owned()
    } else if run.shard.is_some() {
        NO_SHARD.to_owned()
    } else if run.input.is_some() {
        "sweep makes its own list: to run a list of yours, use reprovision run".to_owned()
    } else {
        return Ok(());
    }))
}
