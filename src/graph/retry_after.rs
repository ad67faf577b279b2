//! Reads the wait that the service asks for from headers and message. A pure function, except for a line in
//! the log.

use std::time::{Duration, SystemTime};

use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, HeaderMap};

use crate::model::sanitize;

/// Longest wait in seconds. Longer ones count as absent (`docs/graph.md#throttled-answers`).
const LONGEST_SECS: f64 = 24.0 * 3600.0;
/// Headers that announce a wait, and how many seconds a bare number in them is worth.
const HEADERS: [(&str, f64); 3] =
    [("retry-after", 1.0), ("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001)];
/// Characters between the values of a list, and before parameters and comments.
const SEPARATORS: [char; 4] = [',', ';', '(', ')'];
/// Words of a message that announce a wait.
const LEADS: [&str; 4] = ["after", "in", "retry-after", "wait"];
/// Words before a lead that make its time one that has passed: "timed out after 30 seconds", "100 requests in
/// 60 seconds".
const PASSED: [&str; 16] = [
    "aborted",
    "calls",
    "canceled",
    "cancelled",
    "closed",
    "completed",
    "executed",
    "expired",
    "failed",
    "generated",
    "out",
    "requests",
    "respond",
    "response",
    "stopped",
    "timeout",
];
/// Words that may stand between a lead and its number.
const FILLERS: [&str; 8] = ["about", "another", "approximately", "at", "for", "least", "the", "next"];
/// Words of a message that one duration has at most: "1 hour 30 minutes 15 seconds".
const DURATION_WORDS: usize = 6;
/// Longest part, in characters, of an unreadable value that is logged.
const MAX_LOGGED: usize = 60;

/// The announced wait, counted from receipt: the largest of all forms given. `None`: absent, zero or
/// unreadable.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let told = headers.get(DATE).and_then(|value| moment(value.to_str().ok()?));
    let clock = || told.or_else(|| Timestamp::try_from(now).ok());
    let given = HEADERS.iter().flat_map(|(name, unit)| {
        headers
            .get_all(*name)
            .iter()
            .map(move |value| (name, *unit, String::from_utf8_lossy(value.as_bytes())))
    });
    let waits = given.filter_map(|(name, unit, text)| {
        let wait = values(&text).filter_map(|value| wait(&value, unit, clock)).max();
        if wait.is_none() && text.contains(|c: char| c != '0' && !c.is_whitespace()) {
            let value = sanitize(&text, MAX_LOGGED);
            tracing::warn!(header = name, value, "counts as absent: unreadable or longer than 24 hours");
        }
        wait
    });
    waits.max()
}

/// The whole text, each value of it as a list, and each two neighbours: a date holds a comma.
fn values(text: &str) -> impl Iterator<Item = String> {
    let is_around = |c: char| c.is_whitespace() || "\"'".contains(c);
    // A unit that is cut short may end with a full stop.
    let one = |text: &str| text.trim_matches(is_around).trim_end_matches('.').to_owned();
    let parts: Vec<_> = text.split(SEPARATORS).collect();
    let pairs = parts.windows(2).map(|pair| one(&pair.join(",")));
    let all: Vec<_> =
        [one(text)].into_iter().chain(parts.iter().map(|part| one(part))).chain(pairs).collect();
    all.into_iter()
}

/// One value: a number of `unit` seconds, a duration with its own unit, or a date.
fn wait(value: &str, unit: f64, clock: impl Fn() -> Option<Timestamp>) -> Option<Duration> {
    if value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return bounded(value.parse::<f64>().ok()? * unit);
    }
    if let Ok(duration) = value.to_ascii_lowercase().parse::<SignedDuration>() {
        return bounded(duration.as_secs_f64());
    }
    // Measured from the clock of the service if the response has a `Date`. A time in the past gives one
    // second.
    bounded(moment(value)?.duration_since(clock()?).as_secs_f64().max(1.0))
}

