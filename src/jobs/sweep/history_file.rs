//! The history file of `sweep`, and the runs that it is sending.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use super::history::{History, Judged};
use super::sweep_state::{ErrorCause, SweepState};
use crate::error::Error;
use crate::graph::Clocks;
use crate::jobs::files::is_file;
use crate::jobs::find::FOUND_HEADER;
use crate::model::{Outcome, sanitize};
use crate::rundir::{RunFile, each_record};
use crate::sys;

/// Columns of the sweep's list in addition to those of `find`: the cause in the history.
pub(crate) const CAUSE_COLUMNS: [&str; 2] = ["sweep_services", "sweep_codes"];
/// Longest name of a tenant, in bytes: a domain has at most 253.
const LONGEST_TENANT: u64 = 256;
/// Suffix of the file next to the history that names the runs being sent.
const OPEN: &str = ".sending";

/// The history file, held by one sweep at a time.
#[derive(Debug)]
pub(crate) struct HistoryFile {
    path: PathBuf,
    _lock: File,
}

impl HistoryFile {
    /// # Errors
    /// `Error::Locked` while another sweep uses it; `Error::Usage` if it is not a file, or belongs to another tenant;
    /// `Error::File`.
    pub(crate) fn open(path: PathBuf, tenant: &str) -> Result<Self, Error> {
        is_file(&path)?;
        if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
            fs::create_dir_all(above).map_err(|source| Error::file("create", above, source))?;
        }
        let beside = beside(&path, ".lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let lock = sys::open_private(&beside, &mut options)
            .map_err(|source| Error::file("create", &beside, source))?;
        match lock.try_lock() {
            Ok(()) => {
                belongs(&lock, &path, tenant).map_err(|source| Error::file("read", &beside, source))??;
                Ok(Self { path, _lock: lock })
            }
            Err(TryLockError::WouldBlock) => {
                let holder = "another sweep with the same history".to_owned();
                Err(Error::Locked { folder: path, holder })
            }
            Err(TryLockError::Error(source)) => Err(Error::file("lock", &beside, source)),
        }
    }

