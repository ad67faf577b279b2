//! A session with Graph, opened once for each tenant and invocation.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::endpoint::{EmbeddedSimulator, Endpoint};
use super::options::ServiceOptions;
use super::sign_in::{SignedIn, sign_in};
use crate::auth::{
    Claims, Notices, Permitted, SignInHost, TokenSource, Tokens, hidden_text, missing_text, permitted,
};
use crate::error::Error;
use crate::graph::Connections;
use crate::model::{MAX_MESSAGE, ObjectKind, sanitize};
use crate::net::Network;
use crate::terminal::Console;

/// Stands for the tenant where the token does not tell it and none was asked for.
pub const UNKNOWN_TENANT: &str = "unknown";

/// What the token will be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// Objects are retried, not only read.
    pub writes: bool,
    /// Which objects.
    pub kind: ObjectKind,
    /// Nobody reads what is asked (`--yes`).
    pub unattended: bool,
}

/// Graph with a token that was good a moment ago.
#[derive(Debug)]
pub struct Session {
    /// Graph root without version.
    pub root: Url,
    /// How it is reached.
    pub network: Network,
    /// `beta` or `v1.0`.
    pub api_version: String,
    /// Longest pause that is waited for if the service asks for one.
    pub max_wait: Duration,
    /// The token cache.
    pub tokens: Arc<Tokens>,
    /// The simulator, where it stands in for Graph.
    pub simulator: Option<EmbeddedSimulator>,
    /// Tenant id as the token says, else as asked, else [`UNKNOWN_TENANT`]; `simulated` for the simulator.
    pub tenant: String,
    /// The claims of the first token.
    pub claims: Claims,
}

impl Session {
    /// Signs in, and refuses a token of another tenant or without the permission before anything is sent.
    ///
    /// # Errors
    /// `Error::SignIn` and `Error::Usage` with what to do; `Error::Network`.
    pub async fn open(
        options: &ServiceOptions,
        endpoint: Endpoint,
        purpose: Purpose,
        console: &Console,
    ) -> Result<Self, Error> {
        let told = console.clone();
        let notices = Notices::to(move |severity, text| told.message(severity, text));
        let session = Self::sign_in(options, endpoint, purpose.unattended, notices, console).await?;
        session.require(purpose.kind, purpose.writes, console)?;
        Ok(session)
    }

    /// Signs in, and refuses a token of another tenant. Permissions are for the caller to judge. With the simulator its
    /// own app and secret are used, and real credentials are not read.
    ///
    /// # Errors
    /// `Error::SignIn` and `Error::Usage` with what to do; `Error::Network`.
    pub async fn sign_in(
        options: &ServiceOptions,
        endpoint: Endpoint,
        unattended: bool,
        notices: Notices,
        console: &Console,
    ) -> Result<Self, Error> {
        let Endpoint { root, simulator } = endpoint;
        let SignedIn { network, tokens } = match &simulator {
            Some(simulator) => sign_in_to_simulator(options, &root, simulator, notices)?,
            None => sign_in(options, &root, unattended, notices, console).await?,
        };
        let claims = tokens.current().await.map_err(Error::SignIn)?.claims.clone();
        let asked_for = options.tenant.as_deref().unwrap_or(UNKNOWN_TENANT);
        let tenant = match &simulator {
            Some(_) => "simulated",
            None => claims.tid.as_deref().unwrap_or(asked_for),
        };
        let (tenant, api_version) = (tenant.to_owned(), options.api_version.clone());
        Ok(Self { root, network, api_version, max_wait: options.max_wait, tokens, simulator, tenant, claims })
    }

    /// Compares the permissions of the token with what it will be used for. What cannot be known before the first answer is
    /// a warning.
    ///
    /// # Errors
    /// `Error::SignIn` with the permission to add.
    pub fn require(&self, kind: ObjectKind, writes: bool, console: &Console) -> Result<(), Error> {
        match permitted(&self.claims, kind, writes) {
            Permitted::Yes(_) => Ok(()),
            Permitted::Perhaps(text) => {
                if self.simulator.is_none() {
                    console.warn(&text);
                }
                Ok(())
            }
            Permitted::No(text) => Err(Error::SignIn(format!("{text}; nothing was sent"))),
        }
    }

    /// New connections for a number of users in flight, from 1. They change to HTTP/1.1 if the server refuses HTTP/2.
    ///
    /// # Errors
    /// `Error::Network`.
    pub fn connections(&self, in_flight: u16) -> Result<Connections, Error> {
        let (root, same) = (self.root.clone(), self.root.clone());
        let (network, http1) = (self.network.clone(), Network { http1: true, ..self.network.clone() });
        let several = if network.http1 { 1 } else { in_flight };
        let connections =
            Connections::new(move || network.client(&root))?.or_http1(move || http1.client(&same));
        connections.several(several)
    }

    /// Who signed in and how, for the prompt.
    pub fn signed_in(&self) -> String {
        let app = self.claims.app_displayname.as_deref().or(self.claims.app()).unwrap_or("unknown");
        let who = match self.claims.user() {
            Some(user) => format!("{user} through app {app}"),
            None => format!("app {app}"),
        };
        format!("{} ({})", sanitize(&who, MAX_MESSAGE), self.tokens.source_name())
    }

    /// The message for a tenant that answers the first users with 403.
    pub fn missing_permission(&self, kind: ObjectKind, writes: bool) -> String {
        missing_text(&self.claims, kind, writes)
    }

    /// Which permission may be missing if the tenant leaves out a property that was asked for.
    pub fn hidden_property(&self, kind: ObjectKind) -> String {
        hidden_text(&self.claims, kind)
    }
}

fn sign_in_to_simulator(
    options: &ServiceOptions,
    root: &Url,
    simulator: &EmbeddedSimulator,
    notices: Notices,
) -> Result<SignedIn, Error> {
    let network = Network::bare(options.timeout, options.http1);
    let (app, secret) = simulator.simulator.app();
    let host = SignInHost {
        http: network.client(root)?,
        authority: root.clone(),
        tenant: simulator.simulator.tenant_id().to_owned(),
        client_id: app.to_owned(),
    };
    let scope = format!("{}/.default", root.as_str().trim_end_matches('/'));
    let source = TokenSource::client_secret(host, SecretString::from(secret), scope);
    Ok(SignedIn { network, tokens: Arc::new(Tokens::telling(source, true, notices)) })
}
