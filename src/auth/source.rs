//! Where tokens come from: one arm for each way to sign in.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::assertion::Assertion;
use super::failure::Failure;
use super::host::{Grant, SignInHost};
use super::managed::{IdentityEndpoint, ManagedIdentity};
use super::outside::{self, AzureCli};
use super::person::{Person, Way};
use super::secret_file::SecretFile;

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
    /// An app with a client secret.
    Secret {
        /// Where it signs in.
        host: SignInHost,
        /// Its secret.
        secret: SecretString,
        /// `{Graph root}/.default`
        scope: String,
    },
    /// An app that proves itself with an assertion.
    Assertion {
        /// Where it signs in.
        host: SignInHost,
        /// Where the assertion comes from.
        assertion: Assertion,
        /// `{Graph root}/.default`
        scope: String,
    },
    /// An identity that Azure gave to the machine or the app service.
    ManagedIdentity(ManagedIdentity),
    /// Whoever signed in with `az login`.
    AzureCli(AzureCli),
    /// Someone at a keyboard.
    Person(Person),
    /// Answers that a test wrote, under a paused clock.
    #[cfg(test)]
    Script(super::renewal::Script),
}

impl TokenSource {
    /// In words, for the prompt and for errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fixed(_) => "REPROVISION_TOKEN",
            Self::File(_) => "--token-file",
            Self::Command(_) => "--token-command",
            Self::Secret { .. } => "client secret",
            Self::Assertion { assertion, .. } => match assertion {
                Assertion::Certificate(_) => "certificate",
                Assertion::File(_) => "workload identity",
                Assertion::GitHub(_) => "GitHub workload identity",
                Assertion::AzureDevOps(_) => "Azure DevOps workload identity",
            },
            Self::ManagedIdentity(ManagedIdentity { endpoint: IdentityEndpoint::Imds, .. }) => {
                "managed identity of this machine"
            }
            Self::ManagedIdentity(_) => "managed identity of this app service",
            Self::AzureCli(_) => "Azure CLI",
            Self::Person(Person { way: Way::Browser, .. }) => "browser",
            Self::Person(_) => "device code",
            #[cfg(test)]
            Self::Script(_) => "script",
        }
    }

    /// Whether another program may have written a newer token a moment later.
    pub(super) fn may_follow(&self) -> bool {
        matches!(self, Self::File(_) | Self::Command(_))
    }

    /// Whether there is ever another token than the first.
    pub(super) fn may_renew(&self) -> bool {
        !matches!(self, Self::Fixed(_))
    }

    /// A new token. `claims`: a challenge to be repeated.
    pub(super) async fn fetch(&self, claims: Option<&str>) -> Result<Grant, Failure> {
        let mut grant = match self {
            Self::Fixed(secret) => Grant::bare(secret.expose_secret()),
            Self::File(path) => {
                let text = SecretFile::text(path).await;
                Grant::bare(&text.map_err(|error| {
                    Failure::passing(format!("cannot read --token-file {}: {error}", path.display()))
                })?)
            }
            Self::Command(line) => Grant::bare(&outside::run(line).await?),
            Self::Secret { host, secret, scope } => {
                let form = [
                    ("grant_type", "client_credentials"),
                    ("client_secret", secret.expose_secret()),
                    ("scope", scope),
                ];
                host.token(&form, claims).await.map_err(|refused| refused.failure)?
            }
            Self::Assertion { host, assertion, scope } => {
                let text = assertion.text(&host.client_id, &host.url("token")).await?;
                let form = [
                    ("grant_type", "client_credentials"),
                    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                    ("client_assertion", text.expose_secret()),
                    ("scope", scope),
                ];
                host.token(&form, claims).await.map_err(|refused| refused.failure)?
            }
            Self::ManagedIdentity(identity) => identity.token().await?,
            Self::AzureCli(cli) => cli.token(claims).await?,
            Self::Person(person) => person.token(claims).await?,
            #[cfg(test)]
            Self::Script(script) => script.next(claims)?,
        };
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
                "what {name} gives is no token: it must be one line without blanks, at most {LONGEST} bytes"
            ));
        }
        Ok(SecretString::from(text))
    }
}
