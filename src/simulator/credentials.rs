//! The credentials that the sign-in host accepts: one app and its secret, grants of users, and assertions.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::wire::{SimulatedResponse, aadsts};

/// Id of the tenant.
pub(super) const TENANT: &str = "51a51a51-0000-4000-8000-000000000001";
/// Client id of the app.
pub(super) const APP: &str = "51a51a51-0000-4000-8000-0000000000a9";
/// Client secret of the app; of no value outside the simulator.
pub(super) const SECRET: &str = "simulated-secret-of-no-value";

/// Sign-ins that users have started.
#[derive(Debug, Default)]
pub(super) struct InteractiveSignIns {
    /// Polls for the device code.
    polls: u64,
    /// Authorization code → PKCE challenge.
    codes: HashMap<String, String>,
    /// Codes that were issued.
    count: u64,
}

impl InteractiveSignIns {
    /// Starts a sign-in in a browser with its PKCE `challenge`. Returns the authorization code.
    pub(super) fn start(&mut self, challenge: &str) -> String {
        self.count += 1;
        let code = format!("simulated-code-{}", self.count);
        self.codes.insert(code.clone(), challenge.to_owned());
        code
    }
}

/// Whether a tenant in a path means the tenant of the simulator.
pub(super) fn is_known_tenant(tenant: &str) -> bool {
    matches!(tenant, TENANT | "simulated.example" | "organizations")
}

/// The error for a tenant that does not exist.
pub(super) fn unknown_tenant() -> SimulatedResponse {
    let text = "Specified tenant identifier is neither a valid DNS name, nor a valid external domain.";
    aadsts(400, "invalid_request", 900_023, text)
}

/// Checks the grant of a user. Returns the error, or `None` for a valid grant.
/// The first `pending` polls get an error.
pub(super) fn check_grant(
    sign_ins: &mut InteractiveSignIns,
    pending: u64,
    form: &HashMap<String, String>,
) -> Option<SimulatedResponse> {
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    match field("grant_type") {
        "urn:ietf:params:oauth:grant-type:device_code" => {
            sign_ins.polls += 1;
            let wait = |error: &str| {
                aadsts(400, error, 70_016, "OAuth 2.0 device flow error. Authorization is pending.")
            };
            match sign_ins.polls {
                polls if polls > pending => None,
                1 => Some(wait("authorization_pending")),
                _ => Some(wait("slow_down")),
            }
        }
        "authorization_code" => {
            let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, field("code_verifier").as_bytes()));
            let fits = sign_ins.codes.remove(field("code")) == Some(challenge);
            let text =
                "The Code_Verifier does not match the code_challenge supplied in the authorization request.";
            (!fits).then(|| aadsts(400, "invalid_grant", 501_481, text))
        }
        _ => {
            let fits = field("refresh_token") == SECRET;
            (!fits).then(|| aadsts(400, "invalid_grant", 70_000, "The refresh token is not valid."))
        }
    }
}

/// Returns the AADSTS code and text for an invalid assertion. The signature is not checked.
pub(super) fn assertion_fault(text: &str, path_end: &str, unix: i64) -> Option<(u64, &'static str)> {
    const BAD: (u64, &str) = (
        700_027,
        "The certificate with identifier used to sign the client assertion is not registered on application.",
    );
    const TIME: (u64, &str) = (700_024, "Client assertion is not within its valid time range.");
    let mut parts = text.split('.').map(|part| {
        URL_SAFE_NO_PAD.decode(part).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
    });
    let (Some(Some(head)), Some(Some(claims))) = (parts.next(), parts.next()) else { return Some(BAD) };
    let number = |name: &str| claims[name].as_i64();
    if number("exp").is_none_or(|exp| exp <= unix) || number("nbf").is_some_and(|nbf| nbf > unix) {
        return Some(TIME);
    }
    if head["alg"] == "PS256" {
        let whole = head["x5t#S256"].as_str().is_some_and(|print| print.len() == 43)
            && claims["iss"] == APP
            && claims["sub"] == APP
            && claims["jti"].as_str().is_some_and(|id| uuid::Uuid::parse_str(id).is_ok())
            && claims["aud"].as_str().is_some_and(|aud| aud.ends_with(path_end));
        return (!whole).then_some(BAD);
    }
    None
}
