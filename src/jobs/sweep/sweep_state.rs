//! The state of one sweep. Each object with an error is recorded once. A pure state machine; the time of the
//! service is passed in.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::history::{History, Judged, Novelty, Policy, RetryDecision};
use crate::model::ErrorFilter;
use crate::scan::Object;

/// All errors of an object that were looked for, as one cause: it stays the same whichever of them is the
/// newest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ErrorCause {
    /// Services, sorted, joined by `+`.
    pub(crate) service: String,
    /// Codes, sorted, joined by `+`.
    pub(crate) code: String,
}

impl ErrorCause {
    /// With the time of the newest error; `None` where nothing fits the filter.
    pub(crate) fn of(
        object: &Object,
        filter: &ErrorFilter,
        now: Timestamp,
    ) -> Option<(Self, Option<Timestamp>)> {
        let open: Vec<_> = object.problems.iter().filter(|problem| problem.fits(filter, now)).collect();
        let newest = open.iter().map(|problem| problem.since).max()?;
        let joined = |mut words: Vec<&str>| {
            words.sort_unstable();
            words.dedup();
            words.join("+")
        };
        let service = joined(open.iter().map(|problem| problem.service.as_str()).collect());
        let code = joined(open.iter().map(|problem| problem.code.as_str()).collect());
        Some((Self { service, code }, newest))
    }
}

/// The results of one sweep.
#[derive(Clone, Debug)]
pub(crate) struct SweepState {
    history: History,
    policy: Policy,
    /// Remembered objects that still have an error.
    met: HashSet<String>,
    /// Objects with a new failure.
    told: Vec<String>,
    /// Number of objects by retry decision.
    pub(crate) worth: BTreeMap<RetryDecision, u64>,
    /// Those that failed again, or were given up.
    pub(crate) failing: Judged,
    /// Causes of the new failures.
    pub(crate) news: BTreeMap<ErrorCause, u64>,
}

impl SweepState {
    /// With the memory of the nights before.
    pub(crate) fn new(history: History, policy: Policy) -> Self {
        Self {
            history,
            policy,
            met: HashSet::new(),
            told: Vec::new(),
            worth: BTreeMap::new(),
            failing: Judged::default(),
            news: BTreeMap::new(),
        }
    }

    /// An object has an error, perhaps none that is looked for: it is not forgotten.
    pub(crate) fn seen(&mut self, id: &str) {
        if self.history.entry(id).is_some() {
            self.met.insert(id.to_ascii_lowercase());
        }
    }

