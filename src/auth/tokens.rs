//! The only token cache: one renewal for all workers, early enough, and after a 401.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::claims::Claims;
use super::exchange::Exchange;

/// Renewed this long before expiry, at most.
const EARLY: i64 = 300;
/// … or this share of its life, if that is less.
const EARLY_SHARE: i64 = 5;
/// A token command that takes longer has hung.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest token.
const LONGEST: usize = 16 * 1024;

/// Where tokens come from.
#[derive(Debug)]
pub enum TokenSource {
    /// `REPROVISION_TOKEN`: cannot be renewed.
    Fixed(SecretString),
    /// `--token-file`: read again when a new one is needed.
    File(PathBuf),
    /// `--token-command`: run again when a new one is needed.
    Command(String),
    /// A client secret, exchanged for a token at the sign-in host.
    Secret(Exchange),
}

/// A bearer token with its number.
#[derive(Debug)]
pub struct Token {
    secret: SecretString,
    /// Made once: a run of a million requests signs each of them with it.
    bearer: HeaderValue,
    /// Counts up by one with every renewal.
    pub generation: u64,
    /// What it says of itself.
    pub claims: Claims,
    fetched: Timestamp,
}

impl Token {
    /// The `Authorization` header it goes into; hidden from logs.
    pub fn bearer(&self) -> &HeaderValue {
        &self.bearer
    }

    fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let Some(exp) = self.claims.exp else { return false };
        let life = exp - self.claims.iat.unwrap_or_else(|| self.fetched.as_second());
        now.as_second() >= exp - EARLY.min(life / EARLY_SHARE)
    }
}

/// The cache.
#[derive(Debug)]
pub struct Tokens {
    source: TokenSource,
    expected_tenant: Option<String>,
    plain_http: bool,
    cache: Mutex<Option<Arc<Token>>>,
    /// Newest generation that a 401 came back for; 0: none.
    rejected: AtomicU64,
}

impl Tokens {
    /// `expected_tenant` is checked against every readable token where it is a GUID. `plain_http`: the endpoint is a
    /// loopback address without TLS, where tokens meant for Microsoft are refused.
    pub fn new(source: TokenSource, expected_tenant: Option<String>, plain_http: bool) -> Self {
        Self { source, expected_tenant, plain_http, cache: Mutex::default(), rejected: AtomicU64::new(0) }
    }

    /// A token that is good now. While one worker renews, the others wait for the same renewal.
    ///
    /// # Errors
    /// A sentence that says why there is none and what to do; never the token.
    pub async fn current(&self) -> Result<Arc<Token>, String> {
        let mut cache = self.cache.lock().await;
        let now = Timestamp::now();
        let rejected =
            cache.as_ref().is_some_and(|token| self.rejected.load(Ordering::Relaxed) >= token.generation);
        if let Some(token) = cache.as_ref().filter(|token| !rejected && !token.is_due(now)) {
            return Ok(token.clone());
        }
        let old = cache.clone();
        let text = match self.fetch().await {
            Ok(text) => text,
            // The old one still lives: used until it does not.
            Err(error) => match old.filter(|token| !rejected && token.claims.exp > Some(now.as_second())) {
                Some(token) => return Ok(token),
                None => return Err(error),
            },
        };
        if let Some(old) = old.filter(|old| old.expose() == text.expose_secret()) {
            let expired = old.claims.exp.is_some_and(|exp| exp <= now.as_second());
            if !rejected && !expired {
                return Ok(old);
            }
            let lived = (now.as_second() - old.fetched.as_second()) / 60;
            return Err(format!(
                "Microsoft Graph does not accept the token any more (after {lived} min) and {} gives no newer one; \
                 sign in again, or use --token-command for runs longer than a token lives",
                self.source_name()
            ));
        }
        let claims = Claims::read(text.expose_secret()).unwrap_or_default();
        self.check(&claims)?;
        let generation = cache.as_ref().map_or(1, |token| token.generation + 1);
        let token = Arc::new(Token { bearer: bearer(&text), secret: text, generation, claims, fetched: now });
        *cache = Some(token.clone());
        Ok(token)
    }

    /// A 401 came back for a token of this generation: it is renewed before the next request, if it is still current.
    pub fn reject(&self, generation: u64) {
        self.rejected.fetch_max(generation, Ordering::Relaxed);
    }

