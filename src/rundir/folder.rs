//! Where a run lives: folder names, locks, the runs beside it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::hashes::is_accounted;
use super::read_back::read_results;
use super::run_file::{Identity, RunFile, State};
use crate::error::Error;
use crate::sys;

/// Where runs without `--out` live, below the folder in which the program is called.
pub const RUNS: &str = "reprovision-runs";

/// Longest part of a folder name that comes from outside.
const LONGEST_PART: usize = 40;

/// The lock of the folder of runs is held for milliseconds; who waits longer is told.
const RUNS_LOCK: Duration = Duration::from_secs(10);
const RUNS_LOCK_EVERY: Duration = Duration::from_millis(20);
/// A lock that is still held after so many looks is somebody's at work.
const GLANCES: u32 = 3;

/// Held by the process that works on a run; goes away with it, or with the last of its clones.
#[derive(Clone, Debug)]
pub struct Lock(#[expect(dead_code, reason = "closing the file releases the lock")] Arc<File>);

impl Lock {
    /// Takes the lock of a folder.
    ///
    /// # Errors
    /// `Error::Locked` names the holder; `Error::File`.
    pub fn acquire(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("lock");
        let file = sys::open_private(&path, OpenOptions::new().write(true).create(true).truncate(false))
            .map_err(|source| Error::file("create", &path, source))?;
        let mut tried = file.try_lock();
        for _ in 0..GLANCES {
            if !matches!(tried, Err(TryLockError::WouldBlock)) {
                break;
            }
            // `status` holds it for a moment to see whether anybody works.
            std::thread::sleep(RUNS_LOCK_EVERY);
            tried = file.try_lock();
        }
        match tried {
            Ok(()) => Ok(Self(Arc::new(file))),
            Err(TryLockError::WouldBlock) => {
                let holder = RunFile::read(folder).map_or_else(
                    || "it is only just starting".to_owned(),
                    |run| {
                        format!(
                            "{} on {}, process {}, since {:.0}; `reprovision status {}` tells how far it is",
                            run.operator,
                            run.host,
                            run.pid,
                            run.started_at,
                            folder.display()
                        )
                    },
                );
                Err(Error::Locked { folder: folder.to_owned(), holder })
            }
            Err(TryLockError::Error(source)) => Err(Error::file("lock", &path, source)),
        }
    }
}

/// Creates `<parent>/<UTC>-<tenant>-<stem>`, with `-2` and so on where the name is taken.
///
/// # Errors
/// `Error::File`.
pub fn new_folder(parent: &Path, now: Timestamp, tenant: &str, stem: &str) -> Result<PathBuf, Error> {
    sys::create_folders(parent).map_err(|source| Error::file("create", parent, source))?;
    let name = format!("{}-{}-{}", now.strftime("%Y%m%dT%H%M%SZ"), part(tenant), part(stem));
    for count in 1_u32.. {
        let path = parent.join(if count == 1 { name.clone() } else { format!("{name}-{count}") });
        match sys::create_folder(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::file("create", path, source)),
        }
    }
    Err(Error::Internal("no free folder name".to_owned()))
}

fn part(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' })
        .take(LONGEST_PART)
        .collect();
    let clean = clean.trim_matches(['-', '.']).to_owned();
    if clean.is_empty() { "run".to_owned() } else { clean }
}

/// Waits for the lock of the folder above the runs. Held for as long as a run is looked for or created, so that two
/// starts of the same list in the same second find each other.
///
/// # Errors
/// `Error::File` where it cannot be had within ten seconds.
pub fn lock_runs(parent: &Path) -> Result<Lock, Error> {
    sys::create_folders(parent).map_err(|source| Error::file("create", parent, source))?;
    let path = parent.join(".lock");
    let file = sys::open_private(&path, OpenOptions::new().write(true).create(true).truncate(false))
        .map_err(|source| Error::file("create", &path, source))?;
    let until = Instant::now() + RUNS_LOCK;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(Arc::new(file))),
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(RUNS_LOCK_EVERY),
            Err(TryLockError::WouldBlock) => {
                let busy = io::Error::other("other processes have held it for ten seconds");
                return Err(Error::file("lock", &path, busy));
            }
            Err(TryLockError::Error(source)) => return Err(Error::file("lock", &path, source)),
        }
    }
}

