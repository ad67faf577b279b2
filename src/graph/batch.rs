//! JSON `$batch`: parts out, and what their replies mean (`docs/graph.md#batches`).

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::time::SystemTime;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::classify::{LONGEST_BODY, Meaning, classify, classify_read};
use super::client::{ActionPath, Answered, Client, fresh_id, told};
use super::replies::{Reply, decode};
use crate::auth::Token;
use crate::model::{Attempt, AttemptResult, MAX_MESSAGE, Text, TransientFailure, UserId, action, sanitize};

/// Most parts of one batch: more are refused whole.
pub const MOST_PARTS: usize = 20;
/// Longest response to a batch of writes, in bytes. Twenty error bodies are below 40 KiB. One part with a
/// page of megabytes must not hide the other parts, above all their waits.
const LONGEST_BATCH: usize = 16 * 1024 * 1024;
/// Bytes of a part with a GUID and its share of the frame; longer ones make the body grow.
const ROOM: usize = 256;
/// Error code of an attempt whose part of a batch has no answer, or no clear one.
pub const NO_ANSWER: &str = "no_answer_in_batch";
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// One part to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<P> {
    pub(super) method: &'static str,
    /// Below root and version, already encoded as for a request line.
    pub(super) path: P,
}

/// The result of one part of a batch of writes.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchPart {
    /// It has an answer of its own.
    Answered(Attempt),
    /// The batch failed as a whole, and the failure holds for each part: throttled, a token, a network fault,
    /// 5xx.
    BatchFailed(Attempt),
    /// The response of the part is missing. It is not known whether its action was processed, so its next
    /// attempt is best sent alone.
    NoAnswer(Attempt),
}

impl BatchPart {
    /// The attempt of this part.
    pub fn attempt(&self) -> &Attempt {
        match self {
            Self::Answered(attempt) | Self::BatchFailed(attempt) | Self::NoAnswer(attempt) => attempt,
        }
    }

    /// The attempt of this part, to be changed.
    pub fn attempt_mut(&mut self) -> &mut Attempt {
        match self {
            Self::Answered(attempt) | Self::BatchFailed(attempt) | Self::NoAnswer(attempt) => attempt,
        }
    }

    /// The same.
    pub fn into_attempt(self) -> Attempt {
        match self {
            Self::Answered(attempt) | Self::BatchFailed(attempt) | Self::NoAnswer(attempt) => attempt,
        }
    }
}

impl Client {
    /// Asks Microsoft 365 to retry up to twenty objects in one `$batch`. As many parts as ids, in their
    /// order.
    pub async fn retry_batch(&self, token: &Token, ids: &[UserId]) -> Vec<BatchPart> {
        let request = |id| Request { method: action::METHOD, path: ActionPath(self.kind, id) };
        let (body, own) = encode(ids.iter().map(request));
        let answer = self.post_batch(token, body, LONGEST_BATCH).await;
        let now = SystemTime::now();
        let parts = own.into_iter().zip(decode(&answer, ids.len())).map(|(own, reply)| {
            let attempt = Attempt { client_request_id: own, ..answer.attempt.clone() };
            match reply {
                Some(reply) => BatchPart::Answered(judged(attempt, &reply, now, classify)),
                None => without_reply(attempt),
            }
        });
        parts.collect()
    }

    /// Posts a batch. `Accepted`: a 200 with a JSON object, whole.
    pub(super) async fn post_batch(&self, token: &Token, body: Vec<u8>, longest: usize) -> Answered {
        self.write(token, Method::POST, "/$batch", body, longest, classify_read).await
    }
}

/// The attempt of one part: that of the batch, changed by the reply of the part. Only the beginning of a long
/// body is read, as in a single response, because parsing megabytes of JSON would delay the waits of the
/// other parts.
pub(super) fn judged(
    mut attempt: Attempt,
    reply: &Reply<'_>,
    now: SystemTime,
    meaning: fn(u16, &HeaderMap, &[u8], SystemTime) -> Meaning,
) -> Attempt {
    attempt.status = Some(reply.status);
    told(&mut attempt, &reply.headers);
    let body = &reply.body[..reply.body.len().min(LONGEST_BODY)];
    let mut own = meaning(reply.status, &reply.headers, body, now);
    // A wait of the batch counts for each part without one. Where the batch itself was throttled, it counts
    // for every part that was not accepted: nothing may be sent before it is over.
    if let Some(wait) = attempt.retry_after
        && own.kind != AttemptResult::Accepted
        && own.retry_after.is_none_or(|own| own < wait && matches!(attempt.kind, AttemptResult::Throttled(_)))
    {
        let mut headers = reply.headers.clone();
        headers
            .append(RETRY_AFTER_MS, HeaderValue::from(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)));
        own = meaning(reply.status, &headers, body, now);
    }
    let Meaning { kind, code, message, retry_after } = own;
    Attempt { kind, code, message, retry_after, ..attempt }
}

