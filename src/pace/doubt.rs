//! Refusals that the rate did not cause: told by going faster after them, where a quota would refuse at once.

/// Early lone refusals before the first trial: one happens on every service whose quota falls.
const FIRST_AFTER: u32 = 2;
/// The same once a trial was given more than there was before. With 2 a service that refuses 2 % by chance takes 1.84
/// times the ideal instead of 1.58.
const AGAIN_AFTER: u32 = 1;
/// The same at most; each trial that meets the quota doubles it. With 4 a tenant whose other apps come and go refuses
/// a fifth more.
const LAST_AFTER: u32 = 64;
/// A trial that was given what was given before, to so much, met the quota: a bucket gives the same to a request in
/// twenty, and of fewer than twenty to one, [`A_REQUEST`]. At 0.1 chance is taken for a quota more often (2 % by chance: 1.68), at 0 trials on a quota never end
/// (0.9 % refused where waits are told with decimals).
const SAME: f64 = 0.05;
/// Requests are whole: a cycle of four cannot be given the same to a twentieth. Without it a bucket that fell from 4/s to
/// 1/s is tried for ever and refuses a quarter.
const A_REQUEST: f64 = 1.0;
/// Refusals by chance come alone: no more than this share of what left with the refused one, which may be some parts
/// of a batch or of a long round trip; an empty stock refuses every second one of a trial. Without this other apps
/// and sliding windows have 0.5 % refused.
const ALONE: f64 = 0.1;
/// A trial begins at so many times what was given lately, at most. At 1.5 it takes 1.74 times the ideal with 2 % by
/// chance.
const FASTER: f64 = 2.0;

/// How a cycle ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedCycle {
    /// Whether it was refused before it was back at the learned rate.
    pub(super) early: bool,
    /// Whether the probe after it was refused too.
    pub(super) probe_refused: bool,
    /// Of those that left with the refused one: served …
    pub(super) passed: u32,
    /// … and refused.
    pub(super) denied: u32,
    /// Writes that it was given …
    pub(super) served: f64,
    /// … in so many seconds.
    pub(super) seconds: f64,
    /// Writes per second that were given before it.
    pub(super) before: f64,
    /// The learned rate.
    pub(super) rate: f64,
}

/// Whether the last refusals were about the rate. A quota that fell refuses a faster cycle after the same number of
/// requests, or several of them together; what refuses by chance lets most of it through, and then what the cycle was
/// given says that the quota is no lower than that.
#[derive(Clone, Debug)]
pub(super) struct Doubt {
    /// The highest rate that lasted, in writes per second, or the documented one.
    lasted: f64,
    trying: bool,
    /// Early lone refusals before the next trial …
    after: u32,
    /// … of which so many are still to come.
    left: u32,
}

impl Doubt {
    pub(super) fn new(documented: f64) -> Self {
        Self { lasted: documented, trying: false, after: FIRST_AFTER, left: FIRST_AFTER }
    }

    /// Whether the cycle that begins is a trial.
    pub(super) fn is_trying(&self) -> bool {
        self.trying
    }

    /// Where a trial begins, in writes per second: it climbs back and no higher.
    pub(super) fn begin_at(&self, lately: f64, rate: f64) -> f64 {
        (FASTER * lately).min(self.lasted.max(rate))
    }

