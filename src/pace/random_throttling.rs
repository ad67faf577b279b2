//! Detects throttling that does not depend on the rate. After isolated, early 429s the next cycle runs faster: a real quota
//! throttles it again immediately, random throttling does not.

/// Isolated early 429s before the first speed test. One occurs on every service whose quota falls.
const FIRST_AFTER: u32 = 2;
/// Isolated early 429s before the next speed test, after a test that was served more than before. Measured with 2% random
/// throttling: 1.58 × the ideal time, with a value of 2 it is 1.84 ×.
const AGAIN_AFTER: u32 = 1;
/// Most isolated early 429s before a speed test. Each test that finds the quota doubles the number. Measured: with 4 a tenant
/// whose other apps come and go throttles a fifth more requests.
const LAST_AFTER: u32 = 64;
/// Largest difference, as a share, at which a speed test was served the same as the cycle before and so found the quota. A bucket
/// serves the same number to one request in twenty. Measured: at 0.1 random throttling is more often taken for a quota, with
/// 1.68 × the ideal time at 2%; at 0 the tests on a quota never end.
const SAME: f64 = 0.05;
/// Smallest difference in requests that counts, because requests are whole. Measured: without it a bucket that fell from 4/s to
/// 1/s is tested without end and throttles a quarter of the requests.
const A_REQUEST: f64 = 1.0;
/// Largest share of the requests in flight with a throttled one that are throttled too, if throttling is random. A used-up quota
/// throttles every second request of a speed test. Measured: without this rule 0.5% are throttled on sliding windows and with
/// other apps.
const ALONE: f64 = 0.1;
/// Largest ratio of the pace of a speed test to the recent rate. Measured with 2% random throttling: at 1.5 it takes 1.74 × the
/// ideal time.
const FASTER: f64 = 2.0;

/// A finished cycle.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedCycle {
    /// Whether it was throttled before its pace was back at the learned rate.
    pub(super) early: bool,
    /// Whether the probe after it was throttled too.
    pub(super) probe_throttled: bool,
    /// Requests in flight with the throttled one that were served.
    pub(super) passed: u32,
    /// Requests in flight with the throttled one that were throttled too.
    pub(super) throttled: u32,
    /// Writes served in the cycle.
    pub(super) served: f64,
    /// Length of the cycle in seconds.
    pub(super) seconds: f64,
    /// Recent rate before the cycle, in writes per second.
    pub(super) before: f64,
    /// The learned rate in writes per second.
    pub(super) rate: f64,
}

/// Decides whether the last 429s were caused by the rate. A quota that fell throttles a faster cycle after the same number of
/// requests, or several requests together. Random throttling serves most of a faster cycle, which shows that the quota is not
/// lower.
#[derive(Clone, Debug)]
pub(super) struct RandomThrottlingDetector {
    /// The highest rate that lasted, in writes per second, or the documented rate.
    lasted: f64,
    testing: bool,
    /// Isolated early 429s before the next speed test.
    after: u32,
    /// How many of them are still to come.
    left: u32,
}

impl RandomThrottlingDetector {
    pub(super) fn new(documented: f64) -> Self {
        Self { lasted: documented, testing: false, after: FIRST_AFTER, left: FIRST_AFTER }
    }

    /// Returns whether the cycle that begins is a speed test.
    pub(super) fn is_testing(&self) -> bool {
        self.testing
    }

    /// Pace at which a speed test begins, in writes per second. It returns to a rate that lasted and not beyond it.
    pub(super) fn begin_at(&self, lately: f64, rate: f64) -> f64 {
        (FASTER * lately).min(self.lasted.max(rate))
    }

