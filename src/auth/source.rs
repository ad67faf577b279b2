//! The source of tokens: one credential, and the behavior that all credentials share.

use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};

use super::failure::Failure;
use super::host::Grant;

/// Longest token.
const LONGEST: usize = 16 * 1024;

/// Fetches a token with one sign-in method.
pub(super) trait Credential: std::fmt::Debug + Send + Sync {
    /// In words, for the prompt and for errors.
    fn name(&self) -> &'static str;

    /// Whether another program may have written a newer token a moment later.
    fn may_follow(&self) -> bool {
        false
    }

    /// Whether there is ever another token than the first.
    fn may_renew(&self) -> bool {
        true
    }

    /// A new token. `claims`: a challenge to be repeated.
    fn fetch<'a>(&'a self, claims: Option<&'a str>) -> BoxFuture<'a, Result<Grant, Failure>>;
}

/// The source of tokens.
#[derive(Debug)]
pub struct TokenSource(Box<dyn Credential>);

impl TokenSource {
    pub(super) fn new(credential: impl Credential + 'static) -> Self {
        Self(Box::new(credential))
    }

    /// In words, for the prompt and for errors.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Whether another program may have written a newer token a moment later.
    pub(super) fn may_follow(&self) -> bool {
        self.0.may_follow()
    }

    /// Whether there is ever another token than the first.
    pub(super) fn may_renew(&self) -> bool {
        self.0.may_renew()
    }

    /// A new token. `claims`: a challenge to be repeated.
    pub(super) async fn fetch(&self, claims: Option<&str>) -> Result<Grant, Failure> {
        let mut grant = self.0.fetch(claims).await?;
        grant.secret = self.clean(&grant.secret).map_err(Failure::Final)?;
        Ok(grant)
    }

    /// One line of a token without what people leave around it.
    fn clean(&self, secret: &SecretString) -> Result<SecretString, String> {
        let text = secret.expose_secret().trim().trim_matches('"');
        let text = text.strip_prefix("Bearer ").unwrap_or(text).trim();
        let name = self.name();
        if text.is_empty() {
            return Err(format!("{name} gives an empty token; sign in and try again"));
        }
        if text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "the output of {name} is not a token. It must be one line without blanks, at most {LONGEST} bytes"
            ));
        }
        Ok(SecretString::from(text))
    }
}
