//! The router: finds the part of the simulator that answers a request, and checks the rules of the protocol.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, Request};

use super::directory::{Collection, share_of};
use super::tenant::{Tenant, decode_key, header};
use super::token::{self, TokenStatus};
use super::wire::SimulatedResponse;
use super::{batch, identity, listing};

/// Answers any request; `now` is the time since the start.
pub(super) fn answer(tenant: &mut Tenant, now: Duration, request: &Request<Bytes>) -> SimulatedResponse {
    let answer = route(tenant, now, request);
    match header(request, "authorization") {
        Some(sent) if tenant.scenario.echo => with_echo(answer, sent),
        _ => answer,
    }
}

/// Answers a request without the echo of its `Authorization` header.
fn route(tenant: &mut Tenant, now: Duration, request: &Request<Bytes>) -> SimulatedResponse {
    let path = request.uri().path();
    if let Some((name, "")) = path.strip_prefix('/').and_then(|rest| rest.split_once("/oauth2/v2.0/token")) {
        let answer = match *request.method() {
            Method::POST => tenant.token_issuer.answer(now, name, request.body()),
            _ => SimulatedResponse::status(405),
        };
        tenant.ledger.tokens = tenant.token_issuer.count();
        return answer;
    }
    if let Some(answer) = identity::answer(&mut tenant.token_issuer, now, request) {
        tenant.ledger.tokens = tenant.token_issuer.count();
        return answer;
    }
    let Some(rest) = path.strip_prefix("/beta/").or_else(|| path.strip_prefix("/v1.0/")) else {
        return tenant.reject_rule_break(404, "UnknownError", "an unknown path");
    };
    if !tenant.scenario.gateway.is_empty() {
        tenant.ledger.record_answer(403);
        let text = tenant.scenario.gateway.clone().into_bytes();
        return SimulatedResponse { body: ("text/plain", text), ..SimulatedResponse::status(403) };
    }
    tenant.requests += 1;
    if tenant.requests == tenant.scenario.unauthorized_once {
        tenant.ledger.record_answer(401);
        return token::rejection(TokenStatus::Unknown);
    }
    let bearer =
        header(request, "authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or("");
    let write = request.method() == Method::POST;
    match tenant.token_issuer.check(now, bearer, write) {
        TokenStatus::Valid => {}
        status => {
            // A client cannot prevent that a token expires or is challenged. An unknown token is its mistake.
            if status == TokenStatus::Unknown {
                tenant.ledger.record_rule_break("no valid token");
            }
            let answer = token::rejection(status);
            tenant.ledger.record_answer(answer.status);
            return answer;
        }
    }
    if rest == "$batch" {
        return batch::answer(tenant, now, request, single_part);
    }
    single(tenant, now, rest, request, false)
}

/// Answers one request with the path `rest` below the version; `part` if it is a part of a batch.
fn single(
    tenant: &mut Tenant,
    now: Duration,
    rest: &str,
    request: &Request<Bytes>,
    part: bool,
) -> SimulatedResponse {
    let Some((collection, key, action)) = target(rest) else {
        return tenant.reject_rule_break(404, "UnknownError", "an unknown path");
    };
    let is_unauthorized = key
        .and_then(decode_key)
        .is_some_and(|(id, _)| share_of(&id, "unauthorized") < tenant.scenario.unauthorized);
    if is_unauthorized {
        tenant.ledger.record_answer(401);
        return token::rejection(TokenStatus::Unknown);
    }
    if !action {
        return match *request.method() {
            Method::GET => listing::answer(tenant, now, collection, key, request),
            _ => tenant.reject_rule_break(405, "Request_BadRequest", "a method that is not allowed"),
        };
    }
    let Some((id, quoted)) = key.and_then(decode_key) else {
        return tenant.reject_rule_break(404, "UnknownError", "an unknown path");
    };
    if request.method() != Method::POST {
        return tenant.reject_rule_break(405, "Request_BadRequest", "a method that is not allowed");
    }
    if !part {
        if header(request, "content-length") != Some("0") {
            return tenant.reject_rule_break(411, "", "no Content-Length: 0");
        }
        if header(request, "content-type").is_none_or(|kind| !kind.starts_with("application/json")) {
            return tenant.reject_rule_break(415, "", "no Content-Type");
        }
        if let Some(wrong) = tenant.check_request_id(request) {
            return tenant.reject_rule_break(400, "Request_BadRequest", wrong);
        }
    }
    if id.starts_with('$') && !quoted {
        return tenant.reject_rule_break(400, "Request_BadRequest", "a $ in the plain form");
    }
    tenant.run_action(now, collection, &id)
}

/// Answers a part of a batch, which has no headers of its own.
fn single_part(
    tenant: &mut Tenant,
    now: Duration,
    rest: &str,
    request: &Request<Bytes>,
) -> SimulatedResponse {
    single(tenant, now, rest, request, true)
}

/// Adds the `Authorization` header to the messages of all errors, also in parts of a batch.
fn with_echo(mut answer: SimulatedResponse, sent: &str) -> SimulatedResponse {
    fn add_to_message(value: &mut serde_json::Value, sent: &str) {
        if let Some(message) = value.pointer_mut("/error/message") {
            *message = format!("{} Authorization: {sent}", message.as_str().unwrap_or_default()).into();
        }
        for part in
            value.pointer_mut("/responses").and_then(serde_json::Value::as_array_mut).into_iter().flatten()
        {
            if let Some(body) = part.get_mut("body") {
                add_to_message(body, sent);
            }
        }
    }
    if let Ok(mut body) = serde_json::from_slice(&answer.body.1) {
        add_to_message(&mut body, sent);
        answer.body.1 = body.to_string().into_bytes();
    }
    answer
}

/// Splits a path such as `users('{key}')/retryServiceProvisioning`.
/// Returns the collection, the key, and whether it is the action.
fn target(rest: &str) -> Option<(Collection, Option<&str>, bool)> {
    let (collection, name) = Collection::ALL.into_iter().find(|(_, name)| rest.starts_with(name))?;
    let key = &rest[name.len()..];
    let (key, action) = match key.strip_suffix("/retryServiceProvisioning") {
        Some(key) => (key, true),
        None => (
            key.strip_suffix("/microsoft.graph.retryServiceProvisioning").unwrap_or(key),
            key.ends_with("retryServiceProvisioning"),
        ),
    };
    match key {
        "" => Some((collection, None, action)),
        _ if key.starts_with("('") || key.starts_with('/') => Some((collection, Some(key), action)),
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
        let id = uuid::Uuid::new_v4().to_string();
        Request::post(path)
            .header("authorization", format!("Bearer {}", token::OPAQUE_TOKEN))
            .header("content-length", "0")
            .header("content-type", "application/json")
            .header("client-request-id", id)
            .body(Bytes::new())
            .expect("a request")
    }

    #[test]
    fn each_broken_protocol_rule_has_its_status() {
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
