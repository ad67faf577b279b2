//! What the files of a run are: size and SHA-256, for the summary.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The files whose hashes the summary holds, in its order.
const HASHED: [&str; 6] = ["run.json", "input.csv", "results.csv", "state.json", "failed.csv", "report.html"];

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
