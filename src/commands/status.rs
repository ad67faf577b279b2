//! `status`: which run is meant, and from its state to an exit code.

use std::path::Path;

use super::newest::the_newest;
use crate::cli::Status;
use crate::error::{Error, Exit};
use crate::jobs::status::{StatusPlan, status as status_job};
use crate::rundir::{RUNS, find_run, newest_of};
use crate::terminal::Console;

pub(super) fn status(flags: &Status, console: &Console) -> Result<Exit, Error> {
    let (runs, tenant) = (Path::new(RUNS), flags.tenant.as_deref());
    let (folder, why) = match &flags.run {
        Some(run) => (find_run(runs, run)?, None),
        None => (newest_of(runs, tenant)?.0, Some(the_newest(tenant))),
    };
    status_job(&StatusPlan { folder, why, watch: flags.watch, json: flags.json }, console)
}
