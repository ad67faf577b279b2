//! `--auth managed-identity`: the endpoints that Azure puts beside a workload (`docs/graph.md#tokens`).

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::{Host, Url};

use crate::auth::failure::Failure;
use crate::auth::host::{Answer, Grant, seconds};
use crate::auth::plan::{Building, SignInPlan, url};
use crate::auth::redact::redact;
use crate::auth::source::{Credential, TokenSource};
use crate::error::Error;
use crate::model::sanitize;
use crate::net::is_loopback;

/// Where a virtual machine asks (`docs/graph.md#tokens`); a variable of every Azure SDK moves it.
const IMDS: &str = "http://169.254.169.254";

/// Documented: after a 410 the endpoint is back within 70 s.
const GONE_PATIENCE: Duration = Duration::from_secs(70);
/// Documented: five tries over about half a minute and more.
const PATIENCE: Duration = Duration::from_secs(52);
/// Longest text of an endpoint that is shown, in characters.
const SHOWN: usize = 300;

pub(super) fn source<'a>(plan: &'a SignInPlan<'a>) -> Building<'a> {
    async move {
        let client_id = plan.environment.get("AZURE_CLIENT_ID").map(str::to_owned);
        let resource = plan.resource.to_owned();
        let variables = (plan.environment.get("IDENTITY_ENDPOINT"), plan.environment.get("IDENTITY_HEADER"));
        let (url, endpoint) = match variables {
            (Some(endpoint), Some(key)) => {
                let url = url("IDENTITY_ENDPOINT", endpoint)?;
                if url.scheme() != "https" && !is_near(&url) {
                    return Err(Error::Usage(
                        "IDENTITY_ENDPOINT is neither https nor an address beside this workload: its key would leave in the clear"
                            .to_owned(),
                    ));
                }
                (url, IdentityEndpoint::AppService(SecretString::from(key)))
            }
            (Some(_), None) => {
                return Err(Error::SignIn(
                    "IDENTITY_ENDPOINT without IDENTITY_HEADER: Azure Arc's identity is not supported; use a certificate or \
                     workload identity"
                        .to_owned(),
                ));
            }
            _ => (machine(plan)?, IdentityEndpoint::Imds),
        };
        let http = plan.network.direct(&url)?;
        Ok(TokenSource::new(ManagedIdentity { http, url, endpoint, resource, client_id }))
    }
    .boxed()
}

/// Where the machine's own identity is asked.
///
/// # Errors
/// `Error::Usage` for a variable that is not a URL.
fn machine(plan: &SignInPlan<'_>) -> Result<Url, Error> {
    let base = plan.environment.get("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or(IMDS);
    url("AZURE_POD_IDENTITY_AUTHORITY_HOST", base)?
        .join("/metadata/identity/oauth2/token")
        .map_err(|error| Error::Usage(format!("AZURE_POD_IDENTITY_AUTHORITY_HOST: {error}")))
}

/// Whether the machine's own identity endpoint answers as one: it refuses a request without its header with
/// 400. Other clouds have something else at the same address.
pub(super) fn is_there<'a>(plan: &'a SignInPlan<'a>) -> BoxFuture<'a, bool> {
    /// As in every Azure SDK.
    const PROBE: Duration = Duration::from_secs(1);
    async move {
        let Ok((http, url)) = machine(plan).and_then(|url| Ok((plan.network.direct(&url)?, url))) else {
            return false;
        };
        let answer = http.get(url).timeout(PROBE).send().await;
        answer.is_ok_and(|answer| answer.status() == 400)
    }
    .boxed()
}

/// Loopback, link-local or private: where Azure puts the endpoint of an app.
fn is_near(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_link_local() || address.is_private() || address.is_loopback(),
        Some(Host::Ipv6(address)) => {
            address.is_unicast_link_local() || address.is_unique_local() || address.is_loopback()
        }
        _ => is_loopback(url),
    }
}

/// Which endpoint.
#[derive(Debug)]
enum IdentityEndpoint {
    /// A virtual machine's, at its link-local address.
    Imds,
    /// App Service, Functions, Container Apps, Automation: `IDENTITY_HEADER` as its key.
    AppService(SecretString),
}

/// A managed identity.
#[derive(Debug)]
struct ManagedIdentity {
    /// From `net::Network::direct`: never through a proxy.
    http: reqwest::Client,
    /// Where it is asked.
    url: Url,
    /// What kind of endpoint it is.
    endpoint: IdentityEndpoint,
    /// Graph root.
    resource: String,
    /// The user-assigned one; none: the system's.
    client_id: Option<String>,
}

#[derive(Deserialize)]
struct Given {
    access_token: String,
    // IMDS sends numbers as texts.
    expires_in: Option<serde_json::Value>,
    expires_on: Option<serde_json::Value>,
}

impl Credential for ManagedIdentity {
    fn name(&self) -> &'static str {
        match self.endpoint {
            IdentityEndpoint::Imds => "managed identity of this machine",
            IdentityEndpoint::AppService(_) => "managed identity of this app service",
        }
    }

    fn fetch<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<Grant, Failure>> {
        self.token().boxed()
    }
}

impl ManagedIdentity {
    async fn token(&self) -> Result<Grant, Failure> {
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
            said.map_or_else(String::new, |said| format!(": {}", sanitize(&redact(said, &[key]), SHOWN)));
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
