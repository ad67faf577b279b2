//! Wall time as a value, so that tests under paused time get times that follow the paused clock.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::Text;

/// Where wall times come from.
#[derive(Clone)]
pub enum WallClock {
    /// The machine's clock.
    System,
    /// A function that returns the time.
    Function(Arc<dyn Fn() -> Timestamp + Send + Sync>),
}

impl fmt::Debug for WallClock {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::System => "System",
            Self::Function(_) => "Function",
        })
    }
}

impl WallClock {
    /// A clock that starts at `start` now and moves with tokio's (perhaps paused) clock.
    pub fn anchored(start: Timestamp) -> Self {
        let origin = Instant::now();
        Self::Function(Arc::new(move || {
            let passed = SignedDuration::try_from(origin.elapsed()).unwrap_or(SignedDuration::MAX);
            start.checked_add(passed).unwrap_or(Timestamp::MAX)
        }))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Function(now) => now(),
        }
    }
}

/// Formats a time as every file of a run does: UTC, RFC 3339, milliseconds.
pub fn stamp(at: Timestamp) -> Text {
    format!("{at:.3}").into()
}