/// A time as services write it, in any case: RFC 9110, RFC 2822 with any zone, RFC 850, asctime, ISO 8601.
/// Without a zone it is taken for UTC, as all dates of HTTP are.
fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim().to_ascii_uppercase();
    let bare =
        ["UTC", "GMT", "UT", "Z"].into_iter().find_map(|zone| text.strip_suffix(zone)).map(str::trim_end);
    let utc = |time: DateTime| TimeZone::UTC.to_timestamp(time).ok();
    let civil = bare.unwrap_or(&text);
    if let Some(time) = text.parse().ok().or_else(|| utc(civil.parse().ok()?)) {
        return Some(time);
    }
    if let Ok(time) = DateTime::strptime("%a %b %d %H:%M:%S %Y", civil) {
        return utc(time);
    }
    // The day of the week adds nothing and may be missing; RFC 850 writes it out and joins the date with
    // hyphens.
    let date = civil.split_once(',').map_or(civil, |(_, date)| date);
    let (day, rest) = date.trim_start().split_once(' ')?;
    let zone = if bare.is_some() { " +0000" } else { "" };
    rfc2822::DateTimeParser::new().parse_timestamp(format!("{} {rest}{zone}", day.replace('-', " "))).ok()
}

/// The largest wait in a message: "Please try after N seconds", "again in 2 minutes".
pub(super) fn in_message(message: &str) -> Option<Duration> {
    let lower = message.to_ascii_lowercase().replace("(s)", "s");
    // A comma inside a number is one of thousands; any other ends a word.
    let words: Vec<_> = lower
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-').replace(',', ""))
        .filter(|word| !word.is_empty() && word != "and")
        .collect();
    let is_past = |at: usize| at > 0 && PASSED.contains(&&*words[at - 1]);
    let leads = (0..words.len()).filter(|at| LEADS.contains(&&*words[*at]) && !is_past(*at));
    let waits = leads.filter_map(|at| {
        let rest = words[at + 1..].iter().map(|word| &**word).skip_while(|word| FILLERS.contains(word));
        let rest = rest.map(|word| if matches!(word, "a" | "an" | "one") { "1" } else { word });
        let rest: Vec<_> = rest.take(DURATION_WORDS).collect();
        let duration = |words| rest[..words].join(" ").parse::<SignedDuration>().ok();
        bounded((1..=rest.len()).rev().find_map(duration)?.as_secs_f64())
    });
    waits.max()
}

