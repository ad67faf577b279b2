//! Wall time as a value, so that tests under paused time get times that follow the paused clock.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::Text;

/// Where wall times come from.
#[derive(Clone, Copy, Debug)]
pub enum WallClock {
    /// The machine's clock.
    System,
    /// A fixed start that moves with tokio's clock.
    Anchored {
        /// Wall time at `origin`.
        start: Timestamp,
        /// The instant that `start` belongs to.
        origin: Instant,
    },
    /// An anchored clock that a test sets by so many seconds.
    #[cfg(test)]
    Set {
        /// Wall time at `origin`.
        start: Timestamp,
        /// The instant that `start` belongs to.
        origin: Instant,
        /// Seconds, forwards or backwards.
        by: &'static std::sync::atomic::AtomicI64,
    },
}

impl WallClock {
    /// A clock that starts at `start` now and moves with tokio's (perhaps paused) clock.
    pub fn anchored(start: Timestamp) -> Self {
        Self::Anchored { start, origin: Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Anchored { start, origin } => {
                let passed = SignedDuration::try_from(origin.elapsed()).unwrap_or(SignedDuration::MAX);
                start.checked_add(passed).unwrap_or(Timestamp::MAX)
            }
            #[cfg(test)]
            Self::Set { start, origin, by } => {
                let passed = SignedDuration::try_from(origin.elapsed()).unwrap_or(SignedDuration::MAX);
                let set = SignedDuration::from_secs(by.load(std::sync::atomic::Ordering::Relaxed));
                start.checked_add(passed + set).unwrap_or(Timestamp::MAX)
            }
        }
    }
}

/// Formats a time as every file of a run does: UTC, RFC 3339, milliseconds.
pub fn stamp(at: Timestamp) -> Text {
    format!("{at:.3}").into()
}
