//! Limits without a wait: a 503 or a conflict for several users together comes from the service, not from the users.

use std::collections::{HashSet, VecDeque};

use crate::model::{AttemptResult, TransientFailure};

/// Number of latest responses that are examined. A service that throttles a quarter of all requests is over a limit.
const LAST_ANSWERS: usize = 20;
/// Different users among them that make it a limit. A single busy or broken user does not.
const DIFFERENT_USERS: usize = 5;

/// The forms of a throttled response without a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// 503 without a wait.
    Unavailable,
    /// 409 or 423: another process writes to the tenant.
    Conflict,
}

/// The latest responses: row and sign.
#[derive(Debug, Default)]
pub(super) struct Unannounced {
    last: VecDeque<(u64, Option<Sign>)>,
}

impl Unannounced {
    /// Records a response. Returns whether it comes from a limit: at least five different users had the same sign within the latest
    /// twenty responses.
    pub(super) fn is_limit(&mut self, row: u64, kind: &AttemptResult) -> bool {
        let sign = match kind {
            AttemptResult::Transient(TransientFailure::Unavailable) => Some(Sign::Unavailable),
            AttemptResult::Busy => Some(Sign::Conflict),
            // There was no response, or it did not come from the service.
            AttemptResult::Transient(
                TransientFailure::Timeout
                | TransientFailure::Connect
                | TransientFailure::Broken
                | TransientFailure::Http2Refused,
            ) => {
                return false;
            }
            _ => None,
        };
        // A batch that is throttled as a whole is one response for all its parts.
        if sign.is_none() || self.last.back() != Some(&(row, sign)) {
            self.last.push_back((row, sign));
        }
        if self.last.len() > LAST_ANSWERS {
            self.last.pop_front();
        }
        let same = self.last.iter().filter(|(_, other)| *other == sign);
        sign.is_some() && same.map(|(row, _)| row).collect::<HashSet<_>>().len() >= DIFFERENT_USERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: AttemptResult = AttemptResult::Busy;
    const DOWN: AttemptResult = AttemptResult::Transient(TransientFailure::Unavailable);
    const YES: AttemptResult = AttemptResult::Accepted;

    /// Which of the responses, counted from 0, come from a limit.
    fn limits(answers: impl IntoIterator<Item = (u64, AttemptResult)>) -> Vec<usize> {
        let mut unannounced = Unannounced::default();
        let is_limit =
            |(at, (row, kind)): (usize, (u64, AttemptResult))| unannounced.is_limit(row, &kind).then_some(at);
        answers.into_iter().enumerate().filter_map(is_limit).collect()
    }

    #[test]
    fn five_different_users_with_one_sign_are_a_limit() {
        for kind in [BUSY, DOWN] {
            assert_eq!(limits((0..7).map(|row| (row, kind.clone()))), [4, 5, 6], "{kind:?}");
            let four = (0..40).map(|at| (at % 4, kind.clone()));
            assert_eq!(limits(four), [0; 0], "four users again and again: {kind:?}");
        }
        let mixed = (0..8).map(|row| (row, if row % 2 == 0 { BUSY } else { DOWN }));
        assert_eq!(limits(mixed), [0; 0], "four of each");
        let silent = (0..9).map(|row| (row, AttemptResult::Transient(TransientFailure::Timeout)));
        assert_eq!(limits(silent), [0; 0], "no responses at all");
    }

    #[test]
    fn only_the_latest_twenty_responses_count() {
        let among = |others: u64| {
            let refused = (0..4).map(|row| (row, DOWN));
            let served = (100..100 + others).map(|row| (row, YES));
            limits(refused.chain(served).chain([(4, DOWN)]))
        };
        assert_eq!(among(15), [19]);
        assert_eq!(among(16), [0; 0]);
    }

    #[test]
    fn throttled_batch_is_one_response() {
        let batches = (0..5).flat_map(|batch| (0..20).map(move |_| (batch * 20, DOWN)));
        assert_eq!(limits(batches), (80..100).collect::<Vec<_>>());
    }
}
