//! What an answer means. Pure: status, headers and body in, a verdict out (`docs/graph.md#errors`).

use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use serde_json::Value;
use url::Url;

use super::challenge::claims;
use super::retry_after::{in_message, retry_after};
use crate::model::{Fault, Kind, MAX_MESSAGE, Reason, Scope, Throttle, neutral};

/// The statuses that mean yes. 204 is documented and has no body; 200 and 202 count only with nothing or a JSON object
/// that is no error.
const ACCEPTED: [u16; 3] = [204, 200, 202];

/// Longest error code that is kept, in characters.
const MAX_CODE: usize = 80;

/// A classified answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Meaning {
    /// What it means for the user.
    pub kind: Kind,
    /// Graph's code, empty on success.
    pub code: Box<str>,
    /// For people, neutral, at most 300 characters.
    pub message: Box<str>,
    /// The readable wait, whatever the status.
    pub retry_after: Option<Duration>,
}

impl Meaning {
    /// The request was accepted.
    pub(super) fn yes(retry_after: Option<Duration>) -> Self {
        Self { kind: Kind::Accepted, code: "".into(), message: "".into(), retry_after }
    }
}

/// Classifies one answer. `body` is as much of it as was read.
pub fn classify(status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Meaning {
    let retry_after = retry_after(headers, now);
    if status == 204 {
        return Meaning::yes(retry_after);
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    let Said { code, message, object } = said(body);
    let html = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.contains("html"))
        || body.starts_with(b"<");
    let graph = code.is_some();
    let retry_after = retry_after.or_else(|| in_message(message.as_deref().unwrap_or("")));
    let throttled = |quota| Kind::Throttled(Throttle { scope: scope(headers), quota });
    let kind = match status {
        _ if ACCEPTED.contains(&status) && !html && !graph && (object || body.is_empty()) => Kind::Accepted,
        ..=399 | 407 | 511 | 600.. => Kind::Transient(Fault::NotGraph),
        401 => Kind::Unauthorized { claims: claims(headers) },
        429 => throttled(true),
        503 | 504 if retry_after.is_some() => throttled(false),
        503 => Kind::Transient(Fault::Unavailable),
        409 | 423 => Kind::Busy,
        408 | 500 | 502 | 504 | 505 | 506 | 508..=599 => Kind::Transient(Fault::Server),
        // What is left is final for the user, and a final word must be Graph's own.
        _ if html && !graph => Kind::Transient(Fault::NotGraph),
        400 => Kind::Refused(Reason::BadRequest),
        403 => Kind::Refused(Reason::NoPermission),
        404 if code.as_deref() == Some("UnknownError") => Kind::Refused(Reason::Refused),
        404 => Kind::Refused(Reason::NotFound),
        _ => Kind::Refused(Reason::Refused),
    };
    if kind == Kind::Accepted {
        return Meaning::yes(retry_after);
    }
    let message = match message {
        Some(message) => message,
        None if (300..400).contains(&status) => {
            format!("HTTP {status}: redirected{}, not followed", place(headers))
        }
        None if html => format!("HTTP {status} with a web page: not an answer of Microsoft Graph"),
        None if kind == Kind::Refused(Reason::Refused) && status == 404 => {
            "HTTP 404: Microsoft Graph does not know this path".to_owned()
        }
        None => format!("HTTP {status} without a message"),
    };
    let code = neutral(&code.unwrap_or_default(), MAX_CODE);
    Meaning { kind, code: code.into(), message: neutral(&message, MAX_MESSAGE).into(), retry_after }
}

/// Where a redirect points, without what may be secret in it.
fn place(headers: &HeaderMap) -> String {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    match location.and_then(|text| Url::parse(text).ok()) {
        Some(url) => format!(" to {}{}", url.origin().ascii_serialization(), url.path()),
        None => String::new(),
    }
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

/// What a body says.
#[derive(Default)]
struct Said {
    /// `Some`, perhaps empty: it is an error.
    code: Option<String>,
    /// Never empty.
    message: Option<String>,
    /// It is a JSON object.
    object: bool,
}

/// Code and message of an OData error, in the outermost error that has them: outer ones are often empty.
fn said(body: &[u8]) -> Said {
    let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(body) else { return Said::default() };
    let text = |value: Option<&Value>| {
        value.and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let (mut code, mut message) = (None, None);
    match body.get("error") {
        Some(Value::String(error)) => {
            code = Some(error.clone());
            message = text(body.get("error_description"));
        }
        Some(Value::Object(error)) => {
            let mut level = Some(error);
            while let Some(error) = level {
                code = code.or_else(|| text(error.get("code")));
                message = message.or_else(|| text(error.get("message")));
                level =
                    ["innerError", "innererror"].into_iter().find_map(|name| error.get(name)?.as_object());
            }
            code.get_or_insert_default();
        }
        _ => {}
    }
    Said { code, message, object: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body, and whether it changes what a status says.
    const ODATA: &str = r#"{"error":{"code":"Some_Code","message":"Some text."}}"#;
    const HTML: &str = "<!doctype html><h1>Sign in to the network</h1>";

    fn of_bytes(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Meaning {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        classify(status, &map, body, SystemTime::UNIX_EPOCH)
    }

    fn of(status: u16, headers: &[(&'static str, &str)], body: &str) -> Meaning {
        of_bytes(status, headers, body.as_bytes())
    }

    const NOT_GRAPH: Kind = Kind::Transient(Fault::NotGraph);
    const REFUSED: Kind = Kind::Refused(Reason::Refused);

    fn throttled(quota: bool) -> Kind {
        Kind::Throttled(Throttle { scope: Scope::AppInTenant, quota })
    }

    /// What a status means by itself, with an OData error, and with a web page.
    fn table(status: u16) -> [Kind; 3] {
        let same = |kind: Kind| [kind.clone(), kind.clone(), kind];
        let word = |kind: Kind| [kind.clone(), kind, NOT_GRAPH];
        match status {
            204 => same(Kind::Accepted),
            200 | 202 => [Kind::Accepted, NOT_GRAPH, NOT_GRAPH],
            100..=399 | 407 | 511 => same(NOT_GRAPH),
            400 => word(Kind::Refused(Reason::BadRequest)),
            401 => same(Kind::Unauthorized { claims: None }),
            403 => word(Kind::Refused(Reason::NoPermission)),
            404 => word(Kind::Refused(Reason::NotFound)),
            408 | 500 | 502 | 504 | 505 | 506 | 508..=510 | 512..=599 => same(Kind::Transient(Fault::Server)),
            409 | 423 => same(Kind::Busy),
            429 => same(throttled(true)),
            503 => same(Kind::Transient(Fault::Unavailable)),
            402 | 405 | 406 | 410..=422 | 424..=428 | 430..=499 | 501 | 507 => word(REFUSED),
            other => panic!("{other} is not in the table"),
        }
    }

    /// Bodies of which nothing can be read.
    fn useless() -> Vec<Vec<u8>> {
        let deep = "[".repeat(5_000);
        let deep_object = format!("{}1{}", "{\"error\":".repeat(200), "}".repeat(200));
        let huge = format!("{{\"error\":{{\"code\":\"x\",\"message\":\"{}", "y".repeat(64 * 1024));
        let utf16: Vec<u8> = ODATA.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut latin = br#"{"error":{"code":"x","message":"not UTF-8: "#.to_vec();
        latin.extend(b"\xe9\"}}");
        let texts = [
            "null",
            "7",
            "\"text\"",
            "[]",
            "{",
            "{\"error\":{\"code\":\"x\"",
            "plain text",
            "\u{1b}[31m",
            "\0",
        ];
        let mut all: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        all.extend([deep.into_bytes(), deep_object.into_bytes(), huge.into_bytes(), utf16, latin]);
        all
    }

    #[test]
    fn every_status_with_every_body_has_its_meaning() {
        for status in 100..=599 {
            let [alone, odata, html] = table(status);
            assert_eq!(of(status, &[], "").kind, alone, "{status} alone");
            assert_eq!(of(status, &[], &format!("\u{feff}{ODATA}")).kind, odata, "{status} with a BOM");
            assert_eq!(of(status, &[], &format!("\u{feff}\r\n{HTML}")).kind, html, "{status}");
            let said = of(status, &[], ODATA);
            assert_eq!(said.kind, odata, "{status} with an error");
            if said.kind != Kind::Accepted {
                assert_eq!((&*said.code, &*said.message), ("Some_Code", "Some text."), "{status}");
            }
            for body in ["", HTML] {
                let typed = of(status, &[("content-type", "text/html; charset=utf-8")], body);
                assert_eq!(typed.kind, html, "{status} typed as a page");
                assert_eq!(typed.kind == Kind::Accepted, typed.message.is_empty(), "{status}");
            }
            for body in useless() {
                let meaning = of_bytes(status, &[], &body);
                let expected = if matches!(status, 200 | 202) { NOT_GRAPH } else { alone.clone() };
                assert_eq!(meaning.kind, expected, "{status} {:.20}", String::from_utf8_lossy(&body));
                assert!(
                    meaning.message.chars().count() <= MAX_MESSAGE && !meaning.message.contains('\u{1b}')
                );
            }
        }
    }

    #[test]
    fn statuses_that_do_not_exist_are_nobodys_yes() {
        for status in [0, 1, 99, 600, 999, u16::MAX] {
            assert_eq!(of(status, &[], "").kind, NOT_GRAPH, "{status}");
        }
    }

    #[test]
    fn a_yes_needs_an_empty_body_or_an_object() {
        for (body, yes) in [
            ("", true),
            (" \r\n", true),
            ("{}", true),
            (r#"{"value":true}"#, true),
            ("{} x", false),
            ("OK", false),
        ] {
            for status in [200, 202] {
                let meaning = of(status, &[], body);
                assert_eq!(meaning.kind == Kind::Accepted, yes, "{status} {body:?}");
                assert_eq!(meaning.message.is_empty(), yes, "{status} {body:?}");
            }
        }
        for status in [201, 203, 205, 206, 207, 226, 299] {
            assert_eq!(of(status, &[], "{}").kind, NOT_GRAPH, "{status}");
        }
    }

    #[test]
    fn what_says_nothing_itself_is_named_by_what_it_is() {
        for (status, body, expected) in [
            (200, HTML, "HTTP 200 with a web page: not an answer of Microsoft Graph"),
            (502, HTML, "HTTP 502 with a web page: not an answer of Microsoft Graph"),
            (302, HTML, "HTTP 302: redirected, not followed"),
            (300, "", "HTTP 300: redirected, not followed"),
            (399, "", "HTTP 399: redirected, not followed"),
            (299, "", "HTTP 299 without a message"),
            (400, "", "HTTP 400 without a message"),
            (404, "", "HTTP 404 without a message"),
            (405, "", "HTTP 405 without a message"),
        ] {
            assert_eq!(&*of(status, &[], body).message, expected);
        }
    }

    #[test]
    fn the_outermost_words_are_taken_wherever_they_stand() {
        let said = |body: &str| {
            let Meaning { code, message, .. } = of(500, &[], body);
            (code.into_string(), message.into_string())
        };
        let pair = |code: &str, message: &str| (code.to_owned(), message.to_owned());
        let none = "HTTP 500 without a message";
        for (body, expected) in [
            (
                r#"{"error":"invalid_token","error_description":"Expired."}"#,
                pair("invalid_token", "Expired."),
            ),
            (r#"{"error":"invalid_token"}"#, pair("invalid_token", none)),
            (r#"{"error":{}}"#, pair("", none)),
            (r#"{"error":{"code":7,"message":null}}"#, pair("", none)),
            (r#"{"error":7}"#, pair("", none)),
            (
                r#"{"error":{"code":"UnknownError","message":"","innerError":{"date":"2026-02-20","request-id":"x"}}}"#,
                pair("UnknownError", none),
            ),
            (
                r#"{"error":{"code":"a","message":" ","innerError":{"code":"b","message":"Inner.","innerError":{"message":"Deeper."}}}}"#,
                pair("a", "Inner."),
            ),
            (r#"{"error":{"innererror":{"innererror":{"code":"c","message":"Deep."}}}}"#, pair("c", "Deep.")),
            (r#"{"error":{"code":"d","message":"x","innerError":"text"}}"#, pair("d", "x")),
            (
                "{\"error\":{\"code\":\"=1+1\",\"message\":\"a\\u001b[31m\\nb\"}}",
                pair("'=1+1", "a\\u{1b}[31m b"),
            ),
        ] {
            assert_eq!(said(body), expected, "{body}");
        }
    }

    #[test]
    fn throttles_in_all_forms() {
        let body =
            r#"{"error":{"code":"Request_ThrottledTemporarily","message":"Please try after 12 seconds."}}"#;
        let said = |status, headers: &[(&'static str, &str)], body| {
            let Meaning { kind, retry_after, .. } = of(status, headers, body);
            (kind, retry_after.map(|wait| wait.as_millis()))
        };
        assert_eq!(said(429, &[], body), (throttled(true), Some(12_000)));
        assert_eq!(
            said(429, &[("retry-after", "3")], body),
            (throttled(true), Some(3_000)),
            "the header first"
        );
        assert_eq!(said(429, &[("retry-after", "3")], HTML), (throttled(true), Some(3_000)));
        let headers = [("retry-after", "0.249"), ("x-ms-throttle-scope", "Tenant/Write/a/b")];
        let tenant = Kind::Throttled(Throttle { scope: Scope::Tenant, quota: true });
        assert_eq!(said(429, &headers, ""), (tenant, Some(249)));
        for status in [503, 504] {
            assert_eq!(said(status, &[("retry-after", "3")], HTML), (throttled(false), Some(3_000)));
            assert!(matches!(of(status, &[("retry-after", "soon")], "").kind, Kind::Transient(_)));
            assert_eq!(said(status, &[], body), (throttled(false), Some(12_000)), "in the message only");
        }
        for (text, expected) in [
            ("Application/Write/a/b", Scope::App),
            ("tenant", Scope::Tenant),
            ("Tenant_Application/ReadWrite/a/b", Scope::AppInTenant),
            ("Partition_Application_All", Scope::AppInTenant),
            ("", Scope::AppInTenant),
        ] {
            let Kind::Throttled(throttle) = of(429, &[("x-ms-throttle-scope", text)], "").kind else {
                panic!()
            };
            assert_eq!(throttle.scope, expected, "{text}");
        }
    }

    #[test]
    fn wait_is_read_whatever_the_status() {
        for status in 200..=599 {
            let wait = of(status, &[("retry-after", "7")], ODATA).retry_after;
            assert_eq!(wait, Some(Duration::from_secs(7)), "{status}");
        }
    }

    #[test]
    fn a_path_that_graph_does_not_know_is_no_missing_user() {
        let unknown = of(404, &[], r#"{"error":{"code":"UnknownError","message":""}}"#);
        assert_eq!(
            (unknown.kind, &*unknown.message),
            (REFUSED, "HTTP 404: Microsoft Graph does not know this path")
        );
    }

    #[test]
    fn a_redirect_is_named_without_its_secrets() {
        let message = |location: &str| of(302, &[("location", location)], HTML).message.into_string();
        let shown = "HTTP 302: redirected to https://portal.example/login, not followed";
        assert_eq!(message("https://u:p@portal.example/login?token=secret#x"), shown);
        assert_eq!(message("/login?token=secret"), "HTTP 302: redirected, not followed");
    }

    #[test]
    fn a_401_hands_its_claims_on() {
        let headers =
            [("www-authenticate", r#"Bearer realm="", error="insufficient_claims", claims="eyJhIjoxfQ==""#)];
        assert_eq!(of(401, &headers, ODATA).kind, Kind::Unauthorized { claims: Some(r#"{"a":1}"#.into()) });
    }
}
