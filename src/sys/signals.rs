//! Signals that ask this process to end: one request may come as several signals, and an ignored signal stays ignored.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Signals that follow the first within this time are the same request. GNU `timeout` and service managers signal the
/// process and then its group, and a closing terminal adds SIGHUP; all of that takes a few milliseconds, up to some
/// hundred on a busy machine. A person who wants to stop immediately presses Ctrl-C again after reading the message.
const SAME_REQUEST: Duration = Duration::from_millis(500);

/// What this process knows about signals. It is a static because a signal is sent to the process and not to one of its
/// values.
static ASKED_TO_END: OnceLock<ProcessSignals> = OnceLock::new();

/// Which signal asked this process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM, SIGHUP, a closed console.
    Terminate,
}

/// Returns whether a signal asked this process to end. Known only after [`Signals::listen`].
pub fn asked_to_end() -> bool {
    ASKED_TO_END.get().is_some_and(|process| process.first.get().is_some())
}

/// The state of signals in this process, made when the first listener is.
struct ProcessSignals {
    first: First,
    ignored: IgnoredSignals,
}

/// The first signal of this process.
#[derive(Clone)]
struct First {
    /// The signal and when it was received, by whichever listener was first.
    received: watch::Sender<Option<(Signal, Instant)>>,
    /// Whether a listener has returned it. Until then it waits for the next listener: a signal that comes between two
    /// listeners, such as those of the sign-in and of the run, is not lost.
    returned: Arc<AtomicBool>,
}

impl First {
    fn new() -> Self {
        Self { received: watch::Sender::new(None), returned: Arc::default() }
    }

    fn get(&self) -> Option<(Signal, Instant)> {
        *self.received.borrow()
    }

    /// Records a signal, unless it is not the first. Returns when the first was received.
    fn record(&self, signal: Signal) -> Instant {
        let now = Instant::now();
        self.received.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert((signal, now));
            is_first
        });
        self.get().map_or(now, |(_, at)| at)
    }

    /// Waits for the first signal, and takes it from all other listeners. Never returns if one of them has returned it.
    async fn take(&self) -> Signal {
        let mut received = self.received.subscribe();
        if let Ok(first) = received.wait_for(Option::is_some).await
            && let Some((signal, _)) = *first
            && !self.returned.swap(true, Relaxed)
        {
            return signal;
        }
        std::future::pending().await
    }
}

impl ProcessSignals {
    /// Starts a thread that records the first signal, so that [`asked_to_end`] is right even where the runtime of the
    /// caller is blocked. Without the thread, signals still reach every listener that is polled.
    fn start() -> Self {
        let ignored = IgnoredSignals::read();
        let first = First::new();
        let (ready, is_ready) = mpsc::channel();
        let record = {
            let first = first.clone();
            move || -> io::Result<()> {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
                runtime.block_on(async {
                    let mut source = Source::open(ignored)?;
                    drop(ready);
                    first.record(source.next().await);
                    Ok(())
                })
            }
        };
        if std::thread::Builder::new().spawn(record).is_ok() {
            // Returns when the thread listens, or cannot.
            let _: Result<(), _> = is_ready.recv();
        }
        Self { first, ignored }
    }
}

/// Requests to end this process, one for each group of signals that belong together.
pub struct Signals {
    source: Source,
    first: First,
    /// Whether the first request was returned by this listener, or came before the listener was made.
    past_first: bool,
}

impl Signals {
    /// Starts to listen. From then on no signal ends the process by itself.
    ///
    /// # Errors
    /// Those of the system.
    pub fn listen() -> io::Result<Self> {
        let process = ASKED_TO_END.get_or_init(ProcessSignals::start);
        let first = process.first.clone();
        Ok(Self { source: Source::open(process.ignored)?, past_first: first.get().is_some(), first })
    }

    /// Waits for the next request to end.
    pub async fn next(&mut self) -> Signal {
        loop {
            // A listener that heard the signal itself returns it; only one that was made later takes what is recorded.
            let signal = tokio::select! {
                biased;
                signal = self.source.next() => signal,
                signal = self.first.take() => {
                    self.past_first = true;
                    return signal;
                }
            };
            let since_first = self.first.record(signal).elapsed();
            let past_first = std::mem::replace(&mut self.past_first, true);
            if !past_first || since_first >= SAME_REQUEST {
                self.first.returned.store(true, Relaxed);
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
    fn open(ignored: IgnoredSignals) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        /// SIGXFSZ on Linux and macOS alike.
        const TOO_LARGE: i32 = 25;
        let listener = |kind: SignalKind| match ignored.contains(kind.as_raw_value()) {
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

/// The signals that were ignored when the program started, as `nohup` and the background jobs of a shell script arrange
/// it. Bit 0 is signal 1. Read before the first handler is installed, because a handler ends the ignoring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IgnoredSignals(u64);

impl IgnoredSignals {
    /// Only Linux reports them. Elsewhere they are known only through calls that are unsafe, which this crate forbids.
    fn read() -> Self {
        match cfg!(target_os = "linux") {
            true => Self::from_status(&std::fs::read_to_string("/proc/self/status").unwrap_or_default()),
            false => Self(0),
        }
    }

    /// Reads the line `SigIgn` of `/proc/self/status`; no signal is ignored where the text does not hold it.
    fn from_status(status: &str) -> Self {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        Self(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0))
    }

    #[cfg(unix)]
    fn contains(self, number: i32) -> bool {
        u32::try_from(number - 1).is_ok_and(|bit| self.0.checked_shr(bit).unwrap_or(0) & 1 == 1)
    }
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
    fn open(_ignored: IgnoredSignals) -> io::Result<Self> {
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

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn signal_between_two_listeners_is_returned_once_by_the_later() {
        let first = First::new();
        // None of the real signals of this process is heard.
        let listener = || {
            let source = Source::open(IgnoredSignals(u64::MAX)).expect("a listener");
            Signals { source, past_first: first.get().is_some(), first: first.clone() }
        };
        let second = Duration::from_secs(1);
        assert!(timeout(second, listener().next()).await.is_err(), "none was received");
        first.record(Signal::Terminate);
        first.record(Signal::Interrupt);
        assert_eq!(timeout(second, listener().next()).await, Ok(Signal::Terminate));
        assert!(timeout(second, listener().next()).await.is_err(), "it was returned before");
    }

    #[test]
    fn ignored_signals_are_read_from_the_status_of_the_process() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert_eq!(IgnoredSignals::from_status(status), IgnoredSignals(0x1001), "SIGHUP and SIGPIPE");
        assert_eq!(IgnoredSignals::from_status(""), IgnoredSignals(0));
        assert_eq!(IgnoredSignals::from_status("SigIgn:\tx\n"), IgnoredSignals(0));
    }
}
