//! What differs by platform: private files, syncing a folder, replacing a file, core dumps, the host's name.

mod boot;
mod process_group;
mod signals;
mod timed_file;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use boot::{SinceBoot, since_boot};
pub use process_group::{ProcessGroup, has_terminal};
pub use signals::{Signal, Signals, asked_to_end};
#[cfg(all(test, unix))]
pub(crate) use timed_file::make_pipe;
pub use timed_file::{TimedFile, read_settings};

/// Who is to write a file of settings or secrets that is a pipe gets so long: a program that takes longer has hung.
pub const PIPE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a replacement that another program stands in the way of is tried again, and how often.
const REPLACE_FOR: Duration = Duration::from_secs(2);
const REPLACE_EVERY: Duration = Duration::from_millis(100);

/// A new folder that only its owner may enter (0700 on Unix, whatever the umask).
///
/// # Errors
/// As the system says.
pub fn create_folder(path: &Path) -> io::Result<()> {
    let builder = fs::DirBuilder::new();
    #[cfg(unix)]
    let builder = {
        let mut builder = builder;
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
    };
    builder.create(path)?;
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

/// A folder with all that are missing above it, so that each survives a power cut.
///
/// # Errors
/// As the system says.
pub fn create_folders(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists());
    let missing: Vec<_> = missing.collect();
    fs::create_dir_all(path)?;
    missing.iter().filter_map(|new| new.parent()).try_for_each(sync_folder)
}

/// A file that only its owner may read (0600 on Unix, whatever the umask). A symbolic link in its place is refused,
/// so that nobody can have us write elsewhere.
///
/// # Errors
/// As the system says.
pub fn open_private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = open_kept(path, options)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if file.metadata()?.permissions().mode() & 0o7777 != 0o600 {
            file.set_permissions(PermissionsExt::from_mode(0o600))?;
        }
    }
    Ok(file)
}

/// As [`open_private`], but a file that exists keeps its mode: it is an administrator's, who lets others read it.
///
/// # Errors
/// As the system says.
pub fn open_kept(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.mode(0o600).custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
        let file = options.open(path).map_err(|error| {
            let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
            if is_link {
                io::Error::other("it is a symbolic link, and links are not followed")
            } else {
                error
            }
        })?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        Ok(file)
    }
    #[cfg(not(unix))]
    options.open(path)
}

/// Makes names in the folder survive a power cut. Windows keeps no handle for that and needs none.
///
/// # Errors
/// As the system says.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// A file that is being written beside the one it will replace: a reader sees the old or the new one, whole.
#[derive(Debug)]
pub struct Replacement {
    file: Option<File>,
    beside: PathBuf,
    path: PathBuf,
}

impl Replacement {
    /// Begins one for `path`, in the same folder.
    ///
    /// # Errors
    /// As the system says.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let beside = path.with_file_name(name);
        // What a killed process left, or a link that somebody put there.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = open_private(&beside, OpenOptions::new().write(true).create_new(true))?;
        Ok(Self { file: Some(file), beside, path: path.to_owned() })
    }

    /// Syncs it and puts it in place.
    ///
    /// # Errors
    /// As the system says; the old file stands then.
    pub fn commit(mut self) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            file.sync_all()?;
        }
        patiently(REPLACE_FOR, in_the_way, || fs::rename(&self.beside, &self.path))?;
        self.path.parent().map_or(Ok(()), sync_folder)
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        drop(self.file.take());
        // Gone where it was put in place.
        let _ = fs::remove_file(&self.beside);
    }
}

/// Replaces a file as a whole.
///
/// # Errors
/// As the system says; the old file stands then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut replacement = Replacement::begin(path)?;
    replacement.write_all(bytes)?;
    replacement.commit()
}

/// Whether another program has the file open in a way that forbids replacing it: Windows only.
fn in_the_way(error: &io::Error) -> bool {
    /// ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_USER_MAPPED_FILE.
    const REFUSED: [i32; 3] = [5, 32, 1224];
    cfg!(windows) && error.raw_os_error().is_some_and(|code| REFUSED.contains(&code))
}

