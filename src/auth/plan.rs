//! The values from which every sign-in method is built: environment, network and sign-in host.

use futures::future::BoxFuture;
use secrecy::SecretString;
use url::Url;

use super::environment::Environment;
use super::host::SignInHost;
use super::notices::Show;
use super::secret_file::SecretFile;
use super::source::TokenSource;
use crate::error::Error;
use crate::net::{Network, is_loopback};

/// A source of tokens that is being built.
pub(super) type Building<'a> = BoxFuture<'a, Result<TokenSource, Error>>;

/// Which cloud's tokens, and how the world is reached.
#[derive(Debug)]
pub struct SignInPlan<'a> {
    /// Variables and flags.
    pub environment: &'a Environment,
    /// Proxy, roots, timeout.
    pub network: &'a Network,
    /// Sign-in host.
    pub authority: &'a Url,
    /// Graph root of the cloud, without a slash at its end.
    pub resource: &'a str,
    /// Audience of federated assertions in the cloud.
    pub federation: &'a str,
    /// Shows a person what he has to do.
    pub show: Show,
    /// Opens a browser; false: it could not.
    pub open: fn(&str) -> bool,
}

impl SignInPlan<'_> {
    /// The sign-in host of the requested tenant, with the app.
    ///
    /// # Errors
    /// `Error::Network`.
    pub(super) fn app(&self) -> Result<SignInHost, Error> {
        self.host(self.tenant().unwrap_or_default())
    }

    /// The requested tenant, by id or domain.
    pub(super) fn tenant(&self) -> Option<&str> {
        self.environment.get("AZURE_TENANT_ID")
    }

    /// Scope of a token for Graph.
    pub(super) fn scope(&self) -> String {
        format!("{}/.default", self.resource)
    }

    /// The sign-in host for a tenant id or domain.
    ///
    /// # Errors
    /// `Error::Network`.
    pub fn host(&self, tenant: &str) -> Result<SignInHost, Error> {
        Ok(SignInHost {
            http: self.network.client(self.authority)?,
            authority: self.authority.clone(),
            tenant: tenant.to_owned(),
            client_id: self.environment.get("AZURE_CLIENT_ID").unwrap_or_default().to_owned(),
        })
    }

    /// Warns of a file with a secret that every user of the machine may read or change.
    pub(super) fn warn_of(&self, read: &SecretFile, file: &str) {
        if read.open_to_all {
            self.show.text(&format!(
                "warning: every user of this machine may read or change {file}, which signs in for you: chmod 600 \"{file}\""
            ));
        }
    }

    /// The secret in a variable.
    pub(super) fn secret(&self, name: &str) -> SecretString {
        SecretString::from(self.environment.get(name).unwrap_or_default())
    }

    /// An address that a token is sent to: https, or this machine itself.
    pub(super) fn issuer(&self, name: &str) -> Result<Url, Error> {
        let found = url(name, self.environment.get(name).unwrap_or_default())?;
        match found.scheme() == "https" || is_loopback(&found) {
            true => Ok(found),
            false => {
                Err(Error::Usage(format!("{name} is not an https URL. A token would be sent unencrypted")))
            }
        }
    }
}

/// A URL in a variable.
pub(super) fn url(name: &str, text: &str) -> Result<Url, Error> {
    Url::parse(text).map_err(|error| Error::Usage(format!("{name} is not a URL ({error})")))
}
