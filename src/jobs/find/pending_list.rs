//! The list of `run --from-find`: found once, and kept until a run of it is complete.

use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};

use siphasher::sip::SipHasher13;

use super::find_job::{FindPlan, find};
use crate::error::{Error, Exit};
use crate::model::CLOUDS;
use crate::rundir::RUNS;
use crate::session::{Session, UNKNOWN_TENANT};
use crate::sys;
use crate::terminal::Console;

/// The list for a run.
#[derive(Debug)]
pub(crate) enum PendingList {
    /// The list, and the exit code of the scan that found it.
    Found(PathBuf, Exit),
    /// Nothing: the scan ended early, or found no object with an error.
    Nothing(Exit),
}

/// The list that an earlier invocation found and no run has completed, or a new one. `plan.out` is not used.
///
/// # Errors
/// As [`find`].
pub(crate) async fn pending_list(
    mut plan: FindPlan,
    is_new: bool,
    session: &Session,
    console: &Console,
) -> Result<PendingList, Error> {
    sys::create_folders(Path::new(RUNS)).map_err(|source| Error::file("create", RUNS, source))?;
    let list = path(&plan, session);
    // If the tenant is not known, the list of an earlier invocation may be another tenant's. An endpoint that
    // is not Microsoft's has one tenant.
    let is_microsofts = CLOUDS.iter().any(|cloud| session.root.as_str().starts_with(cloud.root));
    let is_known = session.tenant != UNKNOWN_TENANT || !is_microsofts;
    if is_known && !is_new && list.exists() && !is_without_rows(&list) {
        console.status(&format!(
            "continues with {}, found by an earlier call; --new-run makes a new list",
            list.display()
        ));
        return Ok(PendingList::Found(list, Exit::Done));
    }
    plan.out = Some(list.clone());
    let ended = find(&plan, session, console).await?;
    match ended.found {
        None => Ok(PendingList::Nothing(ended.exit)),
        Some(0) => {
            // An empty list left behind would be taken for the list of an interrupted run by every later
            // invocation.
            fs::remove_file(&list).map_err(|source| Error::file("remove", &list, source))?;
            console.result(&format!(
                "nothing to do: none of the {} read has an error that was looked for",
                plan.kind.plural()
            ));
            Ok(PendingList::Nothing(ended.exit))
        }
        Some(_) => Ok(PendingList::Found(list, ended.exit)),
    }
}

/// One name for the same question in the same tenant, in every process: the next invocation must find the
/// list again.
fn path(plan: &FindPlan, session: &Session) -> PathBuf {
    let service = match &session.simulator {
        Some(simulated) => simulated.name.as_str(),
        None => session.root.as_str(),
    };
    let question = format!("{service} {} {} {}", session.tenant, session.api_version, plan.filter.words());
    let mut hasher = SipHasher13::new();
    hasher.write(question.as_bytes());
    Path::new(RUNS).join(format!("found-{}-{:016x}.csv", plan.kind.plural(), hasher.finish()))
}

/// Whether a list has a header and nothing else.
fn is_without_rows(list: &Path) -> bool {
    csv::Reader::from_path(list).is_ok_and(|mut list| list.records().next().is_none())
}
