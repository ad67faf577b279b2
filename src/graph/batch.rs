//! JSON `$batch` on the wire: parts out, their answers back by id (`docs/graph.md#batches`).

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::time::SystemTime;

use reqwest::header::{DATE, HeaderMap, HeaderValue};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::classify::{Meaning, classify};
use super::client::{ActionPath, Answered, Client, LONGEST_BODY, fresh_id, told};
use super::read::classify_read;
use crate::auth::Token;
use crate::model::{Attempt, Fault, Kind, MAX_MESSAGE, Text, UserId, neutral};

/// Most parts of one batch: more are refused whole.
pub const MOST_PARTS: usize = 20;
/// Longest answer to a batch of writes. Twenty error bodies are below 40 KiB, but one part with a page of megabytes must
/// not hide what the others are told, above all how long to wait.
const LONGEST_BATCH: usize = 16 * 1024 * 1024;
/// Bytes of a part with a GUID and its share of the frame; longer ones make the body grow.
const ROOM: usize = 256;
/// Code of an attempt whose part has no answer that could be told.
pub const UNTOLD: &str = "untold";
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

/// One part to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<P> {
    pub(super) method: &'static str,
    /// Below root and version, already encoded as for a request line.
    pub(super) path: P,
}

/// What came of one part of a batch of writes.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// It has an answer of its own.
    Own(Attempt),
    /// The batch failed as a whole in a way that says so for each part: throttled, a token, a network fault, 5xx.
    Whole(Attempt),
    /// Nothing is known of it, not even whether it was done: better sent alone the next time.
    Untold(Attempt),
}

impl Part {
    /// What came of it, whoever said so.
    pub fn attempt(&self) -> &Attempt {
        match self {
            Self::Own(attempt) | Self::Whole(attempt) | Self::Untold(attempt) => attempt,
        }
    }

    /// The same.
    pub fn into_attempt(self) -> Attempt {
        match self {
            Self::Own(attempt) | Self::Whole(attempt) | Self::Untold(attempt) => attempt,
        }
    }
}

/// One part of an answer.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// As the part would have sent it alone; empty: none.
    pub(super) body: Cow<'a, [u8]>,
}

impl Client {
    /// Asks Microsoft 365 to retry up to twenty objects in one `$batch`. As many parts as ids, in their order.
    pub async fn retry_batch(&self, token: &Token, ids: &[UserId]) -> Vec<Part> {
        let request = |id| Request { method: "POST", path: ActionPath(self.kind, id) };
        let (body, own) = encode(ids.iter().map(request));
        let answer = self.post_batch(token, body, LONGEST_BATCH).await;
        let now = SystemTime::now();
        let parts = own.into_iter().zip(decode(&answer, ids.len())).map(|(own, reply)| {
            let attempt = Attempt { client_request_id: own, ..answer.attempt.clone() };
            match reply {
                _ if attempt.kind != Kind::Accepted => of_whole(attempt),
                None => Part::Untold(untold(attempt)),
                Some(reply) => Part::Own(judged(attempt, &reply, now, classify)),
            }
        });
        parts.collect()
    }

    /// Posts a batch. `Accepted`: a 200 with a JSON object, whole.
    pub(super) async fn post_batch(&self, token: &Token, body: Vec<u8>, longest: usize) -> Answered {
        self.post(token, "/$batch", body, longest, classify_read).await
    }
}

/// The attempt of one part: the batch's own with what its reply says, of which no more is looked at than of an answer
/// that comes alone: to take megabytes of JSON apart holds up the waits that the other parts tell.
pub(super) fn judged(
    mut attempt: Attempt,
    reply: &Reply<'_>,
    now: SystemTime,
    meaning: fn(u16, &HeaderMap, &[u8], SystemTime) -> Meaning,
) -> Attempt {
    attempt.status = Some(reply.status);
    told(&mut attempt, &reply.headers);
    let body = &reply.body[..reply.body.len().min(LONGEST_BODY)];
    let Meaning { kind, code, message, retry_after } = meaning(reply.status, &reply.headers, body, now);
    Attempt { kind, code, message, retry_after, ..attempt }
}

