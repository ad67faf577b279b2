//! The token endpoint: issues tokens for a secret, an assertion or a user's grant, and checks them later.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::json;

use super::credentials::{self, APP, InteractiveSignIns, SECRET, TENANT};
use super::scenario::TokenRules;
use super::wire::{SimulatedResponse, aadsts};

/// A token that is always accepted if the scenario's tokens do not expire. It is opaque: it holds no claims.
pub(super) const OPAQUE_TOKEN: &str = "simulated-token-of-no-value";
/// Lifetime of a token in the documented sample, in seconds.
const DEFAULT_LIFETIME_SECS: u64 = 3_599;
/// Permissions that the action and all reads need.
const ROLES: [&str; 4] =
    ["User.ReadWrite.All", "Group.ReadWrite.All", "OrgContact.Read.All", "Directory.ReadWrite.All"];

/// The result of checking a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenStatus {
    Valid,
    Unknown,
    Expired,
    Challenged,
    Forbidden,
}

/// The token endpoint and the tokens that it issued.
#[derive(Debug)]
pub(super) struct TokenIssuer {
    rules: TokenRules,
    epoch: Timestamp,
    /// End of each token, and whether it was requested with the claims of a challenge.
    issued: HashMap<String, (Duration, bool)>,
    count: u64,
    interactive: InteractiveSignIns,
    faults: VecDeque<u16>,
    identity_faults: VecDeque<u16>,
}

impl TokenIssuer {
    pub(super) fn new(rules: TokenRules, epoch: Timestamp) -> Self {
        let identity_faults = rules.identity_faults.iter().copied().collect();
        let faults = rules.faults.iter().copied().collect();
        Self {
            rules,
            epoch,
            issued: HashMap::new(),
            count: 0,
            interactive: InteractiveSignIns::default(),
            faults,
            identity_faults,
        }
    }

