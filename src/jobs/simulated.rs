//! Keeps the state of a simulated tenant between invocations. Each invocation starts a new simulator, which
//! learns from the records of earlier runs which objects it has already accepted.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::error::Error;
use crate::model::Outcome;
use crate::rundir::{RUNS, RunFile, each_record};
use crate::session::{EmbeddedSimulator, Session};
use crate::terminal::Console;

/// Reports the accepted objects of earlier runs with the same scenario to the simulator of a session, if it
/// has one: the runs in `reprovision-runs` and the run in `also`. Call it once for each session, before its
/// first request, because an object that is reported twice counts twice. A run that cannot be read is
/// reported and skipped.
pub(crate) fn recall(session: &Session, also: Option<&Path>, console: &Console) {
    let Some(simulated) = &session.simulator else { return };
    let mut folders: Vec<PathBuf> =
        fs::read_dir(RUNS).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    let same = |one: &Path, other: &Path| match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    };
    if let Some(also) = also.filter(|also| !folders.iter().any(|folder| same(folder, also))) {
        folders.push(also.to_owned());
    }
    for folder in folders {
        let Some(run) = RunFile::read(&folder).filter(|run| is_of(run, simulated)) else { continue };
        if let Err(error) = accepted(&folder, &run, |id, at| {
            simulated.remember(run.identity.object, id, at);
        }) {
            console.warn(&format!(
                "the simulated tenant does not know all whom it accepted before: {}",
                error.chain()
            ));
        }
    }
}

/// Whether a run was sent to a simulated tenant of this scenario.
pub(crate) fn is_of(run: &RunFile, simulated: &EmbeddedSimulator) -> bool {
    run.scenario() == Some(&simulated.name)
}

fn accepted(folder: &Path, run: &RunFile, mut each: impl FnMut(&str, Timestamp)) -> Result<(), Error> {
    each_record(folder, run.rows, |record| {
        if record.outcome == Outcome::Accepted {
            each(record.sent_id(), record.settled_at().unwrap_or(run.started_at));
        }
    })
    .map(drop)
}
