//! One night of the scheduled job: each object with an error is met once. Pure; the service's time is passed in.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::history::{History, Judged, Known, Policy, Worth};
use super::object::{Filter, Object};

/// All errors of an object that were looked for, as one cause: it stays the same whichever of them is the newest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// Services, sorted, joined by `+`.
    pub service: String,
    /// Codes, sorted, joined by `+`.
    pub code: String,
}

impl Cause {
    /// With the time of the newest error; `None` where nothing fits the filter.
    pub fn of(object: &Object, filter: &Filter, now: Timestamp) -> Option<(Self, Option<Timestamp>)> {
        let open: Vec<_> = object.problems.iter().filter(|problem| filter.fits(problem, now)).collect();
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

/// What is found out in one night.
#[derive(Clone, Debug)]
pub struct Night {
    history: History,
    policy: Policy,
    /// Remembered objects that still have an error.
    met: HashSet<String>,
    /// Objects that are news.
    told: Vec<String>,
    /// How many are worth a retry, and how many are not.
    pub worth: BTreeMap<Worth, u64>,
    /// Those that failed again, or were given up.
    pub failing: Judged,
    /// Causes of the news among them.
    pub news: BTreeMap<Cause, u64>,
}

impl Night {
    /// With the memory of the nights before.
    pub fn new(history: History, policy: Policy) -> Self {
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
    pub fn seen(&mut self, id: &str) {
        if self.history.entry(id).is_some() {
            self.met.insert(id.to_ascii_lowercase());
        }
    }

    /// An object has this error, published at `since`: first what became of earlier retries, then whether it is worth
    /// another.
    pub fn meets(&mut self, id: &str, cause: &Cause, since: Option<Timestamp>, now: Timestamp) -> Worth {
        self.history.meets(id, &cause.service, &cause.code);
        self.seen(id);
        let newer = |at: Timestamp| since.is_some_and(|since| since.as_second() >= at.as_second());
        let failed = self.history.entry(id).is_some_and(|entry| entry.tries > 0 && newer(entry.tried_at));
        if failed {
            self.fails(id, cause);
        }
        let worth = self.history.worth(id, &cause.service, &cause.code, now, self.policy);
        if worth == Worth::GivenUp && !failed {
            self.fails(id, cause);
        }
        *self.worth.entry(worth).or_default() += 1;
        worth
    }

    fn fails(&mut self, id: &str, cause: &Cause) {
        let known = self.history.fails(id, &cause.service, &cause.code);
        self.failing.count(known);
        if known == Known::News {
            self.told.push(id.to_owned());
            *self.news.entry(cause.clone()).or_default() += 1;
        }
    }

    /// All objects were met: how many that had been retried have no error any more. They are forgotten.
    pub fn over(&mut self) -> u64 {
        let met = std::mem::take(&mut self.met);
        self.history.keep(|id| met.contains(id))
    }

    /// A retry was accepted at `at`.
    pub fn accepted(&mut self, id: &str, cause: &Cause, at: Timestamp) {
        self.history.tried(id, &cause.service, &cause.code, at);
    }

    /// A retry was sent at `at` in a run begun at `begun`, and nobody remembered it: whether that was so.
    pub fn recalls(&mut self, id: &str, cause: &Cause, at: Timestamp, begun: Timestamp) -> bool {
        let known = self.history.entry(id).is_some_and(|entry| entry.tries > 0 && entry.tried_at >= begun);
        if !known {
            self.history.tried(id, &cause.service, &cause.code, at);
        }
        !known
    }

    /// A retry was refused: whether that is news.
    pub fn refused(&mut self, id: &str, cause: &Cause, at: Timestamp) -> Known {
        self.history.tried(id, &cause.service, &cause.code, at);
        let known = self.history.fails(id, &cause.service, &cause.code);
        if known == Known::News {
            self.told.push(id.to_owned());
        }
        known
    }

    /// The job ends in a way that hides its news: they are news again next time.
    pub fn untold(&mut self) {
        for id in self.told.drain(..) {
            self.history.untold(&id);
        }
    }

    /// What to remember.
    pub fn history(&self) -> &History {
        &self.history
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::object::Problem;
    use super::*;

    const POLICY: Policy = Policy { retry_interval: Duration::from_secs(20 * 3_600), max_retries: 5 };

    fn hour(number: i64) -> Timestamp {
        Timestamp::from_second(number * 3_600).expect("a time")
    }

    fn cause(code: &str) -> Cause {
        Cause { service: "exchange".to_owned(), code: code.to_owned() }
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
            Cause::of(&object, &Filter::default(), hour(99)).expect("a cause")
        };
        let (one, newest) = of(vec![problem("exchange", "A", 3), problem("SharePoint", "B", 4)]);
        let (other, _) = of(vec![problem("exchange", "A", 5), problem("SharePoint", "B", 4)]);
        assert_eq!((&one, newest), (&other, Some(hour(4))));
        assert_eq!((&*one.service, &*one.code), ("SharePoint+exchange", "A+B"));
        let fine = Object {
            problems: vec![Problem { resolved: Some(true), ..Problem::default() }],
            ..Object::default()
        };
        assert_eq!(Cause::of(&fine, &Filter::default(), hour(99)), None);
    }

    #[test]
    fn a_failure_is_told_once_and_an_unprocessed_retry_is_none() {
        let mut night = Night::new(History::default(), POLICY);
        assert_eq!(night.meets("U", &cause("A"), Some(hour(0)), hour(10)), Worth::New);
        night.accepted("u", &cause("A"), hour(10));
        // Not processed yet: the error is older than the retry.
        assert_eq!(night.meets("u", &cause("A"), Some(hour(0)), hour(20)), Worth::Cooling);
        assert_eq!(night.failing, Judged::default());
        // Processed, and failed again: news, once.
        assert_eq!(night.meets("u", &cause("A"), Some(hour(11)), hour(34)), Worth::Again);
        assert_eq!(night.failing, Judged { news: 1, known: 0 });
        night.accepted("u", &cause("A"), hour(34));
        assert_eq!(night.meets("u", &cause("A"), Some(hour(35)), hour(58)), Worth::Again);
        assert_eq!(night.failing, Judged { news: 1, known: 1 });
        // For another cause: news, and worth a retry at once.
        night.accepted("u", &cause("A"), hour(58));
        assert_eq!(night.meets("u", &cause("B"), Some(hour(59)), hour(60)), Worth::New);
        assert_eq!(night.failing, Judged { news: 2, known: 1 });
        assert_eq!(night.news, BTreeMap::from([(cause("A"), 1), (cause("B"), 1)]));
    }

    #[test]
    fn whoever_fails_in_the_first_night_without_a_memory_is_known_even_if_not_retried() {
        let mut night = Night::new(History::baseline(), POLICY);
        assert_eq!(night.meets("u", &cause("A"), Some(hour(0)), hour(10)), Worth::New);
        night.over();
        let mut file = Vec::new();
        night.history().write(&mut file).expect("memory");
        let mut next = Night::new(History::read(&file[..]).expect("read back"), POLICY);
        assert_eq!(next.meets("u", &cause("A"), Some(hour(0)), hour(34)), Worth::New);
        next.accepted("u", &cause("A"), hour(34));
        next.meets("u", &cause("A"), Some(hour(35)), hour(58));
        assert_eq!(next.failing, Judged { news: 0, known: 1 });
    }

    #[test]
    fn a_retry_is_recalled_once_and_a_baseline_keeps_it() {
        let mut night = Night::new(History::baseline(), POLICY);
        assert!(night.recalls("U", &cause("A"), hour(10), hour(9)));
        assert!(!night.recalls("u", &cause("A"), hour(10), hour(9)), "counted already");
        assert_eq!(night.meets("u", &cause("A"), Some(hour(0)), hour(12)), Worth::Cooling);
        assert!(night.recalls("u", &cause("A"), hour(40), hour(39)), "another run");
        assert_eq!(night.history().entry("u").map(|entry| entry.tries), Some(2));
        assert_eq!(night.meets("u", &cause("A"), Some(hour(41)), hour(62)), Worth::Again);
        assert_eq!(night.failing, Judged { news: 0, known: 1 }, "a baseline has no news");
    }

    #[test]
    fn what_is_given_up_unprocessed_is_told_and_what_is_gone_is_forgotten() {
        let mut night = Night::new(History::default(), POLICY);
        for number in 0..5 {
            let now = hour(number * 24);
            assert!(night.meets("never", &cause("A"), Some(hour(-9)), now).is_retried());
            night.accepted("never", &cause("A"), now);
        }
        night.accepted("gone", &cause("A"), hour(96));
        assert_eq!(night.failing, Judged::default());
        assert_eq!(night.meets("never", &cause("A"), Some(hour(-9)), hour(120)), Worth::GivenUp);
        assert_eq!(night.failing, Judged { news: 1, known: 0 });
        assert_eq!(night.over(), 1, "one was cleared");
        assert_eq!(night.history().len(), 1);
        assert_eq!(night.refused("no", &cause("A"), hour(120)), Known::News);
        assert_eq!(night.refused("no", &cause("A"), hour(144)), Known::Known);
        night.untold();
        assert_eq!(night.refused("no", &cause("A"), hour(168)), Known::News);
    }
}
