//! The retry decision: a pure function of the attempts of one user. The only code that uses `backoff`.

use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff;

use crate::model::{Attempt, AttemptResult, Outcome, Reason, TransientFailure};

/// Backoff after the first transient failure of a user.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// Longest backoff of a user.
const LONGEST_DELAY: Duration = Duration::from_secs(20);
/// Attempts for an object that is busy (409, 423). It is free soon or stays busy.
const BUSY_TRIES: u32 = 3;
/// Throttled attempts of one user, while others are served, after which the user fails. The cause is then not
/// a quota.
const MOST_THROTTLES: u32 = 100;

/// 401s of one user, while Graph accepts the token for others, after which the user fails.
const UNAUTHORIZED_TRIES: u32 = 3;

/// The attempts of one user that count for the retry decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryHistory {
    /// Transient failures outside outages.
    pub transient: u32,
    /// Responses that the object is busy.
    pub busy: u32,
    /// Throttled responses.
    pub throttled: u32,
    /// 401s that were caused by this user and not by the token.
    pub unauthorized: u32,
}

/// Counts the attempts of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// The counted attempts.
    pub history: RetryHistory,
    /// The last streak of failures, and the failures of this user in it. They count once the streak is known
    /// not to be an outage.
    streak: Option<(u64, u32)>,
}

impl Tries {
    /// Counts an attempt. Transient failures do not count if `was_outage` reports that their streak was an
    /// outage.
    pub fn count(&mut self, attempt: &Attempt, streak: Option<u64>, was_outage: impl Fn(u64) -> bool) {
        match &attempt.kind {
            AttemptResult::Throttled(_) => self.history.throttled += 1,
            AttemptResult::Busy => self.history.busy += 1,
            // A 401 caused by the token is not counted by the caller.
            AttemptResult::Unauthorized { .. } => self.history.unauthorized += 1,
            AttemptResult::Accepted | AttemptResult::Rejected(_) | AttemptResult::Transient(_) => {}
        }
        let Some(streak) = streak else { return };
        let (before, mine) = self.streak.unwrap_or((streak, 0));
        // The failures of the last streak are subtracted first and added again if they count.
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

/// The next step for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Another attempt after this delay. Pauses of the run may delay it further.
    RetryIn(Duration),
    /// The service asks for a wait longer than `--max-wait`. The user gets no further attempt in this
    /// invocation, and no record.
    PutOff(Duration),
    /// The user is done.
    Finish {
        /// The outcome.
        outcome: Outcome,
        /// The reason, unless the user was accepted.
        reason: Option<Reason>,
    },
}

/// The limits of the retry decision.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Transient failures after which a user fails, from 1: `--max-attempts`.
    pub max_attempts: u32,
    /// Random share of a backoff, from 0.0 (exact, for tests) to 1.0.
    pub jitter: f64,
    /// Longest pause that the run accepts from the service: `--max-wait`.
    pub max_wait: Duration,
}

impl RetryPolicy {
    /// Decides after an attempt that `history` already counts. A wait in the response delays the user,
    /// whatever the status.
    pub fn decide(&self, history: &RetryHistory, attempt: &Attempt) -> Decision {
        self.held(self.by_kind(history, attempt), attempt)
    }

    /// Decides after an attempt that does not count: the next one follows immediately, or after the wait in
    /// the response.
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

    /// The backoff after the n-th failure, from 1; at most the longest.
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
    fn backoff_grows_with_each_transient_failure_until_the_last() {
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
    fn responses_not_from_graph_end_with_reason_not_graph() {
        let last = RetryHistory { transient: 6, ..RetryHistory::default() };
        let portal = Attempt::of(AttemptResult::Transient(TransientFailure::NotGraph));
        assert_eq!(POLICY.decide(&last, &portal), failed(Reason::NotGraph));
    }

    #[test]
    fn throttled_attempts_do_not_count_but_are_limited() {
        let throttled = Attempt::of(AttemptResult::Throttled(Throttle { scope: Scope::Tenant, quota: true }));
        let history = |throttled| RetryHistory { throttled, ..RetryHistory::default() };
        assert_eq!(POLICY.decide(&history(99), &throttled), Decision::RetryIn(Duration::ZERO));
        assert_eq!(POLICY.decide(&history(100), &throttled), failed(Reason::ThrottledOut));
    }

    #[test]
    fn wait_in_any_response_delays_its_user_up_to_the_limit() {
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
    fn busy_object_gets_three_attempts() {
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

    /// Counted failures after each failure of a user, given its streak and the streaks known as outages by
    /// then.
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
    fn user_fails_after_max_attempts_while_others_succeed() {
        let alone = [(0, &[][..]), (1, &[]), (2, &[]), (2, &[]), (5, &[]), (6, &[])];
        assert_eq!(counted(&alone), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn only_failures_in_an_outage_do_not_count() {
        let out = &[3][..];
        // Two failures before the outage, two before it was recognized, two during it, two after it.
        let around = [(1, &[][..]), (2, &[]), (3, &[]), (3, &[]), (3, out), (3, out), (4, out), (5, out)];
        assert_eq!(counted(&around), [1, 2, 3, 4, 2, 2, 3, 4]);
        // Recognized only after the last failure of the user in it.
        assert_eq!(counted(&[(1, &[]), (3, &[]), (3, &[]), (4, out), (5, out)]), [1, 2, 3, 2, 3]);
        // Two outages in sequence.
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
    fn jitter_does_not_exceed_the_longest_backoff() {
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
