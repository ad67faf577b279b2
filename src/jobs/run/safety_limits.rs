//! The safety limits: judge each record and stop the run if too many users fail.

use std::collections::BTreeMap;

use crate::model::MaxFailures;
use crate::model::{ObjectKind, Outcome, Reason, Record};
use crate::report::{cause, count, next_step, thousands};
use crate::stop::StopReason;

/// Fewest failed users before a share of failures stops the run.
const FEWEST_FAILURES: u64 = 20;
/// Number of 403s from the start, without another response, that mean a missing permission.
const FORBIDDEN_FROM_START: u64 = 5;

/// Counts the users answered in this call.
#[derive(Debug)]
pub(super) struct Guards {
    most: MaxFailures,
    kind: ObjectKind,
    /// Advice for the case that the first users all get 403.
    refused: String,
    /// The command that continues in spite of the limit.
    on: String,
    answered: u64,
    failed: u64,
    /// 403s as long as there was nothing else.
    forbidden: Option<u64>,
    reasons: BTreeMap<Reason, u64>,
}

impl Guards {
    /// With `--max-failures`, what to say to a missing permission, and the command that goes on all the same.
    pub(super) fn new(most: MaxFailures, kind: ObjectKind, refused: String, on: String) -> Self {
        Self { most, kind, refused, on, answered: 0, failed: 0, forbidden: Some(0), reasons: BTreeMap::new() }
    }

    /// Whether every user may fail: `--max-failures 100%`.
    pub(super) fn allows_all(&self) -> bool {
        matches!(self.most, MaxFailures::Share(share) if share >= 1.0)
    }

    /// Counts a record. Returns the stop reason if a limit is exceeded. Rows without a request do not count.
    pub(super) fn judge(&mut self, record: &Record) -> Option<StopReason> {
        match record.outcome {
            Outcome::Accepted => {
                self.answered += 1;
                self.forbidden = None;
                return None;
            }
            Outcome::Failed => {}
            Outcome::Invalid | Outcome::Duplicate => return None,
        }
        self.answered += 1;
        self.failed += 1;
        let reason = record.reason.unwrap_or(Reason::Rejected);
        *self.reasons.entry(reason).or_default() += 1;
        self.forbidden = self.forbidden.filter(|_| reason == Reason::NoPermission).map(|count| count + 1);
        if self.forbidden == Some(FORBIDDEN_FROM_START) {
            return Some(StopReason::SignIn(format!(
                "the first {FORBIDDEN_FROM_START} {} were all rejected with 403: {}",
                self.kind.plural(),
                self.refused
            )));
        }
        let (over, limit) = match self.most {
            MaxFailures::Count(count) => (self.failed > count, thousands(count)),
            MaxFailures::Share(share) => (
                self.failed >= FEWEST_FAILURES && self.failed as f64 > self.answered as f64 * share,
                format!("{} %", share * 100.0),
            ),
        };
        over.then(|| StopReason::SafetyLimit(self.sentence(&limit)))
    }

    fn sentence(&self, limit: &str) -> String {
        let mut found: Vec<_> = self.reasons.iter().collect();
        found.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let counts: Vec<_> = found
            .iter()
            .map(|(reason, count)| format!("{} × {}", thousands(**count), cause(**reason)))
            .collect();
        let guess = match found.first() {
            Some((Reason::NotFound, _)) => "perhaps a list from another tenant",
            Some((reason, _)) => next_step(**reason),
            None => "",
        };
        format!(
            "{} of the first {} failed (limit {limit}). {}: {guess}. To continue anyway: {}",
            thousands(self.failed),
            count(self.answered, self.kind.plural()),
            counts.join(", "),
            self.on
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(outcome: Outcome, reason: Option<Reason>) -> Record {
        Record { attempts: 1, ..Record::unsent(1, 2, "".into(), outcome, reason) }
    }

    fn guards(most: &str) -> Guards {
        let most = most.parse().expect("a limit");
        Guards::new(
            most,
            ObjectKind::Users,
            "add it".to_owned(),
            "reprovision run a.csv --max-failures 100%".to_owned(),
        )
    }

    fn judged(
        guards: &mut Guards,
        outcome: Outcome,
        reason: Option<Reason>,
        times: u64,
    ) -> Option<(u64, StopReason)> {
        (1..=times).find_map(|n| Some((n, guards.judge(&record(outcome, reason))?)))
    }

    #[test]
    fn a_share_needs_twenty_failures_and_says_what_probably_happened() {
        let mut guards = guards("5%");
        assert_eq!(judged(&mut guards, Outcome::Accepted, None, 28), None);
        assert_eq!(judged(&mut guards, Outcome::Invalid, Some(Reason::BadId), 100), None, "not sent");
        assert_eq!(judged(&mut guards, Outcome::Failed, Some(Reason::BadRequest), 2), None);
        let (at, why) = judged(&mut guards, Outcome::Failed, Some(Reason::NotFound), 30).expect("stopped");
        assert_eq!(at, 18, "the twentieth failure");
        let expected = format!(
            "20 of the first 48 users failed (limit 5 %). 18 × {}, 2 × {}: perhaps a list from another tenant. \
             To continue anyway: reprovision run a.csv --max-failures 100%",
            cause(Reason::NotFound),
            cause(Reason::BadRequest)
        );
        assert_eq!(why, StopReason::SafetyLimit(expected));
    }

    #[test]
    fn a_number_is_the_most_that_may_fail() {
        let found = judged(&mut guards("3"), Outcome::Failed, Some(Reason::NotFound), 9).expect("stopped");
        assert_eq!(found.0, 4);
        assert_eq!(judged(&mut guards("100%"), Outcome::Failed, Some(Reason::NotFound), 500), None);
    }

    #[test]
    fn five_403s_from_the_start_are_a_missing_permission_and_later_ones_are_not() {
        let forbidden = Some(Reason::NoPermission);
        let found = judged(&mut guards("100%"), Outcome::Failed, forbidden, 9).expect("stopped");
        assert!(matches!(found, (5, StopReason::SignIn(_))), "{found:?}");
        let mut later = guards("100%");
        judged(&mut later, Outcome::Accepted, None, 1);
        assert_eq!(judged(&mut later, Outcome::Failed, forbidden, 50), None);
        let mut mixed = guards("100%");
        judged(&mut mixed, Outcome::Failed, Some(Reason::NotFound), 1);
        assert_eq!(judged(&mut mixed, Outcome::Failed, forbidden, 50), None);
    }
}
