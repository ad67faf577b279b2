//! The burst: writes that may be sent on top of the rate because the quota is not used up, and how fast they are spent.

use std::time::Duration;

/// Documented quota of one app in one tenant, in writes per second (`docs/graph.md#quotas`). Used until the service throttles.
pub const DOCUMENTED_RATE: f64 = 20.0;
/// Size of the documented burst, in seconds of the rate: 3,000 writes at 20/s. The whole burst is used, because the pace
/// slows down while it is spent: when 95% is spent, 50/s are left.
const BURST_S: f64 = 150.0;
/// Time constant, in seconds, for spending the initial burst. A smaller value is faster, but is throttled more often if the
/// bucket is not full. Measured: at 5 s a full bucket takes 1.25 × the ideal time and a half-full one throttles 26 requests;
/// at 10 s it is 1.6 × and 16.
const SPEND_FIRST_S: f64 = 5.0;
/// Time constant, in seconds, for spending the burst after a pause. It is longer, because a small bucket or a sliding window
/// may hold less than assumed. Measured: at 5 s a bucket of 100 at 200/s runs out again and is measured 10% too low.
const SPEND_LATER_S: f64 = 7.0;
/// Time constant, in seconds, for spending the burst in a speed test. It is shorter, because random throttling soon ends the
/// test, and the rest of the burst is then lost. Measured with 2% random throttling: 1.58 × the ideal time, at 7 s 1.73 ×.
const SPEND_TESTING_S: f64 = 2.0;
/// Share of the learned rate that is assumed to have built up during a pause. At 1.0 bursts and pauses would never even out,
/// and another app on the same window would get a quarter of its requests through instead of two thirds.
const SAVED: f64 = 0.8;
/// Share of the documented rate that is assumed to have built up during a long pause. It is equal for all apps on one window,
/// so that two runs converge.
const SAVED_SHARED: f64 = 0.4;
/// Shortest pause, in seconds, that is typical of a window. After a shorter one, which is typical of a bucket, no burst is left.
pub(super) const LONG_PAUSE_S: f64 = 10.0;

/// Shortest time for `writes` writes, if the whole burst of the `documented` rate is available and no other app writes.
pub fn time_at_best(writes: u64, documented: f64, rate_limit: f64) -> Duration {
    let writes = writes as f64;
    let (documented, burst) = (documented.min(rate_limit), documented * BURST_S);
    // The number of writes grows with the time, so bisection finds the time.
    let (mut short, mut long) = (writes / (documented + burst / SPEND_FIRST_S), writes / documented);
    for _ in 0..50 {
        let middle = (short + long) / 2.0;
        let sent = documented * middle + burst * (1.0 - (-middle / SPEND_FIRST_S).exp());
        if sent < writes { short = middle } else { long = middle }
    }
    Duration::from_secs_f64(long.max(writes / rate_limit).min(1e9))
}

/// Writes that may be sent beyond the rate. Each second spends the same share of the rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst {
    /// The documented rate in writes per second.
    documented: f64,
    /// Writes that are left, from 0 to [`BURST_S`] times `documented`.
    left: f64,
    /// Time constant in seconds: about two thirds are spent in this time.
    spend_s: f64,
}

impl Burst {
    /// The whole documented burst for a rate in writes per second.
    pub(super) fn full(documented: f64) -> Self {
        Self { documented, left: documented * BURST_S, spend_s: SPEND_FIRST_S }
    }

    /// Sets the writes that are left, at most the whole burst.
    pub(super) fn hold(&mut self, writes: f64) {
        self.left = writes.min(self.most());
    }

    /// Writes that are left.
    pub(super) fn left(&self) -> f64 {
        self.left
    }

    /// Writes per second that the burst adds to the pace.
    pub(super) fn adds(&self) -> f64 {
        self.left / self.spend_s
    }

    /// Returns whether the burst adds at most `pace` writes per second.
    pub(super) fn adds_at_most(&self, pace: f64) -> bool {
        self.left <= pace * self.spend_s
    }

    /// Takes a part of a write, 0 to 1, from the burst.
    pub(super) fn pay(&mut self, part: f64) {
        self.left = (self.left - part).max(0.0);
    }

    /// Applies the used share of the limit that the service reported.
    pub(super) fn used(&mut self, share: f64) {
        self.left = self.left.min((1.0 - share).max(0.0) * self.most());
    }

    /// Sets the burst that built up during a pause of `seconds` at `rate` writes per second. In a speed test, `trial` is the rate
    /// at which it begins, and counts if it is higher.
    pub(super) fn refill(&mut self, seconds: f64, rate: f64, trial: Option<f64>) {
        let least = match trial {
            Some(begin) => begin,
            None if seconds >= LONG_PAUSE_S => SAVED_SHARED * self.documented,
            None => 0.0,
        };
        self.hold(seconds * (SAVED * rate).max(least));
        self.spend_s = if trial.is_some() { SPEND_TESTING_S } else { SPEND_LATER_S };
    }

    fn most(&self) -> f64 {
        self.documented * BURST_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_refills_most_of_the_rate_and_a_long_one_a_fixed_share() {
        let after = |seconds, rate, trial| {
            let mut burst = Burst::full(20.0);
            burst.refill(seconds, rate, trial);
            (burst.left().round(), burst.spend_s)
        };
        assert_eq!(after(4.0, 20.0, None), (64.0, SPEND_LATER_S), "0.8 of 20/s");
        assert_eq!(after(9.0, 1.0, None), (7.0, SPEND_LATER_S), "the pause of a bucket");
        assert_eq!(after(100.0, 1.0, None), (800.0, SPEND_LATER_S), "0.4 of the documented 20/s");
        assert_eq!(after(100.0, 1.0, Some(2.0)), (200.0, SPEND_TESTING_S), "where the speed test begins");
        assert_eq!(after(86_400.0, 20.0, None), (3_000.0, SPEND_LATER_S), "never more than all of it");
    }

    #[test]
    fn two_thirds_of_the_burst_are_spent_in_its_time_constant() {
        let mut burst = Burst::full(20.0);
        for _ in 0..500 {
            burst.pay(burst.adds() / 100.0);
        }
        assert!((burst.left() / 3_000.0 - (-1.0_f64).exp()).abs() < 0.01, "{}", burst.left());
        assert!(!burst.adds_at_most(200.0) && burst.adds_at_most(230.0));
        burst.pay(burst.left() + 1.0);
        assert_eq!((burst.left(), burst.adds_at_most(0.0)), (0.0, true));
    }
}
