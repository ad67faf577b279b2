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

/// Writes per second, never more, whatever the rate controller decides.
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

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_slowest_and_the_fastest_rate_are_held_as_any_other() {
        for rate in [SLOWEST, 16.0, FASTEST] {
            let ceiling = Ceiling::new(rate, 20);
            let (start, group) = (Instant::now(), NonZeroU32::new(20).expect("above zero"));
            let burst = (rate * SAVED_SECONDS).max(20.0);
            // Some seconds of the fastest rate, some hours of the slowest.
            let groups = ((burst + 2.0 * rate) / 20.0).ceil().max(3.0);
            for _ in 0..groups as u64 {
                while let Err(wait) = ceiling.take(group) {
                    sleep(wait).await;
                }
            }
            let least = (groups * 20.0 - burst) / rate;
            let took = start.elapsed().as_secs_f64();
            // The clock of the runtime has milliseconds.
            assert!((least - 1e-6..=least * 1.01 + 0.01).contains(&took), "{rate}/s: {took} s, not {least}");
        }
    }
}
