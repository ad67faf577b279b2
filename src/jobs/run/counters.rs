//! The counters of a run: written by the journal thread, read by the display, the stop monitor and the state
//! writer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::terminal::Console;

/// Interval at which the display and the stop monitor read the counters.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The counters of a run. Only the journal thread writes them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) answered: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) throttled: AtomicU64,
    /// Users whose own wait is longer than `--max-wait`.
    pub(super) put_off: AtomicU64,
    /// The last failure of the network or the service.
    pub(super) trouble: Mutex<Box<str>>,
    pub(super) over: AtomicBool,
}

impl Counters {
    /// A try failed that another one may mend. While nobody was ever answered, the first is told: a wrong
    /// proxy shows itself so, and nobody wants to learn that after `--max-stall`.
    pub(super) fn troubled(&self, message: &str, console: &Console) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_empty() && self.answered.load(Relaxed) == 0 {
            console.warn(&format!("no answer yet: {message}; trying again"));
        }
        *trouble = message.into();
    }

    pub(super) fn trouble(&self) -> Box<str> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
