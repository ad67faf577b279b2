//! The sign-in host: form posts for tokens, and which tenant a domain is (`docs/graph.md#tokens`).

use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::aadsts::{self, SignInRequest};
use super::failure::{FEW_TRIES, Failure, PATIENCE};
use super::redact::redact;
use crate::model::{UserId, sanitize};
use crate::net::Lasting;

/// Longest text of a sign-in error that is shown, in characters.
const SHOWN: usize = 300;
/// As much of an answer as is read: the longest token is 16 KiB.
const LONGEST: usize = 64 * 1024;
/// Initial capacity for a response. A buffer that grows leaves copies of secrets in memory.
const USUAL: usize = 8 * 1024;

/// Fields of a form whose values are secrets.
const SECRET_FIELDS: [&str; 6] =
    ["client_secret", "client_assertion", "refresh_token", "code", "code_verifier", "device_code"];

/// Errors of OAuth that another try may overcome, whatever the status.
const PASSING_ERRORS: [&str; 2] = ["temporarily_unavailable", "server_error"];

/// The sign-in host.
#[derive(Clone, Debug)]
pub struct SignInHost {
    /// From `net::Network::client`, bounded by its timeout.
    pub http: reqwest::Client,
    /// `https://login.microsoftonline.com` or another cloud's.
    pub authority: Url,
    /// Tenant id, domain, or `organizations` where a person signs in.
    pub tenant: String,
    /// The app.
    pub client_id: String,
}

/// A token as the host gave it.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) secret: SecretString,
    /// The remaining lifetime, if the host names it.
    pub(super) life: Option<Duration>,
    /// When it ends by this machine's clock, in seconds since 1970, where the giver goes by that.
    pub(super) ends: Option<i64>,
    /// For the next one, where a person signed in.
    pub(super) refresh: Option<SecretString>,
    /// The host's clock.
    pub(super) date: Option<SystemTime>,
}

impl Grant {
    /// A bare token.
    pub(super) fn bare(text: &str) -> Self {
        Self { secret: SecretString::from(text), life: None, ends: None, refresh: None, date: None }
    }
}

/// A refusal with the word that OAuth has for it.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: String,
    pub(super) failure: Failure,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { error: String::new(), failure }
    }
}

#[derive(Deserialize)]
struct Given {
    access_token: Option<String>,
    // A number, or a text with a number.
    expires_in: Option<Value>,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct OpenId {
    issuer: String,
}

impl SignInHost {
    /// `{authority}/{tenant}/oauth2/v2.0/{tail}`
    pub(super) fn url(&self, tail: &str) -> Url {
        self.below(&["oauth2", "v2.0", tail])
    }

    fn below(&self, segments: &[&str]) -> Url {
        let mut url = self.authority.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(&self.tenant).extend(segments);
        }
        url
    }

    fn name(&self) -> &str {
        self.authority.host_str().unwrap_or("the sign-in host")
    }

    /// One post for a token. `claims` is a challenge to be repeated.
    pub(super) async fn token(&self, form: &[(&str, &str)], claims: Option<&str>) -> Result<Grant, Refused> {
        let mut form: Vec<_> = form.to_vec();
        form.push(("client_id", &self.client_id));
        form.extend(claims.map(|claims| ("claims", claims)));
        let (given, date): (Given, _) = self.post("token", &form).await?;
        let Some(token) = given.access_token else {
            return Err(
                Failure::Final(format!("sign-in at {}: the answer holds no token", self.name())).into()
            );
        };
        Ok(Grant {
            secret: SecretString::from(token),
            life: given.expires_in.as_ref().and_then(seconds),
            ends: None,
            refresh: given.refresh_token.map(SecretString::from),
            date,
        })
    }

    /// One form post, its answer read as JSON.
    pub(super) async fn post<T: serde::de::DeserializeOwned>(
        &self,
        tail: &str,
        form: &[(&str, &str)],
    ) -> Result<(T, Option<SystemTime>), Refused> {
        let name = self.name();
        let answer = self.http.post(self.url(tail)).form(form).send().await;
        let answer = Answer::read(answer, &format!("sign-in at {name}"), &self.authority).await?;
        match serde_json::from_slice(&answer.body) {
            Ok(read) if answer.is_yes() => Ok((read, answer.date)),
            _ => Err(self.refused(&answer, form)),
        }
    }

