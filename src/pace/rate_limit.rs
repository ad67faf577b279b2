//! The fixed rate limit of `--rate`, kept by governor.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::clock::{Tick, TokioClock};

/// Slowest rate, in writes per second: one write in 100 seconds. At a slower rate a run would look dead.
pub const SLOWEST: f64 = 0.01;
/// Fastest rate, in writes per second. It is more than one machine can send, also in batches, and keeps the
/// interval far above the nanosecond of governor.
pub const FASTEST: f64 = 1_000_000.0;
/// Time, in seconds, whose writes may be sent at once after a delay. It bounds what a suspended process sends
/// when it continues.
const CATCH_UP_SECS: f64 = 0.05;

type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Tick>>;

/// The upper bound of the rate, whatever the rate controller decides.
#[derive(Debug)]
pub(super) struct RateLimitBucket {
    limiter: Limiter,
    rate: f64,
    group: u32,
}

impl RateLimitBucket {
    /// A limit of `rate` writes per second, clamped to 0.01 to 1,000,000. Up to `group` writes may be taken
    /// together.
    pub(super) fn new(rate: f64, group: u32) -> Self {
        let rate = if rate.is_finite() { rate.clamp(SLOWEST, FASTEST) } else { FASTEST };
        let group = group.max(1);
        let burst = NonZeroU32::new(((rate * CATCH_UP_SECS) as u32).max(group)).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(Duration::from_secs_f64(1.0 / rate))
            .expect("the interval is above zero: the rate is clamped")
            .allow_burst(burst);
        Self { limiter: RateLimiter::direct_with_clock(quota, TokioClock), rate, group }
    }

    /// Writes per second.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Maximum number of writes that can be taken together.
    pub(super) fn group(&self) -> u32 {
        self.group
    }

    /// Takes `writes`, at most [`RateLimitBucket::group`]. The error is the time to wait before the next
    /// call.
    pub(super) fn take(&self, writes: NonZeroU32) -> Result<(), Duration> {
        let early = self.limiter.check_n(writes).expect("the burst is at least as large as a group");
        early.map_err(|early| early.wait_time_from(TokioClock.now()).max(Duration::from_nanos(1)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slowest_and_fastest_rates_are_kept() {
        for rate in [SLOWEST, 16.0, FASTEST] {
            let limit = RateLimitBucket::new(rate, 20);
            let (start, group) = (Instant::now(), NonZeroU32::new(20).expect("above zero"));
            let burst = (rate * CATCH_UP_SECS).max(20.0);
            // Some seconds at the fastest rate, some hours at the slowest.
            let groups = ((burst + 2.0 * rate) / 20.0).ceil().max(3.0);
            for _ in 0..groups as u64 {
                while let Err(wait) = limit.take(group) {
                    sleep(wait).await;
                }
            }
            let least = (groups * 20.0 - burst) / rate;
            let took = start.elapsed().as_secs_f64();
            // The clock of the runtime has a resolution of one millisecond.
            assert!((least - 1e-6..=least * 1.01 + 0.01).contains(&took), "{rate}/s: {took} s, not {least}");
        }
    }
}
