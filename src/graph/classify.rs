//! Classifies a response by status, headers and body (`docs/graph.md#errors`). A pure function.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION};
use url::Url;

use super::body::{BodyText, is_error};
use super::challenge::claims;
use super::retry_after::{in_message, retry_after};
use crate::model::{AttemptResult, MAX_MESSAGE, Reason, Scope, Throttle, TransientFailure, sanitize};

/// Longest answer to a write that is read, in bytes: error bodies are below 2 KiB.
pub(super) const LONGEST_BODY: usize = 64 * 1024;

/// The statuses that mean yes. 204 is documented and has no body; 200 and 202 count only without a body, and
/// not where their type is that of a web page.
const ACCEPTED: [u16; 3] = [204, 200, 202];

/// Graph's code for a path that it does not know, with 404.
const UNKNOWN_PATH: &str = "UnknownError";

/// Longest error code that is kept, in characters.
const MAX_CODE: usize = 80;

/// A classified answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Meaning {
    /// The meaning for the user.
    pub kind: AttemptResult,
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
        Self { kind: AttemptResult::Accepted, code: "".into(), message: "".into(), retry_after }
    }
}

/// Classifies one answer. `body` is as much of it as was read.
pub fn classify(status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Meaning {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    let page_type = has_page_type(headers);
    let asked = retry_after(headers, now);
    // HTTP knows no 204 with a body, but a part of a batch may claim one: it contradicts itself.
    if ACCEPTED.contains(&status) && body.is_empty() && (status == 204 || !page_type) {
        return Meaning::yes(asked);
    }
    let BodyText { odata, code, words } = BodyText::read(body, page_type);
    let retry_after = if is_worth_a_wait(status) { asked.max(in_message(&words)) } else { asked };
    let throttled = |quota| AttemptResult::Throttled(Throttle { scope: scope(headers), quota });
    let not_graph = AttemptResult::Transient(TransientFailure::NotGraph);
    let kind = match status {
        ..=399 | 407 | 511 | 600.. => not_graph.clone(),
        401 => AttemptResult::Unauthorized { claims: claims(headers) },
        429 => throttled(true),
        503 | 504 if retry_after.is_some() => throttled(false),
        503 => AttemptResult::Transient(TransientFailure::Unavailable),
        409 | 423 => AttemptResult::Busy,
        408 | 500 | 502 | 504 | 505 | 506 | 508..=599 => AttemptResult::Transient(TransientFailure::Server),
        // The remaining statuses are final for the user, so the response must come from Graph.
        _ if !odata => not_graph.clone(),
        400 => AttemptResult::Rejected(Reason::BadRequest),
        403 => AttemptResult::Rejected(Reason::NoPermission),
        404 if code == UNKNOWN_PATH => AttemptResult::Rejected(Reason::Rejected),
        404 => AttemptResult::Rejected(Reason::NotFound),
        _ => AttemptResult::Rejected(Reason::Rejected),
    };
    let page = page_type || body.starts_with(b"<");
    let message = match words {
        _ if !odata && (300..400).contains(&status) => {
            format!("HTTP {status}: redirected{}, not followed", place(headers))
        }
        words if odata && !words.is_empty() => words,
        _ if odata && status == 404 && code == UNKNOWN_PATH => {
            "HTTP 404: Microsoft Graph does not know this path".to_owned()
        }
        words => {
            let form = match (page, words.is_empty()) {
                (true, _) => " with a web page",
                (false, true) => " without a message",
                (false, false) => "",
            };
            let foreign = kind == not_graph || (!odata && !body.is_empty());
            let origin = if foreign { ", not an answer of Microsoft Graph" } else { "" };
            let colon = if words.is_empty() { "" } else { ": " };
            format!("HTTP {status}{form}{origin}{colon}{words}")
        }
    };
    let code = sanitize(&code, MAX_CODE);
    Meaning { kind, code: code.into(), message: sanitize(&message, MAX_MESSAGE).into(), retry_after }
}

/// Whether another attempt may follow, so that a wait in the message is about it.
fn is_worth_a_wait(status: u16) -> bool {
    matches!(status, 408 | 409 | 423 | 429 | 500..=599)
}

/// Whether the content type is that of a web page.
fn has_page_type(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    types.any(|value| value.as_bytes().to_ascii_lowercase().windows(4).any(|part| part == b"html"))
}

/// The target of a redirect, without parts that may be secret.
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

/// As [`classify`], but a yes is a 200 with a JSON object, which is not an error, and nothing else.
pub(super) fn classify_read(status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Meaning {
    let bare = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    let short = bare.len() <= LONGEST_BODY;
    if status == 200 && bare.starts_with(b"{") && !(short && is_error(bare)) {
        return Meaning::yes(retry_after(headers, now));
    }
    let meaning = classify(status, headers, body, now);
    if meaning.kind != AttemptResult::Accepted {
        return meaning;
    }
    let message = format!("HTTP {status} without the JSON that was asked for").into();
    Meaning { kind: AttemptResult::Transient(TransientFailure::NotGraph), message, ..meaning }
}

/// The service's own time of an answer.
pub(super) fn date_in(headers: &HeaderMap) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Timestamp::try_from(date).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODATA: &str = r#"{"error":{"code":"Some_Code","message":"Some text."}}"#;
    const ODATA_3: &str =
        r#"{"odata.error":{"code":"Some_Code","message":{"lang":"en","value":"Some text."}}}"#;
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

    const NOT_GRAPH: AttemptResult = AttemptResult::Transient(TransientFailure::NotGraph);
    const REFUSED: AttemptResult = AttemptResult::Rejected(Reason::Rejected);

    fn throttled(quota: bool) -> AttemptResult {
        AttemptResult::Throttled(Throttle { scope: Scope::AppInTenant, quota })
    }

    /// What a status means by itself, with an OData error, and with any other body.
    fn table(status: u16) -> [AttemptResult; 3] {
        let same = |kind: AttemptResult| [kind.clone(), kind.clone(), kind];
        let word = |reason| [NOT_GRAPH, AttemptResult::Rejected(reason), NOT_GRAPH];
        match status {
            200 | 202 | 204 => [AttemptResult::Accepted, NOT_GRAPH, NOT_GRAPH],
            100..=399 | 407 | 511 => same(NOT_GRAPH),
            400 => word(Reason::BadRequest),
            401 => same(AttemptResult::Unauthorized { claims: None }),
            403 => word(Reason::NoPermission),
            404 => word(Reason::NotFound),
            408 | 500 | 502 | 504 | 505 | 506 | 508..=510 | 512..=599 => {
                same(AttemptResult::Transient(TransientFailure::Server))
            }
            409 | 423 => same(AttemptResult::Busy),
            429 => same(throttled(true)),
            503 => same(AttemptResult::Transient(TransientFailure::Unavailable)),
            402 | 405 | 406 | 410..=422 | 424..=428 | 430..=499 | 501 | 507 => word(Reason::Rejected),
            other => panic!("{other} is not in the table"),
        }
    }

    /// Bodies that are neither empty nor an OData error.
    fn foreign() -> Vec<Vec<u8>> {
        let deep = "[".repeat(500);
        let deep_object = format!("{}1{}", "{\"error\":".repeat(200), "}".repeat(200));
        let huge = format!("{{\"error\":{{\"code\":\"x\",\"message\":\"{}", "y".repeat(2 * MAX_MESSAGE));
        let utf16: Vec<u8> = ODATA.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let texts = [
            "null",
            "7",
            "\"text\"",
            "[]",
            "{}",
            r#"{"value":true}"#,
            "{",
            "{} x",
            r#"{"error":"forbidden"}"#,
            r#"{"error":{}}"#,
            r#"{"error":{"code":403,"message":"No."}}"#,
            r#"{"error":{"message":"No."}}"#,
            r#"{"error":[{"code":"x"}]}"#,
            r#"{"statusCode":403,"message":"No."}"#,
            r#"{"type":"about:blank","title":"Forbidden","detail":"No.","status":403}"#,
            "{\"error\":{\"code\":\"x\"",
            "plain text",
            HTML,
            "<?xml version=\"1.0\"?><error><code>x</code></error>",
            "\u{1b}[31m",
            "\0",
        ];
        let mut all: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        all.extend([deep.into_bytes(), deep_object.into_bytes(), huge.into_bytes(), utf16]);
        all
    }

    #[test]
    fn every_status_with_every_body_has_its_meaning() {
        let page = [("content-type", "Text/HTML; charset=utf-8")];
        let problem = [("content-type", "application/problem+json")];
        for status in 100..=599 {
            let [alone, odata, other] = table(status);
            for empty in ["", " \r\n", "\u{feff}"] {
                assert_eq!(of(status, &[], empty).kind, alone, "{status} without a body");
                assert_eq!(of(status, &problem, empty).kind, alone, "{status} without a body");
            }
            // The one empty body that is not a yes.
            let typed = if matches!(status, 200 | 202) { NOT_GRAPH } else { alone.clone() };
            assert_eq!(of(status, &page, "").kind, typed, "{status} typed as a page");
            for body in [ODATA, ODATA_3, &format!("\u{feff}{ODATA}"), &format!("\r\n{ODATA} ")] {
                for headers in [&[][..], &page] {
                    let meaning = of(status, headers, body);
                    assert_eq!(meaning.kind, odata, "{status} {body}");
                    assert_eq!((&*meaning.code, &*meaning.message), ("Some_Code", "Some text."), "{status}");
                }
            }
            for body in foreign() {
                for headers in [&[][..], &page, &problem] {
                    let meaning = of_bytes(status, headers, &body);
                    assert_eq!(meaning.kind, other, "{status} {:.20}", String::from_utf8_lossy(&body));
                    assert!(!meaning.message.is_empty() && !meaning.message.contains(char::is_control));
                }
            }
        }
    }

    #[test]
    fn every_status_with_every_body_has_the_largest_wait() {
        let bodies = |text: &str| {
            [
                (text.to_owned(), "text/plain"),
                (format!("<html><title>Busy</title><p>{text}</p>"), "text/html"),
                (format!(r#"{{"error":{{"code":"x","message":"{text}"}}}}"#), "application/json"),
                (
                    format!(r#"{{"odata.error":{{"code":"x","message":{{"value":"{text}"}}}}}}"#),
                    "application/json",
                ),
                (format!(r#"{{"detail":"{text}","title":"Busy"}}"#), "application/problem+json"),
                (format!(r#"{{"error":{{"code":"x","message":"{text} and th"#), "application/json"),
            ]
        };
        for status in 200..=599 {
            let from_text = matches!(status, 408 | 409 | 423 | 429 | 500..=599);
            for (header, text, alone, together) in [
                ("5", "none", 5, 5),
                ("5,9", "none", 9, 9),
                ("soon", "none", 0, 0),
                ("5s", "Try again in 12 seconds.", 5, 12),
                ("30", "Try again in 12 seconds.", 30, 30),
                ("999999", "Please retry after 2 minutes", 0, 120),
                ("soon", "Try again in 90000 seconds.", 0, 0),
            ] {
                let expected = if from_text { together } else { alone };
                let expected = Some(Duration::from_secs(expected)).filter(|wait| !wait.is_zero());
                for (body, kind) in bodies(text) {
                    let wait =
                        of(status, &[("retry-after", header), ("content-type", kind)], &body).retry_after;
                    assert_eq!(wait, expected, "{status} {header} {body}");
                }
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
    fn text_of_any_body_is_shown_and_its_origin_named() {
        let foreign = "not an answer of Microsoft Graph";
        for (status, body, expected) in [
            (
                403,
                "Access denied by policy WEB-17\n",
                format!("HTTP 403, {foreign}: Access denied by policy WEB-17"),
            ),
            (403, r#"{"error":"forbidden"}"#, format!("HTTP 403, {foreign}: forbidden")),
            (
                404,
                r#"{"message":"no\u001b[31m route"}"#,
                format!("HTTP 404, {foreign}: no\\u{{1b}}[31m route"),
            ),
            (200, r#"{"error":{"code":"x","message":"No."}}"#, "No.".to_owned()),
            (200, "{}", format!("HTTP 200, {foreign}: {{}}")),
            (200, HTML, format!("HTTP 200 with a web page, {foreign}: Sign in to the network")),
            (502, HTML, format!("HTTP 502 with a web page, {foreign}: Sign in to the network")),
            (502, "<hr>", format!("HTTP 502 with a web page, {foreign}")),
            (502, "upstream", format!("HTTP 502, {foreign}: upstream")),
            (502, "", "HTTP 502 without a message".to_owned()),
            (302, HTML, "HTTP 302: redirected, not followed".to_owned()),
            (300, "", "HTTP 300: redirected, not followed".to_owned()),
            (399, "", "HTTP 399: redirected, not followed".to_owned()),
            (299, "", format!("HTTP 299 without a message, {foreign}")),
            (404, "", format!("HTTP 404 without a message, {foreign}")),
            (400, r#"{"error":{"code":"x","message":""}}"#, "HTTP 400 without a message".to_owned()),
            (500, r#"{"error":{"code":"x","message":"a\u001b[31m\nb"}}"#, "a\\u{1b}[31m b".to_owned()),
        ] {
            assert_eq!(*of(status, &[], body).message, expected, "{status} {body}");
        }
        let page = of(200, &[("content-type", "text/html")], "");
        assert_eq!(*page.message, format!("HTTP 200 with a web page, {foreign}"));
        assert_eq!(&*of(400, &[], r#"{"error":{"code":"=1+1","message":"x"}}"#).code, "'=1+1");
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
        assert_eq!(said(429, &[("retry-after", "3")], HTML), (throttled(true), Some(3_000)));
        let headers = [("retry-after", "0.249"), ("x-ms-throttle-scope", "Tenant/Write/a/b")];
        let tenant = AttemptResult::Throttled(Throttle { scope: Scope::Tenant, quota: true });
        assert_eq!(said(429, &headers, ""), (tenant, Some(249)));
        for status in [503, 504] {
            assert_eq!(said(status, &[("retry-after", "3")], HTML), (throttled(false), Some(3_000)));
            assert!(matches!(of(status, &[("retry-after", "soon")], "").kind, AttemptResult::Transient(_)));
            assert_eq!(said(status, &[], body), (throttled(false), Some(12_000)), "in the message only");
        }
        for (text, expected) in [
            ("Application/Write/a/b", Scope::App),
            ("tenant", Scope::Tenant),
            ("Tenant_Application/ReadWrite/a/b", Scope::AppInTenant),
            ("Partition_Application_All", Scope::AppInTenant),
            ("", Scope::AppInTenant),
        ] {
            let AttemptResult::Throttled(throttle) = of(429, &[("x-ms-throttle-scope", text)], "").kind
            else {
                panic!()
            };
            assert_eq!(throttle.scope, expected, "{text}");
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
        assert_eq!(
            of(401, &headers, ODATA).kind,
            AttemptResult::Unauthorized { claims: Some(r#"{"a":1}"#.into()) }
        );
    }

    #[test]
    fn a_read_needs_an_object_that_is_not_an_error() {
        let large = format!(r#"{{"value":["{}"],"error":1}}"#, "x".repeat(LONGEST_BODY));
        for (status, body, accepted) in [
            (200, r#"{"value":[]}"#, true),
            (200, "\u{feff} {}", true),
            (200, r#"{"id":"x","error":null}"#, true),
            (200, &large, true),
            (200, r#"{"error":{"code":"x","message":"m"}}"#, false),
            (200, r#"{"odata.error":{}}"#, false),
            (200, r#"{"error":"forbidden"}"#, false),
            (200, "", false),
            (200, "[]", false),
            (200, "<html>", false),
            (202, "{}", false),
            (204, "", false),
        ] {
            let kind = classify_read(status, &HeaderMap::new(), body.as_bytes(), SystemTime::now()).kind;
            let expected = if accepted {
                AttemptResult::Accepted
            } else {
                AttemptResult::Transient(TransientFailure::NotGraph)
            };
            assert_eq!(kind, expected, "{status} {body:.40}");
        }
    }
}
