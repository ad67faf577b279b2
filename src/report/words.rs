//! Words and numbers for people.

use std::time::Duration;

use crate::model::Reason;

/// Stands wherever `accepted` is counted for people.
pub const ACCEPTED_MEANS: &str = "accepted: Microsoft 365 took the request; whether the error is gone is known in \
5–30 minutes, at times 24 hours";

/// What a reason means.
pub fn cause(reason: Reason) -> &'static str {
    match reason {
        Reason::NotFound => "not found in this tenant",
        Reason::NoPermission => "not permitted",
        Reason::Unauthorized => "the token was refused",
        Reason::BadRequest => "bad request",
        Reason::Refused => "refused",
        Reason::GaveUp => "no success within the tries",
        Reason::ThrottledOut => "throttled again and again",
        Reason::Busy => "busy",
        Reason::NotGraph => "the answer did not come from Graph",
        Reason::EmptyId => "no id",
        Reason::BadId => "not an id",
        Reason::BrokenRow => "unreadable row",
        Reason::SameId => "same id as an earlier row",
    }
}

/// What to do about it.
pub fn next_step(reason: Reason) -> &'static str {
    match reason {
        Reason::NotFound => "check the id: deleted, or from another tenant?",
        Reason::NoPermission => {
            "the app needs User.ManageIdentities.All; protected accounts need a stronger role"
        }
        Reason::Unauthorized => "sign in again",
        Reason::BadRequest | Reason::Refused => "read the message",
        Reason::GaveUp | Reason::ThrottledOut | Reason::Busy => "run failed.csv again later",
        Reason::NotGraph => "look at the proxy or the network's sign-in page",
        Reason::EmptyId => "fill in the id",
        Reason::BadId => "correct the id: an object id or a sign-in name",
        Reason::BrokenRow => "look at the line: mostly a quote too many",
        Reason::SameId => "nothing: the earlier row has the answer",
    }
}

/// `2,981`
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `41 s`, `2 min 30 s`, `1 h 5 min`
pub fn human(time: Duration) -> String {
    let seconds = time.as_secs_f64().ceil() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.2, 60.0, 150.0, 3_900.0].map(|s| human(Duration::from_secs_f64(s))),
            ["1 s", "1 min", "2 min 30 s", "1 h 5 min"]
        );
    }
}
