//! The folder of a run: found or created, locked, and removed again where nothing came of it.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::plan::FolderChoice;
use crate::error::Error;
use crate::rundir::{Lock, RUNS, RunFile, find_matching_runs, lock_runs, new_folder, remove_debris};
use crate::sys;

/// The files that a run writes or replaces.
const NAMES: [&str; 10] = [
    "run.json",
    "input.csv",
    "results.csv",
    "damaged.txt",
    "state.json",
    "failed.csv",
    "summary.json",
    "report.html",
    "verified.csv",
    "still-failing.csv",
];

/// A file in the way of a run's own in a folder where none has begun: the lock is the first thing that one
/// leaves.
fn not_ours(folder: &Path) -> Option<&'static str> {
    let ours = folder.join("lock").exists() || RunFile::read(folder).is_some();
    NAMES.into_iter().find(|name| !ours && folder.join(name).exists())
}

/// A locked folder. Dropped before [`Claim::keep`], a folder that this call created goes away again, and the
/// `run.json` of the call that last worked on it stands again: when it began, with what, and by which clock.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) folder: PathBuf,
    lock: Option<Lock>,
    created: bool,
    before: Option<RunFile>,
}

/// The contents of the folder, and matching runs next to it.
#[derive(Debug)]
pub(super) struct ClaimedRun {
    /// The present `run.json`.
    pub(super) run: RunFile,
    /// Whether the run was there before.
    pub(super) known: bool,
    /// A finished run with the same identity in the same parent folder.
    pub(super) finished: Option<PathBuf>,
}

impl Claim {
    /// Locks the given folder, or a new one.
    ///
    /// # Errors
    /// `Error::Locked` names the holder; `Error::File`; `Error::Usage` if it is not a folder.
    pub(super) fn begin(place: &FolderChoice, tenant: &str, stem: &str) -> Result<Self, Error> {
        let (folder, created, _runs) = match place {
            FolderChoice::Named(out) => {
                let created = !out.exists();
                if created {
                    let above = out.parent().unwrap_or(Path::new(""));
                    sys::create_folders(above).map_err(|source| Error::file("create", above, source))?;
                    sys::create_folder(out).map_err(|source| Error::file("create", out, source))?;
                    sys::sync_folder(above).map_err(|source| Error::file("sync", above, source))?;
                } else if !out.is_dir() {
                    return Err(Error::Usage(format!("--out {} is not a folder", out.display())));
                } else if let Some(name) = not_ours(out) {
                    return Err(Error::Usage(format!(
                        "--out {} holds a {name} which no run wrote, and a run would replace it: give another folder; nothing was sent",
                        out.display()
                    )));
                }
                (out.clone(), created, None)
            }
            FolderChoice::Resume | FolderChoice::New => {
                let parent = Path::new(RUNS);
                let runs = lock_runs(parent)?;
                remove_debris(parent);
                let folder = new_folder(parent, Timestamp::now(), tenant, stem)?;
                sys::sync_folder(parent).map_err(|source| Error::file("sync", parent, source))?;
                (folder, true, Some(runs))
            }
        };
        let mut claim = Self { folder, lock: None, created, before: None };
        claim.lock = Some(Lock::acquire(&claim.folder)?);
        Ok(claim)
    }

    /// The path to which the input is copied while it is checked.
    pub(super) fn incoming(&self) -> PathBuf {
        self.folder.join("input.incoming")
    }

    /// The copy that everything after the check reads.
    pub(super) fn copy(&self) -> PathBuf {
        self.folder.join("input.csv")
    }

    /// The folder that holds this run and others.
    pub(super) fn parent(&self) -> &Path {
        self.folder.parent().unwrap_or(Path::new(""))
    }

    /// Makes this the run that `run` describes: goes on with the newest unfinished one of the same identity
    /// where that was asked, and writes `run.json`.
    ///
    /// # Errors
    /// `Error::Usage` where the folder holds another run; `Error::Locked`; `Error::Damaged`; `Error::File`.
    pub(super) fn settle(&mut self, place: &FolderChoice, run: RunFile) -> Result<ClaimedRun, Error> {
        if let FolderChoice::Named(_) = place {
            let known = RunFile::load(&self.folder)?;
            let differences = known.as_ref().map(|known| known.identity.differences(&run.identity));
            if let Some(differences) = differences.filter(|list| !list.is_empty()) {
                return Err(Error::Usage(format!(
                    "{} holds another run ({}); give another --out; nothing was sent",
                    self.folder.display(),
                    differences.join("; ")
                )));
            }
            return self.begin_with(run, known, None);
        }
        let _runs = lock_runs(Path::new(RUNS))?;
        let beside = find_matching_runs(Path::new(RUNS), &run.identity);
        let Some(earlier) = beside.unfinished.filter(|_| *place == FolderChoice::Resume) else {
            return self.begin_with(run, None, beside.finished);
        };
        let lock = Lock::acquire(&earlier)?;
        let known = RunFile::load(&earlier)?;
        // The bytes are the same; whatever was done to the old copy since does not matter.
        let (from, to) = (self.incoming(), earlier.join("input.incoming"));
        fs::rename(&from, &to).map_err(|source| Error::file("replace", to, source))?;
        let claimed = Self { folder: earlier, lock: Some(lock), created: false, before: None };
        drop(std::mem::replace(self, claimed));
        self.begin_with(run, known, beside.finished)
    }

    fn begin_with(
        &mut self,
        mut run: RunFile,
        known: Option<RunFile>,
        finished: Option<PathBuf>,
    ) -> Result<ClaimedRun, Error> {
        if let Some((then, now)) = known.as_ref().and_then(|known| known.reading).zip(run.reading)
            && then != now
        {
            return Err(Error::Usage(format!(
                "{} began with {:?} as delimiter and column {} as ids, and this call reads {:?} and column {}: give \
                 --delimiter and --column as then, or --new-run; nothing was sent",
                self.folder.display(),
                then.delimiter,
                then.column,
                now.delimiter,
                now.column
            )));
        }
        let copy = self.copy();
        fs::rename(self.incoming(), &copy).map_err(|source| Error::file("replace", copy, source))?;
        if let Some(known) = &known {
            run.created_at = known.created_at;
        }
        let is_known = known.is_some();
        self.before = known;
        run.write(&self.folder)?;
        Ok(ClaimedRun { run, known: is_known, finished })
    }

    /// The lock for a thread that writes. The thread may outlive this claim, and no other process may write
    /// meanwhile.
    pub(super) fn lock(&self) -> Lock {
        self.lock.clone().expect("taken when dropped alone")
    }

    /// Something will be written that must stay.
    pub(super) fn keep(&mut self) {
        self.created = false;
        self.before = None;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Best effort on the way out; the next call finds what stays.
        let _ = fs::remove_file(self.incoming());
        if let Some(before) = self.before.take() {
            let _ = before.write(&self.folder);
        }
        drop(self.lock.take());
        if self.created {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
