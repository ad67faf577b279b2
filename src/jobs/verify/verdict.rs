//! The verdict about an accepted object. A pure function; times are those of the service.

use jiff::Timestamp;

use crate::model::Verdict;
use crate::scan::{Object, Problem};

/// Why an unresolved error decides nothing.
const NO_TIME: &str = "the time of an unresolved error (createdDateTime) is missing or cannot be read, so it is not known whether the error is newer than the acceptance";
const NOT_TOLD: &str = "an error does not tell whether it is resolved (isResolved)";

/// An acceptance, as far as it decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    /// When the accepted request left, by the service's clock.
    pub(crate) at: Timestamp,
    /// [`cause_key`] of the error before the retry, if the input has it.
    pub(crate) had: Option<u32>,
}

/// A code as a number, without case; `None` for an empty one.
pub(crate) fn cause_key(code: &str) -> Option<u32> {
    let fnv = |key: u32, byte: u8| (key ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193);
    (!code.is_empty()).then(|| code.bytes().fold(0x811c_9dc5, fnv))
}

/// A verdict with what decided it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judgment<'a> {
    /// The verdict.
    pub(crate) verdict: Verdict,
    /// The error that decided.
    pub(crate) problem: Option<&'a Problem>,
    /// Why it is not known what became of the object; empty for all verdicts but `unread`.
    pub(crate) unread: &'static str,
}

/// Judges an object as it was read; `None`: it is not there. What cannot be known is `unread` and never
/// `cleared`.
pub(crate) fn verdict(object: Option<&Object>, accepted: Accepted) -> Judgment<'_> {
    let of = |verdict, problem| Judgment { verdict, problem, unread: "" };
    let Some(object) = object else { return of(Verdict::Gone, None) };
    let open = || object.problems.iter().filter(|problem| problem.is_open());
    // Errors are stamped to the second, and an error of the same second is an answer to us.
    let newer = |problem: &&Problem| {
        problem.resolved == Some(false)
            && problem.since.is_some_and(|since| since.as_second() >= accepted.at.as_second())
    };
    if let Some(problem) = open().filter(newer).max_by_key(|problem| problem.since) {
        let other = accepted.had.is_some() && accepted.had != cause_key(&problem.code);
        return of(if other { Verdict::Changed } else { Verdict::FailedAgain }, Some(problem));
    }
    let without_time = open().find(|problem| problem.since.is_none());
    let undecided = open().find(|problem| problem.resolved.is_none());
    let unread = match (object.unknown, without_time, undecided) {
        (Some(unknown), ..) => Some((unknown.sentence(), None)),
        (None, Some(problem), _) => Some((NO_TIME, Some(problem))),
        (None, None, Some(problem)) => Some((NOT_TOLD, Some(problem))),
        (None, None, None) => None,
    };
    if let Some((unread, problem)) = unread {
        return Judgment { verdict: Verdict::Unread, problem, unread };
    }
    match open().max_by_key(|problem| problem.since) {
        Some(problem) => of(Verdict::Pending, Some(problem)),
        None if object.problems.is_empty() && accepted.had.is_none() => of(Verdict::NoError, None),
        None => of(Verdict::Cleared, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Unknown;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn object(problems: &[(&str, Option<i64>, bool)]) -> Object {
        let problem = |(code, since, resolved): &(&str, Option<i64>, bool)| Problem {
            code: (*code).to_owned(),
            since: since.map(at),
            resolved: Some(*resolved),
            ..Problem::default()
        };
        Object { problems: problems.iter().map(problem).collect(), ..Object::default() }
    }

    #[test]
    fn every_verdict_has_its_cases() {
        let (old, new) = (Some(90), Some(110));
        type Case<'a> = (&'a [(&'a str, Option<i64>, bool)], Option<&'a str>, Verdict);
        let cases: [Case<'_>; 16] = [
            (&[], None, Verdict::NoError),
            (&[], Some(""), Verdict::NoError),
            (&[], Some("A"), Verdict::Cleared),
            (&[("A", old, true)], None, Verdict::Cleared),
            (&[("A", new, true)], Some("A"), Verdict::Cleared),
            (&[("A", old, false)], None, Verdict::Pending),
            (&[("A", old, false)], Some("B"), Verdict::Pending),
            (&[("A", None, false)], Some("A"), Verdict::Unread),
            (&[("A", None, true)], Some("A"), Verdict::Cleared),
            (&[("A", None, false), ("A", new, false)], Some("A"), Verdict::FailedAgain),
            (&[("A", new, false)], None, Verdict::FailedAgain),
            (&[("a", new, false)], Some("A"), Verdict::FailedAgain),
            (&[("A", Some(100), false)], Some("A"), Verdict::FailedAgain),
            (&[("B", new, false)], Some("A"), Verdict::Changed),
            (&[("A", old, false), ("B", new, false)], Some("A"), Verdict::Changed),
            (&[("A", old, true), ("A", old, false)], Some("A"), Verdict::Pending),
        ];
        for (problems, code, expected) in cases {
            // Sent within the second in which an answer may already stand.
            let accepted = Accepted {
                at: Timestamp::from_millisecond(100_900).expect("a time"),
                had: code.and_then(cause_key),
            };
            let object = object(problems);
            assert_eq!(verdict(Some(&object), accepted).verdict, expected, "{problems:?} {code:?}");
        }
        assert_eq!(verdict(None, Accepted { at: at(100), had: None }).verdict, Verdict::Gone);
    }

    #[test]
    fn what_is_not_known_is_unread_and_never_cleared() {
        let accepted = Accepted { at: at(100), had: cause_key("A") };
        let judged = |object: &Object| {
            (verdict(Some(object), accepted).verdict, !verdict(Some(object), accepted).unread.is_empty())
        };
        for unknown in [Unknown::Absent, Unknown::Unreadable].map(Some) {
            for problems in [&[][..], &[("A", Some(90), true)], &[("A", Some(90), false)]] {
                let object = Object { unknown, ..object(problems) };
                assert_eq!(judged(&object), (Verdict::Unread, true), "{object:?}");
            }
            let failed = Object { unknown, ..object(&[("A", Some(110), false)]) };
            assert_eq!(judged(&failed), (Verdict::FailedAgain, false), "what is seen is sure");
        }
        let mut undecided = object(&[("A", Some(110), false)]);
        undecided.problems[0].resolved = None;
        assert_eq!(judged(&undecided), (Verdict::Unread, true));
    }

    #[test]
    fn what_remains_and_what_failed_is_counted_by_verdict() {
        use Verdict::{Changed, FailedAgain, Pending, Unread};
        let of = |holds: fn(Verdict) -> bool| Verdict::ALL.into_iter().filter(move |verdict| holds(*verdict));
        assert_eq!(of(Verdict::remains).collect::<Vec<_>>(), [Pending, FailedAgain, Changed, Unread]);
        assert_eq!(of(Verdict::failed).collect::<Vec<_>>(), [FailedAgain, Changed]);
    }
}
