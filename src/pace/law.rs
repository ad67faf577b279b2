//! The law of the moving rate: when the next write may leave, beside the fixed ceiling.

use tokio::time::Instant;

/// Writes per second without `--rate`: 0.9 × 3,000 per 150 s (`docs/graph.md#quotas`), so that others have room.
pub const DEFAULT_RATE: f64 = 18.0;

/// Which law holds. One arm for each; nothing outside `pace` knows which.
#[derive(Clone, Debug)]
pub enum Law {
    /// The ceiling alone decides.
    Fixed,
}

impl Law {
    /// A write left.
    pub(super) fn on_sent(&mut self, _now: Instant) {
        match self {
            Self::Fixed => {}
        }
    }

    /// The earliest instant of the next write; now or earlier: at once.
    pub(super) fn next_send(&self, now: Instant) -> Instant {
        match self {
            Self::Fixed => now,
        }
    }
}
