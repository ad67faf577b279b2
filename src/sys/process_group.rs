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

/// A program, killed with all that it started when this is dropped before it has ended by itself.
#[derive(Debug)]
pub struct ProcessGroup {
    #[cfg(unix)]
    program: Option<rustix::process::Pid>,
    /// Whether it leads a process group of its own.
    #[cfg(unix)]
    apart: bool,
}

impl ProcessGroup {
    /// Starts the program, `apart`: as the leader of a process group of its own, which is killed as a whole. Not for one that
    /// shares a terminal: Ctrl-C would not reach it, and the system would stop it as soon as it asked something. Then it is
    /// killed with its children and theirs, where the system tells who they are (Linux).
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
            let id = child.id().and_then(|id| i32::try_from(id).ok());
            Ok((child, Self { program: id.and_then(Pid::from_raw), apart }))
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
        self.program.take();
    }
}

#[cfg(unix)]
impl Drop for ProcessGroup {
    fn drop(&mut self) {
        use rustix::process::{Signal, kill_process, kill_process_group};
        let Some(program) = self.program else { return };
        // Gone already: nothing to end.
        for pid in held(program) {
            let _ = kill_process(pid, Signal::KILL);
        }
        if self.apart {
            let _ = kill_process_group(program, Signal::KILL);
        }
    }
}

/// Generations that are followed: who may not be stopped, being somebody else's, may go on starting others.
#[cfg(target_os = "linux")]
const LOOKS: u32 = 16;

/// Stops the program and all its descendants, and returns their ids. A stopped process neither starts nor reaps another one,
/// so the ids stay valid until the processes are killed.
#[cfg(target_os = "linux")]
fn held(program: rustix::process::Pid) -> Vec<rustix::process::Pid> {
    use rustix::process::{Signal, kill_process};
    let mut family = vec![program];
    let _ = kill_process(program, Signal::STOP);
    for _ in 0..LOOKS {
        // Once more after the last was found: it may have had a child before it stood still.
        let alive = parents();
        let is_new = |(pid, parent): &&(_, _)| family.contains(parent) && !family.contains(pid);
        let more: Vec<_> = alive.iter().filter(is_new).map(|(pid, _)| *pid).collect();
        if more.is_empty() {
            break;
        }
        for pid in more {
            let _ = kill_process(pid, Signal::STOP);
            family.push(pid);
        }
    }
    family
}

/// Elsewhere nobody tells who the children are.
#[cfg(all(unix, not(target_os = "linux")))]
fn held(program: rustix::process::Pid) -> Vec<rustix::process::Pid> {
    vec![program]
}

/// Every process with its parent.
#[cfg(target_os = "linux")]
fn parents() -> Vec<(rustix::process::Pid, rustix::process::Pid)> {
    use rustix::process::Pid;
    let of = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)?;
        let stat = std::fs::read(entry.path().join("stat")).ok()?;
        // The name before it may hold anything, brackets too: state and parent follow the last one.
        let after = stat.iter().rposition(|byte| *byte == b')')? + 1;
        let after = std::str::from_utf8(&stat[after..]).ok()?;
        let parent = after.split_whitespace().nth(1)?.parse().ok().and_then(Pid::from_raw)?;
        Some((pid, parent))
    };
    std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(of).collect()
}
