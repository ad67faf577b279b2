//! The input as bytes: copied once, hashed, and found out if it changed meanwhile.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::error::Error;
use crate::sys;

/// Read at a time.
const CHUNK: usize = 64 * 1024;

/// Checks before the sign-in whether the input can be read. It is not opened, because that would end a named
/// pipe.
///
/// # Errors
/// `Error::Input` with the reason and the folder.
pub fn look(input: &Path) -> Result<(), Error> {
    let fault = |message: String| Error::Input { file: input.to_owned(), line: None, column: None, message };
    match fs::metadata(input) {
        Ok(found) if found.is_dir() => Err(fault("this is a folder: give the CSV in it".to_owned())),
        Ok(_) => Ok(()),
        Err(source) => Err(fault(unreadable(input, &source))),
    }
}

fn unreadable(input: &Path, source: &io::Error) -> String {
    if source.kind() != io::ErrorKind::NotFound {
        return format!("cannot read the input: {source}");
    }
    let here = std::env::current_dir().ok().filter(|_| input.is_relative());
    let looked = here.map(|here| format!(" in {}", here.display())).unwrap_or_default();
    format!("there is no such file{looked}: give the path of your CSV")
}

/// Copies the input to a private file. `-` is standard input. Returns the SHA-256 in hex and the size in
/// bytes.
///
/// # Errors
/// `Error::Input` where it cannot be read or changed while it was; `Error::File` where the copy cannot be written.
pub(super) fn copy_and_hash(input: &Path, copy: &Path) -> Result<(String, u64), Error> {
    let fault = |message: String| Error::Input { file: input.to_owned(), line: None, column: None, message };
    let unreadable = |source: io::Error| fault(unreadable(input, &source));
    let to = sys::open_private(copy, OpenOptions::new().write(true).create(true).truncate(true))
        .map_err(|source| Error::file("create", copy, source))?;
    if input == Path::new("-") {
        return pour(&mut io::stdin().lock(), to, copy, &unreadable);
    }
    look(input)?;
    let mut file = File::open(input).map_err(unreadable)?;
    let before = file.metadata().map_err(unreadable)?;
    let poured = pour(&mut file, to, copy, &unreadable)?;
    let after = file.metadata().map_err(unreadable)?;
    // Pipes and devices have no size to compare.
    if before.is_file() && changed(&before, &after, poured.1) {
        return Err(fault(
            "the file changed while it was read: wait until it is complete, then give the same command"
                .to_owned(),
        ));
    }
    Ok(poured)
}

/// Whether the file changed while it was read, or was not read completely.
fn changed(before: &Metadata, after: &Metadata, bytes: u64) -> bool {
    before.len() != bytes || after.len() != bytes || before.modified().ok() != after.modified().ok()
}

fn pour(
    from: &mut impl Read,
    mut to: File,
    copy: &Path,
    unreadable: &impl Fn(io::Error) -> Error,
) -> Result<(String, u64), Error> {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        hash.update(&buffer[..n]);
        to.write_all(&buffer[..n]).map_err(|source| Error::file("write", copy, source))?;
        bytes += n as u64;
    }
    to.sync_all().map_err(|source| Error::file("sync", copy, source))?;
    Ok((hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect(), bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_file_that_grows_or_is_written_again_while_it_is_read_has_changed() {
        let desk = tempfile::tempdir().expect("a folder");
        let path = desk.path().join("list.csv");
        fs::write(&path, "id\n").expect("written");
        let look = || fs::metadata(&path).expect("there");
        let before = look();
        assert!(!changed(&before, &look(), 3));
        assert!(changed(&before, &look(), 2), "not read to its end");
        fs::write(&path, "id\na@b\n").expect("written");
        assert!(changed(&before, &look(), 3), "grown");
        let before = look();
        let file = File::options().write(true).open(&path).expect("open");
        file.set_modified(SystemTime::now() + Duration::from_secs(5)).expect("touched");
        assert!(changed(&before, &look(), 7), "written again with the same length");
    }

    #[test]
    fn the_copy_and_the_hash_are_of_the_bytes_as_given() {
        let desk = tempfile::tempdir().expect("a folder");
        let (list, copy) = (desk.path().join("list.csv"), desk.path().join("input.csv"));
        let hashed = |bytes: &[u8]| {
            fs::write(&list, bytes).expect("written");
            let (hash, length) = copy_and_hash(&list, &copy).expect("copied");
            assert_eq!((length, fs::read(&copy).expect("there")), (bytes.len() as u64, bytes.to_vec()));
            hash
        };
        // More than one chunk first, so that the next copy has something to replace; FIPS 180-2 gives the
        // second.
        let long = hashed(&vec![b'x'; CHUNK * 2 + 1]);
        assert_eq!(hashed(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let mut other = vec![b'x'; CHUNK * 2 + 1];
        other[CHUNK * 2] = b'y';
        assert!(long.len() == 64 && hashed(&other) != long, "to the last byte");
    }
}
