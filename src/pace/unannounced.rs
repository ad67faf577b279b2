//! Unannounced limits: if several users get a 503 or a conflict at the same time, the service causes it, not
//! the users.

use std::collections::{HashSet, VecDeque};

use crate::model::{AttemptResult, TransientFailure};

/// Number of latest responses that are examined. A service that answers a quarter of them this way is over a
/// limit.
const LATEST_RESPONSES: usize = 20;
/// Number of different users among them from which it is a limit. A single busy or broken user is not a
/// limit.
const MIN_USERS: usize = 5;

/// The sign of an unannounced limit in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// 503 without `Retry-After`.
    Unavailable,
    /// 409 or 423: another program writes to the tenant.
    Conflict,
}

/// The latest responses: the row and the sign of each.
#[derive(Debug, Default)]
pub(super) struct Unannounced {
    latest: VecDeque<(u64, Option<Sign>)>,
}

impl Unannounced {
    /// Records a response. Returns whether it belongs to a limit: at least five different users got the same
    /// sign within the latest twenty responses.
    pub(super) fn is_limit(&mut self, row: u64, kind: &AttemptResult) -> bool {
        let sign = match kind {
            AttemptResult::Transient(TransientFailure::Unavailable) => Some(Sign::Unavailable),
            AttemptResult::Busy => Some(Sign::Conflict),
            // The response is missing, or it is not from the service.
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
        // A batch that fails as a whole is one response, however many parts it has.
        if sign.is_none() || self.latest.back() != Some(&(row, sign)) {
            self.latest.push_back((row, sign));
        }
        if self.latest.len() > LATEST_RESPONSES {
            self.latest.pop_front();
        }
        let same = self.latest.iter().filter(|(_, other)| *other == sign);
        sign.is_some() && same.map(|(row, _)| row).collect::<HashSet<_>>().len() >= MIN_USERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: AttemptResult = AttemptResult::Busy;
    const DOWN: AttemptResult = AttemptResult::Transient(TransientFailure::Unavailable);
    const YES: AttemptResult = AttemptResult::Accepted;

    /// Returns which of the responses, counted from 0, belong to a limit.
    fn limits(responses: impl IntoIterator<Item = (u64, AttemptResult)>) -> Vec<usize> {
        let mut unannounced = Unannounced::default();
        let is_limit =
            |(at, (row, kind)): (usize, (u64, AttemptResult))| unannounced.is_limit(row, &kind).then_some(at);
        responses.into_iter().enumerate().filter_map(is_limit).collect()
    }

    #[test]
    fn five_users_with_the_same_sign_are_a_limit() {
        for kind in [BUSY, DOWN] {
            assert_eq!(limits((0..7).map(|row| (row, kind.clone()))), [4, 5, 6], "{kind:?}");
            let four = (0..40).map(|at| (at % 4, kind.clone()));
            assert_eq!(limits(four), [0; 0], "four users, many times: {kind:?}");
        }
        let mixed = (0..8).map(|row| (row, if row % 2 == 0 { BUSY } else { DOWN }));
        assert_eq!(limits(mixed), [0; 0], "four of each");
        let timeouts = (0..9).map(|row| (row, AttemptResult::Transient(TransientFailure::Timeout)));
        assert_eq!(limits(timeouts), [0; 0], "no responses");
    }

    #[test]
    fn only_the_latest_twenty_responses_count() {
        let among = |others: u64| {
            let unavailable = (0..4).map(|row| (row, DOWN));
            let served = (100..100 + others).map(|row| (row, YES));
            limits(unavailable.chain(served).chain([(4, DOWN)]))
        };
        assert_eq!(among(15), [19]);
        assert_eq!(among(16), [0; 0]);
    }

    #[test]
    fn failed_batch_is_one_response() {
        let batches = (0..5).flat_map(|batch| (0..20).map(move |_| (batch * 20, DOWN)));
        assert_eq!(limits(batches), (80..100).collect::<Vec<_>>());
    }
}
