//! Limits that name no time: a 503 or a conflict for several users together is the service's, not the users'.

use std::collections::{HashSet, VecDeque};

use crate::model::{AttemptResult, TransientFailure};

/// Number of last answers that are looked at. A service that refuses a quarter of all requests is over a limit.
const LAST_ANSWERS: usize = 20;
/// Different users among them that make a limit of it: one busy or broken user alone is none.
const DIFFERENT_USERS: usize = 5;

/// What a refusal without a time looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// 503 without a wait.
    Unavailable,
    /// 409 or 423: something else writes to the tenant.
    Conflict,
}

/// The last answers: rows, and which sign they had.
#[derive(Debug, Default)]
pub(super) struct Unannounced {
    last: VecDeque<(u64, Option<Sign>)>,
}

impl Unannounced {
    /// Records an answer. Returns whether it is a limit's: at least five different users had the same sign within the
    /// last twenty answers.
    pub(super) fn is_limit(&mut self, row: u64, kind: &AttemptResult) -> bool {
        let sign = match kind {
            AttemptResult::Transient(TransientFailure::Unavailable) => Some(Sign::Unavailable),
            AttemptResult::Busy => Some(Sign::Conflict),
            // No answer came, or not one of the service.
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
        // A batch that is refused as a whole is one answer, however many parts have it.
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

    /// Which of the answers, counted from 0, are a limit's.
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
        assert_eq!(limits(silent), [0; 0], "no answers at all");
    }

    #[test]
    fn only_the_last_twenty_answers_count() {
        let among = |others: u64| {
            let refused = (0..4).map(|row| (row, DOWN));
            let served = (100..100 + others).map(|row| (row, YES));
            limits(refused.chain(served).chain([(4, DOWN)]))
        };
        assert_eq!(among(15), [19]);
        assert_eq!(among(16), [0; 0]);
    }

    #[test]
    fn refused_batch_is_one_answer() {
        let batches = (0..5).flat_map(|batch| (0..20).map(move |_| (batch * 20, DOWN)));
        assert_eq!(limits(batches), (80..100).collect::<Vec<_>>());
    }
}
