//! Detects throttling that does not depend on the rate. After isolated, early 429s the next cycle runs
//! faster: a real quota throttles it again immediately, random throttling does not.

/// Early isolated throttling events before the first speed test. A single one happens on every service whose
/// quota falls.
const EVENTS_BEFORE_FIRST_TEST: u32 = 2;
/// Early isolated throttling events before the next speed test, after a test was given more than the cycle
/// before it. Measured with 2% random throttling: 2 takes 1.84 × the ideal time, 1 takes 1.58 ×.
const EVENTS_AFTER_SUCCESS: u32 = 1;
/// Upper bound of the early isolated throttling events before the next speed test. Each test that meets the
/// quota doubles their number. Measured: with 4, a tenant whose other apps come and go throttles a fifth more
/// requests.
const MAX_EVENTS: u32 = 64;
/// Largest difference, as a share, at which a speed test was given the same as the cycle before it, and so
/// met the quota. A bucket gives the same to within one request in twenty; [`SAME_REQUESTS`] holds for fewer
/// requests. Measured: at 0.1, random throttling is taken for a quota more often (2% random throttling: 1.68
/// × the ideal time). At 0, speed tests on a quota never end (0.9% throttled if pauses are announced with
/// decimals).
const SAME_SHARE: f64 = 0.05;
/// Smallest difference in requests that [`SAME_SHARE`] allows. Requests are whole, so two cycles of four
/// cannot agree to a twentieth. Measured: without it, a bucket that fell from 4/s to 1/s is tested without
/// end and throttles a quarter.
const SAME_REQUESTS: f64 = 1.0;
/// Largest throttled share of the requests in flight at which an event counts as isolated. It allows some
/// parts of a batch, or some of the many requests of a long round trip. A quota that is used up throttles
/// every second request of a speed test. Measured: without this bound, 0.5% are throttled on sliding windows
/// and next to other apps.
const ISOLATED_SHARE: f64 = 0.1;
/// Largest ratio of the rate at the start of a speed test to the recent rate. Measured with 2% random
/// throttling: 1.5 takes 1.74 × the ideal time.
const SPEED_UP: f64 = 2.0;

/// The figures of a finished cycle.
#[derive(Clone, Copy, Debug)]
pub(super) struct FinishedCycle {
    /// Whether the cycle was throttled before it was back at the learned rate.
    pub(super) early: bool,
    /// Whether the probe after it was throttled too.
    pub(super) probe_throttled: bool,
    /// Served requests among those in flight with the throttled one.
    pub(super) passed: u32,
    /// Throttled requests among those in flight with the throttled one.
    pub(super) throttled: u32,
    /// Writes that were served in the cycle.
    pub(super) served: f64,
    /// Length of the cycle in seconds.
    pub(super) seconds: f64,
    /// Rate that the service gave before the cycle, in writes per second.
    pub(super) rate_before: f64,
    /// The learned rate in writes per second.
    pub(super) rate: f64,
}

/// Decides when the next cycle is a speed test. A quota that fell throttles a faster cycle after the same
/// number of requests, or throttles several requests together. Random throttling lets most requests through.
/// What such a cycle was given is then a lower bound of the quota.
#[derive(Clone, Debug)]
pub(super) struct RandomThrottlingDetector {
    /// The highest rate that was sustained, at least the documented one, in writes per second.
    sustained: f64,
    testing: bool,
    /// Early isolated throttling events before a speed test.
    events_before_test: u32,
    /// Those of them that are still missing.
    missing_events: u32,
}

impl RandomThrottlingDetector {
    pub(super) fn new(documented: f64) -> Self {
        Self {
            sustained: documented,
            testing: false,
            events_before_test: EVENTS_BEFORE_FIRST_TEST,
            missing_events: EVENTS_BEFORE_FIRST_TEST,
        }
    }

    /// Returns whether the cycle that starts is a speed test.
    pub(super) fn is_testing(&self) -> bool {
        self.testing
    }

    /// Returns the rate at which a speed test starts, in writes per second. It is at most the highest
    /// sustained rate or the learned rate.
    pub(super) fn test_start(&self, recent_rate: f64, learned_rate: f64) -> f64 {
        (SPEED_UP * recent_rate).min(self.sustained.max(learned_rate))
    }

