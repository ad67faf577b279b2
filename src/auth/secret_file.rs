//! Files with keys and tokens. They are read through one handle, up to a limit, and checked for the access of
//! other users.

use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use secrecy::zeroize::Zeroizing;

use crate::sys::{PIPE_TIMEOUT, TimedFile};

/// Longest key file: a key of 4096 bits with a chain of ten certificates has a tenth of it.
const LONGEST: u64 = 256 * 1024;

/// The content of a file, wiped when it is dropped, and whether every user of the machine may read or change
/// it.
#[derive(Debug)]
pub(super) struct SecretFile {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) open_to_all: bool,
}

impl SecretFile {
    /// Opened once: what is judged is what is read, whatever becomes of the name meanwhile.
    fn read(path: &Path, within: Duration) -> io::Result<Self> {
        let mut file = TimedFile::open(path, within)?;
        let open_to_all = open_to_all(&file)?;
        let mut bytes = Zeroizing::new(Vec::new());
        // One more than the longest, so that too long is seen.
        (&mut file).take(LONGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LONGEST {
            let text = format!("it is longer than {} KiB, which no key or token is", LONGEST / 1024);
            return Err(io::Error::other(text));
        }
        Ok(Self { bytes, open_to_all })
    }

    /// Reads the file on another thread, so that a signal is handled meanwhile. The writer of a pipe has
    /// [`PIPE_TIMEOUT`].
    ///
    /// # Errors
    /// As the system says, for a pipe that nobody writes, and for a file that is longer than any key.
    pub(super) async fn beside(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        let read = tokio::task::spawn_blocking(move || Self::read(&path, PIPE_TIMEOUT));
        read.await.map_err(|_| io::Error::other("reading it ended unexpectedly"))?
    }

    /// Reads the file as text.
    ///
    /// # Errors
    /// As [`SecretFile::beside`], and if the content is not UTF-8.
    pub(super) async fn text(path: &Path) -> io::Result<Zeroizing<String>> {
        let read = Self::beside(path).await?;
        let text = std::str::from_utf8(&read.bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

/// Only regular files are checked: the access to pipes and devices is decided by the program that created
/// them.
#[cfg(unix)]
fn open_to_all(file: &TimedFile) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    let found = file.metadata()?;
    Ok(found.is_file() && found.permissions().mode() & 0o006 != 0)
}

#[cfg(not(unix))]
fn open_to_all(_: &TimedFile) -> io::Result<bool> {
    Ok(false)
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn who_else_may_read_it_is_seen() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "key").expect("written");
        for (mode, open) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
            fs::set_permissions(file.path(), Permissions::from_mode(mode)).expect("set");
            let read = SecretFile::read(file.path(), Duration::ZERO).expect("read");
            assert_eq!((read.bytes.as_slice(), read.open_to_all), (&b"key"[..], open), "{mode:o}");
        }
    }

    #[test]
    fn a_file_without_end_is_not_read_to_it() {
        let error = SecretFile::read(Path::new("/dev/zero"), PIPE_TIMEOUT).expect_err("refused");
        assert!(error.to_string().contains("longer than 256 KiB"), "{error}");
    }
}