/// Rounded up to a millisecond, never down. `None`: not positive, or too long.
fn bounded(seconds: f64) -> Option<Duration> {
    (seconds > 0.0 && seconds <= LONGEST_SECS)
        .then(|| Duration::from_millis((seconds * 1000.0 - 1e-6).ceil().max(1.0) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE_IN_HEADER: &str = "Mon, 23 Nov 2026 21:00:00 GMT";

    /// The wait in milliseconds that headers ask for, on a machine whose clock is ten minutes ahead of the
    /// service's.
    fn millis(given: &[(&'static str, &str)]) -> Option<u128> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().expect("a value"));
        }
        let now = moment(DATE_IN_HEADER).expect("a date") + Duration::from_secs(600);
        retry_after(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_second().unsigned_abs()))
            .map(|wait| wait.as_millis())
    }

    #[test]
    fn a_number_is_read_as_seconds_and_never_shortened() {
        let far = "9".repeat(400);
        for (value, expected) in [
            ("1", Some(1_000)),
            ("150", Some(150_000)),
            ("2.128", Some(2_128)),
            ("0.1241", Some(125)),
            (" 5 ", Some(5_000)),
            ("\"5\"", Some(5_000)),
            ("'5'", Some(5_000)),
            ("0.0000000001", Some(1)),
            ("86400", Some(86_400_000)),
            ("86401", None),
            ("99999999999", None),
            (&far, None),
            ("0", None),
            ("0.0", None),
            ("", None),
            ("-5", None),
            ("+5", None),
            ("1e9", None),
            ("inf", None),
            ("nan", None),
            ("0x10", None),
            ("1.2.3", None),
            ("soon", None),
            ("\u{ff15}", None),
        ] {
            assert_eq!(millis(&[("retry-after", value)]), expected, "{value}");
        }
    }

    #[test]
    fn lists_units_and_parameters_are_read_and_the_largest_counts() {
        for (value, seconds) in [
            ("30,120", 120.0),
            ("120, 30", 120.0),
            ("30, soon", 30.0),
            ("30, 999999", 30.0),
            ("30; comment", 30.0),
            ("5;foo=bar", 5.0),
            ("18000;duration=3600", 18_000.0),
            ("120 (maintenance)", 120.0),
            ("\"5\"; x", 5.0),
            ("\"5\", \"7\"", 7.0),
            ("5s", 5.0),
            ("5 s", 5.0),
            ("5S", 5.0),
            ("5 sec", 5.0),
            ("5 sec.", 5.0),
            ("\"5 min.\"", 300.0),
            ("5 Seconds", 5.0),
            ("2.5s", 2.5),
            ("500ms", 0.5),
            ("2m", 120.0),
            ("2 min", 120.0),
            ("2 minutes", 120.0),
            ("1h", 3_600.0),
            ("1h 30m", 5_400.0),
            ("24 hours", 86_400.0),
            ("PT5M", 300.0),
            ("5s, 2m", 120.0),
            ("2m, 5s, 3m", 180.0),
            ("7, Mon, 23 Nov 2026 21:00:05 GMT", 7.0),
            ("Mon, 23 Nov 2026 21:00:05 GMT, Mon, 23 Nov 2026 21:00:09 GMT", 9.0),
            ("Mon, 23 Nov 2026 21:00:05 GMT; maintenance", 5.0),
        ] {
            let given = [("retry-after", value), ("date", DATE_IN_HEADER)];
            assert_eq!(millis(&given), Some((seconds * 1000.0) as u128), "{value}");
        }
        for unreadable in
            ["25h", "1441 minutes", "-5s", "5 apples", "5s ago", ",", ";", "()", "5 years", "PT"]
        {
            assert_eq!(millis(&[("retry-after", unreadable)]), None, "{unreadable}");
        }
    }

    #[test]
    fn dates_of_every_form_count_from_the_services_clock() {
        let date = ("date", DATE_IN_HEADER);
        for value in [
            "Mon, 23 Nov 2026 21:00:30 GMT",
            "Mon, 23 Nov 2026 21:00:30 UTC",
            "Mon, 23 Nov 2026 21:00:30 Z",
            "mon, 23 nov 2026 21:00:30 gmt",
            "MON, 23 NOV 2026 21:00:30 GMT",
            "Mon, 23 Nov 2026 21:00:30 +0000",
            "Mon, 23 Nov 2026 22:00:30 +0100",
            "Mon, 23 Nov 2026 13:00:30 -0800",
            "Mon, 23 Nov 2026 16:00:30 EST",
            "Sun, 23 Nov 2026 21:00:30 GMT",
            "\"Mon, 23 Nov 2026 21:00:30 GMT\"",
            "Mon, 23 Nov 26 21:00:30 GMT",
            "Monday, 23-Nov-26 21:00:30 GMT",
            "monday, 23-nov-26 21:00:30 gmt",
            "Mon, 23-Nov-2026 21:00:30 GMT",
            "23 Nov 2026 21:00:30 GMT",
            "23 nov 2026 22:00:30 +0100",
            "Mon Nov 23 21:00:30 2026",
            "mon nov 23 21:00:30 2026",
            "2026-11-23T21:00:30Z",
            "2026-11-23t21:00:30z",
            "2026-11-23T21:00:30.000Z",
            "2026-11-23T22:00:30+01:00",
            "2026-11-23 21:00:30Z",
            "2026-11-23 21:00:30 UTC",
            "2026-11-23T21:00:30",
        ] {
            assert_eq!(millis(&[("retry-after", value), date]), Some(30_000), "{value}");
            assert_eq!(millis(&[("retry-after", "30"), ("date", value)]), Some(30_000), "{value}");
        }
        let later = "Mon, 23 Nov 2026 21:10:30 GMT";
        assert_eq!(millis(&[("retry-after", later)]), Some(30_000), "without its clock by ours");
        assert_eq!(
            millis(&[("retry-after", later), ("date", "mon, 23 nov 2026 21:10:20 utc")]),
            Some(10_000)
        );
        for past in ["Mon, 23 Nov 2026 20:00:30 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"] {
            assert_eq!(millis(&[("retry-after", past), date]), Some(1_000), "{past}");
        }
        for far in [
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Tue, 24 Nov 2026 21:00:01 GMT",
            "Mon, 32 Nov 2026 21:00:30 GMT",
        ] {
            assert_eq!(millis(&[("retry-after", far), date]), None, "{far}");
        }
    }

    #[test]
    fn the_largest_of_all_headers_counts() {
        type Given<'a> = &'a [(&'static str, &'a str)];
        let cases: [(Given<'_>, Option<u128>); 8] = [
            (&[("retry-after", "3"), ("retry-after", "7")], Some(7_000)),
            (&[("retry-after-ms", "1500")], Some(1_500)),
            (&[("retry-after-ms", "1500"), ("retry-after-ms", "2500")], Some(2_500)),
            (&[("x-ms-retry-after-ms", "1500"), ("x-ms-retry-after-ms", "9000")], Some(9_000)),
            (&[("x-ms-retry-after-ms", "1500, 9000")], Some(9_000)),
            (&[("x-ms-retry-after-ms", "5s"), ("retry-after", "4")], Some(5_000)),
            (&[("retry-after", "1"), ("x-ms-retry-after-ms", "soon")], Some(1_000)),
            (&[], None),
        ];
        for (given, expected) in cases {
            assert_eq!(millis(given), expected, "{given:?}");
        }
    }

    #[test]
    fn a_wait_may_stand_in_the_message_only() {
        for (message, seconds) in [
            ("Your request is throttled temporarily. Please try after 17 seconds.", 17.0),
            ("Try again in 5 seconds.", 5.0),
            ("Please retry after 2 minutes", 120.0),
            ("Retry in 1 minute!", 60.0),
            ("try again in an hour", 3_600.0),
            ("Try again in a minute.", 60.0),
            ("after 2.5 seconds", 2.5),
            ("after 1.5 minutes,", 90.0),
            ("Retry after 30s.", 30.0),
            ("Retry after: 500 ms", 0.5),
            ("retry after 1,200 seconds", 1_200.0),
            ("in 1 minute and 30 seconds", 90.0),
            ("Please wait at least 45 seconds.", 45.0),
            ("Please wait for 45 seconds.", 45.0),
            ("Retry after lunch, or after 2 seconds", 2.0),
            ("Try after 9 seconds; others try after 4 seconds.", 9.0),
            ("TRY AGAIN IN (5) SECONDS", 5.0),
            ("Try again in 5 second(s).", 5.0),
            ("after 1 minute(s) and 30 second(s)", 90.0),
            ("Throttled. Retry-After: 5 seconds", 5.0),
        ] {
            let expected = Some(Duration::from_secs_f64(seconds));
            assert_eq!(in_message(message), expected, "{message}");
        }
        for none in [
            "",
            "Please try after lunch",
            "after 99999999 seconds",
            "after  seconds",
            "after -5 seconds",
            "within 5 seconds",
            "after 5",
            "thereafter 5 seconds",
            "in",
            "in 2 days",
            "The request timed out after 30 seconds",
            "page generated in 0.02 seconds",
            "limit of 120 requests in 60 seconds exceeded",
        ] {
            assert_eq!(in_message(none), None, "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_value_and_message_is_read_without_a_panic(text in "\\PC{0,80}") {
            let _ = values(&text).filter_map(|value| wait(&value, 1.0, || Some(Timestamp::UNIX_EPOCH))).max();
            let _ = in_message(&text);
        }
    }
}
