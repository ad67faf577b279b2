//! The burst: writes that the service accepts on top of the rate, and how fast they are spent.

use std::time::Duration;

/// Documented rate of one app in one tenant, in writes per second (`docs/graph.md#quotas`). The controller
/// assumes it until the first throttled response.
pub const DOCUMENTED_RATE: f64 = 20.0;
/// Size of the documented burst, as seconds of the documented rate: 3,000 writes at 20/s. All of it is spent.
/// The margin is that spending slows down: the rate has fallen to 50/s when 95% are spent.
const BURST_SECS: f64 = 150.0;
/// Time constant, in seconds, for spending the initial burst. A smaller value is faster but is throttled more
/// often if the bucket is not full. Measured: at 5 s a full bucket takes 1.25 × the ideal time and a
/// half-full one gets 26 throttled requests; at 10 s it is 1.6 × and 16.
const SPEND_INITIAL_SECS: f64 = 5.0;
/// Time constant, in seconds, for spending the burst after a pause. It is longer than the initial one because
/// the burst may be smaller than assumed: the bucket is small, or a sliding window was used slowly before.
/// Measured: at 5 s a bucket of 100 at 200/s is used up again, and its rate is measured 10% too low.
const SPEND_AFTER_PAUSE_SECS: f64 = 7.0;
/// Time constant, in seconds, for spending the burst in a speed test. It is short because random throttling
/// stops the test after some seconds, and the unspent burst is then lost. Measured with 2% random throttling:
/// 7 s takes 1.73 × the ideal time, 2 s takes 1.58 ×.
const SPEND_SPEED_TEST_SECS: f64 = 2.0;
/// Share of the learned rate that the service is assumed to have added to the burst during a pause. Measured:
/// at 1.0 bursts and pauses alternate without end. Another app on the same window then gets a quarter of what
/// it wants instead of two thirds.
const REFILL_SHARE: f64 = 0.8;
/// Smallest refill during a long pause, as a share of the documented rate. It is the same for all apps that
/// share a window, so that the shares of two runs converge.
const SHARED_REFILL_SHARE: f64 = 0.4;
/// Shortest pause, in seconds, that counts as that of a window. A shorter pause is that of a bucket, which
/// has no burst to spend after it.
pub(super) const LONG_PAUSE_SECS: f64 = 10.0;

/// Returns the time that `writes` take if the whole documented burst is available and no other app sends.
/// `documented` and `rate_limit` are writes per second.
pub fn time_at_best(writes: u64, documented: f64, rate_limit: f64) -> Duration {
    let writes = writes as f64;
    let (documented, burst) = (documented.min(rate_limit), documented * BURST_SECS);
    // The number of writes grows with the time, so bisection finds the time.
    let (mut short, mut long) = (writes / (documented + burst / SPEND_INITIAL_SECS), writes / documented);
    for _ in 0..50 {
        let middle = (short + long) / 2.0;
        let sent = documented * middle + burst * (1.0 - (-middle / SPEND_INITIAL_SECS).exp());
        if sent < writes { short = middle } else { long = middle }
    }
    Duration::from_secs_f64(long.max(writes / rate_limit).min(1e9))
}

/// Writes that may be sent on top of the rate. Each second spends the same share of the remainder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst {
    /// Documented rate in writes per second.
    documented: f64,
    /// Unspent writes, from 0 to `documented` × [`BURST_SECS`].
    remaining: f64,
    /// Seconds in which about two thirds of the remainder are spent.
    spend_secs: f64,
}

impl Burst {
    /// The whole documented burst for a rate in writes per second.
    pub(super) fn full(documented: f64) -> Self {
        Self { documented, remaining: documented * BURST_SECS, spend_secs: SPEND_INITIAL_SECS }
    }

    /// Sets the remainder to `writes`, at most the documented burst.
    pub(super) fn set(&mut self, writes: f64) {
        self.remaining = writes.min(self.max());
    }

    /// Unspent writes.
    pub(super) fn remaining(&self) -> f64 {
        self.remaining
    }

    /// Rate that the burst adds, in writes per second.
    pub(super) fn added_rate(&self) -> f64 {
        self.remaining / self.spend_secs
    }

    /// Returns whether the burst adds at most `rate` writes per second.
    pub(super) fn adds_at_most(&self, rate: f64) -> bool {
        self.remaining <= rate * self.spend_secs
    }

    /// Spends a part of a write, from 0 to 1.
    pub(super) fn spend(&mut self, part: f64) {
        self.remaining = (self.remaining - part).max(0.0);
    }

    /// Lowers the remainder to what is unused if the service reports that `share` of the limit is used.
    pub(super) fn apply_used_share(&mut self, share: f64) {
        self.remaining = self.remaining.min((1.0 - share).max(0.0) * self.max());
    }

    /// Estimates the burst after a pause of `seconds` from `rate`, in writes per second. In a speed test,
    /// `test_start` is the rate at which the test starts, and the estimate is at least that of this rate.
    pub(super) fn refill(&mut self, seconds: f64, rate: f64, test_start: Option<f64>) {
        let least = match test_start {
            Some(start) => start,
            None if seconds >= LONG_PAUSE_SECS => SHARED_REFILL_SHARE * self.documented,
            None => 0.0,
        };
        self.set(seconds * (REFILL_SHARE * rate).max(least));
        self.spend_secs = if test_start.is_some() { SPEND_SPEED_TEST_SECS } else { SPEND_AFTER_PAUSE_SECS };
    }

    fn max(&self) -> f64 {
        self.documented * BURST_SECS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_refills_burst_by_a_share_of_the_rate() {
        let after = |seconds, rate, test_start| {
            let mut burst = Burst::full(20.0);
            burst.refill(seconds, rate, test_start);
            (burst.remaining().round(), burst.spend_secs)
        };
        assert_eq!(after(4.0, 20.0, None), (64.0, SPEND_AFTER_PAUSE_SECS), "0.8 of 20/s");
        assert_eq!(after(9.0, 1.0, None), (7.0, SPEND_AFTER_PAUSE_SECS), "a short pause: that of a bucket");
        assert_eq!(after(100.0, 1.0, None), (800.0, SPEND_AFTER_PAUSE_SECS), "0.4 of the documented 20/s");
        assert_eq!(after(100.0, 1.0, Some(2.0)), (200.0, SPEND_SPEED_TEST_SECS), "the start of the test");
        assert_eq!(after(86_400.0, 20.0, None), (3_000.0, SPEND_AFTER_PAUSE_SECS), "at most the whole burst");
    }

    #[test]
    fn two_thirds_of_burst_are_spent_in_its_time_constant() {
        let mut burst = Burst::full(20.0);
        for _ in 0..500 {
            burst.spend(burst.added_rate() / 100.0);
        }
        assert!((burst.remaining() / 3_000.0 - (-1.0_f64).exp()).abs() < 0.01, "{}", burst.remaining());
        assert!(!burst.adds_at_most(200.0) && burst.adds_at_most(230.0));
        burst.spend(burst.remaining() + 1.0);
        assert_eq!((burst.remaining(), burst.adds_at_most(0.0)), (0.0, true));
    }
}
