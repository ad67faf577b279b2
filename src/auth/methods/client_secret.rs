//! `--auth secret`: an app with a client secret.

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};

use crate::auth::failure::Failure;
use crate::auth::host::{Grant, SignInHost};
use crate::auth::plan::{Building, SignInPlan};
use crate::auth::source::{Credential, TokenSource};

pub(super) fn source<'a>(plan: &'a SignInPlan<'a>) -> Building<'a> {
    async move {
        let secret = plan.secret("AZURE_CLIENT_SECRET");
        Ok(TokenSource::client_secret(plan.app()?, secret, plan.scope()))
    }
    .boxed()
}

impl TokenSource {
    /// An app with a client secret. `scope` is `{Graph root}/.default`.
    pub fn client_secret(host: SignInHost, secret: SecretString, scope: String) -> Self {
        Self::new(ClientSecret { host, secret, scope })
    }
}

#[derive(Debug)]
struct ClientSecret {
    host: SignInHost,
    secret: SecretString,
    scope: String,
}

impl Credential for ClientSecret {
    fn name(&self) -> &'static str {
        "client secret"
    }

    fn fetch<'a>(&'a self, claims: Option<&'a str>) -> BoxFuture<'a, Result<Grant, Failure>> {
        async move {
            let form = [
                ("grant_type", "client_credentials"),
                ("client_secret", self.secret.expose_secret()),
                ("scope", &self.scope),
            ];
            self.host.token(&form, claims).await.map_err(|refused| refused.failure)
        }
        .boxed()
    }
}
