//! Words and lengths of time for people.

use std::time::Duration;

use crate::catalogue;
use crate::model::Reason;

/// Which requests are counted, where not all have led to a record.
pub(super) const COUNTED: &str = "for finished rows, over all invocations";

/// Which requests the limits met.
pub(super) const THIS_INVOCATION: &str = "this invocation, unfinished rows included";

/// What a reason means, in a few words.
pub fn cause(reason: Reason) -> &'static str {
    &catalogue::of_reason(reason).title
}

/// What to do about it.
pub fn next_step(reason: Reason) -> &'static str {
    &catalogue::of_reason(reason).next
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

/// Formats seconds from a file like [`human`]. A value that cannot be a length of time, because the file was edited, counts as zero.
pub(super) fn human_s(seconds: f64) -> String {
    human(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// `412 ms`, `1.4 s`, then as [`human`].
pub(super) fn human_millis(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{:.1} s", millis as f64 / 1_000.0),
        _ => human(Duration::from_millis(millis)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([1.2, -1.0, 1e300, f64::NAN].map(human_s), ["2 s", "0 s", "0 s", "0 s"]);
        assert_eq!(
            [0.2, 60.0, 150.0, 3_900.0].map(|s| human(Duration::from_secs_f64(s))),
            ["1 s", "1 min", "2 min 30 s", "1 h 5 min"]
        );
    }
}