/// Removes folders that a killed process left before its run began: nothing but a copy of an input is in them.
/// To be called with the lock of [`lock_runs`].
pub fn remove_debris(parent: &Path) {
    for folder in fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let names = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let names: Vec<_> = names.collect();
        let bare = |name: &std::ffi::OsString| {
            let begun = ["lock", "input.incoming", "input.built-in", "input.csv", "run.json.tmp"];
            begun.iter().any(|one| name == one)
        };
        if names.iter().any(|name| name == "lock") && names.iter().all(bare) && Lock::acquire(&folder).is_ok()
        {
            // What cannot be removed now may go the next time.
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

/// The runs of one identity in a folder of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchingRuns {
    /// The newest that is not complete, or whose account was not written to its end.
    pub unfinished: Option<PathBuf>,
    /// The newest that is complete and accounted for.
    pub finished: Option<PathBuf>,
}

/// Looks for runs of the same identity in `parent`. One whose results cannot be read counts as unfinished: it is to be
/// looked at, not passed over.
pub fn find_matching_runs(parent: &Path, identity: &Identity) -> MatchingRuns {
    let mut beside = MatchingRuns::default();
    for (folder, run) in runs(parent).into_iter().filter(|(_, run)| run.identity == *identity) {
        let complete = read_results(&folder, run.rows).is_ok_and(|read| read.totals.records == run.rows_in());
        // Otherwise the command that resumes the run would start again and send every user a second time.
        let finished = complete && is_accounted(&folder);
        let place = if finished { &mut beside.finished } else { &mut beside.unfinished };
        place.get_or_insert(folder);
    }
    beside
}

/// What the runs of the same app in the same tenant left for the next: the rate that the newest learned, and all pauses,
/// because one that ran beside another may have been told nothing of its own.
pub fn newest_state(parent: &Path, identity: &Identity) -> State {
    let states: Vec<_> = runs(parent)
        .into_iter()
        .filter(|(_, run)| {
            let theirs = &run.identity;
            (&theirs.tenant, &theirs.app, &theirs.endpoint)
                == (&identity.tenant, &identity.app, &identity.endpoint)
        })
        .map(|(folder, _)| State::read(&folder))
        .collect();
    let cooldowns = states.iter().flat_map(|state| state.cooldowns.clone()).collect();
    let newest = states.into_iter().max_by_key(|state| state.saved_at).unwrap_or_default();
    State { cooldowns, ..newest }
}

/// The runs in a folder of runs, newest first.
fn runs(parent: &Path) -> Vec<(PathBuf, RunFile)> {
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let mut found: Vec<_> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.path(), RunFile::read(&entry.path())?)))
        .collect();
    found.sort_by(|(a, one), (b, other)| (other.created_at, b).cmp(&(one.created_at, a)));
    found
}

#[cfg(test)]
mod tests {
    use super::super::hashes::hashes;
    use super::super::journal::Journal;
    use super::super::read_back::tests::{expected, record};
    use super::*;
    use crate::model::{ObjectKind, Outcome};

    fn identity(input: &str) -> Identity {
        Identity {
            input_sha256: input.to_owned(),
            tenant: "t".to_owned(),
            app: "a".to_owned(),
            endpoint: "e".to_owned(),
            object: ObjectKind::Users,
            column: "id".to_owned(),
            shard: None,
        }
    }

    fn run(parent: &Path, name: &str, input: &str, rows: u64, done: u64, at: i64) -> PathBuf {
        let folder = parent.join(name);
        sys::create_folder(&folder).expect("created");
        let at = Timestamp::from_second(at).expect("a time");
        RunFile {
            schema: 1,
            version: String::new(),
            identity: identity(input),
            input: String::new(),
            bytes: 0,
            rows,
            reading: None,
            selected: None,
            label: None,
            ticket: None,
            retry_of: Vec::new(),
            next: None,
            simulated: false,
            created_at: at,
            started_at: at,
            operator: "ann".to_owned(),
            host: "pc".to_owned(),
            pid: 7,
            settings: serde_json::Value::Null,
        }
        .write(&folder)
        .expect("written");
        let (mut journal, _) = Journal::open(&folder, rows, || Ok(expected(rows))).expect("created");
        for row in 1..=done {
            journal.append([&record(row, Outcome::Accepted)]).expect("written");
        }
        let cooldowns = vec![("tenant".to_owned(), at, 1)];
        State { cooldowns, saved_at: Some(at), ..State::default() }.write(&folder).expect("written");
        account(&folder, 0);
        folder
    }

