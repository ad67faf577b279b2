//! A program that is ended together with all that it started.

use tokio::process::{Child, Command};

/// Whether a terminal belongs to this process: a person may press Ctrl-C there, or be asked something.
#[cfg(unix)]
pub fn has_terminal() -> bool {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    std::fs::File::options().read(true).custom_flags(flags).open("/dev/tty").is_ok()
}

/// Windows has no process groups of that kind; a program there shares the console.
#[cfg(not(unix))]
pub fn has_terminal() -> bool {
    true
}

/// A program, killed with its whole process group when this is dropped before it has ended by itself.
#[derive(Debug)]
pub struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl Group {
    /// Starts the program, `apart`: as the leader of a process group of its own. Not for one that shares a terminal: Ctrl-C
    /// would not reach it, and the system would stop it as soon as it asked something. Then the program alone is killed.
    ///
    /// # Errors
    /// As the system says.
    pub fn start(command: &mut Command, apart: bool) -> std::io::Result<(Child, Self)> {
        command.kill_on_drop(true);
        #[cfg(unix)]
        {
            use rustix::process::Pid;
            if apart {
                command.process_group(0);
            }
            let child = command.spawn()?;
            let id = child.id().filter(|_| apart).and_then(|id| i32::try_from(id).ok());
            Ok((child, Self { leader: id.and_then(Pid::from_raw) }))
        }
        #[cfg(not(unix))]
        {
            let _ = apart;
            Ok((command.spawn()?, Self {}))
        }
    }

    /// Once the program has ended by itself: what it left running, it left on purpose, and its number may be another's.
    #[cfg_attr(not(unix), expect(unused_mut, reason = "nothing is kept there"))]
    pub fn ended(mut self) {
        #[cfg(unix)]
        self.leader.take();
    }
}

#[cfg(unix)]
impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // Gone already: nothing to end.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}
