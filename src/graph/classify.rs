//! What an answer means. Pure: status, headers and body in, a verdict out (`docs/graph.md#errors`).

use std::time::SystemTime;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value;

use super::retry_after::{in_message, retry_after};
use crate::model::{Fault, Kind, MAX_MESSAGE, Reason, Scope, Throttle, neutral};

/// The statuses that mean yes. 204 is documented; 200 and 202 count only without HTML.
const ACCEPTED: [u16; 3] = [204, 200, 202];

/// A classified answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Meaning {
    /// What it means for the user.
    pub kind: Kind,
    /// Graph's code, empty on success.
    pub code: Box<str>,
    /// For people, neutral, at most 300 characters.
    pub message: Box<str>,
}

/// Classifies one answer. `body` is as much of it as was read.
pub fn classify(status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Meaning {
    let (code, message) = error_in(body);
    let html = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.contains("html"))
        || body.trim_ascii_start().starts_with(b"<");
    let graph = code.is_some();
    let wait = || retry_after(headers, now).or_else(|| in_message(message.as_deref().unwrap_or("")));
    let throttled =
        |quota, retry_after| Kind::Throttled(Throttle { retry_after, scope: scope(headers), quota });
    let kind = match status {
        _ if ACCEPTED.contains(&status) && !html && !graph => Kind::Accepted,
        100..=399 | 511 => Kind::Transient(Fault::NotGraph),
        401 => Kind::Unauthorized { claims: None },
        429 => throttled(true, wait()),
        503 | 504 => match retry_after(headers, now) {
            Some(wait) => throttled(false, Some(wait)),
            None if status == 503 => Kind::Transient(Fault::Unavailable),
            None => Kind::Transient(Fault::Server),
        },
        403 | 404 if html && !graph => Kind::Transient(Fault::NotGraph),
        403 => Kind::Refused(Reason::NoPermission),
        404 if code.as_deref() == Some("UnknownError") => Kind::Refused(Reason::Refused),
        404 => Kind::Refused(Reason::NotFound),
        400 => Kind::Refused(Reason::BadRequest),
        407 => Kind::Transient(Fault::NotGraph),
        408 | 500 | 502 | 505..=599 => Kind::Transient(Fault::Server),
        409 | 423 => Kind::Busy,
        _ => Kind::Refused(Reason::Refused),
    };
    if kind == Kind::Accepted {
        return Meaning { kind, code: "".into(), message: "".into() };
    }
    let message = match message {
        Some(message) if !message.is_empty() => message,
        _ if html => format!("HTTP {status} with a web page: not an answer of Microsoft Graph"),
        _ => format!("HTTP {status} without a message"),
    };
    let code = neutral(&code.unwrap_or_default(), 80);
    Meaning { kind, code: code.into(), message: neutral(&message, MAX_MESSAGE).into() }
}

/// `x-ms-throttle-scope`: unknown and absent ones are taken for the app in the tenant.
fn scope(headers: &HeaderMap) -> Scope {
    let text = headers.get("x-ms-throttle-scope").and_then(|value| value.to_str().ok()).unwrap_or("");
    match text.split('/').next().unwrap_or("").to_ascii_lowercase().as_str() {
        "tenant" => Scope::Tenant,
        "application" => Scope::App,
        _ => Scope::AppInTenant,
    }
}

/// Code and message of an OData error body, however damaged the rest is.
fn error_in(body: &[u8]) -> (Option<String>, Option<String>) {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return (None, None) };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match &value["error"] {
        Value::String(code) => (Some(code.clone()), text(&value["error_description"])),
        error @ Value::Object(_) => (Some(text(&error["code"]).unwrap_or_default()), text(&error["message"])),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, headers: &[(&'static str, &str)], body: &str) -> Meaning {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        classify(status, &map, body.as_bytes(), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn every_status_has_its_meaning() {
        for status in 100..=599 {
            let expected = match status {
                200 | 202 | 204 => Kind::Accepted,
                100..=399 | 407 | 511 => Kind::Transient(Fault::NotGraph),
                400 => Kind::Refused(Reason::BadRequest),
                401 => Kind::Unauthorized { claims: None },
                403 => Kind::Refused(Reason::NoPermission),
                404 => Kind::Refused(Reason::NotFound),
                408 | 500 | 502 | 504..=510 | 512..=599 => Kind::Transient(Fault::Server),
                409 | 423 => Kind::Busy,
                429 => {
                    Kind::Throttled(Throttle { retry_after: None, scope: Scope::AppInTenant, quota: true })
                }
                503 => Kind::Transient(Fault::Unavailable),
                501 => Kind::Refused(Reason::Refused),
                _ => Kind::Refused(Reason::Refused),
            };
            assert_eq!(of(status, &[], "").kind, expected, "{status}");
        }
    }

    #[test]
    fn a_login_page_is_no_yes() {
        for (headers, body) in [(&[("content-type", "text/html")][..], ""), (&[][..], " <!doctype html>")] {
            assert_eq!(of(200, headers, body).kind, Kind::Transient(Fault::NotGraph));
            assert_eq!(of(404, headers, body).kind, Kind::Transient(Fault::NotGraph));
        }
        assert_eq!(of(200, &[], r#"{"error":{"code":"x"}}"#).kind, Kind::Transient(Fault::NotGraph));
    }

    #[test]
    fn throttles_in_all_forms() {
        let wait = |meaning: Meaning| match meaning.kind {
            Kind::Throttled(throttle) => {
                (throttle.retry_after.map(|wait| wait.as_millis()), throttle.scope, throttle.quota)
            }
            other => panic!("{other:?}"),
        };
        let body =
            r#"{"error":{"code":"Request_ThrottledTemporarily","message":"Please try after 12 seconds."}}"#;
        assert_eq!(wait(of(429, &[], body)), (Some(12_000), Scope::AppInTenant, true));
        let headers = [("retry-after", "0.249"), ("x-ms-throttle-scope", "Tenant/Write/a/b")];
        assert_eq!(wait(of(429, &headers, "")), (Some(249), Scope::Tenant, true));
        assert_eq!(wait(of(503, &[("retry-after", "3")], "")), (Some(3_000), Scope::AppInTenant, false));
    }

    #[test]
    fn useless_bodies_leave_the_status_to_decide() {
        let deep = "[".repeat(5_000);
        for body in ["", "{", "null", "{\"error\":7}", "\u{feff}{\"error\":\"x\"}", &deep, "\u{1b}[31m"] {
            let meaning = of(500, &[], body);
            assert_eq!(meaning.kind, Kind::Transient(Fault::Server), "{body:.20}");
            assert!(!meaning.message.contains('\u{1b}'));
        }
    }
}
