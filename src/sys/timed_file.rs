//! Reading of a file that may be a pipe or a terminal, with a time limit for the program that writes it.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use super::PIPE_TIMEOUT;

/// Longest file of settings or certificates: all roots that the world trusts have a twentieth of it.
const LONGEST: u64 = 4 * 1024 * 1024;

/// What is in a file of settings or certificates; a pipe gets [`PIPE_TIMEOUT`].
///
/// # Errors
/// As the system says, for a pipe that nobody writes, and for a file without end.
pub fn read_settings(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more than the longest, so that too long is seen.
    TimedFile::open(path, PIPE_TIMEOUT)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        let text =
            format!("it is longer than {} MiB. Name a settings or certificate file", LONGEST / 1024 / 1024);
        return Err(io::Error::other(text));
    }
    Ok(bytes)
}

/// A file that is read to its end by an instant, or not at all. Not on Unix, a part that never comes is waited for.
#[derive(Debug)]
pub struct TimedFile {
    file: File,
    within: Duration,
    until: Instant,
}

impl TimedFile {
    /// Opens it. A named pipe without a writer opens at once, and is waited for while reading.
    ///
    /// # Errors
    /// As the system says.
    pub fn open(path: &Path, within: Duration) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
            options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
        }
        Ok(Self { file: options.open(path)?, within, until: Instant::now() + within })
    }

    /// Of what was opened.
    ///
    /// # Errors
    /// As the system says.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Ends when there is something to read, or its end.
    #[cfg(unix)]
    fn ready(&self) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let left = self.until.saturating_duration_since(Instant::now());
        // Longer than a time can be: for ever.
        let left = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], left.as_ref())? {
            0 => Err(self.too_late()),
            _ => Ok(()),
        }
    }

    /// Between two parts only: a part that never comes is waited for.
    #[cfg(not(unix))]
    fn ready(&self) -> io::Result<()> {
        if Instant::now() > self.until { Err(self.too_late()) } else { Ok(()) }
    }

    fn too_late(&self) -> io::Error {
        let text = format!(
            "it is a pipe or a terminal, and its end did not come within {} s: look at the program that should write it, or \
             name a plain file",
            self.within.as_secs()
        );
        io::Error::new(io::ErrorKind::TimedOut, text)
    }
}

impl Read for TimedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.ready()?;
            match self.file.read(buffer) {
                // Another reader was faster.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}

/// A named pipe, made by the program that every Unix has for it.
#[cfg(all(test, unix))]
pub(crate) fn make_pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo").success());
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::thread;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(60);

    fn read(path: &Path, within: Duration) -> io::Result<String> {
        let mut text = String::new();
        TimedFile::open(path, within)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn a_pipe_is_waited_for_but_not_for_ever() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        make_pipe(&pipe);
        let error = read(&pipe, SHORT).expect_err("nobody writes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        let writer = {
            let pipe = pipe.clone();
            thread::spawn(move || {
                // Opening waits for the reader.
                let mut writer = File::options().write(true).open(pipe).expect("open");
                writer.write_all(b"one ").expect("written");
                thread::sleep(SHORT);
                writer.write_all(b"two").expect("written");
            })
        };
        assert_eq!(read(&pipe, LONG).expect("read"), "one two");
        writer.join().expect("written");
        // A writer who begins and never ends.
        let held = File::options().read(true).write(true).open(&pipe).expect("both ends");
        (&held).write_all(b"half").expect("written");
        let error = read(&pipe, SHORT).expect_err("no end");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    }

    #[test]
    fn settings_without_end_are_refused() {
        let error = read_settings(Path::new("/dev/zero")).expect_err("refused");
        assert!(error.to_string().contains("longer than 4 MiB"), "{error}");
    }

    #[test]
    fn a_plain_file_is_read_to_its_end() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "token").expect("written");
        assert_eq!(read(file.path(), Duration::ZERO).expect("read"), "token");
    }
}