    /// Records a finished cycle, and decides whether the next one is a speed test.
    pub(super) fn record_cycle(&mut self, cycle: FinishedCycle) {
        let (passed, throttled) = (f64::from(cycle.passed), f64::from(cycle.throttled));
        let isolated = !cycle.probe_throttled && throttled <= ISOLATED_SHARE * (passed + throttled);
        let as_before = cycle.rate_before * cycle.seconds;
        let same = (cycle.served - as_before).abs() <= (SAME_SHARE * as_before).max(SAME_REQUESTS);
        if !cycle.early {
            self.sustained = self.sustained.max(cycle.rate);
            (self.testing, self.missing_events) = (false, self.events_before_test);
        } else if !isolated || (self.testing && same) {
            if self.testing {
                self.events_before_test = (self.events_before_test * 2).min(MAX_EVENTS);
            }
            (self.testing, self.missing_events) = (false, self.events_before_test);
        } else if !self.testing {
            self.missing_events = self.missing_events.saturating_sub(1);
            self.testing = self.missing_events == 0;
        } else if cycle.served > as_before {
            self.events_before_test = EVENTS_AFTER_SUCCESS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Throttled early and isolated, after 12/s in ten seconds where 10/s were given before.
    const RANDOM: FinishedCycle = FinishedCycle {
        early: true,
        probe_throttled: false,
        passed: 4,
        throttled: 0,
        served: 120.0,
        seconds: 10.0,
        rate_before: 10.0,
        rate: 15.0,
    };

    /// Records `cycles` and returns after which of them a speed test follows.
    fn tests_after(detector: &mut RandomThrottlingDetector, cycles: &[FinishedCycle]) -> Vec<bool> {
        let tests = cycles.iter().map(|cycle| {
            detector.record_cycle(*cycle);
            detector.is_testing()
        });
        tests.collect()
    }

    /// Returns the number of early isolated throttling events before the next speed test.
    fn events_until_test(detector: &RandomThrottlingDetector) -> usize {
        let mut detector = detector.clone();
        (1..).find(|_| tests_after(&mut detector, &[RANDOM])[0]).expect("a speed test follows")
    }

    #[test]
    fn early_isolated_throttling_starts_a_speed_test_that_goes_on() {
        let mut detector = RandomThrottlingDetector::new(20.0);
        assert_eq!(tests_after(&mut detector, &[RANDOM; 5]), [false, true, true, true, true]);
        detector.record_cycle(FinishedCycle { throttled: 4, ..RANDOM });
        assert_eq!(events_until_test(&detector), 2, "one after a success, doubled by the failure");
    }

    #[test]
    fn speed_test_that_meets_the_quota_doubles_the_events() {
        let together = FinishedCycle { passed: 2, throttled: 2, ..RANDOM };
        let probe_again = FinishedCycle { probe_throttled: true, ..RANDOM };
        let same = FinishedCycle { served: 104.0, ..RANDOM };
        let same_to_one = FinishedCycle { served: 4.0, seconds: 3.0, rate_before: 1.0, ..RANDOM };
        for met in [together, probe_again, same, same_to_one] {
            let mut detector = RandomThrottlingDetector::new(20.0);
            for expected in [2, 4, 8, 16, 32, 64, 64] {
                assert_eq!(events_until_test(&detector), expected, "{met:?}");
                let _ = tests_after(&mut detector, &vec![RANDOM; expected]);
                detector.record_cycle(met);
                assert!(!detector.is_testing(), "{met:?}");
            }
        }
    }

    #[test]
    fn joint_or_late_throttling_starts_no_speed_test() {
        let together = FinishedCycle { throttled: 1, ..RANDOM };
        let late = FinishedCycle { early: false, ..RANDOM };
        for between in [together, late] {
            let mut detector = RandomThrottlingDetector::new(20.0);
            for _ in 0..10 {
                assert_eq!(tests_after(&mut detector, &[RANDOM, between]), [false, false], "{between:?}");
            }
        }
        let of_a_batch = FinishedCycle { passed: 58, throttled: 2, ..RANDOM };
        assert_eq!(tests_after(&mut RandomThrottlingDetector::new(20.0), &[of_a_batch; 2]), [false, true]);
    }

    #[test]
    fn speed_test_starts_at_most_at_the_sustained_rate() {
        let mut detector = RandomThrottlingDetector::new(20.0);
        assert_eq!((detector.test_start(4.0, 5.0), detector.test_start(15.0, 16.0)), (8.0, 20.0));
        assert_eq!(detector.test_start(25.0, 30.0), 30.0, "the learned rate is higher");
        detector.record_cycle(FinishedCycle { early: false, rate: 40.0, ..RANDOM });
        detector.record_cycle(FinishedCycle { early: false, rate: 10.0, ..RANDOM });
        assert_eq!(detector.test_start(30.0, 30.0), 40.0);
    }
}