    /// Issues a token at `now`. Returns the token and its lifetime in seconds.
    /// `claims` is set if it was requested with the claims of a challenge.
    pub(super) fn issue(&mut self, now: Duration, claims: bool) -> (String, u64) {
        let lifetime = if self.rules.life_s > 0 { self.rules.life_s } else { DEFAULT_LIFETIME_SECS };
        let issued_at = self.epoch.as_second() + now.as_secs() as i64;
        self.count += 1;
        let roles: Vec<&str> = match self.rules.roles.is_empty() {
            true => ROLES.to_vec(),
            false => self.rules.roles.iter().map(String::as_str).collect(),
        };
        let other = !self.rules.tenant.is_empty() && self.count > self.rules.tenant_after;
        let tenant = if other { self.rules.tenant.as_str() } else { TENANT };
        let mut body = json!({ "aud": "https://graph.simulated.example", "tid": tenant, "appid": APP, "roles": roles,
            "iat": issued_at, "nbf": issued_at, "exp": issued_at + lifetime as i64, "uti": self.count });
        if !self.rules.scopes.is_empty() {
            body["scp"] = json!(self.rules.scopes);
            body["roles"] = json!([]);
        }
        let part = |text: String| URL_SAFE_NO_PAD.encode(text);
        let token =
            format!("{}.{}.c2lt", part(r#"{"alg":"none","typ":"JWT"}"#.to_owned()), part(body.to_string()));
        self.issued.retain(|_, (until, _)| *until > now);
        let valid_for = match self.rules.revoked_after_s {
            0 => lifetime,
            seconds => seconds.min(lifetime),
        };
        self.issued.insert(token.clone(), (now + Duration::from_secs(valid_for), claims));
        (token, lifetime)
    }

    /// Returns the Unix time at `now`, in seconds.
    pub(super) fn unix_seconds(&self, now: Duration) -> i64 {
        self.epoch.as_second() + now.as_secs() as i64
    }

    /// Returns the sign-ins that users have started.
    pub(super) fn interactive(&mut self) -> &mut InteractiveSignIns {
        &mut self.interactive
    }

    /// Takes the next fault of a managed identity endpoint: its status, and its Retry-After in seconds or 0.
    pub(super) fn next_identity_fault(&mut self) -> Option<(u16, u64)> {
        self.identity_faults.pop_front().map(|status| (status, self.rules.identity_wait_s))
    }

    /// Takes the next fault of the token endpoint, if one is due.
    fn next_fault(&mut self) -> Option<SimulatedResponse> {
        let status = self.faults.front().copied().filter(|_| self.count >= self.rules.faults_after)?;
        self.faults.pop_front();
        let answer = match status {
            200 => SimulatedResponse {
                body: ("text/html", b"<h1>Please sign in to the hotel</h1>".to_vec()),
                ..SimulatedResponse::status(200)
            },
            status => aadsts(status, "temporarily_unavailable", 90_033, "A transient error has occurred."),
        };
        Some(match self.rules.faults_wait_s {
            0 => answer,
            wait => answer.with("retry-after", wait.to_string()),
        })
    }

    /// Issues an assertion as a CI system does. It is valid for five minutes.
    pub(super) fn issue_assertion(&self, now: Duration) -> String {
        let issued = self.unix_seconds(now);
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let claims = json!({ "iss": "https://ci.simulated.example", "nbf": issued, "exp": issued + 300 });
        format!("{}.{}.c2lt", part(r#"{"alg":"RS256"}"#), part(&claims.to_string()))
    }

    /// Returns the number of issued tokens.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Answers `POST /{tenant}/oauth2/v2.0/token` with the form in its body.
    pub(super) fn answer(&mut self, now: Duration, tenant: &str, form: &[u8]) -> SimulatedResponse {
        let answer = self.decide(now, tenant, form);
        match serde_json::from_slice::<serde_json::Value>(&answer.body.1) {
            Ok(body) if self.rules.bare_errors && body.get("error").is_some() => SimulatedResponse {
                body: ("application/json", json!({ "error": body["error"] }).to_string().into()),
                ..answer
            },
            _ => answer,
        }
    }

    fn decide(&mut self, now: Duration, tenant: &str, form: &[u8]) -> SimulatedResponse {
        let form: HashMap<String, String> = url::form_urlencoded::parse(form).into_owned().collect();
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        if !credentials::is_known_tenant(tenant) {
            return credentials::unknown_tenant();
        }
        if let Some(fault) = self.next_fault() {
            return fault;
        }
        if self.rules.refuse > 0 && self.count >= self.rules.refuse_after {
            return aadsts(400, "invalid_client", self.rules.refuse, "Refused on purpose.");
        }
        let is_user_grant = matches!(
            field("grant_type"),
            "urn:ietf:params:oauth:grant-type:device_code" | "authorization_code" | "refresh_token"
        );
        if !is_user_grant && field("grant_type") != "client_credentials" {
            return aadsts(
                400,
                "unsupported_grant_type",
                70_003,
                "The app requested an unsupported grant type.",
            );
        }
        if field("client_id") != APP {
            return aadsts(
                400,
                "unauthorized_client",
                700_016,
                "Application was not found in the directory.",
            );
        }
        if is_user_grant {
            if let Some(answer) = credentials::check_grant(&mut self.interactive, self.rules.pending, &form) {
                return answer;
            }
            let (token, lifetime) = self.issue(now, field("claims").contains("access_token"));
            return SimulatedResponse::json(
                200,
                &json!({ "token_type": "Bearer", "expires_in": lifetime, "access_token": token, "refresh_token": SECRET }),
            );
        }
        let assertion = field("client_assertion").split('.').count() == 3
            && field("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        if field("client_secret").is_empty() && !assertion {
            return aadsts(
                401,
                "invalid_client",
                7_000_218,
                "The request body must contain: 'client_assertion' or 'client_secret'.",
            );
        }
        if !assertion && field("client_secret") != SECRET {
            return aadsts(401, "invalid_client", 7_000_215, "Invalid client secret provided.");
        }
        let fault = credentials::assertion_fault(
            field("client_assertion"),
            "/oauth2/v2.0/token",
            self.unix_seconds(now),
        );
        if let Some((code, text)) = fault.filter(|_| assertion) {
            return aadsts(401, "invalid_client", code, text);
        }
        if !field("scope").ends_with("/.default") {
            return aadsts(
                400,
                "invalid_scope",
                70_011,
                "The provided value for the input parameter 'scope' is not valid.",
            );
        }
        let (token, lifetime) = self.issue(now, field("claims").contains("access_token"));
        SimulatedResponse::json(
            200,
            &json!({ "token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token }),
        )
    }

    /// Checks the token of a request; `write` if its method is POST.
    pub(super) fn check(&self, now: Duration, bearer: &str, write: bool) -> TokenStatus {
        let forbidden = write
            && !self.rules.roles.is_empty()
            && !self.rules.roles.iter().any(|role| role.contains("Write") || role.contains("Manage"));
        let valid = if forbidden { TokenStatus::Forbidden } else { TokenStatus::Valid };
        if bearer == OPAQUE_TOKEN && self.rules.life_s == 0 && !self.rules.challenge {
            return valid;
        }
        match self.issued.get(bearer) {
            None => TokenStatus::Unknown,
            Some((until, _)) if *until <= now => TokenStatus::Expired,
            Some((_, false)) if self.rules.challenge => TokenStatus::Challenged,
            Some(_) => valid,
        }
    }
}

/// Returns the 401 for a token that is not valid, or the 403 for one without the permission.
pub(super) fn rejection(status: TokenStatus) -> SimulatedResponse {
    let plain = "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", client_id=\"00000003-0000-0000-c000-000000000000\"";
    let answer = |message: &str| super::wire::error(401, "InvalidAuthenticationToken", message);
    match status {
        TokenStatus::Valid | TokenStatus::Forbidden => super::wire::error(
            403,
            "Authorization_RequestDenied",
            "Insufficient privileges to complete the operation.",
        ),
        TokenStatus::Unknown => answer("CompactToken validation failed with reason code: 80049228.")
            .with("www-authenticate", plain),
        TokenStatus::Expired => {
            answer("Lifetime validation failed, the token is expired.").with("www-authenticate", plain)
        }
        TokenStatus::Challenged => {
            let claims = base64::engine::general_purpose::STANDARD
                .encode(r#"{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}"#);
            answer("Continuous access evaluation resulted in challenge with result: InteractionRequired.").with(
                "www-authenticate",
                format!("Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", error=\"insufficient_claims\", claims=\"{claims}\""),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_expires_on_time_and_wrong_secret_gets_aadsts_error() {
        let rules = TokenRules { life_s: 5, ..TokenRules::default() };
        let mut token_issuer = TokenIssuer::new(rules, Timestamp::UNIX_EPOCH);
        let form = |secret: &str| {
            format!(
                "grant_type=client_credentials&client_id={APP}&client_secret={secret}&scope=https%3A%2F%2Fg%2F.default"
            )
        };
        let answer = token_issuer.answer(Duration::ZERO, TENANT, form(SECRET).as_bytes());
        assert_eq!(answer.status, 200);
        let body: serde_json::Value = serde_json::from_slice(&answer.body.1).expect("JSON");
        let token = body["access_token"].as_str().expect("a token");
        assert_eq!(token_issuer.check(Duration::from_secs(4), token, true), TokenStatus::Valid);
        assert_eq!(token_issuer.check(Duration::from_secs(5), token, true), TokenStatus::Expired);
        assert_eq!(token_issuer.check(Duration::ZERO, OPAQUE_TOKEN, true), TokenStatus::Unknown);
        let wrong = token_issuer.answer(Duration::ZERO, TENANT, form("x").as_bytes());
        assert!(String::from_utf8_lossy(&wrong.body.1).contains("AADSTS7000215"));
    }

    #[test]
    fn token_requested_with_claims_passes_the_challenge() {
        let rules = TokenRules { challenge: true, ..TokenRules::default() };
        let mut token_issuer = TokenIssuer::new(rules, Timestamp::UNIX_EPOCH);
        let (plain, _) = token_issuer.issue(Duration::ZERO, false);
        let (with, _) = token_issuer.issue(Duration::ZERO, true);
        assert_eq!(token_issuer.check(Duration::ZERO, &plain, true), TokenStatus::Challenged);
        assert_eq!(token_issuer.check(Duration::ZERO, &with, true), TokenStatus::Valid);
    }
}
