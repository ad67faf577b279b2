//! What the files of a run are: size and SHA-256, for the summary.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Exit};

const RESULTS: &str = "results.csv";
/// The files whose hashes the summary holds, in its order.
const HASHED: [&str; 6] = ["run.json", "input.csv", RESULTS, "state.json", "failed.csv", "report.html"];

/// A file of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHash {
    /// Its name in the folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// In hex.
    pub sha256: String,
}

/// What `summary.json` says of the call that wrote it.
#[derive(Deserialize)]
struct Account {
    exit_code: u8,
    files: Vec<FileHash>,
}

/// Whether `summary.json` is the account of these results, by a call that nothing stopped. One from before the last
/// records tells less, and so do the files beside it: the process was killed, or told to end.
pub fn is_accounted(folder: &Path) -> bool {
    let ends = [Exit::Done, Exit::SomeFailed, Exit::StillFailing].map(Exit::code);
    let account = fs::read(folder.join("summary.json")).ok();
    account.and_then(|bytes| serde_json::from_slice::<Account>(&bytes).ok()).is_some_and(|account| {
        let then = account.files.into_iter().find(|file| file.name == RESULTS);
        ends.contains(&account.exit_code)
            && then.is_some_and(|file| {
                hash(&folder.join(RESULTS)).is_ok_and(|now| now == (file.bytes, file.sha256))
            })
    })
}

/// Size and SHA-256 of the files of a run that are there.
///
/// # Errors
/// `Error::File` where one cannot be read.
pub fn hashes(folder: &Path) -> Result<Vec<FileHash>, Error> {
    let mut found = Vec::new();
    for name in HASHED {
        let path = folder.join(name);
        match hash(&path) {
            Ok((bytes, sha256)) => found.push(FileHash { name: name.to_owned(), bytes, sha256 }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::file("read", path, source)),
        }
    }
    Ok(found)
}

fn hash(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                context.update(&buffer[..n]);
                bytes += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((bytes, context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()))
}