/// The body of a batch, and the `client-request-id` of each part. Parts are named by their place, which is unique
/// whatever the case.
pub(super) fn encode<P: fmt::Display>(parts: impl Iterator<Item = Request<P>>) -> (Vec<u8>, Vec<Text>) {
    let mut body = Vec::with_capacity(MOST_PARTS * ROOM);
    let mut path = String::new();
    let mut ids = Vec::with_capacity(MOST_PARTS);
    body.extend(br#"{"requests":["#);
    for (place, part) in parts.enumerate() {
        let id = fresh_id();
        body.extend(if place == 0 { &br#"{"id":""#[..] } else { br#",{"id":""# });
        // Writing into a Vec cannot fail. Method and id are ours; the path is escaped like any text.
        let _ = write!(body, "{place}");
        body.extend(br#"","method":""#);
        body.extend(part.method.as_bytes());
        body.extend(br#"","url":"#);
        path.clear();
        let _ = write!(path, "{}", part.path);
        let _ = serde_json::to_writer(&mut body, &path);
        body.extend(br#","headers":{"client-request-id":""#);
        body.extend(id.as_bytes());
        // The action has no body, but its page calls Content-Type required, and that goes with a body only.
        body.extend(match part.method {
            "POST" => &br#"","Content-Type":"application/json"},"body":{}}"#[..],
            _ => br#""}}"#,
        });
        ids.push(id);
    }
    body.extend(b"]}");
    (body, ids)
}

/// Without `responses` the whole is not an answer to a batch.
#[derive(Deserialize)]
struct Whole<T> {
    responses: Vec<T>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    status: u16,
    #[serde(default)]
    headers: Meant,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

/// What can be read of a body: all at once where every part has its shape, else each part by itself.
fn responses(body: &[u8]) -> Vec<Response<'_>> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if let Ok(Whole { responses }) = serde_json::from_slice(body) {
        return responses;
    }
    let Ok(Whole::<&RawValue> { responses }) = serde_json::from_slice(body) else { return Vec::new() };
    // A part that cannot be read is no answer; the others are.
    responses.into_iter().filter_map(|part| serde_json::from_str(part.get()).ok()).collect()
}

/// The answers of `count` parts by place. `None`: no answer, or none that can be told from another; whether the work
/// was done is not known. A whole answer that cannot be read has none at all.
pub(super) fn decode(answer: &Answered, count: usize) -> Vec<Option<Reply<'_>>> {
    let mut parts: Vec<Option<Reply<'_>>> = (0..count).map(|_| None).collect();
    let mut doubled = vec![false; count];
    if answer.attempt.kind != Kind::Accepted {
        return parts;
    }
    for Response { id, status, headers: Meant(mut headers), body } in responses(&answer.body) {
        let Some(place) = id.parse::<usize>().ok().filter(|place| *place < count) else { continue };
        // Waits given as a date count from the service's own clock; a yes has none.
        if status >= 400
            && let Some(date) = answer.headers.get(DATE).filter(|_| !headers.contains_key(DATE))
        {
            headers.insert(DATE, date.clone());
        }
        let part = Reply { status, headers, body: body.map(plain).unwrap_or_default() };
        doubled[place] |= parts[place].as_ref().is_some_and(|first| first.status != part.status);
        parts[place].get_or_insert(part);
    }
    for (part, doubled) in parts.iter_mut().zip(doubled) {
        // Two answers that differ: neither is believed.
        if doubled {
            *part = None;
        }
    }
    parts
}

/// What is no JSON stands in the part as a text. A `null` is read as no body at all and does not come here.
fn plain(raw: &RawValue) -> Cow<'_, [u8]> {
    match raw.get() {
        text if text.starts_with('"') => {
            Cow::Owned(serde_json::from_str::<String>(text).unwrap_or_default().into_bytes())
        }
        json => Cow::Borrowed(json.as_bytes()),
    }
}

/// The headers that mean something; names compare without case, values may be numbers. Headers of another shape say
/// nothing; the status does.
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

/// A text or a number; anything else is no value.
fn header_value(raw: &str) -> Option<HeaderValue> {
    let text = match raw.as_bytes().first()? {
        b'"' => Cow::Owned(serde_json::from_str::<String>(raw).ok()?),
        b'0'..=b'9' => Cow::Borrowed(raw),
        _ => return None,
    };
    HeaderValue::from_str(&text).ok()
}

/// What a batch that is not `Accepted` as a whole says about each of its parts.
pub(super) fn of_whole(mut attempt: Attempt) -> Part {
    match attempt.kind {
        Kind::Throttled(_) | Kind::Unauthorized { .. } => Part::Whole(attempt),
        Kind::Transient(fault)
            if attempt.status.is_none() || (fault != Fault::Broken && fault != Fault::NotGraph) =>
        {
            Part::Whole(attempt)
        }
        // A body that cannot be read, a web page, or a final word that is about the batch and not about the user.
        _ => {
            let fault = if let Kind::Transient(fault) = attempt.kind { fault } else { Fault::Broken };
            attempt.kind = Kind::Transient(fault);
            attempt.message =
                neutral(&format!("the batch as a whole: {}", attempt.message), MAX_MESSAGE).into();
            attempt.code = UNTOLD.into();
            Part::Untold(attempt)
        }
    }
}

/// An attempt whose part is missing in a batch that could be read, or was answered in two ways.
pub(super) fn untold(mut attempt: Attempt) -> Attempt {
    attempt.kind = Kind::Transient(Fault::Broken);
    attempt.code = UNTOLD.into();
    attempt.message = "the answer to the batch does not tell about this one".into();
    attempt
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn answered(body: &str) -> Answered {
        let attempt = Attempt { status: Some(200), ..Attempt::of(Kind::Accepted) };
        Answered { attempt, headers: HeaderMap::new(), body: body.as_bytes().to_vec() }
    }

    fn statuses(body: &str, count: usize) -> Vec<Option<u16>> {
        decode(&answered(body), count).into_iter().map(|part| part.map(|part| part.status)).collect()
    }

    #[test]
    fn parts_are_named_by_place_and_escaped() {
        let parts = [("POST", "/users/a@b/retryServiceProvisioning"), ("GET", "/users?$select=\"\\")];
        let (body, ids) = encode(parts.iter().map(|(method, path)| Request { method, path }));
        let sent: Value = serde_json::from_slice(&body).expect("JSON");
        let post = &sent["requests"][0];
        assert_eq!((&post["id"], &post["method"], &post["body"]), (&json!("0"), &json!("POST"), &json!({})));
        assert_eq!(post["headers"]["Content-Type"], "application/json");
        assert_eq!(post["headers"]["client-request-id"], *ids[0]);
        let get = &sent["requests"][1];
        assert_eq!((&get["url"], get.get("body")), (&json!("/users?$select=\"\\"), None));
        assert!(ids[0] != ids[1] && sent["requests"].as_array().map(Vec::len) == Some(2));
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
        let bom = format!("\u{feff}{}", whole(&[part("0", 204)]));
        assert_eq!(statuses(&bom, 1), [yes]);
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

    #[test]
    fn a_whole_that_failed_says_no_final_word_about_anybody() {
        let transient = Kind::Transient;
        let asked =
            Kind::Throttled(crate::model::Throttle { scope: crate::model::Scope::Tenant, quota: true });
        // What says the same for each part.
        for (status, kind) in [
            (Some(429), asked),
            (Some(401), Kind::Unauthorized { claims: None }),
            (Some(500), transient(Fault::Server)),
            (Some(503), transient(Fault::Unavailable)),
            (None, transient(Fault::Timeout)),
            (None, transient(Fault::Broken)),
        ] {
            let attempt = Attempt { status, ..Attempt::of(kind) };
            assert_eq!(of_whole(attempt.clone()), Part::Whole(attempt));
        }
        // What says nothing about any of them.
        for (status, kind, fault) in [
            (200, transient(Fault::Broken), Fault::Broken),
            (200, transient(Fault::NotGraph), Fault::NotGraph),
            (403, Kind::Refused(crate::model::Reason::NoPermission), Fault::Broken),
            (404, Kind::Refused(crate::model::Reason::NotFound), Fault::Broken),
            (409, Kind::Busy, Fault::Broken),
        ] {
            let given = Attempt { status: Some(status), message: "said".into(), ..Attempt::of(kind) };
            let expected = Attempt {
                kind: transient(fault),
                code: UNTOLD.into(),
                message: "the batch as a whole: said".into(),
                ..given.clone()
            };
            assert_eq!(of_whole(given), Part::Untold(expected));
        }
        let missing = untold(Attempt { status: Some(200), ..Attempt::of(Kind::Accepted) });
        let expected =
            (&transient(Fault::Broken), UNTOLD, "the answer to the batch does not tell about this one");
        assert_eq!((&missing.kind, &*missing.code, &*missing.message), expected);
    }

    #[test]
    fn a_part_has_its_own_status_and_request_id() {
        let part = r#"{"id":"0","status":404,"headers":{"request-id":"its own"},"body":{"error":{"code":"c","message":"m"}}}"#;
        let answer = answered(&format!(r#"{{"responses":[{part}]}}"#));
        let reply = decode(&answer, 1).remove(0).expect("an answer");
        let judged = judged(answer.attempt.clone(), &reply, SystemTime::now(), classify);
        assert_eq!((judged.status, &*judged.request_id), (Some(404), "its own"));
        assert_eq!((&*judged.code, &*judged.message), ("c", "m"));
    }

    #[test]
    fn of_a_part_no_more_is_looked_at_than_of_an_answer_that_comes_alone() {
        for (room, message) in [(200, "m"), (0, "HTTP 404 without a message")] {
            let error =
                json!({ "error": { "code": "c", "message": "m", "more": "x".repeat(LONGEST_BODY - room) } });
            let reply =
                Reply { status: 404, headers: HeaderMap::new(), body: error.to_string().into_bytes().into() };
            let judged = judged(Attempt::of(Kind::Accepted), &reply, SystemTime::now(), classify);
            assert_eq!(judged.kind, Kind::Refused(crate::model::Reason::NotFound));
            assert_eq!(&*judged.message, message);
        }
    }

    #[test]
    fn a_wait_given_as_a_date_counts_from_the_services_clock() {
        let date = "Mon, 23 Nov 2026 21:00:00 GMT";
        let part = |id: u8, status: u16| {
            format!(
                r#"{{"id":"{id}","status":{status},"headers":{{"retry-after":"Mon, 23 Nov 2026 21:00:30 GMT"}}}}"#
            )
        };
        let mut answer = answered(&format!(r#"{{"responses":[{},{}]}}"#, part(0, 429), part(1, 204)));
        answer.headers.insert(DATE, HeaderValue::from_static(date));
        let parts = decode(&answer, 2);
        let judge = |part: &Reply<'_>| judged(answer.attempt.clone(), part, SystemTime::now(), classify);
        let waits: Vec<_> = parts.iter().flatten().map(|part| judge(part).retry_after).collect();
        assert_eq!(waits[0], Some(Duration::from_secs(30)));
        // A part that tells its own time is believed.
        let own = r#""Date":"Mon, 23 Nov 2026 21:00:10 GMT","retry-after""#;
        answer.body = part(0, 429).replace(r#""retry-after""#, own).into_bytes();
        answer.body = [&b"{\"responses\":["[..], &answer.body, b"]}"].concat();
        let reply = decode(&answer, 1).remove(0).expect("an answer");
        let judged = judged(answer.attempt.clone(), &reply, SystemTime::now(), classify);
        assert_eq!(judged.retry_after, Some(Duration::from_secs(20)));
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
