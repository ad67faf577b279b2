//! From the chosen way and the environment to a source of tokens.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::{Host, Url};

use super::assertion::{Assertion, Issuer, Signer};
use super::choice::{Surroundings, needs};
use super::host::SignInHost;
use super::managed::{IdentityEndpoint, ManagedIdentity};
use super::notices::Show;
use super::outside::AzureCli;
use super::person::{Person, Way};
use super::secret_file::SecretFile;
use super::source::TokenSource;
use crate::error::Error;
use crate::model::SignInMethod;
use crate::net::{Network, is_loopback};

/// Where a virtual machine asks (`docs/graph.md#tokens`); a variable of every Azure SDK moves it.
const IMDS: &str = "http://169.254.169.254";

/// Which cloud's tokens, and how the world is reached.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Variables and flags.
    pub around: &'a Surroundings,
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

impl Plan<'_> {
    /// The sign-in host for a tenant id or domain.
    ///
    /// # Errors
    /// `Error::Network`.
    pub fn host(&self, tenant: &str) -> Result<SignInHost, Error> {
        Ok(SignInHost {
            http: self.network.client(self.authority)?,
            authority: self.authority.clone(),
            tenant: tenant.to_owned(),
            client_id: self.around.get("AZURE_CLIENT_ID").unwrap_or_default().to_owned(),
        })
    }

    /// Where the machine's own identity is asked.
    ///
    /// # Errors
    /// `Error::Usage` for a variable that is no URL.
    pub fn machine(&self) -> Result<Url, Error> {
        let base = self.around.get("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or(IMDS);
        url("AZURE_POD_IDENTITY_AUTHORITY_HOST", base)?
            .join("/metadata/identity/oauth2/token")
            .map_err(|error| Error::Usage(format!("AZURE_POD_IDENTITY_AUTHORITY_HOST: {error}")))
    }

    /// Whether the machine's own identity endpoint answers as one: it refuses a request without its header with 400.
    pub async fn machine_answers(&self) -> bool {
        match self.machine().and_then(|url| Ok((self.network.direct(&url)?, url))) {
            Ok((http, url)) => super::managed::answers(&http, &url).await,
            Err(_) => false,
        }
    }

    /// The source of tokens for a way to sign in.
    ///
    /// # Errors
    /// `Error::Usage` for what is missing or malformed, `Error::SignIn` for a certificate that cannot be used.
    pub async fn source(&self, kind: SignInMethod) -> Result<TokenSource, Error> {
        let missing = needs(kind, self.around);
        if !missing.is_empty() {
            return Err(Error::Usage(self.lacks(kind, &missing)));
        }
        let scope = format!("{}/.default", self.resource);
        let tenant = self.around.get("AZURE_TENANT_ID");
        let app = || self.host(tenant.unwrap_or_default());
        Ok(match kind {
            SignInMethod::Token => self.token().await?,
            SignInMethod::Secret => {
                TokenSource::Secret { host: app()?, secret: self.secret("AZURE_CLIENT_SECRET"), scope }
            }
            SignInMethod::Certificate => {
                let assertion = Assertion::Certificate(Box::new(self.signer().await?));
                TokenSource::Assertion { host: app()?, assertion, scope }
            }
            SignInMethod::Workload => {
                let file = PathBuf::from(self.around.get("AZURE_FEDERATED_TOKEN_FILE").unwrap_or_default());
                TokenSource::Assertion { host: app()?, assertion: Assertion::File(file), scope }
            }
            SignInMethod::GitHub => {
                let mut url = self.issuer("ACTIONS_ID_TOKEN_REQUEST_URL")?;
                url.query_pairs_mut().append_pair("audience", self.federation);
                let token = self.secret("ACTIONS_ID_TOKEN_REQUEST_TOKEN");
                let issuer = Issuer { http: self.network.client(&url)?, url, token };
                TokenSource::Assertion { host: app()?, assertion: Assertion::GitHub(issuer), scope }
            }
            SignInMethod::AzureDevOps => {
                let mut url = self.issuer("SYSTEM_OIDCREQUESTURI")?;
                let connection =
                    self.around.get("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID").unwrap_or_default();
                url.query_pairs_mut()
                    .append_pair("api-version", "7.1")
                    .append_pair("serviceConnectionId", connection);
                let token = self.secret("SYSTEM_ACCESSTOKEN");
                let issuer = Issuer { http: self.network.client(&url)?, url, token };
                TokenSource::Assertion { host: app()?, assertion: Assertion::AzureDevOps(issuer), scope }
            }
            SignInMethod::ManagedIdentity => TokenSource::ManagedIdentity(self.managed()?),
            SignInMethod::AzureCli => TokenSource::AzureCli(AzureCli {
                scope,
                tenant: tenant.map(str::to_owned),
                authority: self.authority.to_string(),
            }),
            SignInMethod::Browser => self.person(tenant, &scope, Way::Browser)?,
            SignInMethod::DeviceCode => self.person(tenant, &scope, Way::DeviceCode)?,
        })
    }

    fn person(&self, tenant: Option<&str>, scope: &str, way: Way) -> Result<TokenSource, Error> {
        let host = self.host(tenant.unwrap_or("organizations"))?;
        Ok(TokenSource::Person(Person::new(host, scope, way, self.show.clone(), self.open)))
    }

    async fn token(&self) -> Result<TokenSource, Error> {
        let forms = super::choice::TOKENS.map(|name| self.around.get(name));
        match forms {
            [Some(token), None, None] => Ok(TokenSource::Fixed(SecretString::from(token))),
            [None, Some(file), None] => {
                // A pipe gives its token once, so that only a file is looked at.
                if Path::new(file).is_file()
                    && let Ok(read) = SecretFile::beside(Path::new(file)).await
                {
                    self.warn_of(&read, file);
                }
                Ok(TokenSource::File(PathBuf::from(file)))
            }
            [None, None, Some(line)] => Ok(TokenSource::Command(line.to_owned())),
            _ => Err(Error::Usage(
                "more than one of REPROVISION_TOKEN, --token-file and --token-command: choose one".to_owned(),
            )),
        }
    }

    fn managed(&self) -> Result<ManagedIdentity, Error> {
        let client_id = self.around.get("AZURE_CLIENT_ID").map(str::to_owned);
        let resource = self.resource.to_owned();
        let (url, endpoint) = match (self.around.get("IDENTITY_ENDPOINT"), self.around.get("IDENTITY_HEADER"))
        {
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
            _ => (self.machine()?, IdentityEndpoint::Imds),
        };
        Ok(ManagedIdentity { http: self.network.direct(&url)?, url, endpoint, resource, client_id })
    }

    async fn signer(&self) -> Result<Signer, Error> {
        let file = self.around.get("AZURE_CLIENT_CERTIFICATE_PATH").unwrap_or_default();
        let read = SecretFile::beside(Path::new(file)).await.map_err(|error| {
            Error::SignIn(format!(
                "cannot read the certificate {file} (AZURE_CLIENT_CERTIFICATE_PATH): {error}"
            ))
        })?;
        self.warn_of(&read, file);
        let chain = self.around.get("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN");
        let chain = chain.is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"));
        Signer::read(&read.bytes, file, chain).map_err(Error::SignIn)
    }

    fn warn_of(&self, read: &SecretFile, file: &str) {
        if read.open_to_all {
            self.show.text(&format!(
                "warning: every user of this machine may read or change {file}, which signs in for you: chmod 600 \"{file}\""
            ));
        }
    }

    fn secret(&self, name: &str) -> SecretString {
        SecretString::from(self.around.get(name).unwrap_or_default())
    }

    /// An address that a token is sent to: https, or this machine itself.
    fn issuer(&self, name: &str) -> Result<Url, Error> {
        let found = url(name, self.around.get(name).unwrap_or_default())?;
        match found.scheme() == "https" || is_loopback(&found) {
            true => Ok(found),
            false => Err(Error::Usage(format!("{name} is no https URL: a token would leave in the clear"))),
        }
    }

    fn lacks(&self, kind: SignInMethod, missing: &[&str]) -> String {
        let flag = kind.flag();
        let list = missing.join(" and ");
        let hint = match kind {
            SignInMethod::Browser | SignInMethod::DeviceCode => {
                ": the id of an app with \"Allow public client flows\"; if your tenant uses Connect-MgGraph, its app \
                 \"Microsoft Graph Command Line Tools\" 14d82eec-204b-4c2f-b7e8-296a70dab67e serves"
            }
            SignInMethod::Token => ", --token-file or --token-command",
            _ => "",
        };
        format!("--auth {flag} needs {list}{hint} (reprovision help sign-in)")
    }
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

fn url(name: &str, text: &str) -> Result<Url, Error> {
    Url::parse(text).map_err(|error| Error::Usage(format!("{name} is no URL ({error})")))
}
