//! The fixed ceiling, `--rate`, held by governor.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::clock::{Tick, TokioClock};

/// Slowest rate: one write in 100 seconds. Below it a run would look dead.
pub const SLOWEST: f64 = 0.01;
/// Fastest rate: more than one machine sends, in batches too; keeps the interval far above governor's nanosecond.
pub const FASTEST: f64 = 1_000_000.0;
/// Saved-up credit in seconds: what a stopped and continued process may send at once, at most.
const SAVED_SECONDS: f64 = 0.05;

type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Tick>>;

/// Writes per second, never more, whatever the law says.
#[derive(Debug)]
pub(super) struct Ceiling {
    limiter: Limiter,
    rate: f64,
    group: u32,
}

impl Ceiling {
    /// `rate` in writes per second, clamped to 0.01..=1,000,000; so many as `group` may be taken at once.
    pub(super) fn new(rate: f64, group: u32) -> Self {
        let rate = if rate.is_finite() { rate.clamp(SLOWEST, FASTEST) } else { FASTEST };
        let group = group.max(1);
        let burst = NonZeroU32::new(((rate * SAVED_SECONDS) as u32).max(group)).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(Duration::from_secs_f64(1.0 / rate))
            .expect("the interval is above zero: the rate is clamped")
            .allow_burst(burst);
        Self { limiter: RateLimiter::direct_with_clock(quota, TokioClock), rate, group }
    }

    /// Writes per second.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Most writes that can be taken at once.
    pub(super) fn group(&self) -> u32 {
        self.group
    }

    /// Takes so many writes, at most [`Ceiling::group`], or says how long to wait before asking again.
    pub(super) fn take(&self, writes: NonZeroU32) -> Result<(), Duration> {
        let early = self.limiter.check_n(writes).expect("the burst is at least as large as a group");
        early.map_err(|early| early.wait_time_from(TokioClock.now()).max(Duration::from_nanos(1)))
    }
}
