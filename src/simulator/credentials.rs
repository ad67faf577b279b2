//! What the sign-in host accepts as proof: the one tenant, its app and secret, grants of people, and assertions.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::wire::{Answer, aadsts};

/// The one tenant.
pub(super) const TENANT: &str = "51a51a51-0000-4000-8000-000000000001";
/// The one app.
pub(super) const APP: &str = "51a51a51-0000-4000-8000-0000000000a9";
/// Its secret, of no value.
pub(super) const SECRET: &str = "simulated-secret-of-no-value";

/// Sign-ins that a person has begun.
#[derive(Debug, Default)]
pub(super) struct People {
    polls: u64,
    /// Authorization code → PKCE challenge.
    codes: HashMap<String, String>,
    count: u64,
}

impl People {
    /// Begins a sign-in in a browser with its PKCE challenge. Returns the authorization code.
    pub(super) fn begin(&mut self, challenge: &str) -> String {
        self.count += 1;
        let code = format!("simulated-code-{}", self.count);
        self.codes.insert(code.clone(), challenge.to_owned());
        code
    }
}

pub(super) fn known(tenant: &str) -> bool {
    matches!(tenant, TENANT | "simulated.example" | "organizations")
}

pub(super) fn no_tenant() -> Answer {
    let text = "Specified tenant identifier is neither a valid DNS name, nor a valid external domain.";
    aadsts(400, "invalid_request", 900_023, text)
}

/// A person's grant: whether it stands, or the answer that says why not.
pub(super) fn judge(people: &mut People, pending: u64, form: &HashMap<String, String>) -> Option<Answer> {
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    match field("grant_type") {
        "urn:ietf:params:oauth:grant-type:device_code" => {
            people.polls += 1;
            let wait = |error: &str| {
                aadsts(400, error, 70_016, "OAuth 2.0 device flow error. Authorization is pending.")
            };
            match people.polls {
                polls if polls > pending => None,
                1 => Some(wait("authorization_pending")),
                _ => Some(wait("slow_down")),
            }
        }
        "authorization_code" => {
            let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, field("code_verifier").as_bytes()));
            let fits = people.codes.remove(field("code")) == Some(challenge);
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

/// What is wrong with an assertion; the signature is not looked at.
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