/// Tries again for a while as long as `passing` says that the cause may pass.
fn patiently(
    most: Duration,
    passing: impl Fn(&io::Error) -> bool,
    mut act: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let until = Instant::now() + most;
    loop {
        match act() {
            Err(error) if passing(&error) && Instant::now() < until => std::thread::sleep(REPLACE_EVERY),
            Err(error) if passing(&error) => {
                return Err(io::Error::new(
                    error.kind(),
                    format!("another program has it open (close it in Excel): {error}"),
                ));
            }
            ended => return ended,
        }
    }
}

/// No core file, and no other process of the same user may read our memory: tokens are in it.
pub fn forbid_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        // Where the system refuses, nothing else is lost.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }
}

/// The name of this machine.
pub fn host_name() -> String {
    #[cfg(unix)]
    {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
    #[cfg(not(unix))]
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "unknown".to_owned())
}

/// Who is signed in on this machine.
pub fn operator() -> String {
    ["USER", "LOGNAME", "USERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_is_whole_or_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.json");
        fs::write(&path, "old").expect("written");
        let mut half = Replacement::begin(&path).expect("begun");
        half.write_all(b"ne").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), "old");
        drop(half);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1, "nothing is left beside it");
        replace(&path, b"new").expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("read"), "new");
    }

    #[test]
    fn folders_are_created_with_those_above_and_again_without_harm() {
        let desk = tempfile::tempdir().expect("a folder");
        let deep = desk.path().join("a/b/c");
        for _ in 0..2 {
            create_folders(&deep).expect("created");
            assert!(deep.is_dir());
        }
        fs::write(desk.path().join("file"), "").expect("written");
        create_folders(&desk.path().join("file/d")).expect_err("not below a file");
    }

    #[test]
    fn a_file_in_use_is_tried_again_and_then_named() {
        let refused = || io::Error::from_raw_os_error(32);
        let mut tries = 0;
        let ended = patiently(
            Duration::from_secs(2),
            |_| true,
            || {
                tries += 1;
                if tries < 3 { Err(refused()) } else { Ok(()) }
            },
        );
        assert!(ended.is_ok() && tries == 3);
        let said = patiently(Duration::ZERO, |_| true, || Err(refused())).expect_err("refused");
        assert!(said.to_string().contains("close it in Excel"), "{said}");
        let mut tries = 0;
        let other = patiently(
            Duration::from_secs(2),
            |_| false,
            || {
                tries += 1;
                Err(refused())
            },
        );
        assert!(other.is_err() && tries == 1, "what will not pass is not waited for");
    }

    #[cfg(unix)]
    #[test]
    fn files_are_private_and_links_are_not_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
        let folder = tempfile::tempdir().expect("a folder");
        let (inside, target) = (folder.path().join("run"), folder.path().join("target"));
        create_folder(&inside).expect("created");
        fs::write(&target, "precious").expect("written");
        fs::set_permissions(&target, PermissionsExt::from_mode(0o644)).expect("set");
        assert_eq!(mode(&inside), 0o700);
        let link = inside.join("results.csv");
        symlink(&target, &link).expect("linked");
        let said = open_private(&link, OpenOptions::new().write(true).create(true).truncate(true))
            .expect_err("refused");
        assert!(said.to_string().contains("symbolic link"), "{said}");
        symlink(&target, inside.join("state.json.tmp")).expect("linked");
        replace(&inside.join("state.json"), b"{}").expect("replaced");
        assert_eq!((fs::read_to_string(&target).expect("read").as_str(), mode(&target)), ("precious", 0o644));
        assert_eq!(mode(&inside.join("state.json")), 0o600);
        let open = inside.join("failed.csv");
        fs::write(&open, "").expect("written");
        fs::set_permissions(&open, PermissionsExt::from_mode(0o666)).expect("set");
        open_private(&open, OpenOptions::new().append(true)).expect("opened");
        assert_eq!(mode(&open), 0o600, "also one that another program made readable");
        let (log, new) = (inside.join("log.txt"), inside.join("new.txt"));
        fs::write(&log, "").expect("written");
        fs::set_permissions(&log, PermissionsExt::from_mode(0o640)).expect("set");
        for path in [&log, &new] {
            open_kept(path, OpenOptions::new().append(true).create(true)).expect("opened");
        }
        assert_eq!((mode(&log), mode(&new)), (0o640, 0o600), "an administrator's file keeps its mode");
    }

    #[cfg(unix)]
    #[test]
    fn the_host_has_a_name() {
        assert!(!host_name().is_empty());
    }
}
