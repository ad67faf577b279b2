//! `status`: which run is meant, and from its state to an exit code.

use crate::cli::Status;
use crate::error::{Error, Exit};
use crate::jobs::chosen_run::RunChoice;
use crate::jobs::status::{StatusPlan, status as status_job};
use crate::terminal::Console;

pub(super) fn status(flags: Status, console: &Console) -> Result<Exit, Error> {
    let run = RunChoice { run: flags.run, scenario: None, tenant: flags.tenant }.find()?;
    status_job(&StatusPlan { run, watch: flags.watch, json: flags.json }, console)
}
