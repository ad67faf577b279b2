//! Values as people write them: durations, rates, shares.

use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use jiff::{Span, SpanRelativeTo};

use crate::model::{CLOUDS, Cloud, LogFormat, MaxFailures, ObjectKind, Priority, RateLimit, Shard};

/// The index, from 0, that Kubernetes gives a pod of an indexed job.
const JOB_INDEX: &str = "JOB_COMPLETION_INDEX";

impl ValueEnum for Cloud {
    fn value_variants<'a>() -> &'a [Self] {
        &CLOUDS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name))
    }
}

impl ValueEnum for LogFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Text, Self::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Text => "text",
            Self::Json => "json",
        }))
    }
}

impl FromStr for MaxFailures {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is not a number of users or a share: such as 40, 5% or 0.05");
        if let Ok(count) = text.parse::<u64>() {
            return Ok(Self::Count(count));
        }
        let share = match text.strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().map_err(|_| expected())? / 100.0,
            None => text.parse::<f64>().map_err(|_| expected())?,
        };
        if (0.0..=1.0).contains(&share) { Ok(Self::Share(share)) } else { Err(expected()) }
    }
}

impl ValueEnum for ObjectKind {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Users, Self::Groups, Self::Contacts]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.plural()))
    }
}

impl ValueEnum for Priority {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Low, Self::Normal, Self::High]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

/// Longest duration that a flag takes, in seconds: 365 days.
const MAX_DURATION_SECS: u64 = 365 * 86_400;

/// Reads a duration from 1 second to 365 days, such as `30s`, `5m`, `2h`, `1d` or `1h30m`. A day is 24 hours.
///
/// # Errors
/// Says what was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let exact = text.parse::<Span>().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    let exact = exact.map_err(|_| format!("{text:?} is not a duration: such as 30s, 5m, 2h or 1d"))?;
    match Duration::try_from(exact) {
        Ok(duration) if (1..=MAX_DURATION_SECS).contains(&duration.as_secs()) => Ok(duration),
        _ => Err(format!("{text:?} is out of range: 1s to 365d")),
    }
}

/// `16`, `16/s`: at most; `fixed:16`: exactly.
///
/// # Errors
/// Says what was expected.
pub fn rate(text: &str) -> Result<RateLimit, String> {
    match text.strip_prefix("fixed:") {
        Some(bare) => Ok(RateLimit { per_second: per_second(bare)?, fixed: true }),
        None => Ok(RateLimit { per_second: per_second(text)?, fixed: false }),
    }
}

/// `16`, `16/s`.
///
/// # Errors
/// Says what was expected.
pub fn per_second(text: &str) -> Result<f64, String> {
    match text.strip_suffix("/s").unwrap_or(text).parse::<f64>() {
        Ok(rate) if (0.01..=1_000_000.0).contains(&rate) => Ok(rate),
        _ => {
            Err(format!("{text:?} is not a rate: writes per second from 0.01 to 1000000, such as 16 or 16/s"))
        }
    }
}

/// A number of users that is worth a call.
pub(super) fn some_users(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err(format!("{text:?} is not a number of users, 1 or more")),
    }
}

/// Named delimiters or one character.
pub(super) fn delimiter(text: &str) -> Result<u8, String> {
    match text {
        "comma" => Ok(b','),
        "semicolon" => Ok(b';'),
        "tab" => Ok(b'\t'),
        "pipe" => Ok(b'|'),
        _ => match text.as_bytes() {
            [one] if one.is_ascii_graphic() && *one != b'"' => Ok(*one),
            _ => Err(format!("{text:?} is not a delimiter: comma, semicolon, tab, pipe or one character")),
        },
    }
}

/// `2/4`, or `4` and the index that Kubernetes gives.
///
/// # Errors
/// Says what was expected.
pub(super) fn shard(text: &str) -> Result<Shard, String> {
    let index = std::env::var(JOB_INDEX).ok().filter(|index| !index.is_empty());
    shard_of(text, index.as_deref())
}

fn shard_of(text: &str, job_index: Option<&str>) -> Result<Shard, String> {
    let Ok(of) = text.parse::<u32>() else { return text.parse() };
    let Some(index) = job_index else {
        return Err(format!("{text:?}: which of them? Such as 1/{text}; {JOB_INDEX} is not set"));
    };
    let shard = index.parse::<u32>().ok().and_then(|index| Shard::new(index.checked_add(1)?, of));
    shard.ok_or_else(|| {
        format!("{text:?}: {JOB_INDEX} is {index:?}, and must be from 0 to one less than that")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("1s", 1),
            ("30s", 30),
            ("5m", 300),
            ("2h", 7_200),
            ("1d", 86_400),
            ("365d", 31_536_000),
            ("1h30m", 5_400),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "5", "m", "-5s", "0s", "0.5s", "99999999999999999999s", "366d", "400d", "1mo", "1y"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        let at_most = Ok(RateLimit { per_second: 16.0, fixed: false });
        assert_eq!((rate("16"), rate("16/s")), (at_most.clone(), at_most));
        assert_eq!(rate("fixed:0.5/s"), Ok(RateLimit { per_second: 0.5, fixed: true }));
        assert_eq!(rate("fixed:1000000"), Ok(RateLimit { per_second: 1e6, fixed: true }));
        for bad in ["0", "-1", "NaN", "inf", "fast", "1e9", "1000000.5", "fixed:", "fixed:0"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        let shard = |text, index| shard_of(text, index).map(|shard| shard.to_string());
        assert_eq!(shard("2/4", Some("9")).as_deref(), Ok("2/4"));
        assert_eq!(shard("4", Some("0")).as_deref(), Ok("1/4"));
        for (bad, index) in [("4", None), ("4", Some("4")), ("4", Some("x")), ("0", Some("0")), ("5/4", None)]
        {
            assert!(shard(bad, index).is_err(), "{bad} {index:?}");
        }
        assert_eq!("5%".parse(), Ok(MaxFailures::Share(0.05)));
        assert_eq!("0.05".parse(), Ok(MaxFailures::Share(0.05)));
        assert_eq!("40".parse(), Ok(MaxFailures::Count(40)));
        assert!("500%".parse::<MaxFailures>().is_err());
    }
}
