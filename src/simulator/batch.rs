//! `$batch`: answers each part on its own, and simulates the faults of whole batches.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, Request};
use serde_json::{Map, Value, json};

use super::scenario::{BatchFault, RetryAfterForm, draw};
use super::tenant::{Tenant, header};
use super::wire::{SimulatedResponse, error, html};

/// Maximum number of parts in a batch (documented).
const MAX_PARTS: usize = 20;

/// A function that answers a part, given its path below the version.
type PartHandler = fn(&mut Tenant, Duration, &str, &Request<Bytes>) -> SimulatedResponse;

/// Answers a batch at `now`; `answer_part` answers each of its parts.
pub(super) fn answer(
    tenant: &mut Tenant,
    now: Duration,
    request: &Request<Bytes>,
    answer_part: PartHandler,
) -> SimulatedResponse {
    if request.method() != Method::POST {
        return tenant.reject_rule_break(405, "Request_BadRequest", "a method that is not allowed");
    }
    if header(request, "content-type").is_none_or(|kind| !kind.starts_with("application/json")) {
        return tenant.reject_rule_break(415, "", "a batch without Content-Type");
    }
    if let Some(wrong) = tenant.check_request_id(request) {
        return tenant.reject_rule_break(400, "Request_BadRequest", wrong);
    }
    let invalid = "Invalid batch payload format.";
    let parsed: Option<Value> = serde_json::from_slice(request.body()).ok();
    let parts =
        parsed.as_ref().and_then(|body| body["requests"].as_array()).filter(|parts| !parts.is_empty());
    let Some(parts) = parts else { return reject(tenant, invalid) };
    if parts.len() > MAX_PARTS {
        return reject(tenant, "Number of requests inside batch exceed the limit.");
    }
    let mut ids = HashSet::new();
    for part in parts {
        let Some(id) = part["id"].as_str() else { return reject(tenant, invalid) };
        if !ids.insert(id.to_ascii_lowercase()) {
            return reject(tenant, &format!("Request Id {id} has to be unique in a batch."));
        }
    }
    tenant.ledger.batches += 1;
    let fault = draw(&mut tenant.random, &tenant.scenario.batch.shares());
    match fault {
        Some(BatchFault::Whole429) => {
            let wait = tenant.scenario.faults.wait_secs() as f64;
            let answer = tenant.throttled(now, wait, "Tenant_Application/Write", RetryAfterForm::Integer);
            tenant.ledger.record_answer(429);
            return answer;
        }
        Some(BatchFault::Whole503) => {
            tenant.ledger.record_answer(503);
            return error(503, "ServiceUnavailable", "");
        }
        Some(BatchFault::Html502) => {
            tenant.ledger.record_answer(502);
            return html(502);
        }
        _ => {}
    }
    let mut responses: Vec<Value> =
        parts.iter().map(|part| part_response(tenant, now, part, answer_part)).collect();
    tenant.random.shuffle(&mut responses);
    match fault {
        // A part that announces a pause stays: a client cannot keep a pause that it did not receive.
        Some(BatchFault::Missing) => {
            if let Some(at) = responses.iter().rposition(|part| !announces_pause(part)) {
                responses.remove(at);
            }
        }
        Some(BatchFault::Doubled) => responses.push(responses[0].clone()),
        Some(BatchFault::Unknown) => {
            responses.push(json!({ "id": "not-requested", "status": 204, "headers": {} }))
        }
        _ => {}
    }
    let mut answer = SimulatedResponse::json(200, &json!({ "responses": responses }));
    match fault {
        Some(BatchFault::Whole424) => {
            answer.status = 424;
            return answer;
        }
        Some(BatchFault::CutOff) => answer.body.1.truncate(answer.body.1.len() / 2),
        Some(BatchFault::RawHtml) => {
            let at = answer.body.1.len() - 2;
            answer.body.1.splice(at..at, *b",<!doctype html><h1>oops</h1>");
        }
        _ => return answer,
    }
    tenant.ledger.discard_pauses(now);
    answer
}

/// Whether a part can announce a pause: in a header, or in the message of a 429.
fn announces_pause(part: &Value) -> bool {
    part["status"] == 429 || !part["headers"]["retry-after"].is_null()
}

fn reject(tenant: &mut Tenant, message: &str) -> SimulatedResponse {
    tenant.ledger.record_rule_break(message);
    tenant.ledger.record_answer(400);
    error(400, "BadRequest", message)
}

