//! Managed identity: the endpoints that Azure puts beside a workload (`docs/graph.md#tokens`).

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::failure::Failure;
use super::host::{Answer, Grant, seconds};
use super::redact::redact;
use crate::model::neutral;

/// Documented: after a 410 the endpoint is back within 70 s.
const GONE_PATIENCE: Duration = Duration::from_secs(70);
/// Documented: five tries over about half a minute and more.
const PATIENCE: Duration = Duration::from_secs(52);
/// Longest text of an endpoint that is shown, in characters.
const SHOWN: usize = 300;

/// Which endpoint.
#[derive(Debug)]
pub enum IdentityEndpoint {
    /// A virtual machine's, at its link-local address.
    Imds,
    /// App Service, Functions, Container Apps, Automation: `IDENTITY_HEADER` as its key.
    AppService(SecretString),
}

/// A managed identity.
#[derive(Debug)]
pub struct ManagedIdentity {
    /// From `net::Network::direct`: never through a proxy.
    pub http: reqwest::Client,
    /// Where it is asked.
    pub url: Url,
    /// What kind of endpoint it is.
    pub endpoint: IdentityEndpoint,
    /// Graph root.
    pub resource: String,
    /// The user-assigned one; none: the system's.
    pub client_id: Option<String>,
}

#[derive(Deserialize)]
struct Given {
    access_token: String,
    // IMDS sends numbers as texts.
    expires_in: Option<serde_json::Value>,
    expires_on: Option<serde_json::Value>,
}

impl ManagedIdentity {
    pub(super) async fn token(&self) -> Result<Grant, Failure> {
        let mut url = self.url.clone();
        let version = match self.endpoint {
            IdentityEndpoint::Imds => "2018-02-01",
            IdentityEndpoint::AppService(_) => "2019-08-01",
        };
        url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", &self.resource);
        if let Some(id) = &self.client_id {
            url.query_pairs_mut().append_pair("client_id", id);
        }
        let request = match &self.endpoint {
            IdentityEndpoint::Imds => self.http.get(url).header("metadata", "true"),
            IdentityEndpoint::AppService(key) => {
                let mut value = reqwest::header::HeaderValue::from_str(key.expose_secret())
                    .map_err(|_| Failure::Final("IDENTITY_HEADER cannot be sent as a header".to_owned()))?;
                value.set_sensitive(true);
                self.http.get(url).header("x-identity-header", value)
            }
        };
        let answer = Answer::read(request.send().await, "managed identity", &self.url).await?;
        match serde_json::from_slice::<Given>(&answer.body) {
            Ok(given) if answer.is_yes() => {
                let life = given.expires_in.as_ref().and_then(seconds);
                let ends = given.expires_on.as_ref().and_then(since_epoch);
                Ok(Grant { life, ends, date: answer.date, ..Grant::bare(&given.access_token) })
            }
            _ => Err(self.refused(&answer)),
        }
    }

    fn refused(&self, answer: &Answer) -> Failure {
        let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let field = |name: &&str| said.get(name)?.as_str().filter(|text| !text.is_empty());
        let said = ["error_description", "message", "error"].iter().find_map(field);
        let key = match &self.endpoint {
            IdentityEndpoint::Imds => "",
            IdentityEndpoint::AppService(key) => key.expose_secret(),
        };
        let said =
            said.map_or_else(String::new, |said| format!(": {}", neutral(&redact(said, &[key]), SHOWN)));
        let text = format!("managed identity: the endpoint answered HTTP {}{said}", answer.status);
        match answer.status {
            404 | 429 | 500.. => Failure::Passing { text, after: answer.after, patience: PATIENCE },
            410 => Failure::Passing { text, after: answer.after, patience: GONE_PATIENCE },
            _ => {
                let which = match &self.client_id {
                    Some(id) => format!("is the user-assigned identity {id} (AZURE_CLIENT_ID) assigned to this machine or app?"),
                    None => "is a system-assigned identity switched on? For a user-assigned one set AZURE_CLIENT_ID".to_owned(),
                };
                Failure::Final(format!("{text}\n  {which} Azure portal > the machine or app > Identity"))
            }
        }
    }
}

fn since_epoch(value: &serde_json::Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// Whether the machine's endpoint is there: it refuses a request without its header with 400. Other clouds have
/// something else at the same address.
pub(super) async fn answers(http: &reqwest::Client, url: &Url) -> bool {
    /// As in every Azure SDK.
    const PROBE: Duration = Duration::from_secs(1);
    let answer = http.get(url.clone()).timeout(PROBE).send().await;
    answer.is_ok_and(|answer| answer.status() == 400)
}
