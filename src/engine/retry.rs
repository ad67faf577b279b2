//! Again, and after how long? A pure function of what happened to one user so far; the only user of `backoff`.

use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff;

use crate::model::{Attempt, AttemptResult, Outcome, Reason, TransientFailure};

/// First delay after a transient failure.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// Longest delay between two tries of one user.
const LONGEST_DELAY: Duration = Duration::from_secs(20);
/// Tries for an object that is busy (409, 423): it passes soon or not at all.
const BUSY_TRIES: u32 = 3;
/// One user refused by a limit this often, while others are served, is not a quota any more.
const MOST_THROTTLES: u32 = 100;

/// 401s of one user, while Graph accepts the token for others, before the user is given up.
const UNAUTHORIZED_TRIES: u32 = 3;

/// What one user went through, as far as it decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryHistory {
    /// Transient failures that count.
    pub transient: u32,
    /// Answers that the object is busy.
    pub busy: u32,
    /// Throttled answers.
    pub throttled: u32,
    /// 401s that were this user's and not the token's.
    pub unauthorized: u32,
}

/// The history as it is counted, attempt by attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// What decides.
    pub history: RetryHistory,
    /// The last streak of failures and how many of them are this user's: counted once it is known not to be an outage.
    streak: Option<(u64, u32)>,
}

impl Tries {
    /// Counts an attempt; transient ones only as far as their streak is not an outage, which `was_outage` reports.
    pub fn count(&mut self, attempt: &Attempt, streak: Option<u64>, was_outage: impl Fn(u64) -> bool) {
        match &attempt.kind {
            AttemptResult::Throttled(_) => self.history.throttled += 1,
            AttemptResult::Busy => self.history.busy += 1,
            // One that is the token's does not come here.
            AttemptResult::Unauthorized { .. } => self.history.unauthorized += 1,
            AttemptResult::Accepted | AttemptResult::Rejected(_) | AttemptResult::Transient(_) => {}
        }
        let Some(streak) = streak else { return };
        let (before, mine) = self.streak.unwrap_or((streak, 0));
        // What stood in `transient` for the last streak is taken out first and put back if it counts.
        self.history.transient -= mine.min(self.history.transient);
        if before != streak && !was_outage(before) {
            self.history.transient += mine;
        }
        let mine = if before == streak { mine + 1 } else { 1 };
        self.streak = Some((streak, mine));
        if was_outage(streak) {
            self.streak = Some((streak, 0));
        } else {
            self.history.transient += mine;
        }
    }
}

/// What to do next for this user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again after the delay; cool-downs come on top.
    RetryIn(Duration),
    /// The service asks for a wait above `--max-wait`: no further attempt in this invocation, and no record.
    PutOff(Duration),
    /// The fate is known.
    Finish {
        /// What became of the user.
        outcome: Outcome,
        /// Why, unless accepted.
        reason: Option<Reason>,
    },
}

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Transient failures of one user before he is given up, from 1.
    pub max_attempts: u32,
    /// Share of a delay that is random, 0.0 (exact, for tests) to 1.0.
    pub jitter: f64,
    /// Longest wait of the service that is waited for: `--max-wait`.
    pub max_wait: Duration,
}

impl RetryPolicy {
    /// Decides after an attempt that `history` already counts. The wait of an answer holds its user whatever the status.
    pub fn decide(&self, history: &RetryHistory, attempt: &Attempt) -> Decision {
        self.held(self.by_kind(history, attempt), attempt)
    }

    /// After an attempt that does not count: again at once, or after the wait of the answer.
    pub fn again(&self, attempt: &Attempt) -> Decision {
        self.held(Decision::RetryIn(Duration::ZERO), attempt)
    }

    fn held(&self, decision: Decision, attempt: &Attempt) -> Decision {
        match (decision, attempt.retry_after) {
            (Decision::RetryIn(_), Some(wait)) if wait > self.max_wait => Decision::PutOff(wait),
            (Decision::RetryIn(delay), Some(wait)) => Decision::RetryIn(delay.max(wait)),
            (decision, _) => decision,
        }
    }

