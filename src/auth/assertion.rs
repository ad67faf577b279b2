//! Sign-in of an app with an assertion instead of a secret.

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::failure::Failure;
use super::host::{Answer, Grant, SignInHost};
use super::plan::SignInPlan;
use super::source::{Credential, TokenSource};
use crate::error::Error;

/// The source of assertions. A new assertion is requested for each token.
pub(super) trait AssertionSource: std::fmt::Debug + Send + Sync {
    /// The way to sign in, in words.
    fn name(&self) -> &'static str;

    /// A new assertion for the app `client_id`. `audience` is the token URL.
    fn assertion<'a>(
        &'a self,
        client_id: &'a str,
        audience: &'a Url,
    ) -> BoxFuture<'a, Result<SecretString, Failure>>;
}

impl TokenSource {
    /// An app that proves itself with assertions.
    pub(super) fn assertions(
        plan: &SignInPlan<'_>,
        source: impl AssertionSource + 'static,
    ) -> Result<Self, Error> {
        Ok(Self::new(AssertedApp { host: plan.app()?, source, scope: plan.scope() }))
    }
}

#[derive(Debug)]
struct AssertedApp<S> {
    host: SignInHost,
    source: S,
    scope: String,
}

impl<S: AssertionSource> Credential for AssertedApp<S> {
    fn name(&self) -> &'static str {
        self.source.name()
    }

    fn fetch<'a>(&'a self, claims: Option<&'a str>) -> BoxFuture<'a, Result<Grant, Failure>> {
        async move {
            let audience = self.host.url("token");
            let text = self.source.assertion(&self.host.client_id, &audience).await?;
            let form = [
                ("grant_type", "client_credentials"),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", text.expose_secret()),
                ("scope", &self.scope),
            ];
            self.host.token(&form, claims).await.map_err(|refused| refused.failure)
        }
        .boxed()
    }
}

/// An endpoint that gives assertions to a CI job.
#[derive(Debug)]
pub(super) struct AssertionIssuer {
    /// From `net::Network::client`.
    pub(super) http: reqwest::Client,
    /// With the audience or the service connection in its query.
    pub(super) url: Url,
    /// The job's own token.
    pub(super) token: SecretString,
}

impl AssertionIssuer {
    /// Sends a request with the job's token. `what` names the assertion and `needs` what the job may lack.
    pub(super) async fn fetch<T: serde::de::DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        what: &str,
        needs: &str,
    ) -> Result<T, Failure> {
        let answer =
            request.bearer_auth(self.token.expose_secret()).header("accept", "application/json").send().await;
        let answer = Answer::read(answer, what, &self.url).await?;
        match serde_json::from_slice(&answer.body) {
            Ok(given) if answer.is_yes() => Ok(given),
            _ => Err(match answer.unreadable(what) {
                Failure::Final(text) => Failure::Final(format!("{text}: {needs}")),
                passing => passing,
            }),
        }
    }
}
