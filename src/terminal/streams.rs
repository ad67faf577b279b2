//! An output stream written by a thread of its own, so that a process that was asked to end does not wait for a reader.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::sys;

/// How often a waiting writer checks whether the process was asked to end.
const CHECK_EVERY: Duration = Duration::from_millis(50);
/// After a signal, a slow reader gets this long for one more line.
const GRACE: Duration = Duration::from_millis(500);

type Target = Arc<Mutex<Box<dyn Write + Send>>>;
/// Bytes to write, and the channel that reports the result to the caller.
type Request = (Vec<u8>, SyncSender<io::Result<()>>);

/// Standard output, standard error, or what stands in for them.
pub(super) struct Stream {
    target: Target,
    /// The thread that writes; `None` where the system gave no thread, so that callers write themselves.
    writer: OnceLock<Option<Sender<Request>>>,
    /// Requests that the thread has not finished yet.
    pending: Arc<AtomicUsize>,
    /// Set when a stop was requested and the reader did not respond. While it is set, `write` queues the bytes and returns
    /// `TimedOut` without waiting.
    given_up: AtomicBool,
}

impl Stream {
    pub(super) fn new(target: Box<dyn Write + Send>) -> Self {
        Self {
            target: Arc::new(Mutex::new(target)),
            writer: OnceLock::new(),
            pending: Arc::default(),
            given_up: AtomicBool::new(false),
        }
    }

    /// Writes, and waits until it is written.
    ///
    /// # Errors
    /// As the system says; `TimedOut` where the reader does not read and this process was asked to end.
    pub(super) fn write(&self, bytes: Vec<u8>) -> io::Result<()> {
        let Some(writer) = self.writer.get_or_init(|| self.start()) else {
            return put(&self.target, &bytes);
        };
        let stands_still = self.pending.fetch_add(1, Relaxed) > 0 && self.given_up.load(Relaxed);
        self.given_up.store(stands_still, Relaxed);
        let (report, result) = mpsc::sync_channel(1);
        if writer.send((bytes, report)).is_err() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if stands_still {
            // The bytes are written in their turn if the reader reads again before the process ends.
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut left = GRACE;
        loop {
            match result.recv_timeout(CHECK_EVERY) {
                Ok(written) => return written,
                Err(RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(RecvTimeoutError::Timeout) if !sys::asked_to_end() => {}
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    self.given_up.store(true, Relaxed);
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(RecvTimeoutError::Timeout) => left = left.saturating_sub(CHECK_EVERY),
            }
        }
    }

    fn start(&self) -> Option<Sender<Request>> {
        let (requests, inbox) = mpsc::channel::<Request>();
        let (target, pending) = (self.target.clone(), self.pending.clone());
        let writing = move || {
            for (bytes, report) in inbox {
                let result = put(&target, &bytes);
                pending.fetch_sub(1, Relaxed);
                // A caller that has given up has dropped its end.
                let _ = report.send(result);
            }
        };
        thread::Builder::new().spawn(writing).ok().map(|_| requests)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Stream").field("pending", &self.pending).finish_non_exhaustive()
    }
}

fn put(target: &Target, bytes: &[u8]) -> io::Result<()> {
    // A panic while writing leaves nothing half-changed in the lock itself.
    let mut target = target.lock().unwrap_or_else(PoisonError::into_inner);
    target.write_all(bytes)?;
    target.flush()
}