    fn check(&self, claims: &Claims) -> Result<(), String> {
        if self.plain_http && claims.is_for_microsoft() {
            return Err(
                "this token is meant for Microsoft and would leave in the clear: use an https endpoint"
                    .to_owned(),
            );
        }
        match (&self.expected_tenant, &claims.tid) {
            (Some(asked), Some(tid)) if is_guid(asked) && !asked.eq_ignore_ascii_case(tid) => Err(format!(
                "wrong tenant: the token is for {tid}, --tenant asks for {asked}; nothing was sent with it"
            )),
            _ => Ok(()),
        }
    }

    fn source_name(&self) -> &'static str {
        match self.source {
            TokenSource::Fixed(_) => "REPROVISION_TOKEN",
            TokenSource::File(_) => "--token-file",
            TokenSource::Command(_) => "--token-command",
            TokenSource::Secret(_) => "the sign-in host",
        }
    }

    async fn fetch(&self) -> Result<SecretString, String> {
        let text = match &self.source {
            TokenSource::Fixed(secret) => secret.expose_secret().to_owned(),
            TokenSource::File(path) => tokio::fs::read_to_string(path)
                .await
                .map_err(|error| format!("cannot read --token-file {}: {error}", path.display()))?,
            TokenSource::Command(line) => run(line).await?,
            TokenSource::Secret(exchange) => exchange.token().await?,
        };
        let text = text.trim().trim_matches('"');
        let text = text.strip_prefix("Bearer ").unwrap_or(text).trim();
        let name = self.source_name();
        if text.is_empty() {
            return Err(format!("{name} gives an empty token; sign in and try again"));
        }
        if text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "what {name} gives is no token: it must be one line without blanks, at most {LONGEST} bytes"
            ));
        }
        Ok(SecretString::from(text))
    }
}

fn bearer(text: &SecretString) -> HeaderValue {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", text.expose_secret()))
        .expect("a token is checked to be graphic ASCII when it is fetched");
    value.set_sensitive(true);
    value
}

fn is_guid(text: &str) -> bool {
    crate::model::UserId::parse(text).is_ok_and(|id| id.is_guid())
}

/// Runs the line through the platform's shell, as admins write it.
async fn run(line: &str) -> Result<String, String> {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("/bin/sh", "-c") };
    let child = tokio::process::Command::new(shell)
        .arg(flag)
        .arg(line)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot start --token-command: {error}"))?;
    let output = tokio::time::timeout(COMMAND_TIMEOUT, child.wait_with_output())
        .await
        .map_err(|_| format!("--token-command gave no token within {} s", COMMAND_TIMEOUT.as_secs()))?
        .map_err(|error| format!("--token-command: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = crate::model::neutral(said.trim(), 300);
        return Err(format!("--token-command failed ({}): {said}", output.status));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| "--token-command printed something that is no text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_rejected_fixed_token_ends_with_a_sentence_and_without_the_token() {
        let tokens = Tokens::new(TokenSource::Fixed(SecretString::from("canary-token")), None, false);
        let token = tokens.current().await.expect("a token");
        tokens.reject(token.generation - 1);
        assert!(tokens.current().await.is_ok(), "an older generation was rejected");
        tokens.reject(token.generation);
        let error = tokens.current().await.expect_err("not renewable");
        assert!(error.contains("REPROVISION_TOKEN") && !error.contains("canary"), "{error}");
        assert!(!format!("{tokens:?}").contains("canary"));
    }

    #[tokio::test]
    async fn a_file_is_read_again_after_a_401_by_one_renewal_for_all() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "Bearer one\n").expect("written");
        let tokens = Arc::new(Tokens::new(TokenSource::File(file.path().to_owned()), None, false));
        assert_eq!(tokens.current().await.expect("a token").expose(), "one");
        std::fs::write(file.path(), "two").expect("written");
        assert_eq!(tokens.current().await.expect("a token").expose(), "one");
        tokens.reject(1);
        let all = futures::future::join_all((0..64).map(|_| tokens.current())).await;
        assert!(all.iter().all(|token| token.as_ref().is_ok_and(|token| token.generation == 2)));
    }

    #[tokio::test]
    async fn the_wrong_tenant_is_refused() {
        let asked = Some("00000000-0000-0000-0000-000000000001".to_owned());
        let token = "e30.eyJ0aWQiOiJ0IiwiYXBwaWQiOiJhIiwiZXhwIjoxMn0.x";
        let tokens = Tokens::new(TokenSource::Fixed(SecretString::from(token)), asked, false);
        assert!(tokens.current().await.expect_err("refused").contains("wrong tenant"));
    }
}
