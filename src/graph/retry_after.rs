//! How long the service asked us to wait. Pure: headers and times in, a duration out.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// Longer waits count as absent (`docs/graph.md#throttled-answers`).
const LONGEST: f64 = 24.0 * 3600.0;

/// The announced wait, counted from receipt: the largest of all forms given. `None`: absent, zero or unreadable.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let date = headers.get(DATE).and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
    let plain = headers.get_all(RETRY_AFTER).iter().filter_map(|value| {
        let text = value.to_str().ok()?.trim();
        seconds(text, 1.0).or_else(|| {
            let at = httpdate::parse_http_date(text).ok()?;
            // Against the service's own clock where it tells it; in the past: at least a second.
            let wait = at.duration_since(date.unwrap_or(now)).unwrap_or_default();
            seconds(&wait.max(Duration::from_secs(1)).as_secs_f64().to_string(), 1.0)
        })
    });
    let milli = ["retry-after-ms", "x-ms-retry-after-ms"]
        .into_iter()
        .filter_map(|name| seconds(headers.get(name)?.to_str().ok()?.trim(), 0.001));
    plain.chain(milli).max()
}

/// The wait that stands only in a message: "Please try after N seconds".
pub(super) fn in_message(message: &str) -> Option<Duration> {
    let lower = message.to_ascii_lowercase();
    let waits = lower.match_indices("after ").filter_map(|(at, word)| {
        let (number, unit) = lower[at + word.len()..].split_once(' ')?;
        unit.starts_with("second").then(|| seconds(number, 1.0)).flatten()
    });
    waits.max()
}

/// Rounded up to a millisecond, never down.
fn seconds(text: &str, unit: f64) -> Option<Duration> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let value = text.parse::<f64>().ok()? * unit;
    (value > 0.0 && value <= LONGEST)
        .then(|| Duration::from_millis((value * 1000.0 - 1e-6).ceil().max(1.0) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_never_shortened() {
        let date = "Mon, 23 Nov 2026 21:00:00 GMT";
        type Given<'a> = &'a [(&'a str, &'a str)];
        let far = "9".repeat(400);
        let cases: [(Given<'_>, Option<u64>); 24] = [
            (&[("retry-after", "1")], Some(1_000)),
            (&[("Retry-After", "150")], Some(150_000)),
            (&[("retry-after", "2.128")], Some(2_128)),
            (&[("retry-after", "0.1241")], Some(125)),
            (&[("retry-after", "86400")], Some(86_400_000)),
            (&[("retry-after", "86401")], None),
            (&[("retry-after", "0")], None),
            (&[("retry-after", "0.0000000001")], Some(1)),
            (&[("retry-after", "99999999999")], None),
            (&[("retry-after", "1.2.3")], None),
            (&[("retry-after", &far)], None),
            (&[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT"), ("date", date)], None),
            (&[("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT"), ("date", date)], Some(1_000)),
            (&[("retry-after", "-5")], None),
            (&[("retry-after", "+5")], None),
            (&[("retry-after", "1e9")], None),
            (&[("retry-after", "inf")], None),
            (&[("retry-after", "")], None),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "3"), ("retry-after", "7")], Some(7_000)),
            (&[("retry-after-ms", "1500")], Some(1_500)),
            (&[("retry-after", "Mon, 23 Nov 2026 21:00:30 GMT"), ("date", date)], Some(30_000)),
            (&[("retry-after", "Mon, 23 Nov 2026 20:00:30 GMT"), ("date", date)], Some(1_000)),
            (&[], None),
        ];
        let now = httpdate::parse_http_date(date).expect("a date") + Duration::from_secs(600);
        for (given, wait) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.append(
                    reqwest::header::HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                    value.parse().expect("a value"),
                );
            }
            assert_eq!(retry_after(&headers, now), wait.map(Duration::from_millis), "{given:?}");
        }
    }

    #[test]
    fn the_wait_may_stand_in_the_message_only() {
        let message = "Your request is throttled temporarily. Please try after 17 seconds.";
        assert_eq!(in_message(message), Some(Duration::from_secs(17)));
        assert_eq!(in_message("Retry after lunch, or after 2 seconds"), Some(Duration::from_secs(2)));
        let both = "Try after 9 seconds; others try after 4 seconds.";
        assert_eq!(in_message(both), Some(Duration::from_secs(9)), "never the shorter one");
        for none in
            ["", "Please try after lunch", "after 5 minutes", "after 99999999 seconds", "after  seconds"]
        {
            assert_eq!(in_message(none), None, "{none}");
        }
    }
}
