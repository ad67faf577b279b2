//! The replies in the answer to a `$batch`, by the id of their part (`docs/graph.md#batches`).

use std::borrow::Cow;
use std::fmt;

use reqwest::header::{DATE, HeaderMap, HeaderValue};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::client::Answered;
use crate::model::{AttemptResult, TransientFailure};

/// Longest response, in bytes, that is searched for parts if it contains raw text: twenty error bodies and a
/// page.
const LONGEST_MENDED: usize = 1024 * 1024;
/// Maximum number of braces in raw text that are tried as the beginning of a part. Each may cost a scan of
/// the rest.
const MOST_BRACES: u32 = 256;
/// The headers of a part that mean something to us; all others are left where they are.
const MEANT: [&str; 9] = [
    "retry-after",
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "date",
    "content-type",
    "www-authenticate",
    "request-id",
    "x-ms-throttle-scope",
    "x-ms-throttle-limit-percentage",
];

/// One part of an answer.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// As the part would have sent it alone; empty: none.
    pub(super) body: Cow<'a, [u8]>,
}

/// Without `responses` the whole is not an answer to a batch.
#[derive(Deserialize)]
struct Whole<T> {
    responses: Vec<T>,
}

#[derive(Deserialize)]
struct Response<'a> {
    /// A text, or a number if a gateway rewrote the answer.
    #[serde(borrow)]
    id: &'a RawValue,
    /// A number, or a text with one.
    #[serde(borrow)]
    status: &'a RawValue,
    #[serde(default)]
    headers: Meant,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

/// The readable parts of a body: all together if every part is well-formed, otherwise each by itself.
fn responses(body: &[u8]) -> Vec<Response<'_>> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if let Ok(Whole { responses }) = serde_json::from_slice(body) {
        return responses;
    }
    // A part that cannot be read is not a response. The other parts are.
    match serde_json::from_slice(body) {
        Ok(Whole::<&RawValue> { responses }) => {
            responses.into_iter().filter_map(|part| serde_json::from_str(part.get()).ok()).collect()
        }
        Err(_) => beside_raw_text(body),
    }
}

/// The parts of a response that is not JSON, because one of them contains raw text such as a web page
/// (`docs/graph.md#batches`). A response without its end is not read.
fn beside_raw_text(body: &[u8]) -> Vec<Response<'_>> {
    let mut found = Vec::new();
    let end = body.trim_ascii_end().strip_suffix(b"}").map(<[u8]>::trim_ascii_end);
    if body.len() > LONGEST_MENDED || !end.is_some_and(|end| end.ends_with(b"]")) {
        return found;
    }
    let (mut at, mut tries) = (0, 0);
    while let Some(brace) = memchr::memchr(b'{', &body[at..]).filter(|_| tries < MOST_BRACES) {
        at += brace;
        // A part is an element of a list; an object behind a colon belongs to the part that cannot be read.
        let is_element = matches!(body[..at].trim_ascii_end().last(), Some(b'[' | b','));
        let mut values = serde_json::Deserializer::from_slice(&body[at..]).into_iter::<&RawValue>();
        match values.next() {
            Some(Ok(part)) if is_element => {
                found.extend(serde_json::from_str::<Response<'_>>(part.get()));
                at += values.byte_offset();
            }
            Some(Ok(_)) => at += values.byte_offset(),
            // This brace is one of the raw text, or one that holds it.
            _ => (at, tries) = (at + 1, tries + 1),
        }
    }
    found
}

/// The replies of `count` parts by place, whatever the status of the batch. `None` for a part without a reply
/// or with an ambiguous one: it is not known whether its action was processed. An incomplete response has no
/// replies.
pub(super) fn decode(answer: &Answered, count: usize) -> Vec<Option<Reply<'_>>> {
    let mut parts: Vec<Option<Reply<'_>>> = (0..count).map(|_| None).collect();
    let mut contradicted = vec![false; count];
    if matches!(
        answer.attempt.kind,
        AttemptResult::Transient(
            TransientFailure::Broken | TransientFailure::Timeout | TransientFailure::Connect
        )
    ) {
        return parts;
    }
    for Response { id, status, headers: Meant(mut headers), body } in responses(&answer.body) {
        // Only an id as it was sent names its part: `01` and `+1` do not.
        let id = unquoted(id);
        let place = id.parse::<usize>().ok().filter(|place| *place < count && place.to_string() == id);
        let (Some(place), Ok(status)) = (place, unquoted(status).parse::<u16>()) else { continue };
        // Waits given as a date count from the service's own clock; a yes has none.
        if status >= 400
            && let Some(date) = answer.headers.get(DATE).filter(|_| !headers.contains_key(DATE))
        {
            headers.insert(DATE, date.clone());
        }
        let part = Reply { status, headers, body: body.map(plain).unwrap_or_default() };
        match &mut parts[place] {
            None => parts[place] = Some(part),
            // Two failures alike: the waits of both count.
            Some(first) if first.status == status && status >= 400 => {
                for (name, value) in &part.headers {
                    first.headers.append(name, value.clone());
                }
            }
            Some(first) => contradicted[place] |= first.status != status || first.body != part.body,
        }
    }
    for (part, contradicted) in parts.iter_mut().zip(contradicted) {
        // Two replies that differ: neither is used.
        if contradicted {
            *part = None;
        }
    }
    parts
}

