//! The sign-in host: tokens for a secret or an assertion, and their life.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::json;

use super::credentials::{self, APP, People, SECRET, TENANT};
use super::scenario::TokenRules;
use super::wire::{Answer, aadsts};

/// Accepted for ever where tokens do not expire. Opaque: nothing can be read in it.
pub(super) const OPAQUE: &str = "simulated-token-of-no-value";
/// Life of a token in the documented sample, in seconds.
const LIFE: u64 = 3_599;
/// All that the action, `find` and `verify` need.
const ROLES: [&str; 4] =
    ["User.ReadWrite.All", "Group.ReadWrite.All", "OrgContact.Read.All", "Directory.ReadWrite.All"];

/// What a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    Unknown,
    Expired,
    Challenged,
    Forbidden,
}

/// Tokens given out.
#[derive(Debug)]
pub(super) struct SignIn {
    rules: TokenRules,
    epoch: Timestamp,
    given: HashMap<String, (Duration, bool)>,
    count: u64,
    people: People,
    faults: VecDeque<u16>,
    identity_faults: VecDeque<u16>,
}

impl SignIn {
    pub(super) fn new(rules: TokenRules, epoch: Timestamp) -> Self {
        let identity_faults = rules.identity_faults.iter().copied().collect();
        let faults = rules.faults.iter().copied().collect();
        Self {
            rules,
            epoch,
            given: HashMap::new(),
            count: 0,
            people: People::default(),
            faults,
            identity_faults,
        }
    }