    fn by_kind(&self, history: &RetryHistory, attempt: &Attempt) -> Decision {
        match &attempt.kind {
            AttemptResult::Accepted => Decision::Finish { outcome: Outcome::Accepted, reason: None },
            AttemptResult::Rejected(reason) => failed(*reason),
            AttemptResult::Throttled(_) if history.throttled >= MOST_THROTTLES => {
                failed(Reason::ThrottledOut)
            }
            AttemptResult::Throttled(_) => Decision::RetryIn(Duration::ZERO),
            AttemptResult::Busy if history.busy >= BUSY_TRIES => failed(Reason::Busy),
            AttemptResult::Busy => Decision::RetryIn(self.delay(history.busy)),
            AttemptResult::Transient(fault) if history.transient >= self.max_attempts => match fault {
                TransientFailure::NotGraph => failed(Reason::NotGraph),
                _ => failed(Reason::GaveUp),
            },
            AttemptResult::Transient(_) => Decision::RetryIn(self.delay(history.transient.max(1))),
            AttemptResult::Unauthorized { .. } if history.unauthorized >= UNAUTHORIZED_TRIES => {
                failed(Reason::Unauthorized)
            }
            AttemptResult::Unauthorized { .. } => Decision::RetryIn(self.delay(history.unauthorized)),
        }
    }

    /// The delay after the n-th failure, from 1; never above the longest.
    fn delay(&self, nth: u32) -> Duration {
        let mut delays = ExponentialBackoffBuilder::new()
            .with_initial_interval(FIRST_DELAY)
            .with_max_interval(LONGEST_DELAY)
            .with_multiplier(2.0)
            .with_randomization_factor(self.jitter)
            .with_max_elapsed_time(None)
            .build();
        let mut delay = FIRST_DELAY;
        for _ in 0..nth.min(10) {
            delay = delays.next_backoff().unwrap_or(LONGEST_DELAY);
        }
        delay.min(LONGEST_DELAY)
    }
}

