//! The sign-in endpoints other than the token endpoint.
//!
//! They are the OpenID configuration, device code, browser, managed identity, and the assertion issuers of
//! two CI systems.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, Request};
use serde_json::json;

use super::credentials::{APP, TENANT, is_known_tenant, unknown_tenant};
use super::token::TokenIssuer;
use super::wire::{SimulatedResponse, aadsts};

/// Value of `X-IDENTITY-HEADER` that the App Service endpoint requires.
pub(super) const IDENTITY_KEY: &str = "simulated-identity-key-of-no-value";
/// Bearer token that a CI job must send.
pub(super) const JOB_TOKEN: &str = "simulated-job-token-of-no-value";
/// Time between two polls for a device code, in seconds.
const POLL_INTERVAL_SECS: u64 = 1;

/// Answers a request to one of these endpoints; `None` for any other path.
pub(super) fn answer(
    token_issuer: &mut TokenIssuer,
    now: Duration,
    request: &Request<Bytes>,
) -> Option<SimulatedResponse> {
    let path = request.uri().path();
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let fields = |bytes: &[u8]| -> HashMap<String, String> {
        url::form_urlencoded::parse(bytes).into_owned().collect()
    };
    let query = fields(request.uri().query().unwrap_or_default().as_bytes());
    let get = request.method() == Method::GET;
    match path {
        "/metadata/identity/oauth2/token" => {
            let allowed = get
                && header("metadata") == Some("true")
                && query.get("api-version").is_some_and(|v| v == "2018-02-01");
            return Some(match allowed {
                true => managed_identity_token(token_issuer, now, &query),
                false => SimulatedResponse::json(
                    400,
                    &json!({ "error": "invalid_request", "error_description": "Required metadata header not specified" }),
                ),
            });
        }
        "/msi/token" => {
            let allowed = get
                && header("x-identity-header") == Some(IDENTITY_KEY)
                && query.get("api-version").is_some_and(|v| v == "2019-08-01");
            return Some(match allowed {
                true => managed_identity_token(token_issuer, now, &query),
                false => {
                    SimulatedResponse::json(401, &json!({ "statusCode": 401, "message": "Unauthorized" }))
                }
            });
        }
        "/github/idtoken" | "/ado/oidctoken" => {
            if header("authorization").and_then(|bearer| bearer.strip_prefix("Bearer ")) != Some(JOB_TOKEN) {
                return Some(SimulatedResponse::status(401));
            }
            let fits = match path {
                "/github/idtoken" => get && query.contains_key("audience"),
                _ => !get && query.contains_key("serviceConnectionId") && query.contains_key("api-version"),
            };
            let text = token_issuer.issue_assertion(now);
            let name = if get { "value" } else { "oidcToken" };
            return Some(if fits {
                SimulatedResponse::json(200, &json!({ name: text }))
            } else {
                SimulatedResponse::status(400)
            });
        }
        _ => {}
    }
    let (tenant, rest) = path.strip_prefix('/')?.split_once('/')?;
    let host = request
        .uri()
        .authority()
        .map(ToString::to_string)
        .or_else(|| header("host").map(str::to_owned))
        .unwrap_or_default();
    match (rest, get) {
        ("v2.0/.well-known/openid-configuration", true) => Some(match is_known_tenant(tenant) {
            true => SimulatedResponse::json(
                200,
                &json!({ "issuer": format!("https://{host}/{TENANT}/v2.0"), "token_endpoint": format!("https://{host}/{TENANT}/oauth2/v2.0/token") }),
            ),
            false => unknown_tenant(),
        }),
        ("oauth2/v2.0/devicecode", false) => {
            let form = fields(request.body());
            Some(match form.get("client_id").map(String::as_str) == Some(APP) && form.contains_key("scope") {
                true => SimulatedResponse::json(
                    200,
                    &json!({ "device_code": "simulated-device-code-of-no-value", "user_code": "SIM-ULATED", "verification_uri": format!("https://{host}/device"),
                    "expires_in": 900, "interval": POLL_INTERVAL_SECS, "message": "" }),
                ),
                false => {
                    aadsts(400, "unauthorized_client", 700_016, "Application was not found in the directory.")
                }
            })
        }
        ("oauth2/v2.0/authorize", true) => Some(authorize(token_issuer, &query)),
        _ => None,
    }
}

/// Answers a token request of a managed identity. Numbers are sent as strings, as the service does.
fn managed_identity_token(
    token_issuer: &mut TokenIssuer,
    now: Duration,
    query: &HashMap<String, String>,
) -> SimulatedResponse {
    if let Some((status, wait)) = token_issuer.next_identity_fault() {
        let answer = SimulatedResponse::json(
            status,
            &json!({ "error": "simulated", "error_description": "on purpose" }),
        );
        return match (status, wait) {
            (429, 0) => answer.with("retry-after", "1"),
            (_, 0) => answer,
            (_, wait) => answer.with("retry-after", wait.to_string()),
        };
    }
    if query.get("client_id").is_some_and(|id| id != APP) {
        return SimulatedResponse::json(
            400,
            &json!({ "error": "invalid_request", "error_description": "Identity not found" }),
        );
    }
    let Some(resource) = query.get("resource") else { return SimulatedResponse::status(400) };
    let (token, lifetime) = token_issuer.issue(now, false);
    let on = token_issuer.unix_seconds(now) + lifetime as i64;
    SimulatedResponse::json(
        200,
        &json!({ "access_token": token, "expires_in": lifetime.to_string(), "expires_on": on.to_string(), "resource": resource, "token_type": "Bearer" }),
    )
}

/// Answers the sign-in page with a redirect and a code: the simulated user consents immediately.
fn authorize(token_issuer: &mut TokenIssuer, query: &HashMap<String, String>) -> SimulatedResponse {
    let field = |name: &str| query.get(name).map_or("", String::as_str);
    let strict = field("client_id") == APP
        && field("response_type") == "code"
        && field("code_challenge_method") == "S256"
        && field("redirect_uri").starts_with("http://localhost:");
    let Ok(mut to) = url::Url::parse(field("redirect_uri")) else { return SimulatedResponse::status(400) };
    if !strict {
        return SimulatedResponse::status(400);
    }
    let code = token_issuer.interactive().start(field("code_challenge"));
    to.query_pairs_mut().append_pair("code", &code).append_pair("state", field("state"));
    SimulatedResponse::status(302).with("location", to.as_str())
}