/// The body of a batch, and the `client-request-id` of each part. Parts are named by their place, which is
/// unique whatever the case.
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

/// The result of a part without a reply, or with two replies that differ.
pub(super) fn without_reply(mut attempt: Attempt) -> BatchPart {
    match attempt.kind {
        AttemptResult::Accepted => {
            attempt.kind = AttemptResult::Transient(TransientFailure::Broken);
            attempt.code = NO_ANSWER.into();
            attempt.message = "the answer to the batch does not tell about this one".into();
            BatchPart::NoAnswer(attempt)
        }
        AttemptResult::Throttled(_) | AttemptResult::Unauthorized { .. } | AttemptResult::Busy => {
            BatchPart::BatchFailed(attempt)
        }
        AttemptResult::Transient(fault)
            if attempt.status.is_none()
                || (fault != TransientFailure::Broken && fault != TransientFailure::NotGraph) =>
        {
            BatchPart::BatchFailed(attempt)
        }
        // A body that cannot be read, a web page, or a final word that is about the batch and not about the
        // user.
        _ => {
            let fault = if let AttemptResult::Transient(fault) = attempt.kind {
                fault
            } else {
                TransientFailure::Broken
            };
            attempt.kind = AttemptResult::Transient(fault);
            attempt.message =
                sanitize(&format!("the batch as a whole: {}", attempt.message), MAX_MESSAGE).into();
            attempt.code = NO_ANSWER.into();
            BatchPart::NoAnswer(attempt)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::DATE;
    use serde_json::{Value, json};

    use super::super::replies::tests::answered;
    use super::*;

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
    fn readable_parts_count_whatever_the_envelope_says() {
        let part = |id: u8, rest: &str| format!(r#"{{"id":"{id}",{rest}}}"#);
        let body = [
            part(0, r#""status":204"#),
            part(1, r#""status":429,"headers":{"Retry-After":"5"}"#),
            part(2, r#""status":429"#),
            part(3, r#""status":503,"headers":{"Retry-After":"soon"}"#),
            part(4, r#""status":404,"body":{"error":{"code":"x","message":"m"}}"#),
            part(5, r#""status":204,"body":{"error":{"code":"x","message":"m"}}"#),
            part(6, r#""status":202,"body":{}"#),
            part(7, r#""status":200,"body":" ""#),
        ];
        let body = format!(r#"{{"responses":[{}]}}"#, body.join(","));
        let throttled = |quota| {
            AttemptResult::Throttled(crate::model::Throttle {
                scope: crate::model::Scope::AppInTenant,
                quota,
            })
        };
        let not_graph = AttemptResult::Transient(TransientFailure::NotGraph);
        for status in [200, 207, 400, 424, 429, 500, 503] {
            let mut answer = answered(&body);
            answer.headers.insert("retry-after", HeaderValue::from_static("30"));
            let now = SystemTime::now();
            let Meaning { kind, retry_after, .. } =
                classify_read(status, &answer.headers, body.as_bytes(), now);
            answer.attempt = Attempt { status: Some(status), kind, retry_after, ..answer.attempt };
            let parts = decode(&answer, 9);
            let found: Vec<_> = parts[..8]
                .iter()
                .map(|part| judged(answer.attempt.clone(), part.as_ref().expect("an answer"), now, classify))
                .map(|part| (part.kind, part.retry_after.map_or(0, |wait| wait.as_secs())))
                .collect();
            let own = if matches!(status, 429 | 503) { 30 } else { 5 };
            let expected = [
                (AttemptResult::Accepted, 0),
                (throttled(true), own),
                (throttled(true), 30),
                (throttled(false), 30),
                (AttemptResult::Rejected(crate::model::Reason::NotFound), 30),
                (not_graph.clone(), 30),
                (not_graph.clone(), 30),
                (AttemptResult::Accepted, 0),
            ];
            assert_eq!(found, expected, "{status}");
            assert!(parts[8].is_none(), "{status}: a part without a reply");
        }
        // A response that did not arrive completely is not used.
        let mut cut = answered(&body);
        cut.attempt.kind = AttemptResult::Transient(TransientFailure::Broken);
        assert!(decode(&cut, 8).iter().all(Option::is_none));
    }

    #[test]
    fn replies_to_one_part_that_differ_are_none() {
        let both = |first: &str, second: &str| {
            let answer =
                answered(&format!(r#"{{"responses":[{{"id":"0",{first}}},{{"id":"0",{second}}}]}}"#));
            let part = decode(&answer, 1).remove(0);
            part.map(|part| judged(answer.attempt.clone(), &part, SystemTime::now(), classify).retry_after)
        };
        let (yes, limit) = (r#""status":204"#, r#""status":429,"headers":{"Retry-After":"#);
        assert_eq!(both(yes, r#""status":404"#), None);
        assert_eq!(both(r#""status":200,"body":{"id":"a"}"#, r#""status":200,"body":{"id":"b"}"#), None);
        assert_eq!(both(yes, yes), Some(None));
        let waits = both(&format!("{limit}5}}"), &format!("{limit}9}}"));
        assert_eq!(waits, Some(Some(Duration::from_secs(9))), "the longest wait");
    }

    #[test]
    fn a_whole_that_failed_says_no_final_word_about_anybody() {
        let transient = AttemptResult::Transient;
        let asked = AttemptResult::Throttled(crate::model::Throttle {
            scope: crate::model::Scope::Tenant,
            quota: true,
        });
        // What says the same for each part.
        for (status, kind) in [
            (Some(429), asked),
            (Some(401), AttemptResult::Unauthorized { claims: None }),
            (Some(409), AttemptResult::Busy),
            (Some(500), transient(TransientFailure::Server)),
            (Some(503), transient(TransientFailure::Unavailable)),
            (None, transient(TransientFailure::Timeout)),
            (None, transient(TransientFailure::Broken)),
        ] {
            let attempt = Attempt { status, ..Attempt::of(kind) };
            assert_eq!(without_reply(attempt.clone()), BatchPart::BatchFailed(attempt));
        }
        // What says nothing about any of them.
        for (status, kind, fault) in [
            (200, transient(TransientFailure::Broken), TransientFailure::Broken),
            (200, transient(TransientFailure::NotGraph), TransientFailure::NotGraph),
            (403, AttemptResult::Rejected(crate::model::Reason::NoPermission), TransientFailure::Broken),
            (404, AttemptResult::Rejected(crate::model::Reason::NotFound), TransientFailure::Broken),
        ] {
            let given = Attempt { status: Some(status), message: "said".into(), ..Attempt::of(kind) };
            let expected = Attempt {
                kind: transient(fault),
                code: NO_ANSWER.into(),
                message: "the batch as a whole: said".into(),
                ..given.clone()
            };
            assert_eq!(without_reply(given), BatchPart::NoAnswer(expected));
        }
        let missing = without_reply(Attempt { status: Some(200), ..Attempt::of(AttemptResult::Accepted) })
            .into_attempt();
        let expected = (
            &transient(TransientFailure::Broken),
            NO_ANSWER,
            "the answer to the batch does not tell about this one",
        );
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
        for (room, kind) in [
            (200, AttemptResult::Rejected(crate::model::Reason::NotFound)),
            (0, AttemptResult::Transient(TransientFailure::NotGraph)),
        ] {
            let error =
                json!({ "error": { "code": "c", "message": "m", "more": "x".repeat(LONGEST_BODY - room) } });
            let reply =
                Reply { status: 404, headers: HeaderMap::new(), body: error.to_string().into_bytes().into() };
            let judged = judged(Attempt::of(AttemptResult::Accepted), &reply, SystemTime::now(), classify);
            assert_eq!(judged.kind, kind);
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
        // The `Date` of a part takes precedence.
        let own = r#""Date":"Mon, 23 Nov 2026 21:00:10 GMT","retry-after""#;
        answer.body = part(0, 429).replace(r#""retry-after""#, own).into_bytes();
        answer.body = [&b"{\"responses\":["[..], &answer.body, b"]}"].concat();
        let reply = decode(&answer, 1).remove(0).expect("an answer");
        let judged = judged(answer.attempt.clone(), &reply, SystemTime::now(), classify);
        assert_eq!(judged.retry_after, Some(Duration::from_secs(20)));
    }
}