fn failed(reason: Reason) -> Decision {
    Decision::Finish { outcome: Outcome::Failed, reason: Some(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Scope, Throttle};

    const POLICY: RetryPolicy =
        RetryPolicy { max_attempts: 6, jitter: 0.0, max_wait: Duration::from_secs(3_600) };

    #[test]
    fn transient_failures_wait_longer_each_time_and_end() {
        let waits: Vec<_> = (1..=6)
            .map(|transient| {
                let history = RetryHistory { transient, ..RetryHistory::default() };
                POLICY.decide(&history, &Attempt::of(AttemptResult::Transient(TransientFailure::Server)))
            })
            .collect();
        let seconds = |s| Decision::RetryIn(Duration::from_secs(s));
        let gave_up = failed(Reason::GaveUp);
        assert_eq!(waits, [seconds(1), seconds(2), seconds(4), seconds(8), seconds(16), gave_up]);
    }

    #[test]
    fn answers_that_were_not_graphs_are_called_so_at_the_end() {
        let last = RetryHistory { transient: 6, ..RetryHistory::default() };
        let portal = Attempt::of(AttemptResult::Transient(TransientFailure::NotGraph));
        assert_eq!(POLICY.decide(&last, &portal), failed(Reason::NotGraph));
    }

    #[test]
    fn throttles_use_no_attempts_but_have_an_end() {
        let throttled = Attempt::of(AttemptResult::Throttled(Throttle { scope: Scope::Tenant, quota: true }));
        let history = |throttled| RetryHistory { throttled, ..RetryHistory::default() };
        assert_eq!(POLICY.decide(&history(99), &throttled), Decision::RetryIn(Duration::ZERO));
        assert_eq!(POLICY.decide(&history(100), &throttled), failed(Reason::ThrottledOut));
    }

    #[test]
    fn wait_of_any_answer_delays_its_user_up_to_the_longest() {
        let throttled = AttemptResult::Throttled(Throttle { scope: Scope::Tenant, quota: true });
        let once = RetryHistory { transient: 1, busy: 1, throttled: 1, unauthorized: 1 };
        for kind in [
            throttled,
            AttemptResult::Busy,
            AttemptResult::Transient(TransientFailure::Server),
            AttemptResult::Transient(TransientFailure::NotGraph),
            AttemptResult::Unauthorized { claims: None },
        ] {
            let after = |wait| {
                let retry_after = Some(Duration::from_millis(wait));
                POLICY.decide(&once, &Attempt { retry_after, ..Attempt::of(kind.clone()) })
            };
            assert_eq!(after(5_001), Decision::RetryIn(Duration::from_millis(5_001)), "{kind:?}");
            assert_eq!(after(3_600_000), Decision::RetryIn(POLICY.max_wait), "{kind:?}");
            assert_eq!(after(3_600_001), Decision::PutOff(Duration::from_millis(3_600_001)), "{kind:?}");
        }
        let last = RetryHistory { busy: 3, ..RetryHistory::default() };
        let final_word =
            Attempt { retry_after: Some(Duration::from_secs(9)), ..Attempt::of(AttemptResult::Busy) };
        assert_eq!(POLICY.decide(&last, &final_word), failed(Reason::Busy), "nothing is left to wait for");
    }

    #[test]
    fn a_busy_object_is_tried_three_times() {
        let busy = Attempt::of(AttemptResult::Busy);
        let mut tries = Tries::default();
        let after: Vec<_> = (0..3)
            .map(|_| {
                tries.count(&busy, None, |_| false);
                POLICY.decide(&tries.history, &busy)
            })
            .collect();
        let seconds = |s| Decision::RetryIn(Duration::from_secs(s));
        assert_eq!(after, [seconds(1), seconds(2), failed(Reason::Busy)]);
    }

    /// What is counted after each failure of a user, by its streak and the streaks known as outages by then.
    fn counted(failures: &[(u64, &[u64])]) -> Vec<u32> {
        let fault = Attempt::of(AttemptResult::Transient(TransientFailure::Server));
        let mut tries = Tries::default();
        let count = |(streak, outages): &(u64, &[u64])| {
            tries.count(&fault, Some(*streak), |streak| outages.contains(&streak));
            tries.history.transient
        };
        failures.iter().map(count).collect()
    }

    #[test]
    fn who_fails_while_others_are_answered_comes_to_his_end() {
        let alone = [(0, &[][..]), (1, &[]), (2, &[]), (2, &[]), (5, &[]), (6, &[])];
        assert_eq!(counted(&alone), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn an_outage_costs_nobody_a_try_and_forgives_nothing_else() {
        let out = &[3][..];
        // Two before it, two before it was known, two while it lasted, two after it.
        let around = [(1, &[][..]), (2, &[]), (3, &[]), (3, &[]), (3, out), (3, out), (4, out), (5, out)];
        assert_eq!(counted(&around), [1, 2, 3, 4, 2, 2, 3, 4]);
        // Known as one only after the user's last failure in it.
        assert_eq!(counted(&[(1, &[]), (3, &[]), (3, &[]), (4, out), (5, out)]), [1, 2, 3, 2, 3]);
        // One after the other.
        assert_eq!(counted(&[(3, &[]), (4, out), (4, &[3, 4]), (5, &[3, 4])]), [1, 1, 0, 1]);
    }

    #[test]
    fn third_401_of_a_user_is_final() {
        let refused = Attempt::of(AttemptResult::Unauthorized { claims: None });
        let mut tries = Tries::default();
        let after: Vec<_> = (0..3)
            .map(|_| {
                tries.count(&refused, None, |_| false);
                POLICY.decide(&tries.history, &refused)
            })
            .collect();
        let seconds = |s| Decision::RetryIn(Duration::from_secs(s));
        assert_eq!(after, [seconds(1), seconds(2), failed(Reason::Unauthorized)]);
    }

    #[test]
    fn jitter_never_passes_the_longest_delay() {
        let policy = RetryPolicy { max_attempts: 50, jitter: 1.0, ..POLICY };
        for transient in 1..40 {
            let history = RetryHistory { transient, ..RetryHistory::default() };
            match policy.decide(&history, &Attempt::of(AttemptResult::Transient(TransientFailure::Timeout))) {
                Decision::RetryIn(delay) => assert!(delay <= LONGEST_DELAY),
                other => panic!("{other:?}"),
            }
        }
    }
}