    /// A token for the one app; `claims`: asked with a challenge's claims.
    pub(super) fn give(&mut self, now: Duration, claims: bool) -> (String, u64) {
        let life = if self.rules.life_s > 0 { self.rules.life_s } else { LIFE };
        let issued = self.epoch.as_second() + now.as_secs() as i64;
        self.count += 1;
        let roles: Vec<&str> = match self.rules.roles.is_empty() {
            true => ROLES.to_vec(),
            false => self.rules.roles.iter().map(String::as_str).collect(),
        };
        let other = !self.rules.tenant.is_empty() && self.count > self.rules.tenant_after;
        let tenant = if other { self.rules.tenant.as_str() } else { TENANT };
        let mut body = json!({ "aud": "https://graph.simulated.example", "tid": tenant, "appid": APP, "roles": roles,
            "iat": issued, "nbf": issued, "exp": issued + life as i64, "uti": self.count });
        if !self.rules.scopes.is_empty() {
            body["scp"] = json!(self.rules.scopes);
            body["roles"] = json!([]);
        }
        let part = |text: String| URL_SAFE_NO_PAD.encode(text);
        let token =
            format!("{}.{}.c2lt", part(r#"{"alg":"none","typ":"JWT"}"#.to_owned()), part(body.to_string()));
        self.given.retain(|_, (until, _)| *until > now);
        let lives = match self.rules.revoked_after_s {
            0 => life,
            seconds => seconds.min(life),
        };
        self.given.insert(token.clone(), (now + Duration::from_secs(lives), claims));
        (token, life)
    }

    /// Seconds since 1970 at `now`.
    pub(super) fn unix(&self, now: Duration) -> i64 {
        self.epoch.as_second() + now.as_secs() as i64
    }

    /// Sign-ins that a person has begun.
    pub(super) fn people(&mut self) -> &mut People {
        &mut self.people
    }

    /// The next fault of a managed identity endpoint, and the wait that it asks for.
    pub(super) fn next_identity_fault(&mut self) -> Option<(u16, u64)> {
        self.identity_faults.pop_front().map(|status| (status, self.rules.identity_wait_s))
    }

    fn next_fault(&mut self) -> Option<Answer> {
        let status = self.faults.front().copied().filter(|_| self.count >= self.rules.faults_after)?;
        self.faults.pop_front();
        let answer = match status {
            200 => Answer {
                body: ("text/html", b"<h1>Please sign in to the hotel</h1>".to_vec()),
                ..Answer::status(200)
            },
            status => aadsts(status, "temporarily_unavailable", 90_033, "A transient error has occurred."),
        };
        Some(match self.rules.faults_wait_s {
            0 => answer,
            wait => answer.with("retry-after", wait.to_string()),
        })
    }

    /// An assertion as a CI system issues it: it lives five minutes.
    pub(super) fn issue_assertion(&self, now: Duration) -> String {
        let issued = self.unix(now);
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let claims = json!({ "iss": "https://ci.simulated.example", "nbf": issued, "exp": issued + 300 });
        format!("{}.{}.c2lt", part(r#"{"alg":"RS256"}"#), part(&claims.to_string()))
    }

    /// How many were given out.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// `POST /{tenant}/oauth2/v2.0/token`
    pub(super) fn answer(&mut self, now: Duration, tenant: &str, form: &[u8]) -> Answer {
        let answer = self.decide(now, tenant, form);
        match serde_json::from_slice::<serde_json::Value>(&answer.body.1) {
            Ok(body) if self.rules.bare_errors && body.get("error").is_some() => Answer {
                body: ("application/json", json!({ "error": body["error"] }).to_string().into()),
                ..answer
            },
            _ => answer,
        }
    }

    fn decide(&mut self, now: Duration, tenant: &str, form: &[u8]) -> Answer {
        let form: HashMap<String, String> = url::form_urlencoded::parse(form).into_owned().collect();
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        if !credentials::known(tenant) {
            return credentials::no_tenant();
        }
        if let Some(fault) = self.next_fault() {
            return fault;
        }
        if self.rules.refuse > 0 && self.count >= self.rules.refuse_after {
            return aadsts(400, "invalid_client", self.rules.refuse, "Refused on purpose.");
        }
        let person = matches!(
            field("grant_type"),
            "urn:ietf:params:oauth:grant-type:device_code" | "authorization_code" | "refresh_token"
        );
        if !person && field("grant_type") != "client_credentials" {
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
        if person {
            if let Some(answer) = credentials::judge(&mut self.people, self.rules.pending, &form) {
                return answer;
            }
            let (token, life) = self.give(now, field("claims").contains("access_token"));
            return Answer::json(
                200,
                &json!({ "token_type": "Bearer", "expires_in": life, "access_token": token, "refresh_token": SECRET }),
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
        let fault =
            credentials::assertion_fault(field("client_assertion"), "/oauth2/v2.0/token", self.unix(now));
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
        let (token, life) = self.give(now, field("claims").contains("access_token"));
        Answer::json(
            200,
            &json!({ "token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token }),
        )
    }

    /// Whether a bearer may do this.
    pub(super) fn judge(&self, now: Duration, bearer: &str, write: bool) -> Verdict {
        let forbidden = write
            && !self.rules.roles.is_empty()
            && !self.rules.roles.iter().any(|role| role.contains("Write") || role.contains("Manage"));
        let good = if forbidden { Verdict::Forbidden } else { Verdict::Good };
        if bearer == OPAQUE && self.rules.life_s == 0 && !self.rules.challenge {
            return good;
        }
        match self.given.get(bearer) {
            None => Verdict::Unknown,
            Some((until, _)) if *until <= now => Verdict::Expired,
            Some((_, false)) if self.rules.challenge => Verdict::Challenged,
            Some(_) => good,
        }
    }
}

/// The 401 of a verdict, or the 403.
pub(super) fn refusal(verdict: Verdict) -> Answer {
    let plain = "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", client_id=\"00000003-0000-0000-c000-000000000000\"";
    let answer = |message: &str| super::wire::error(401, "InvalidAuthenticationToken", message);
    match verdict {
        Verdict::Good | Verdict::Forbidden => super::wire::error(
            403,
            "Authorization_RequestDenied",
            "Insufficient privileges to complete the operation.",
        ),
        Verdict::Unknown => answer("CompactToken validation failed with reason code: 80049228.")
            .with("www-authenticate", plain),
        Verdict::Expired => {
            answer("Lifetime validation failed, the token is expired.").with("www-authenticate", plain)
        }
        Verdict::Challenged => {
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
    fn a_token_lives_as_long_as_it_says_and_wrong_secrets_are_named() {
        let rules = TokenRules { life_s: 5, ..TokenRules::default() };
        let mut sign_in = SignIn::new(rules, Timestamp::UNIX_EPOCH);
        let form = |secret: &str| {
            format!(
                "grant_type=client_credentials&client_id={APP}&client_secret={secret}&scope=https%3A%2F%2Fg%2F.default"
            )
        };
        let answer = sign_in.answer(Duration::ZERO, TENANT, form(SECRET).as_bytes());
        assert_eq!(answer.status, 200);
        let body: serde_json::Value = serde_json::from_slice(&answer.body.1).expect("JSON");
        let token = body["access_token"].as_str().expect("a token");
        assert_eq!(sign_in.judge(Duration::from_secs(4), token, true), Verdict::Good);
        assert_eq!(sign_in.judge(Duration::from_secs(5), token, true), Verdict::Expired);
        assert_eq!(sign_in.judge(Duration::ZERO, OPAQUE, true), Verdict::Unknown);
        let wrong = sign_in.answer(Duration::ZERO, TENANT, form("x").as_bytes());
        assert!(String::from_utf8_lossy(&wrong.body.1).contains("AADSTS7000215"));
    }

    #[test]
    fn a_challenge_ends_with_a_token_that_was_asked_for_with_claims() {
        let rules = TokenRules { challenge: true, ..TokenRules::default() };
        let mut sign_in = SignIn::new(rules, Timestamp::UNIX_EPOCH);
        let (plain, _) = sign_in.give(Duration::ZERO, false);
        let (with, _) = sign_in.give(Duration::ZERO, true);
        assert_eq!(sign_in.judge(Duration::ZERO, &plain, true), Verdict::Challenged);
        assert_eq!(sign_in.judge(Duration::ZERO, &with, true), Verdict::Good);
    }
}
