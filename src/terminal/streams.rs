//! Standard output and standard error, each written by a thread of its own: who was asked to end waits for no reader.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::Duration;

use crate::sys;

/// How often a writer that waits looks whether all is to end.
const LOOK: Duration = Duration::from_millis(50);
/// A reader that is slow and alive gets so long for a line after that, once.
const LAST_CHANCE: Duration = Duration::from_millis(500);

/// One of the two.
#[derive(Debug)]
pub struct Stream {
    writer: OnceLock<Option<Sender<Written>>>,
    /// Handed over and not written.
    pending: AtomicUsize,
    /// Nobody reads, and nobody waits until that has changed.
    given_up: AtomicBool,
    open: fn() -> Box<dyn Write>,
}

/// On its way, with who waits for it.
type Written = (Vec<u8>, SyncSender<io::Result<()>>);

/// Results.
pub static OUT: Stream = Stream::new(|| Box::new(io::stdout()));
/// All else.
pub static ERR: Stream = Stream::new(|| Box::new(io::stderr()));

impl Stream {
    const fn new(open: fn() -> Box<dyn Write>) -> Self {
        Self { writer: OnceLock::new(), pending: AtomicUsize::new(0), given_up: AtomicBool::new(false), open }
    }

    /// Writes, and waits until it is written.
    ///
    /// # Errors
    /// As the system says; `TimedOut` where nobody reads and this process was asked to end.
    pub fn write(&'static self, bytes: Vec<u8>) -> io::Result<()> {
        let Some(writer) = self.writer.get_or_init(|| self.start()) else {
            return put(&mut (self.open)(), &bytes);
        };
        let stands_still = self.pending.fetch_add(1, Relaxed) > 0 && self.given_up.load(Relaxed);
        self.given_up.store(stands_still, Relaxed);
        let (written, hears) = mpsc::sync_channel(1);
        if writer.send((bytes, written)).is_err() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if stands_still {
            // It comes in its turn if somebody reads before all is over.
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut left = LAST_CHANCE;
        loop {
            match hears.recv_timeout(LOOK) {
                Ok(written) => return written,
                Err(RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(RecvTimeoutError::Timeout) if !sys::asked_to_end() => {}
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    self.given_up.store(true, Relaxed);
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(RecvTimeoutError::Timeout) => left = left.saturating_sub(LOOK),
            }
        }
    }

    /// `None` where the system gives no thread: then whoever writes waits himself.
    fn start(&'static self) -> Option<Sender<Written>> {
        let (lines, inbox) = mpsc::channel::<Written>();
        let writing = move || {
            let mut to = (self.open)();
            for (bytes, written) in inbox {
                let done = put(&mut to, &bytes);
                self.pending.fetch_sub(1, Relaxed);
                // Whoever gave up does not hear it.
                let _ = written.send(done);
            }
        };
        thread::Builder::new().spawn(writing).ok().map(|_| lines)
    }
}

fn put(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}