    /// An object has this error, published at `since`: first what became of earlier retries, then whether it
    /// is worth another.
    pub(crate) fn observe(
        &mut self,
        id: &str,
        cause: &ErrorCause,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> RetryDecision {
        self.history.observe(id, &cause.service, &cause.code);
        self.seen(id);
        let newer = |at: Timestamp| since.is_some_and(|since| since.as_second() >= at.as_second());
        let failed = self.history.entry(id).is_some_and(|entry| entry.tries > 0 && newer(entry.tried_at));
        if failed {
            self.fails(id, cause);
        }
        let worth = self.history.worth(id, &cause.service, &cause.code, now, self.policy);
        if worth == RetryDecision::GivenUp && !failed {
            self.fails(id, cause);
        }
        *self.worth.entry(worth).or_default() += 1;
        worth
    }

    fn fails(&mut self, id: &str, cause: &ErrorCause) {
        let known = self.history.fails(id, &cause.service, &cause.code);
        self.failing.count(known);
        if known == Novelty::New {
            self.told.push(id.to_owned());
            *self.news.entry(cause.clone()).or_default() += 1;
        }
    }

    /// All objects were met: how many that had been retried have no error any more. They are forgotten.
    pub(crate) fn finish(&mut self) -> u64 {
        let met = std::mem::take(&mut self.met);
        self.history.keep(|id| met.contains(id))
    }

    /// A retry was accepted at `at`.
    pub(crate) fn accepted(&mut self, id: &str, cause: &ErrorCause, at: Timestamp) {
        self.history.tried(id, &cause.service, &cause.code, at);
    }

    /// Records a retry that was sent at `at` in a run started at `begun`, if the history does not have it.
    /// Returns whether it was missing.
    pub(crate) fn records_lost_retry(
        &mut self,
        id: &str,
        cause: &ErrorCause,
        at: Timestamp,
        begun: Timestamp,
    ) -> bool {
        let known = self.history.entry(id).is_some_and(|entry| entry.tries > 0 && entry.tried_at >= begun);
        if !known {
            self.history.tried(id, &cause.service, &cause.code, at);
        }
        !known
    }

    /// Records a failed retry. Returns whether the failure is new.
    pub(crate) fn refused(&mut self, id: &str, cause: &ErrorCause, at: Timestamp) -> Novelty {
        self.history.tried(id, &cause.service, &cause.code, at);
        let known = self.history.fails(id, &cause.service, &cause.code);
        if known == Novelty::New {
            self.told.push(id.to_owned());
        }
        known
    }

    /// Call this if the sweep ends with an exit code that does not report new failures. The next sweep then
    /// reports them as new.
    pub(crate) fn mark_unreported(&mut self) {
        for id in self.told.drain(..) {
            self.history.mark_unreported(&id);
        }
    }

    /// The history to write.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scan::Problem;

    const POLICY: Policy = Policy { retry_interval: Duration::from_secs(20 * 3_600), max_retries: 5 };

    fn hour(number: i64) -> Timestamp {
        Timestamp::from_second(number * 3_600).expect("a time")
    }

    fn cause(code: &str) -> ErrorCause {
        ErrorCause { service: "exchange".to_owned(), code: code.to_owned() }
    }

    #[test]
    fn which_of_two_errors_is_the_newest_is_no_new_cause() {
        let problem = |service: &str, code: &str, since| Problem {
            service: service.to_owned(),
            code: code.to_owned(),
            since: Some(hour(since)),
            ..Problem::default()
        };
        let of = |problems: Vec<Problem>| {
            let object = Object { problems, ..Object::default() };
            ErrorCause::of(&object, &ErrorFilter::default(), hour(99)).expect("a cause")
        };
        let (one, newest) = of(vec![problem("exchange", "A", 3), problem("SharePoint", "B", 4)]);
        let (other, _) = of(vec![problem("exchange", "A", 5), problem("SharePoint", "B", 4)]);
        assert_eq!((&one, newest), (&other, Some(hour(4))));
        assert_eq!((&*one.service, &*one.code), ("SharePoint+exchange", "A+B"));
        let fine = Object {
            problems: vec![Problem { resolved: Some(true), ..Problem::default() }],
            ..Object::default()
        };
        assert_eq!(ErrorCause::of(&fine, &ErrorFilter::default(), hour(99)), None);
    }

    #[test]
    fn a_failure_is_told_once_and_an_unprocessed_retry_is_none() {
        let mut state = SweepState::new(History::default(), POLICY);
        assert_eq!(state.observe("U", &cause("A"), Some(hour(0)), hour(10)), RetryDecision::New);
        state.accepted("u", &cause("A"), hour(10));
        // Not processed yet: the error is older than the retry.
        assert_eq!(state.observe("u", &cause("A"), Some(hour(0)), hour(20)), RetryDecision::Cooling);
        assert_eq!(state.failing, Judged::default());
        // Processed, and failed again: new, once.
        assert_eq!(state.observe("u", &cause("A"), Some(hour(11)), hour(34)), RetryDecision::Again);
        assert_eq!(state.failing, Judged { news: 1, known: 0 });
        state.accepted("u", &cause("A"), hour(34));
        assert_eq!(state.observe("u", &cause("A"), Some(hour(35)), hour(58)), RetryDecision::Again);
        assert_eq!(state.failing, Judged { news: 1, known: 1 });
        // With another cause: new, and retried immediately.
        state.accepted("u", &cause("A"), hour(58));
        assert_eq!(state.observe("u", &cause("B"), Some(hour(59)), hour(60)), RetryDecision::New);
        assert_eq!(state.failing, Judged { news: 2, known: 1 });
        assert_eq!(state.news, BTreeMap::from([(cause("A"), 1), (cause("B"), 1)]));
    }

    #[test]
    fn failures_of_the_first_sweep_are_known_even_if_not_retried() {
        let mut state = SweepState::new(History::baseline(), POLICY);
        assert_eq!(state.observe("u", &cause("A"), Some(hour(0)), hour(10)), RetryDecision::New);
        state.finish();
        let mut file = Vec::new();
        state.history().write(&mut file).expect("memory");
        let mut next = SweepState::new(History::read(&file[..]).expect("read back"), POLICY);
        assert_eq!(next.observe("u", &cause("A"), Some(hour(0)), hour(34)), RetryDecision::New);
        next.accepted("u", &cause("A"), hour(34));
        next.observe("u", &cause("A"), Some(hour(35)), hour(58));
        assert_eq!(next.failing, Judged { news: 0, known: 1 });
    }

    #[test]
    fn a_retry_is_recalled_once_and_a_baseline_keeps_it() {
        let mut state = SweepState::new(History::baseline(), POLICY);
        assert!(state.records_lost_retry("U", &cause("A"), hour(10), hour(9)));
        assert!(!state.records_lost_retry("u", &cause("A"), hour(10), hour(9)), "counted already");
        assert_eq!(state.observe("u", &cause("A"), Some(hour(0)), hour(12)), RetryDecision::Cooling);
        assert!(state.records_lost_retry("u", &cause("A"), hour(40), hour(39)), "another run");
        assert_eq!(state.history().entry("u").map(|entry| entry.tries), Some(2));
        assert_eq!(state.observe("u", &cause("A"), Some(hour(41)), hour(62)), RetryDecision::Again);
        assert_eq!(state.failing, Judged { news: 0, known: 1 }, "a baseline has no news");
    }

    #[test]
    fn what_is_given_up_unprocessed_is_told_and_what_is_gone_is_forgotten() {
        let mut state = SweepState::new(History::default(), POLICY);
        for number in 0..5 {
            let now = hour(number * 24);
            assert!(state.observe("never", &cause("A"), Some(hour(-9)), now).is_retried());
            state.accepted("never", &cause("A"), now);
        }
        state.accepted("gone", &cause("A"), hour(96));
        assert_eq!(state.failing, Judged::default());
        assert_eq!(state.observe("never", &cause("A"), Some(hour(-9)), hour(120)), RetryDecision::GivenUp);
        assert_eq!(state.failing, Judged { news: 1, known: 0 });
        assert_eq!(state.finish(), 1, "one was cleared");
        assert_eq!(state.history().len(), 1);
        assert_eq!(state.refused("no", &cause("A"), hour(120)), Novelty::New);
        assert_eq!(state.refused("no", &cause("A"), hour(144)), Novelty::Known);
        state.mark_unreported();
        assert_eq!(state.refused("no", &cause("A"), hour(168)), Novelty::New);
    }
}