    /// As a call that ends with this code leaves it.
    fn account(folder: &Path, exit_code: u8) {
        let files = hashes(folder).expect("there");
        let account = serde_json::json!({ "exit_code": exit_code, "files": files });
        fs::write(folder.join("summary.json"), account.to_string()).expect("written");
    }

    #[test]
    fn the_newest_of_each_kind_is_found_and_others_are_not() {
        let parent = tempfile::tempdir().expect("a folder");
        let parent = parent.path();
        assert_eq!(find_matching_runs(parent, &identity("x")), MatchingRuns::default());
        run(parent, "1", "x", 3, 1, 1);
        let open = run(parent, "2", "x", 3, 2, 2);
        let done = run(parent, "3", "x", 3, 3, 3);
        run(parent, "4", "y", 3, 0, 4);
        fs::create_dir(parent.join("5")).expect("created");
        let found = find_matching_runs(parent, &identity("x"));
        assert_eq!(found, MatchingRuns { unfinished: Some(open.clone()), finished: Some(done) });
        // Another list of the same app in the same tenant was sent last: its pauses hold for us too, and so do those of
        // the others, which it may have run beside.
        let state = newest_state(parent, &identity("x"));
        assert_eq!(state.saved_at, Timestamp::from_second(4).ok());
        let mut ends: Vec<_> = state.cooldowns.iter().map(|(_, until, _)| until.as_second()).collect();
        ends.sort_unstable();
        assert_eq!(ends, [1, 2, 3, 4]);
        let other = Identity { app: "b".to_owned(), ..identity("x") };
        assert_eq!(newest_state(parent, &other), State::default());
        fs::write(open.join("results.csv"), "saved by Excel").expect("damaged");
        assert_eq!(find_matching_runs(parent, &identity("x")).unfinished, Some(open));
    }

    #[test]
    fn a_complete_run_is_finished_once_its_account_is() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = run(parent.path(), "1", "x", 3, 3, 1);
        let is_finished = || find_matching_runs(parent.path(), &identity("x")).finished.is_some();
        for (exit_code, finished) in [(0, true), (3, true), (4, true), (1, false), (5, false), (130, false)] {
            account(&folder, exit_code);
            assert_eq!(is_finished(), finished, "exit {exit_code}");
        }
        account(&folder, 0);
        // The last records came after the account was written.
        let results = fs::read_to_string(folder.join("results.csv")).expect("read");
        fs::write(folder.join("results.csv"), results.replace("00:00:01", "00:00:02")).expect("written");
        assert!(!is_finished());
        fs::remove_file(folder.join("summary.json")).expect("removed");
        assert!(!is_finished(), "killed before the account");
    }

    #[test]
    fn only_what_a_killed_process_left_is_removed() {
        let parent = tempfile::tempdir().expect("a folder");
        let whole = run(parent.path(), "1", "x", 3, 0, 1);
        let [dead, alive, other, later] = ["2", "3", "4", "5"].map(|name| {
            let folder = parent.path().join(name);
            sys::create_folder(&folder).expect("created");
            fs::write(folder.join("input.incoming"), "id").expect("written");
            folder
        });
        drop(Lock::acquire(&dead).expect("free"));
        let _held = Lock::acquire(&alive).expect("free");
        drop(Lock::acquire(&other).expect("free"));
        drop(Lock::acquire(&later).expect("free"));
        fs::rename(later.join("input.incoming"), later.join("input.csv")).expect("in place");
        fs::write(later.join("run.json.tmp"), "{").expect("written");
        fs::write(other.join("notes.txt"), "mine").expect("written");
        remove_debris(parent.path());
        let stays = [whole, dead, alive, other, later].map(|folder| folder.exists());
        assert_eq!(stays, [true, false, true, true, false]);
    }

    #[test]
    fn a_held_run_names_its_holder() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = run(parent.path(), "1", "x", 3, 1, 1);
        let held = Lock::acquire(&folder).expect("free");
        let said = Lock::acquire(&folder).expect_err("held");
        assert!(said.exit().code() == 8 && said.chain().contains("ann on pc, process 7"), "{}", said.chain());
        drop(held);
        Lock::acquire(&folder).expect("free again");
    }
}
