//! Everything beside the token endpoint that gives out tokens or assertions: OpenID configuration, device code, browser,
//! managed identity, and the issuers of two CI systems.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, Request};
use serde_json::json;

use super::credentials::{APP, TENANT, known, no_tenant};
use super::token::SignIn;
use super::wire::{Answer, aadsts};

/// What an app service must send as `X-IDENTITY-HEADER`.
pub(super) const IDENTITY_KEY: &str = "simulated-identity-key-of-no-value";
/// What a CI job must send as its bearer.
pub(super) const JOB_TOKEN: &str = "simulated-job-token-of-no-value";
/// Seconds between two polls for a device code.
const INTERVAL: u64 = 1;

/// Anything but `POST …/token`; `None`: the path is none of these.
pub(super) fn answer(sign_in: &mut SignIn, now: Duration, request: &Request<Bytes>) -> Option<Answer> {
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
                true => machine(sign_in, now, &query),
                false => Answer::json(
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
                true => machine(sign_in, now, &query),
                false => Answer::json(401, &json!({ "statusCode": 401, "message": "Unauthorized" })),
            });
        }
        "/github/idtoken" | "/ado/oidctoken" => {
            if header("authorization").and_then(|bearer| bearer.strip_prefix("Bearer ")) != Some(JOB_TOKEN) {
                return Some(Answer::status(401));
            }
            let fits = match path {
                "/github/idtoken" => get && query.contains_key("audience"),
                _ => !get && query.contains_key("serviceConnectionId") && query.contains_key("api-version"),
            };
            let text = sign_in.issue_assertion(now);
            let name = if get { "value" } else { "oidcToken" };
            return Some(if fits { Answer::json(200, &json!({ name: text })) } else { Answer::status(400) });
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
        ("v2.0/.well-known/openid-configuration", true) => Some(match known(tenant) {
            true => Answer::json(
                200,
                &json!({ "issuer": format!("https://{host}/{TENANT}/v2.0"), "token_endpoint": format!("https://{host}/{TENANT}/oauth2/v2.0/token") }),
            ),
            false => no_tenant(),
        }),
        ("oauth2/v2.0/devicecode", false) => {
            let form = fields(request.body());
            Some(match form.get("client_id").map(String::as_str) == Some(APP) && form.contains_key("scope") {
                true => Answer::json(
                    200,
                    &json!({ "device_code": "simulated-device-code-of-no-value", "user_code": "SIM-ULATED", "verification_uri": format!("https://{host}/device"),
                    "expires_in": 900, "interval": INTERVAL, "message": "" }),
                ),
                false => {
                    aadsts(400, "unauthorized_client", 700_016, "Application was not found in the directory.")
                }
            })
        }
        ("oauth2/v2.0/authorize", true) => Some(authorize(sign_in, &query)),
        _ => None,
    }
}

/// Numbers as texts, as the service sends them.
fn machine(sign_in: &mut SignIn, now: Duration, query: &HashMap<String, String>) -> Answer {
    if let Some((status, wait)) = sign_in.next_identity_fault() {
        let answer =
            Answer::json(status, &json!({ "error": "simulated", "error_description": "on purpose" }));
        return match (status, wait) {
            (429, 0) => answer.with("retry-after", "1"),
            (_, 0) => answer,
            (_, wait) => answer.with("retry-after", wait.to_string()),
        };
    }
    if query.get("client_id").is_some_and(|id| id != APP) {
        return Answer::json(
            400,
            &json!({ "error": "invalid_request", "error_description": "Identity not found" }),
        );
    }
    let Some(resource) = query.get("resource") else { return Answer::status(400) };
    let (token, life) = sign_in.give(now, false);
    let on = sign_in.unix(now) + life as i64;
    Answer::json(
        200,
        &json!({ "access_token": token, "expires_in": life.to_string(), "expires_on": on.to_string(), "resource": resource, "token_type": "Bearer" }),
    )
}

/// The person says yes at once: a redirect with a code.
fn authorize(sign_in: &mut SignIn, query: &HashMap<String, String>) -> Answer {
    let field = |name: &str| query.get(name).map_or("", String::as_str);
    let strict = field("client_id") == APP
        && field("response_type") == "code"
        && field("code_challenge_method") == "S256"
        && field("redirect_uri").starts_with("http://localhost:");
    let Ok(mut to) = url::Url::parse(field("redirect_uri")) else { return Answer::status(400) };
    if !strict {
        return Answer::status(400);
    }
    let code = sign_in.people().begin(field("code_challenge"));
    to.query_pairs_mut().append_pair("code", &code).append_pair("state", field("state"));
    Answer::status(302).with("location", to.as_str())
}