/// A JSON text without its quotes, or a number as it is.
fn unquoted(raw: &RawValue) -> &str {
    let text = raw.get();
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// The text of a part body that is not JSON. `null` is read as an absent body and never gets here.
fn plain(raw: &RawValue) -> Cow<'_, [u8]> {
    match raw.get() {
        text if text.starts_with('"') => {
            Cow::Owned(serde_json::from_str::<String>(text).unwrap_or_default().into_bytes())
        }
        json => Cow::Borrowed(json.as_bytes()),
    }
}

/// The headers that mean something; names compare without case, values may be numbers. Headers of another
/// shape say nothing; the status does.
#[derive(Default)]
struct Meant(HeaderMap);

/// A name that is borrowed where it can be.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Meant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Headers)
    }
}

/// Reads an object, and passes over whatever else JSON may hold.
struct Headers;

impl<'de> Visitor<'de> for Headers {
    type Value = Meant;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("headers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut given: A) -> Result<Meant, A::Error> {
        let mut map = HeaderMap::new();
        while let Some(Name(name)) = given.next_key()? {
            match MEANT.into_iter().find(|known| name.eq_ignore_ascii_case(known)) {
                Some(known) => {
                    let value: &RawValue = given.next_value()?;
                    if let Some(value) = header_value(value.get()) {
                        map.append(known, value);
                    }
                }
                None => {
                    given.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Meant(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut given: A) -> Result<Meant, A::Error> {
        while given.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Meant::default())
    }

    fn visit_unit<E>(self) -> Result<Meant, E> {
        Ok(Meant::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Meant, E> {
        Ok(Meant::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Meant, E> {
        Ok(Meant::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Meant, E> {
        Ok(Meant::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Meant, E> {
        Ok(Meant::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Meant, E> {
        Ok(Meant::default())
    }
}

/// A text or a number, or a list of them as one value; anything else gives `None`.
fn header_value(raw: &str) -> Option<HeaderValue> {
    let text = if raw.starts_with('[') {
        let several: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
        let texts: Vec<_> = several.into_iter().filter_map(|one| header_text(one.get())).collect();
        Cow::Owned((!texts.is_empty()).then(|| texts.join(", "))?)
    } else {
        header_text(raw)?
    };
    HeaderValue::from_str(&text).ok()
}

fn header_text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => Some(Cow::Owned(serde_json::from_str::<String>(raw).ok()?)),
        b'0'..=b'9' => Some(Cow::Borrowed(raw)),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::Attempt;

    pub(in crate::graph) fn answered(body: &str) -> Answered {
        let attempt = Attempt { status: Some(200), ..Attempt::of(AttemptResult::Accepted) };
        Answered { attempt, headers: HeaderMap::new(), body: body.as_bytes().to_vec() }
    }

    fn statuses(body: &str, count: usize) -> Vec<Option<u16>> {
        decode(&answered(body), count).into_iter().map(|part| part.map(|part| part.status)).collect()
    }

    #[test]
    fn answers_find_their_parts_in_any_order() {
        let body = json!({ "responses": [
            { "id": "2", "status": 429, "headers": { "Retry-After": 7, "X-MS-Throttle-Scope": "Tenant/Write/a/b", "x": [] },
              "body": { "error": { "code": "TooManyRequests" } } },
            { "id": "0", "status": 204, "headers": null, "body": null },
            { "id": "1", "status": 502, "headers": { "content-type": "text/html" }, "body": "<h1>\"" },
        ] });
        let answer = answered(&body.to_string());
        let parts: Vec<_> = decode(&answer, 3).into_iter().map(|part| part.expect("an answer")).collect();
        assert_eq!(parts.iter().map(|part| part.status).collect::<Vec<_>>(), [204, 502, 429]);
        assert_eq!((&*parts[0].body, &*parts[1].body), (&b""[..], &b"<h1>\""[..]));
        assert_eq!(parts[2].headers["retry-after"], "7");
        assert_eq!(parts[2].headers.len(), 2);
        assert!(parts[2].body.starts_with(b"{"));
    }

    #[test]
    fn what_cannot_be_told_has_no_answer() {
        let part = |id: &str, status: u16| format!(r#"{{"id":"{id}","status":{status}}}"#);
        let whole = |parts: &[String]| format!(r#"{{"responses":[{}]}}"#, parts.join(","));
        let (yes, no) = (Some(204), None);
        assert_eq!(statuses(&whole(&[part("1", 204)]), 2), [no, yes], "missing");
        assert_eq!(statuses(&whole(&[part("0", 204), part("0", 204)]), 2), [yes, no], "doubled alike");
        assert_eq!(statuses(&whole(&[part("0", 204), part("0", 404)]), 1), [no], "doubled and different");
        assert_eq!(
            statuses(&whole(&[part("7", 204), part("1", 204), part("-1", 204), part("", 204)]), 1),
            [no],
            "unknown"
        );
        assert_eq!(statuses(&whole(&[r#"{"id":0}"#.to_owned(), part("1", 204)]), 2), [no, yes], "no part");
        let deep = format!(r#"{{"id":"0","status":404,"body":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        assert_eq!(statuses(&whole(&[deep, part("1", 204)]), 2), [Some(404), yes], "deep");
        for body in ["", "{", "[]", "null", r#"{"responses":{}}"#, r#"{"error":{}}"#, "<html>"] {
            assert_eq!(statuses(body, 2), [no, no], "{body}");
        }
        let cut = &whole(&[part("0", 204), part("1", 204)])[..40];
        assert_eq!(statuses(cut, 2), [no, no], "cut off");
        assert_eq!(
            statuses(&whole(&[part("01", 204), part("+0", 204), part(" 0", 204)]), 2),
            [no, no],
            "odd ids"
        );
        let rewritten = [r#"{"id":0,"status":"204"}"#.to_owned(), r#"{"id":"1","status":"2O4"}"#.to_owned()];
        assert_eq!(statuses(&whole(&rewritten), 2), [yes, no], "numbers and texts");
        assert_eq!(statuses(&whole(&[r#"{"id":0.0,"status":204}"#.to_owned()]), 1), [no], "another number");
        let bom = format!("\u{feff}{}", whole(&[part("0", 204)]));
        assert_eq!(statuses(&bom, 1), [yes]);
    }

    #[test]
    fn raw_text_in_one_part_costs_only_that_part() {
        let part = |id: &str, body: &str| {
            format!(r#"{{"id":"{id}","status":404,"headers":{{"a":"b"}},"body":{body}}}"#)
        };
        let page = r#"<html><style>b{c:d}</style>{"id":"2","status":204}</html>"#;
        let fake = r#"<script>x={"id":"2","status":204}</script>"#;
        for raw in [page, fake, "{", "}", "\"", "not JSON", "{\"a\":", "[1,", "nul", "\u{1}", "\"\u{1}\""] {
            for (order, expected) in [
                ([part("0", raw), part("1", "{}")], [None, Some(404), None]),
                ([part("0", "{}"), part("1", raw)], [Some(404), None, None]),
            ] {
                let body = format!(r#"{{"responses": [ {} ] }}"#, order.join(", "));
                let found = statuses(&body, 3);
                // An open bracket or quote may swallow what follows; it never makes up an answer.
                let swallowed = order[0].contains(raw) && matches!(raw, "\"" | "{\"a\":" | "[1,");
                assert!(found == expected || (swallowed && found == [None; 3]), "{body}: {found:?}");
            }
        }
        let many = format!(r#"{{"responses":[{},{}]}}"#, part("0", &"{".repeat(100_000)), part("1", "{}"));
        assert_eq!(statuses(&many, 2), [None, None], "too many braces");
    }

    #[test]
    fn a_header_may_be_a_text_a_number_or_a_list_of_them() {
        for (value, expected) in [
            (r#""7""#, Some("7")),
            ("7", Some("7")),
            (r#"["7"]"#, Some("7")),
            (r#"["7", 9, null, {}]"#, Some("7, 9")),
            ("[]", None),
            ("[[7]]", None),
            ("{}", None),
            ("null", None),
        ] {
            let body =
                format!(r#"{{"responses":[{{"id":"0","status":429,"headers":{{"Retry-After":{value}}}}}]}}"#);
            let answer = answered(&body);
            let parts = decode(&answer, 1);
            let part = parts[0].as_ref().expect("an answer");
            assert_eq!(
                part.headers.get("retry-after").map(HeaderValue::as_bytes),
                expected.map(str::as_bytes),
                "{value}"
            );
        }
    }

    #[test]
    fn headers_of_another_shape_say_nothing_and_the_status_does() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        for odd in
            ["null", "true", "-1", "7", "0.5", r#""retry-after: 7""#, r#"["retry-after", {"a": []}]"#, &deep]
        {
            // A second part without its shape has the first read by itself.
            for more in ["", r#",{"id":1}"#] {
                let body = format!(r#"{{"responses":[{{"id":"0","headers":{odd},"status":429}}{more}]}}"#);
                let answer = answered(&body);
                let parts = decode(&answer, 1);
                let part = parts[0].as_ref().unwrap_or_else(|| panic!("an answer: {body}"));
                assert_eq!((part.status, part.headers.len()), (429, 0), "{body}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_damaged_answer_is_read_without_a_panic_and_gives_each_part_at_most_one(
            at in 0..200_usize,
            with in proptest::collection::vec(any::<u8>(), 0..4),
        ) {
            let mut body = br#"{"responses":[{"id":"0","status":204,"headers":{"Retry-After":"1"},"body":null},
                {"id":"1","status":404,"headers":{},"body":{"error":{"code":"a","message":"b"}}}]}"#.to_vec();
            let at = at.min(body.len());
            let end = (at + with.len()).min(body.len());
            body.splice(at..end, with);
            let answer = Answered { body, ..answered("") };
            prop_assert_eq!(decode(&answer, 2).len(), 2);
        }
    }
}