    /// `sent`: what no message may repeat.
    fn refused(&self, answer: &Answer, sent: &[(&str, &str)]) -> Refused {
        let name = self.name();
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let field = |name: &str| {
            said.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
        };
        let (error, description) = (field("error").unwrap_or_default(), field("error_description"));
        if error.is_empty() && description.is_none() {
            return answer.unreadable(&format!("sign-in at {name}")).into();
        }
        let code = said.get("error_codes").and_then(|codes| codes.get(0)?.as_u64());
        let code = code.or_else(|| aadsts::code_in(description?));
        let secrets: Vec<&str> =
            sent.iter().filter(|(name, _)| SECRET_FIELDS.contains(name)).map(|(_, value)| *value).collect();
        let first = description.map_or(error, |text| text.lines().next().unwrap_or_default());
        let asked = SignInRequest {
            authority: self.authority.as_str(),
            tenant: &self.tenant,
            client_id: &self.client_id,
        };
        let mut said = format!("sign-in at {name} failed: {}", sanitize(&redact(first, &secrets), SHOWN));
        if let Some(fix) =
            code.and_then(|code| aadsts::fix(code, asked)).or_else(|| aadsts::fix_of_error(error, asked))
        {
            said = format!("{said}\n  {fix}");
        }
        if let Some(minutes) = answer.skew_minutes().filter(|_| code == Some(700_024)) {
            said = format!("{said}\n  {minutes}");
        }
        let failure = match answer.is_passing() || PASSING_ERRORS.contains(&error) {
            true => Failure::Passing { text: said, after: answer.after, patience: PATIENCE },
            false => Failure::Final(said),
        };
        Refused { error: error.to_owned(), failure }
    }

    /// The tenant's id by the public OpenID configuration; a GUID is its own answer.
    ///
    /// # Errors
    /// The tenant does not exist, or the sign-in host did not answer.
    pub async fn tenant_id(&self) -> Result<String, Failure> {
        if is_guid(&self.tenant) {
            return Ok(self.tenant.to_ascii_lowercase());
        }
        let what = format!("looking up tenant {} at {}", self.tenant, self.name());
        let url = self.below(&["v2.0", ".well-known", "openid-configuration"]);
        let answer = Answer::read(self.http.get(url).send().await, &what, &self.authority).await?;
        let read: Option<OpenId> = serde_json::from_slice(&answer.body).ok();
        match read.filter(|_| answer.is_yes()) {
            Some(open_id) => open_id
                .issuer
                .split('/')
                .find(|part| is_guid(part))
                .map(str::to_ascii_lowercase)
                .ok_or_else(|| Failure::Final(format!("{what}: the answer names no tenant"))),
            None => Err(self.refused(&answer, &[]).failure),
        }
    }
}

/// Whether the text is a GUID.
pub(super) fn is_guid(text: &str) -> bool {
    UserId::parse(text).is_ok_and(|id| id.is_guid())
}

/// Seconds as a number or as a text with a number, as managed identity sends them.
pub(super) fn seconds(value: &Value) -> Option<Duration> {
    /// Longest lifetime that is accepted. 28 h are documented.
    const LONGEST: f64 = 7.0 * 86_400.0;
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (number > 0.0).then(|| Duration::from_secs_f64(number.min(LONGEST)))
}

/// `Retry-After`: seconds, perhaps with a fraction, or a date on the host's own clock. Never rounded down.
fn wait(text: &str, date: Option<SystemTime>) -> Option<Duration> {
    /// Longer than any host means it.
    const LONGEST: f64 = 86_400.0;
    if let Ok(at) = httpdate::parse_http_date(text) {
        return at.duration_since(date.unwrap_or_else(SystemTime::now)).ok();
    }
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds > 0.0 && *seconds <= LONGEST)?;
    Some(Duration::from_secs(seconds.ceil() as u64))
}