    /// Whether the history at `path` is that of `tenant`, or does not say whose it is.
    pub(crate) fn may_belong(path: &Path, tenant: &str) -> bool {
        let owner = fs::read_to_string(beside(path, ".lock")).unwrap_or_default();
        owner.is_empty() || owner == tenant
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the history. Without a file this sweep sets the baseline.
    ///
    /// # Errors
    /// `Error::Damaged`, `Error::File`.
    pub(crate) fn read(&self) -> Result<History, Error> {
        match File::open(&self.path) {
            Ok(file) => History::read(BufReader::new(file)).map_err(|error| Error::Damaged {
                path: self.path.clone(),
                message: format!("{error}; put it right, or move it away: that sweep is the baseline then"),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(History::baseline()),
            Err(source) => Err(Error::file("read", &self.path, source)),
        }
    }

    /// Writes the history at the end of a sweep, and removes the list of open runs.
    ///
    /// # Errors
    /// `Error::File`.
    pub(crate) fn write(&self, state: &SweepState) -> Result<(), Error> {
        let mut bytes = Vec::new();
        state.history().write(&mut bytes).map_err(|error| Error::Internal(error.to_string()))?;
        sys::replace(&self.path, &bytes).map_err(|source| Error::file("replace", &self.path, source))?;
        // If the file cannot be removed, the history already has an attempt of each run that is as new as the
        // run.
        let _ = fs::remove_file(beside(&self.path, OPEN));
        Ok(())
    }

    /// The runs of sweeps that were killed before they remembered what they sent.
    pub(crate) fn killed_runs(&self) -> Vec<PathBuf> {
        let bytes = fs::read(beside(&self.path, OPEN)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Notes, before anything is sent, where it will stand what was: with those that were cut short before.
    ///
    /// # Errors
    /// `Error::File`.
    pub(crate) fn sending(&self, before: &[PathBuf], folder: &Path) -> Result<(), Error> {
        let path = beside(&self.path, OPEN);
        let fail = |source| Error::file("write", &path, source);
        let mut open = before.to_vec();
        open.push(std::path::absolute(folder).map_err(fail)?);
        let bytes = serde_json::to_vec(&open).map_err(|error| Error::Internal(error.to_string()))?;
        sys::replace(&path, &bytes).map_err(fail)
    }
}

/// One retry that a run sent.
struct Tried {
    row: u64,
    /// By the service's clock.
    at: Timestamp,
    accepted: bool,
}

/// Records the result of the last invocation of a run in the history, and returns the new failures. Earlier
/// invocations were recorded when they ended.
///
/// # Errors
/// `Error::File`, `Error::Damaged`.
pub(crate) fn record_run(
    state: &mut SweepState,
    folder: &Path,
    run: &RunFile,
    clocks: &Clocks,
) -> Result<Judged, Error> {
    let mut refused = Judged::default();
    let begun = by_service(run.started_at, clocks);
    each_try(folder, run, clocks, |id, cause, tried| {
        if tried.at < begun {
            return;
        }
        if tried.accepted {
            state.accepted(id, cause, tried.at);
        } else {
            refused.count(state.refused(id, cause, tried.at));
        }
    })?;
    Ok(refused)
}

/// Records a run that was killed. Returns the number of attempts that were missing in the history. Its
/// failures were not reported, so they are new when they occur again.
///
/// # Errors
/// As [`record_run`].
pub(crate) fn recover_killed_run(
    state: &mut SweepState,
    folder: &Path,
    clocks: &Clocks,
) -> Result<u64, Error> {
    let Some(run) = RunFile::read(folder) else { return Ok(0) };
    let begun = by_service(run.created_at, clocks);
    let mut count = 0;
    each_try(folder, &run, clocks, |id, cause, tried| {
        count += u64::from(state.records_lost_retry(id, cause, tried.at, begun));
    })?;
    Ok(count)
}

/// A local time by the clock of the service.
fn by_service(at: Timestamp, clocks: &Clocks) -> Timestamp {
    let ahead = SignedDuration::from_secs(clocks.service_ahead().unwrap_or(0));
    at.checked_add(ahead).unwrap_or(at)
}

fn each_try(
    folder: &Path,
    run: &RunFile,
    clocks: &Clocks,
    mut each: impl FnMut(&str, &ErrorCause, &Tried),
) -> Result<(), Error> {
    let mut tries = Vec::new();
    each_record(folder, run.rows, |record| {
        if matches!(record.outcome, Outcome::Accepted | Outcome::Failed) {
            let at = by_service(record.settled_at().unwrap_or(run.started_at), clocks);
            tries.push(Tried { row: record.row, at, accepted: record.outcome == Outcome::Accepted });
        }
    })?;
    tries.sort_unstable_by_key(|tried| tried.row);
    let mut tries = tries.into_iter().peekable();
    let path = folder.join("input.csv");
    let wrong = |error: csv::Error| Error::file("read", &path, io::Error::other(error));
    let mut reader = csv::Reader::from_path(&path).map_err(wrong)?;
    for (number, row) in (1..).zip(reader.records()) {
        let row = row.map_err(wrong)?;
        let Some(tried) = tries.next_if(|tried| tried.row == number) else { continue };
        let cell = |at: usize| row.get(at).unwrap_or_default();
        let (service, code) = (cell(FOUND_HEADER.len()).to_owned(), cell(FOUND_HEADER.len() + 1).to_owned());
        each(cell(0), &ErrorCause { service, code }, &tried);
    }
    Ok(())
}

/// Checks that the history belongs to this tenant. The lock file stores the tenant of the first sweep. A
/// sweep removes entries of objects it does not find, so a sweep of another tenant would empty the history.
fn belongs(mut lock: &File, path: &Path, tenant: &str) -> io::Result<Result<(), Error>> {
    let mut owner = String::new();
    lock.take(LONGEST_TENANT).read_to_string(&mut owner)?;
    if owner.is_empty() || !path.exists() {
        lock.set_len(0)?;
        lock.seek(SeekFrom::Start(0))?;
        lock.write_all(tenant.as_bytes())?;
    } else if owner != tenant {
        return Ok(Err(Error::Usage(format!(
            "{} belongs to tenant {}, but this sweep is for {tenant}. Nothing was sent. Use a separate --history FILE for each tenant",
            path.display(),
            sanitize(&owner, LONGEST_TENANT as usize)
        ))));
    }
    Ok(Ok(()))
}

fn beside(path: &Path, tail: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(tail);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::sweep::history::Policy;

    #[test]
    fn a_memory_belongs_to_one_sweep_at_a_time_and_is_kept_whole() {
        let desk = tempfile::tempdir().expect("a folder");
        let path = desk.path().join("deep/history.csv");
        let memory = HistoryFile::open(path.clone(), "contoso").expect("ours");
        assert!(matches!(HistoryFile::open(path.clone(), "contoso"), Err(Error::Locked { .. })));
        assert!(memory.read().expect("none yet").is_baseline());
        let policy = Policy { retry_interval: std::time::Duration::ZERO, max_retries: 1 };
        memory.write(&SweepState::new(History::baseline(), policy)).expect("written");
        drop(memory);
        let other = HistoryFile::open(path.clone(), "fabrikam").expect_err("another tenant").chain();
        assert!(other.contains("belongs to tenant contoso, but this sweep is for fabrikam"), "{other}");
        let memory = HistoryFile::open(path.clone(), "contoso").expect("ours again");
        assert!(!memory.read().expect("read back").is_baseline());
        drop(memory);
        fs::remove_file(&path).expect("moved away");
        drop(HistoryFile::open(path.clone(), "fab").expect("free for another tenant"));
        drop(HistoryFile::open(path, "fab").expect("and his from now on"));
    }
}
