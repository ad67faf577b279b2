//! What became of an accepted object. Pure; times are the service's own.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::object::{Object, Problem};

/// An acceptance, as far as it decides.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// When the accepted request left, by the service's clock.
    pub at: Timestamp,
    /// [`cause_key`] of the error that stood on the object before, where the input told it.
    pub had: Option<u32>,
}

/// A code as a number, without case; `None` for an empty one.
pub fn cause_key(code: &str) -> Option<u32> {
    let fnv = |key: u32, byte: u8| (key ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193);
    (!code.is_empty()).then(|| code.bytes().fold(0x811c_9dc5, fnv))
}

/// In the words of `verified.csv` (`docs/closed-loop.md#verdicts`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Errors stood on it and all are resolved.
    Cleared,
    /// The error is older than the acceptance: not processed yet.
    Pending,
    /// The error is newer than the acceptance: the service tried and failed for the same cause.
    FailedAgain,
    /// The service tried and failed for another cause.
    Changed,
    /// No error stood on it.
    NoError,
    /// It is not in the tenant any more.
    Gone,
    /// It could not be read.
    Unread,
}

impl Verdict {
    /// All of them, in the order of a summary.
    pub const ALL: [Self; 7] = [
        Self::Cleared,
        Self::Pending,
        Self::FailedAgain,
        Self::Changed,
        Self::NoError,
        Self::Gone,
        Self::Unread,
    ];

    /// As it stands in `verified.csv`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cleared => "cleared",
            Self::Pending => "pending",
            Self::FailedAgain => "failed_again",
            Self::Changed => "changed",
            Self::NoError => "no_error",
            Self::Gone => "gone",
            Self::Unread => "unread",
        }
    }

    /// Whether an error remains, or may.
    pub fn remains(self) -> bool {
        matches!(self, Self::Pending | Self::FailedAgain | Self::Changed | Self::Unread)
    }

    /// Whether the service tried again and failed.
    pub fn failed(self) -> bool {
        matches!(self, Self::FailedAgain | Self::Changed)
    }
}

/// Judges an object as it was read; `None`: it is not there. With the error that decided.
pub fn verdict(object: Option<&Object>, accepted: Accepted) -> (Verdict, Option<&Problem>) {
    let Some(object) = object else { return (Verdict::Gone, None) };
    let Some((problem, _)) = object.unresolved() else {
        let had_one = !object.problems.is_empty() || accepted.had.is_some();
        return (if had_one { Verdict::Cleared } else { Verdict::NoError }, None);
    };
    // Errors are stamped to the second, and an error of the same second is an answer to us.
    let newer = problem.since.is_some_and(|since| since.as_second() >= accepted.at.as_second());
    let other = accepted.had.is_some() && accepted.had != cause_key(&problem.code);
    let verdict = match (newer, other) {
        (false, _) => Verdict::Pending,
        (true, false) => Verdict::FailedAgain,
        (true, true) => Verdict::Changed,
    };
    (verdict, Some(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn object(problems: &[(&str, Option<i64>, bool)]) -> Object {
        let problem = |(code, since, resolved): &(&str, Option<i64>, bool)| Problem {
            code: (*code).to_owned(),
            since: since.map(at),
            resolved: *resolved,
            ..Problem::default()
        };
        Object { problems: problems.iter().map(problem).collect(), ..Object::default() }
    }

    #[test]
    fn every_verdict_has_its_cases() {
        let (old, new) = (Some(90), Some(110));
        type Case<'a> = (&'a [(&'a str, Option<i64>, bool)], Option<&'a str>, Verdict);
        let cases: [Case<'_>; 14] = [
            (&[], None, Verdict::NoError),
            (&[], Some(""), Verdict::NoError),
            (&[], Some("A"), Verdict::Cleared),
            (&[("A", old, true)], None, Verdict::Cleared),
            (&[("A", new, true)], Some("A"), Verdict::Cleared),
            (&[("A", old, false)], None, Verdict::Pending),
            (&[("A", old, false)], Some("B"), Verdict::Pending),
            (&[("A", None, false)], Some("A"), Verdict::Pending),
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
            assert_eq!(verdict(Some(&object), accepted).0, expected, "{problems:?} {code:?}");
        }
        assert_eq!(verdict(None, Accepted { at: at(100), had: None }).0, Verdict::Gone);
    }

    #[test]
    fn what_remains_and_what_failed_is_counted_by_verdict() {
        use Verdict::{Changed, FailedAgain, Pending, Unread};
        let of = |holds: fn(Verdict) -> bool| Verdict::ALL.into_iter().filter(move |verdict| holds(*verdict));
        assert_eq!(of(Verdict::remains).collect::<Vec<_>>(), [Pending, FailedAgain, Changed, Unread]);
        assert_eq!(of(Verdict::failed).collect::<Vec<_>>(), [FailedAgain, Changed]);
    }
}
