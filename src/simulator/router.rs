//! The paths of the host: which part of the simulator answers a request.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, Request};

use super::directory::{Set, share_of};
use super::tenant::{Tenant, decoded, header};
use super::token::{self, Verdict};
use super::wire::Answer;
use super::{batch, identity, listing};

/// Any request, at `now` since the start.
pub(super) fn answer(tenant: &mut Tenant, now: Duration, request: &Request<Bytes>) -> Answer {
    let answer = judge(tenant, now, request);
    match header(request, "authorization") {
        Some(sent) if tenant.scenario.echo => echoing(answer, sent),
        _ => answer,
    }
}

fn judge(tenant: &mut Tenant, now: Duration, request: &Request<Bytes>) -> Answer {
    let path = request.uri().path();
    if let Some((name, "")) = path.strip_prefix('/').and_then(|rest| rest.split_once("/oauth2/v2.0/token")) {
        let answer = match *request.method() {
            Method::POST => tenant.sign_in.answer(now, name, request.body()),
            _ => Answer::status(405),
        };
        tenant.ledger.tokens = tenant.sign_in.count();
        return answer;
    }
    if let Some(answer) = identity::answer(&mut tenant.sign_in, now, request) {
        tenant.ledger.tokens = tenant.sign_in.count();
        return answer;
    }
    let Some(rest) = path.strip_prefix("/beta/").or_else(|| path.strip_prefix("/v1.0/")) else {
        return tenant.broke(404, "UnknownError", "an unknown path");
    };
    if !tenant.scenario.gateway.is_empty() {
        tenant.ledger.answered(403);
        let text = tenant.scenario.gateway.clone().into_bytes();
        return Answer { body: ("text/plain", text), ..Answer::status(403) };
    }
    tenant.requests += 1;
    if tenant.requests == tenant.scenario.unauthorized_once {
        tenant.ledger.answered(401);
        return token::refusal(Verdict::Unknown);
    }
    let bearer =
        header(request, "authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or("");
    let write = request.method() == Method::POST;
    match tenant.sign_in.judge(now, bearer, write) {
        Verdict::Good => {}
        verdict => {
            // An expired token is the service's doing; an unknown one is the client's.
            if verdict == Verdict::Unknown {
                tenant.ledger.broke_a_rule("no valid token");
            }
            let answer = token::refusal(verdict);
            tenant.ledger.answered(answer.status);
            return answer;
        }
    }
    if rest == "$batch" {
        return batch::answer(tenant, now, request, single_part);
    }
    single(tenant, now, rest, request, false)
}

/// One request below the version, alone or as a part of a batch.
fn single(tenant: &mut Tenant, now: Duration, rest: &str, request: &Request<Bytes>, part: bool) -> Answer {
    let Some((set, key, action)) = target(rest) else {
        return tenant.broke(404, "UnknownError", "an unknown path");
    };
    let own = key
        .and_then(decoded)
        .is_some_and(|(id, _)| share_of(&id, "unauthorized") < tenant.scenario.unauthorized);
    if own {
        tenant.ledger.answered(401);
        return token::refusal(Verdict::Unknown);
    }
    if !action {
        return match *request.method() {
            Method::GET => listing::answer(tenant, now, set, key, request),
            _ => tenant.broke(405, "Request_BadRequest", "a method that is not allowed"),
        };
    }
    let Some((id, quoted)) = key.and_then(decoded) else {
        return tenant.broke(404, "UnknownError", "an unknown path");
    };
    if request.method() != Method::POST {
        return tenant.broke(405, "Request_BadRequest", "a method that is not allowed");
    }
    if !part {
        if header(request, "content-length") != Some("0") {
            return tenant.broke(411, "", "no Content-Length: 0");
        }
        if header(request, "content-type").is_none_or(|kind| !kind.starts_with("application/json")) {
            return tenant.broke(415, "", "no Content-Type");
        }
        if let Some(wrong) = tenant.own_id(request) {
            return tenant.broke(400, "Request_BadRequest", wrong);
        }
    }
    if id.starts_with('$') && !quoted {
        return tenant.broke(400, "Request_BadRequest", "a $ in the plain form");
    }
    tenant.act(now, set, &id)
}

/// A part of a batch, which has no headers of its own.
fn single_part(tenant: &mut Tenant, now: Duration, rest: &str, request: &Request<Bytes>) -> Answer {
    single(tenant, now, rest, request, true)
}

/// The answer with what was sent in the messages of its errors, those of parts too.
fn echoing(mut answer: Answer, sent: &str) -> Answer {
    fn repeat(value: &mut serde_json::Value, sent: &str) {
        if let Some(message) = value.pointer_mut("/error/message") {
            *message = format!("{} Authorization: {sent}", message.as_str().unwrap_or_default()).into();
        }
        for part in
            value.pointer_mut("/responses").and_then(serde_json::Value::as_array_mut).into_iter().flatten()
        {
            if let Some(body) = part.get_mut("body") {
                repeat(body, sent);
            }
        }
    }
    if let Ok(mut body) = serde_json::from_slice(&answer.body.1) {
        repeat(&mut body, sent);
        answer.body.1 = body.to_string().into_bytes();
    }
    answer
}

/// Collection, key and whether it is the action, in `users`, `users/{key}`, `users('{key}')/retryServiceProvisioning`.
fn target(rest: &str) -> Option<(Set, Option<&str>, bool)> {
    let (set, name) = Set::ALL.into_iter().find(|(_, name)| rest.starts_with(name))?;
    let key = &rest[name.len()..];
    let (key, action) = match key.strip_suffix("/retryServiceProvisioning") {
        Some(key) => (key, true),
        None => (
            key.strip_suffix("/microsoft.graph.retryServiceProvisioning").unwrap_or(key),
            key.ends_with("retryServiceProvisioning"),
        ),
    };
    match key {
        "" => Some((set, None, action)),
        _ if key.starts_with("('") || key.starts_with('/') => Some((set, Some(key), action)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::scenario::Scenario;
    use super::*;

    fn tenant(text: &str) -> Tenant {
        Tenant::new(Scenario::parse(text).expect("a scenario"), Timestamp::UNIX_EPOCH)
    }

    fn post(path: &str) -> Request<Bytes> {
        let own = uuid::Uuid::new_v4().to_string();
        Request::post(path)
            .header("authorization", format!("Bearer {}", token::OPAQUE))
            .header("content-length", "0")
            .header("content-type", "application/json")
            .header("client-request-id", own)
            .body(Bytes::new())
            .expect("a request")
    }

    #[test]
    fn every_rule_of_the_protocol_is_judged() {
        let action = "/beta/users/a@b.c/retryServiceProvisioning";
        let without = |name: &str| {
            let mut request = post(action);
            request.headers_mut().remove(name);
            request
        };
        let mut get = post(action);
        *get.method_mut() = Method::GET;
        let cases = [
            (post(action), 204),
            (post("/v1.0/groups/0a1b2c3d-0000-1111-2222-abcdefabcdef/retryServiceProvisioning"), 204),
            (post("/beta/contacts('%24x%27%27y@c.com')/retryServiceProvisioning"), 204),
            (post("/beta/users/a_b%23EXT%23@c.com/microsoft.graph.retryServiceProvisioning"), 204),
            (post("/beta/orgContacts/a/retryServiceProvisioning"), 404),
            (post("/beta/users/%24x@c.com/retryServiceProvisioning"), 400),
            (post("/beta/users/a/b/retryServiceProvisioning"), 404),
            (post("/users/a/retryServiceProvisioning"), 404),
            (get, 405),
            (without("authorization"), 401),
            (without("content-length"), 411),
            (without("content-type"), 415),
            (without("client-request-id"), 400),
        ];
        let mut tenant = tenant("");
        for (request, status) in cases {
            assert_eq!(
                answer(&mut tenant, Duration::ZERO, &request).status,
                status,
                "{} {}",
                request.method(),
                request.uri()
            );
        }
        let again = post(action);
        assert_eq!(answer(&mut tenant, Duration::ZERO, &again).status, 204);
        assert_eq!(answer(&mut tenant, Duration::ZERO, &again).status, 400, "a used client-request-id");
        assert_eq!(tenant.ledger.accepted, 5);
    }
}