    /// Records a finished cycle.
    pub(super) fn record(&mut self, cycle: EndedCycle) {
        let (passed, throttled) = (f64::from(cycle.passed), f64::from(cycle.throttled));
        let alone = !cycle.probe_throttled && throttled <= ALONE * (passed + throttled);
        let as_before = cycle.before * cycle.seconds;
        let same = (cycle.served - as_before).abs() <= (SAME * as_before).max(A_REQUEST);
        if !cycle.early {
            self.lasted = self.lasted.max(cycle.rate);
            (self.testing, self.left) = (false, self.after);
        } else if !alone || (self.testing && same) {
            if self.testing {
                self.after = (self.after * 2).min(LAST_AFTER);
            }
            (self.testing, self.left) = (false, self.after);
        } else if !self.testing {
            self.left = self.left.saturating_sub(1);
            self.testing = self.left == 0;
        } else if cycle.served > as_before {
            self.after = AGAIN_AFTER;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Throttled early and isolated, served 12/s after 10/s for ten seconds.
    const RANDOM: EndedCycle = EndedCycle {
        early: true,
        probe_throttled: false,
        passed: 4,
        throttled: 0,
        served: 120.0,
        seconds: 10.0,
        before: 10.0,
        rate: 15.0,
    };

    fn testing(detector: &mut RandomThrottlingDetector, cycles: &[EndedCycle]) -> Vec<bool> {
        let states = cycles.iter().map(|cycle| {
            detector.record(*cycle);
            detector.is_testing()
        });
        states.collect()
    }

    /// Isolated early 429s before the next speed test.
    fn until_test(detector: &RandomThrottlingDetector) -> usize {
        let mut detector = detector.clone();
        (1..).find(|_| testing(&mut detector, &[RANDOM])[0]).expect("one comes")
    }

    #[test]
    fn isolated_early_429s_are_tested_while_more_is_served() {
        let mut detector = RandomThrottlingDetector::new(20.0);
        assert_eq!(testing(&mut detector, &[RANDOM; 5]), [false, true, true, true, true]);
        detector.record(EndedCycle { throttled: 4, ..RANDOM });
        assert_eq!(until_test(&detector), 2, "one after it was served more, doubled by the failed test");
    }

    #[test]
    fn each_test_that_finds_the_quota_doubles_the_429s_before_the_next() {
        let together = EndedCycle { passed: 2, throttled: 2, ..RANDOM };
        let again = EndedCycle { probe_throttled: true, ..RANDOM };
        let same = EndedCycle { served: 104.0, ..RANDOM };
        let to_one = EndedCycle { served: 4.0, seconds: 3.0, before: 1.0, ..RANDOM };
        for quota in [together, again, same, to_one] {
            let mut detector = RandomThrottlingDetector::new(20.0);
            for expected in [2, 4, 8, 16, 32, 64, 64] {
                assert_eq!(until_test(&detector), expected, "{quota:?}");
                let _ = testing(&mut detector, &vec![RANDOM; expected]);
                detector.record(quota);
                assert!(!detector.is_testing(), "{quota:?}");
            }
        }
    }

    #[test]
    fn no_test_follows_429s_that_come_together_or_late() {
        let together = EndedCycle { throttled: 1, ..RANDOM };
        let late = EndedCycle { early: false, ..RANDOM };
        for between in [together, late] {
            let mut detector = RandomThrottlingDetector::new(20.0);
            for _ in 0..10 {
                assert_eq!(testing(&mut detector, &[RANDOM, between]), [false, false], "{between:?}");
            }
        }
        let in_a_batch = EndedCycle { passed: 58, throttled: 2, ..RANDOM };
        assert_eq!(testing(&mut RandomThrottlingDetector::new(20.0), &[in_a_batch; 2]), [false, true]);
    }

    #[test]
    fn test_returns_to_a_rate_that_lasted_and_not_beyond() {
        let mut detector = RandomThrottlingDetector::new(20.0);
        assert_eq!((detector.begin_at(4.0, 5.0), detector.begin_at(15.0, 16.0)), (8.0, 20.0));
        assert_eq!(detector.begin_at(25.0, 30.0), 30.0, "the learned rate counts if it is higher");
        detector.record(EndedCycle { early: false, rate: 40.0, ..RANDOM });
        detector.record(EndedCycle { early: false, rate: 10.0, ..RANDOM });
        assert_eq!(detector.begin_at(30.0, 30.0), 40.0);
    }
}
