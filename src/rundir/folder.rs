//! Where a run lives: folder names, the lock, the newest unfinished run of an identity.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::read_back::read_results;
use super::run_file::{Identity, RunFile};
use crate::error::Error;
use crate::sys;

/// Longest part of a folder name that comes from outside.
const LONGEST_PART: usize = 40;

/// Held by the process that works on a run; goes away with it.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "closing the file releases the lock")] File);

impl Lock {
    /// Takes the lock of a folder.
    ///
    /// # Errors
    /// `Error::Locked` names the holder; `Error::File`.
    pub fn acquire(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("lock");
        let file = sys::open_private(&path, OpenOptions::new().write(true).create(true).truncate(false))
            .map_err(|source| Error::file("create", &path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => {
                let holder = RunFile::read(folder).map_or_else(
                    || "it is only just starting".to_owned(),
                    |run| {
                        format!(
                            "{} on {}, process {}, since {:.0}",
                            run.operator, run.host, run.pid, run.started_at
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
    fs::create_dir_all(parent).map_err(|source| Error::file("create", parent, source))?;
    let name = format!("{}-{}-{}", now.strftime("%Y%m%dT%H%M%SZ"), part(tenant), part(stem));
    for count in 1_u32.. {
        let path = parent.join(if count == 1 { name.clone() } else { format!("{name}-{count}") });
        match sys::create_folder(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
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

/// The newest unfinished run of the same identity below `parent`.
pub fn find_unfinished(parent: &Path, identity: &Identity) -> Option<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(parent).ok()?.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    folders.into_iter().rev().find(|folder| {
        RunFile::read(folder).is_some_and(|run| {
            run.identity == *identity
                && read_results(folder, run.rows).map_or(true, |read| read.totals.records < run.rows)
        })
    })
}
