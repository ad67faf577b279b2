//! Signals that ask this process to end: one request may come as several signals, and an ignored signal stays ignored.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Once, OnceLock, mpsc};
use std::time::{Duration, Instant};

/// Signals that follow the first within this time are the same request. GNU `timeout` and service managers signal the
/// process and then its group, and a closing terminal adds SIGHUP; all of that takes a few milliseconds, up to some
/// hundred on a busy machine. A person who wants to stop immediately presses Ctrl-C again after reading the message.
const SAME_REQUEST: Duration = Duration::from_millis(500);

/// When the first signal was received, by whichever listener was first.
static FIRST: OnceLock<Instant> = OnceLock::new();

static ASKED_TO_END: AtomicBool = AtomicBool::new(false);

/// Which signal asked this process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM, SIGHUP, a closed console.
    Terminate,
}

/// Whether a signal asked this process to end. Known only after [`Signals::listen`].
pub fn asked_to_end() -> bool {
    ASKED_TO_END.load(Relaxed)
}

/// Requests to end this process, one for each group of signals that belong together.
pub struct Signals {
    source: Source,
    /// Whether the first request was given out here, or came before this listener was made.
    past_first: bool,
}

impl Signals {
    /// Starts to listen. From then on no signal ends the process by itself. A thread of its own notes the first signal,
    /// so that [`asked_to_end`] is right even where this runtime is blocked.
    ///
    /// # Errors
    /// As the system says.
    pub fn listen() -> io::Result<Self> {
        static NOTES: Once = Once::new();
        NOTES.call_once(|| {
            let (ready, hears) = mpsc::channel();
            let note = move || -> io::Result<()> {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
                runtime.block_on(async {
                    let mut first = Source::open()?;
                    drop(ready);
                    first.next().await;
                    FIRST.get_or_init(Instant::now);
                    ASKED_TO_END.store(true, Relaxed);
                    Ok(())
                })
            };
            // Without the thread, signals still reach every listener that is polled.
            if std::thread::Builder::new().spawn(note).is_ok() {
                // Returns when the thread listens, or cannot.
                let _: Result<(), _> = hears.recv();
            }
        });
        Ok(Self { source: Source::open()?, past_first: FIRST.get().is_some() })
    }

    /// The next request to end.
    pub async fn next(&mut self) -> Signal {
        loop {
            let signal = self.source.next().await;
            let since_first = FIRST.get_or_init(Instant::now).elapsed();
            let past_first = std::mem::replace(&mut self.past_first, true);
            if !past_first || since_first >= SAME_REQUEST {
                return signal;
            }
        }
    }
}

/// The signals themselves.
#[cfg(unix)]
struct Source {
    interrupt: Listener,
    terminate: Listener,
    hang_up: Listener,
    /// Makes a write over a file size limit an error instead of the end of the process.
    _too_large: tokio::signal::unix::Signal,
}

/// `None`: the signal was ignored when this process started, and stays so.
#[cfg(unix)]
type Listener = Option<tokio::signal::unix::Signal>;

#[cfg(unix)]
impl Source {
    fn open() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        /// SIGXFSZ on Linux and macOS alike.
        const TOO_LARGE: i32 = 25;
        let listener = |kind: SignalKind| match was_ignored(kind.as_raw_value()) {
            true => Ok(None),
            false => signal(kind).map(Some),
        };
        Ok(Self {
            interrupt: listener(SignalKind::interrupt())?,
            terminate: listener(SignalKind::terminate())?,
            hang_up: listener(SignalKind::hangup())?,
            _too_large: signal(SignalKind::from_raw(TOO_LARGE))?,
        })
    }

    async fn next(&mut self) -> Signal {
        async fn received(listener: &mut Listener) {
            match listener {
                Some(listener) => {
                    listener.recv().await;
                }
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = received(&mut self.interrupt) => Signal::Interrupt,
            () = received(&mut self.terminate) => Signal::Terminate,
            () = received(&mut self.hang_up) => Signal::Terminate,
        }
    }
}

/// Whether a signal was ignored when the program started, as `nohup` and the background jobs of a shell script arrange
/// it. Read once, before the first handler is installed, because a handler ends the ignoring.
#[cfg(target_os = "linux")]
fn was_ignored(number: i32) -> bool {
    static IGNORED: OnceLock<u64> = OnceLock::new();
    let ignored =
        IGNORED.get_or_init(|| ignored_in(&std::fs::read_to_string("/proc/self/status").unwrap_or_default()));
    u32::try_from(number - 1).is_ok_and(|bit| ignored.checked_shr(bit).unwrap_or(0) & 1 == 1)
}

/// Elsewhere the system tells it only through calls that are unsafe, which this crate forbids.
#[cfg(all(unix, not(target_os = "linux")))]
fn was_ignored(_number: i32) -> bool {
    false
}

/// The bits of `SigIgn`: bit 0 is signal 1. None where the text does not hold it.
#[cfg(target_os = "linux")]
fn ignored_in(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// The signals themselves.
#[cfg(windows)]
struct Source {
    c: tokio::signal::windows::CtrlC,
    interrupt: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
}

#[cfg(windows)]
impl Source {
    fn open() -> io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close};
        Ok(Self { c: ctrl_c()?, interrupt: ctrl_break()?, close: ctrl_close()? })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.c.recv() => Signal::Interrupt,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.close.recv() => Signal::Terminate,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status_of_the_process() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert_eq!(ignored_in(status), 0x1001, "SIGHUP and SIGPIPE");
        assert_eq!((ignored_in(""), ignored_in("SigIgn:\tx\n")), (0, 0));
    }
}