/// Returns the response to one part as JSON.
fn part_response(tenant: &mut Tenant, now: Duration, part: &Value, answer_part: PartHandler) -> Value {
    let id = part["id"].as_str().unwrap_or_default();
    let url = part["url"].as_str().unwrap_or_default();
    let part_header = |name: &str| {
        part["headers"].as_object().and_then(|headers| {
            headers
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .and_then(|(_, value)| value.as_str())
        })
    };
    let method =
        Method::from_bytes(part["method"].as_str().unwrap_or_default().as_bytes()).unwrap_or_default();
    let rest = url.strip_prefix('/').unwrap_or(url);
    let wrong = if url.contains("://") {
        Some("an absolute URL in a part")
    } else if rest.starts_with("$batch") {
        Some("a batch inside a batch")
    } else if part.get("body").is_some_and(|body| !body.is_null()) && part_header("content-type").is_none() {
        Some("a part with a body and no Content-Type")
    } else {
        None
    };
    let answer =
        match (wrong, Request::builder().method(method).uri(format!("/beta/{rest}")).body(Bytes::new())) {
            (None, Ok(request)) => {
                let path = request.uri().path()["/beta/".len()..].to_owned();
                answer_part(tenant, now, &path, &request)
            }
            (wrong, _) => {
                tenant.reject_rule_break(400, "BadRequest", wrong.unwrap_or("a URL that cannot be read"))
            }
        };
    // A single part cannot be reset. The gateway answers 504 for it.
    let answer = if answer.status == 0 { error(504, "UnknownError", "") } else { answer };
    let mut response = Map::new();
    response.insert("id".to_owned(), json!(id));
    response.insert("status".to_owned(), json!(answer.status));
    let mut headers: Map<String, Value> =
        answer.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let (kind, bytes) = &answer.body;
    if !bytes.is_empty() {
        headers.insert("Content-Type".to_owned(), json!(kind));
        let text = String::from_utf8_lossy(bytes).into_owned();
        response.insert("body".to_owned(), serde_json::from_slice(bytes).unwrap_or(Value::String(text)));
    }
    response.insert("headers".to_owned(), Value::Object(headers));
    Value::Object(response)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::router;
    use super::super::scenario::Scenario;
    use super::super::token::OPAQUE_TOKEN;
    use super::*;

    fn send(tenant: &mut Tenant, body: &str) -> (u16, Value, String) {
        let request = Request::post("/beta/$batch")
            .header("authorization", format!("Bearer {OPAQUE_TOKEN}"))
            .header("content-type", "application/json")
            .header("client-request-id", uuid::Uuid::new_v4().to_string())
            .body(Bytes::from(body.to_owned()))
            .expect("a request");
        let answer = router::answer(tenant, Duration::ZERO, &request);
        let text = String::from_utf8_lossy(&answer.body.1).into_owned();
        (answer.status, serde_json::from_str(&text).unwrap_or_default(), text)
    }

    fn parts(count: usize) -> String {
        let parts: Vec<_> = (0..count)
            .map(|n| json!({ "id": n.to_string(), "method": "POST", "url": format!("/users/u{n}@x/retryServiceProvisioning"),
                "headers": { "Content-Type": "application/json" }, "body": {} }))
            .collect();
        json!({ "requests": parts }).to_string()
    }

    fn tenant(text: &str) -> Tenant {
        Tenant::new(Scenario::parse(text).expect("a scenario"), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn invalid_batch_is_rejected_with_the_seen_message() {
        let mut tenant = tenant("");
        let same = r#"{"requests":[{"id":"a","method":"GET","url":"/users"},{"id":"A","method":"GET","url":"/users"}]}"#;
        for (body, message) in [
            ("{", "Invalid batch payload format."),
            (r#"{"requests":[]}"#, "Invalid batch payload format."),
            (&parts(21), "Number of requests inside batch exceed the limit."),
            (same, "Request Id A has to be unique in a batch."),
        ] {
            let (status, answer, _) = send(&mut tenant, body);
            assert_eq!((status, answer["error"]["message"].as_str()), (400, Some(message)));
        }
    }

    #[test]
    fn throttled_part_has_its_own_retry_after() {
        let mut tenant = tenant("writes_per_second = 1.0\ncapacity = 5.0");
        let (status, answer, _) = send(&mut tenant, &parts(8));
        let responses = answer["responses"].as_array().expect("responses");
        let of = |wanted: u64| responses.iter().filter(|part| part["status"] == wanted).count();
        assert_eq!((status, of(204), of(429)), (200, 5, 3));
        assert!(
            responses.iter().all(|part| part["status"] == 204 || part["headers"]["retry-after"].is_string())
        );
    }

    #[test]
    fn part_that_breaks_a_rule_fails_alone() {
        let mut tenant = tenant("");
        let body = json!({ "requests": [
            { "id": "1", "method": "POST", "url": "https://graph.microsoft.com/beta/users/a/retryServiceProvisioning" },
            { "id": "2", "method": "POST", "url": "$batch" },
            { "id": "3", "method": "POST", "url": "users/a@b/retryServiceProvisioning", "body": {} },
            { "id": "4", "method": "POST", "url": "users/a@b/retryServiceProvisioning" },
            { "id": "5", "method": "POST", "url": "/nowhere" },
        ] });
        let (_, answer, _) = send(&mut tenant, &body.to_string());
        let mut found: Vec<_> = answer["responses"]
            .as_array()
            .expect("responses")
            .iter()
            .map(|part| {
                (part["id"].as_str().unwrap_or_default().to_owned(), part["status"].as_u64().unwrap_or(0))
            })
            .collect();
        found.sort();
        let expected = [("1", 400), ("2", 400), ("3", 400), ("4", 204), ("5", 404)];
        assert_eq!(found, expected.map(|(id, status)| (id.to_owned(), status)));
    }

    #[test]
    fn batch_faults_lose_add_or_spoil_answers() {
        for (fault, seen) in [("missing", 7), ("doubled", 9), ("unknown", 9)] {
            let mut tenant = tenant(&format!("[batch]\n{fault} = 1.0"));
            let (_, answer, _) = send(&mut tenant, &parts(8));
            assert_eq!(answer["responses"].as_array().map(Vec::len), Some(seen), "{fault}");
            assert_eq!(tenant.ledger.accepted, 8);
        }
        let mut waiting = tenant("[faults]\nwait_503 = 1.0\n[batch]\nmissing = 1.0");
        let (_, answer, _) = send(&mut waiting, &parts(8));
        assert_eq!(answer["responses"].as_array().map(Vec::len), Some(8), "a pause is never left out");
        for fault in ["raw_html", "cut_off"] {
            let (status, answer, _) = send(&mut tenant(&format!("[batch]\n{fault} = 1.0")), &parts(8));
            assert_eq!((status, answer), (200, Value::Null), "{fault} cannot be parsed");
        }
    }
}