/// An answer of a sign-in host or an identity endpoint. Not to be printed: its body may be a token.
pub(super) struct Answer {
    pub(super) status: u16,
    /// May hold a token: wiped when it is dropped.
    pub(super) body: Zeroizing<Vec<u8>>,
    pub(super) after: Option<Duration>,
    pub(super) date: Option<SystemTime>,
    kind: String,
}

impl Answer {
    /// Reads a bounded body. A fault of the network passes unless it cannot.
    pub(super) async fn read(
        answer: Result<reqwest::Response, reqwest::Error>,
        what: &str,
        url: &Url,
    ) -> Result<Self, Failure> {
        let failed = |error: reqwest::Error| {
            let trouble = crate::net::trouble(error, url);
            let text = format!("{what}: {}", trouble.text);
            match trouble.lasting {
                Lasting::Access => Failure::Final(text),
                Lasting::Route => Failure::Passing { text, after: None, patience: FEW_TRIES },
                Lasting::No => Failure::passing(text),
            }
        };
        let mut answer = answer.map_err(failed)?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let date = header("date").and_then(|text| httpdate::parse_http_date(text).ok());
        let after = header("retry-after").and_then(|text| wait(text.trim(), date));
        let kind = header("content-type").unwrap_or_default().to_owned();
        let status = answer.status().as_u16();
        let mut body = Zeroizing::new(Vec::with_capacity(USUAL));
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > LONGEST {
                return Err(Failure::Final(format!("{what}: the answer is longer than {LONGEST} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self { status, body, after, date, kind })
    }

    pub(super) fn is_yes(&self) -> bool {
        self.status == 200
    }

    /// Busy or broken for the moment.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.status, 408 | 429 | 500..)
    }

    /// The meaning of a response without an explanation.
    pub(super) fn unreadable(&self, what: &str) -> Failure {
        let status = self.status;
        let page = self.kind.starts_with("text/html");
        if page && status < 500 || (300..400).contains(&status) || status == 511 {
            return Failure::Final(format!(
                "{what}: HTTP {status} with a web page instead of a token: a captive portal or a proxy's login page? \
                 Open a browser once, or set HTTPS_PROXY"
            ));
        }
        let text = format!("{what} failed with HTTP {status} and no explanation");
        match self.is_passing() {
            true => Failure::Passing { text, after: self.after, patience: PATIENCE },
            false => Failure::Final(text),
        }
    }

    /// The clock skew as text, if it is more than a minute.
    fn skew_minutes(&self) -> Option<String> {
        super::skew::said(super::skew::of(self.date?, jiff::Timestamp::now()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::Network;

    const SECRET: &str = "canary-secret-of-no-value";

    /// Asks a host that answers with these bytes and then says nothing more; the authority may be told in
    /// them by `{self}`.
    async fn asked(answer: &str) -> Failure {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let answer = answer.replace("{self}", &url);
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut read = Vec::new();
            while !String::from_utf8_lossy(&read).contains(SECRET) {
                let mut piece = [0; 4096];
                let length = stream.read(&mut piece).await.expect("a request");
                read.extend_from_slice(&piece[..length]);
            }
            let _ = stream.write_all(answer.as_bytes()).await;
            // A client that follows the redirect connects again.
            let again = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
            assert!(again.is_err(), "asked again");
        });
        let url = Url::parse(&url).expect("a URL");
        let network = Network::new(Duration::from_millis(200), true, None).expect("a network");
        let http = network.client(&url).expect("a client");
        let host = SignInHost { http, authority: url, tenant: "t".to_owned(), client_id: "a".to_owned() };
        let form = [("grant_type", "client_credentials"), ("client_secret", SECRET)];
        let failure = host.token(&form, None).await.expect_err("no token").failure;
        serving.await.expect("served once");
        failure
    }

    #[tokio::test]
    async fn answers_that_are_none_are_bounded_and_named() {
        let json = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        let huge =
            format!("{json}content-length: 9000000\r\n\r\n{{\"access_token\":\"{}", "x".repeat(200_000));
        let huge = asked(&huge).await;
        assert!(
            matches!(&huge, Failure::Final(text) if text.contains("longer than 65536 bytes")),
            "{huge:?}"
        );
        let silent = asked(&format!("{json}content-length: 90\r\n\r\n{{\"access_")).await;
        assert!(
            matches!(&silent, Failure::Passing { text, .. } if text.contains("no answer in time")),
            "{silent:?}"
        );
        let page =
            asked("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>").await;
        assert!(matches!(&page, Failure::Final(text) if text.contains("a captive portal")), "{page:?}");
        let gateway =
            asked("HTTP/1.1 502 Bad\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>").await;
        assert!(matches!(gateway, Failure::Passing { .. }), "{gateway:?}");
        let empty = asked(&format!("{json}content-length: 2\r\n\r\n{{}}")).await;
        assert!(matches!(&empty, Failure::Final(text) if text.contains("holds no token")), "{empty:?}");
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed_with_the_secret() {
        let moved = "HTTP/1.1 307 Moved\r\nlocation: {self}/elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let failure = asked(moved).await;
        assert!(matches!(&failure, Failure::Final(text) if text.contains("HTTP 307")), "{failure:?}");
    }

    #[tokio::test]
    async fn a_host_that_repeats_the_secret_is_not_repeated() {
        let body =
            format!(r#"{{"error":"invalid_client","error_description":"AADSTS1: '{SECRET}' is wrong"}}"#);
        let failure =
            asked(&format!("HTTP/1.1 401 No\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
        assert!(failure.text().contains("'[secret]' is wrong"), "{failure:?}");
    }

    #[tokio::test]
    async fn errors_without_a_description_are_read_by_their_code() {
        for (body, status, shown, fix) in [
            (
                r#"{"error":"invalid_client"}"#,
                "401 No",
                "failed: invalid_client",
                "client secret, certificate",
            ),
            (
                r#"{"error":"invalid_grant","error_description":""}"#,
                "400 No",
                "failed: invalid_grant",
                "sign in again",
            ),
            (
                r#"{"error":"interaction_required","error_description":null}"#,
                "400 No",
                "failed: interaction_required",
                "--auth browser",
            ),
            (
                r#"{"error":"consent_required","error_codes":["x"]}"#,
                "400 No",
                "failed: consent_required",
                "/t/adminconsent",
            ),
            (r#"{"error":"unheard_of"}"#, "400 No", "failed: unheard_of", ""),
            (r#"{"error_description":"AADSTS7000222: x"}"#, "400 No", "AADSTS7000222", "has expired"),
            (
                r#"{"error":"invalid_client canary-secret-of-no-value"}"#,
                "401 No",
                "failed: invalid_client [secret]",
                "",
            ),
        ] {
            let length = body.len();
            let failure =
                asked(&format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}")).await;
            let text = failure.text();
            assert!(
                matches!(failure, Failure::Final(_)) && text.contains(shown) && text.contains(fix),
                "{failure:?}"
            );
        }
        for error in PASSING_ERRORS {
            let body = format!(r#"{{"error":"{error}"}}"#);
            let failure =
                asked(&format!("HTTP/1.1 400 No\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
            assert!(matches!(failure, Failure::Passing { .. }), "{failure:?}");
        }
    }

    #[test]
    fn every_form_of_a_wait_is_read_and_never_shortened() {
        let date = httpdate::parse_http_date("Mon, 23 Nov 2026 21:00:00 GMT").ok();
        let seconds = |text: &str| wait(text, date).map(|wait| wait.as_secs());
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds("2.1"), Some(3));
        assert_eq!(seconds("Mon, 23 Nov 2026 21:01:30 GMT"), Some(90));
        for absent in ["0", "-1", "", "soon", "1e99", "nan", "Mon, 23 Nov 2026 20:00:00 GMT"] {
            assert_eq!(seconds(absent), None, "{absent}");
        }
    }
}