    pub(super) fn ended(&mut self, cycle: EndedCycle) {
        let (passed, denied) = (f64::from(cycle.passed), f64::from(cycle.denied));
        let alone = !cycle.probe_refused && denied <= ALONE * (passed + denied);
        let as_before = cycle.before * cycle.seconds;
        let same = (cycle.served - as_before).abs() <= (SAME * as_before).max(A_REQUEST);
        if !cycle.early {
            self.lasted = self.lasted.max(cycle.rate);
            (self.trying, self.left) = (false, self.after);
        } else if !alone || (self.trying && same) {
            if self.trying {
                self.after = (self.after * 2).min(LAST_AFTER);
            }
            (self.trying, self.left) = (false, self.after);
        } else if !self.trying {
            self.left = self.left.saturating_sub(1);
            self.trying = self.left == 0;
        } else if cycle.served > as_before {
            self.after = AGAIN_AFTER;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Refused early and alone, given 12/s after 10/s for ten seconds.
    const BY_CHANCE: EndedCycle = EndedCycle {
        early: true,
        probe_refused: false,
        passed: 4,
        denied: 0,
        served: 120.0,
        seconds: 10.0,
        before: 10.0,
        rate: 15.0,
    };

    fn trying(doubt: &mut Doubt, cycles: &[EndedCycle]) -> Vec<bool> {
        let told = cycles.iter().map(|cycle| {
            doubt.ended(*cycle);
            doubt.is_trying()
        });
        told.collect()
    }

    /// How many early lone refusals there are before the next trial.
    fn until_trying(doubt: &Doubt) -> usize {
        let mut doubt = doubt.clone();
        (1..).find(|_| trying(&mut doubt, &[BY_CHANCE])[0]).expect("one comes")
    }

    #[test]
    fn what_comes_alone_and_early_is_tried_and_goes_on_while_it_gives_more() {
        let mut doubt = Doubt::new(20.0);
        assert_eq!(trying(&mut doubt, &[BY_CHANCE; 5]), [false, true, true, true, true]);
        doubt.ended(EndedCycle { denied: 4, ..BY_CHANCE });
        assert_eq!(until_trying(&doubt), 2, "one by one after it gave more, doubled by the failure");
    }

    #[test]
    fn each_trial_that_meets_the_quota_doubles_the_refusals_before_the_next() {
        let together = EndedCycle { passed: 2, denied: 2, ..BY_CHANCE };
        let again = EndedCycle { probe_refused: true, ..BY_CHANCE };
        let same = EndedCycle { served: 104.0, ..BY_CHANCE };
        let to_one = EndedCycle { served: 4.0, seconds: 3.0, before: 1.0, ..BY_CHANCE };
        for met in [together, again, same, to_one] {
            let mut doubt = Doubt::new(20.0);
            for expected in [2, 4, 8, 16, 32, 64, 64] {
                assert_eq!(until_trying(&doubt), expected, "{met:?}");
                let _ = trying(&mut doubt, &vec![BY_CHANCE; expected]);
                doubt.ended(met);
                assert!(!doubt.is_trying(), "{met:?}");
            }
        }
    }

    #[test]
    fn no_trial_follows_refusals_that_come_together_or_after_the_rate_has_lasted() {
        let together = EndedCycle { denied: 1, ..BY_CHANCE };
        let late = EndedCycle { early: false, ..BY_CHANCE };
        for between in [together, late] {
            let mut doubt = Doubt::new(20.0);
            for _ in 0..10 {
                assert_eq!(trying(&mut doubt, &[BY_CHANCE, between]), [false, false], "{between:?}");
            }
        }
        let of_a_batch = EndedCycle { passed: 58, denied: 2, ..BY_CHANCE };
        assert_eq!(trying(&mut Doubt::new(20.0), &[of_a_batch; 2]), [false, true]);
    }

    #[test]
    fn a_trial_climbs_back_to_what_was_there_and_no_higher() {
        let mut doubt = Doubt::new(20.0);
        assert_eq!((doubt.begin_at(4.0, 5.0), doubt.begin_at(15.0, 16.0)), (8.0, 20.0));
        assert_eq!(doubt.begin_at(25.0, 30.0), 30.0, "what was learned is no less");
        doubt.ended(EndedCycle { early: false, rate: 40.0, ..BY_CHANCE });
        doubt.ended(EndedCycle { early: false, rate: 10.0, ..BY_CHANCE });
        assert_eq!(doubt.begin_at(30.0, 30.0), 40.0);
    }
}
