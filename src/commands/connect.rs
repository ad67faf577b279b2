//! Which Graph, and a first token for it: what every command that talks to Graph does first.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use secrecy::SecretString;
use tokio::task::spawn_blocking;
use url::Url;

use super::{note, tell};
use crate::auth::{
    Claims, Kind, Notices, Permitted, Plan, SignInHost, Surroundings, TokenSource, Tokens, choose,
    missing_text, permitted,
};
use crate::cli::{self, Auth, Service};
use crate::error::Error;
use crate::graph::{self, Connections};
use crate::model::{MAX_MESSAGE, ObjectKind, UserId, neutral};
use crate::net::{self, Network};
use crate::simulator::{Scenario, Simulator};
use crate::sys;

/// Share of a scenario's quota that is used without `--rate`.
const SHARE: f64 = 0.9;

/// Stands for the tenant where the token does not tell it and none was asked for.
pub(super) const UNKNOWN_TENANT: &str = "unknown";

/// The simulator behind `--simulate`.
#[derive(Debug)]
pub(super) struct Simulated {
    pub(super) simulator: Simulator,
    /// The scenario as it was asked for: a built-in name or a file.
    pub(super) name: String,
    /// Writes per second that fit its quota; `None` where it has none.
    pub(super) rate: Option<f64>,
    pub(super) title: String,
}

/// Where Graph is. Nobody has signed in yet.
#[derive(Debug)]
pub(super) struct Place {
    /// Graph root without version.
    pub(super) root: Url,
    pub(super) simulator: Option<Simulated>,
}

/// What the token will be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Purpose {
    /// Objects are retried, not only read.
    pub(super) writes: bool,
    pub(super) kind: ObjectKind,
    /// `--yes`: nobody reads what is asked.
    pub(super) unattended: bool,
}

/// Graph with a token that was good a moment ago.
#[derive(Debug)]
pub(super) struct Connection {
    /// Graph root without version.
    pub(super) root: Url,
    pub(super) http: Connections,
    pub(super) tokens: Arc<Tokens>,
    pub(super) simulator: Option<Simulated>,
    /// Tenant id as the token says, else as asked, else `unknown`; `simulated` for the simulator.
    pub(super) tenant: String,
    /// What the first token says of itself.
    pub(super) claims: Claims,
}

/// Finds Graph, or starts the simulator.
///
/// # Errors
/// `Error::Usage` for an endpoint that cannot be used or a scenario that cannot be read.
pub(super) async fn place(asked: &Service) -> Result<Place, Error> {
    let cloud = cloud(asked);
    let Some(name) = &asked.simulate else {
        return Ok(Place { root: net::root(&endpoint(asked, cloud)?)?, simulator: None });
    };
    let mut scenario = scenario(name).await?;
    // The users of one's own list exist.
    scenario.objects.strangers = true;
    let rate = (scenario.writes_per_second > 0.0).then_some(scenario.writes_per_second * SHARE);
    let title = scenario.title.clone();
    let simulator = Simulator::start(scenario, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .await
        .map_err(|error| Error::Internal(format!("the simulator: {error}")))?;
    let root = net::root(&simulator.url())?;
    Ok(Place { root, simulator: Some(Simulated { simulator, name: name.clone(), rate, title }) })
}

/// A built-in scenario, or one of the user's own. A signal is heard while its file is read.
///
/// # Errors
/// `Error::Usage`.
pub(super) async fn scenario(name: &str) -> Result<Scenario, Error> {
    let name = name.to_owned();
    spawn_blocking(move || Scenario::load(&name, sys::read_settings)).await?.map_err(Error::Usage)
}

/// Signs in, and refuses a token of another tenant or without the permission before anything is sent.
///
/// # Errors
/// `Error::SignIn` and `Error::Usage` with what to do; `Error::Network`.
pub(super) async fn connect(asked: &Service, place: Place, purpose: Purpose) -> Result<Connection, Error> {
    let mut connection = match place {
        Place { root, simulator: Some(simulator) } => simulated(asked, root, simulator)?,
        Place { root, simulator: None } => {
            sign_in(asked, root, purpose.unattended, Notices::to(tell)).await?
        }
    };
    connection.claims = connection.tokens.current().await.map_err(Error::SignIn)?.claims.clone();
    if connection.simulator.is_none() {
        let asked_for = asked.tenant.clone().unwrap_or_else(|| UNKNOWN_TENANT.to_owned());
        connection.tenant = connection.claims.tid.clone().unwrap_or(asked_for);
    }
    connection.require(purpose.kind, purpose.writes)?;
    Ok(connection)
}

impl Connection {
    /// The token's permissions against what it will be used for. What cannot be told before the first answer is a warning.
    ///
    /// # Errors
    /// `Error::SignIn` with the permission to add.
    pub(super) fn require(&self, kind: ObjectKind, writes: bool) -> Result<(), Error> {
        match permitted(&self.claims, kind, writes) {
            Permitted::Yes(_) => Ok(()),
            Permitted::Perhaps(text) => {
                if self.simulator.is_none() {
                    tell(&format!("warning: {text}"));
                }
                Ok(())
            }
            Permitted::No(text) => Err(Error::SignIn(format!("{text}; nothing was sent"))),
        }
    }

    /// Who signed in and how, for the prompt.
    pub(super) fn signed_in(&self) -> String {
        let app = self.claims.app_displayname.as_deref().or(self.claims.app()).unwrap_or("unknown");
        let who = match self.claims.user() {
            Some(user) => format!("{user} through app {app}"),
            None => format!("app {app}"),
        };
        format!("{} ({})", neutral(&who, MAX_MESSAGE), self.tokens.source_name())
    }

    /// What to say when Microsoft 365 refuses the first users with 403.
    pub(super) fn refused(&self, kind: ObjectKind, writes: bool) -> String {
        missing_text(&self.claims, kind, writes)
    }
}

/// The simulator's own app and secret: real credentials are not looked at.
pub(super) fn simulated(asked: &Service, root: Url, simulated: Simulated) -> Result<Connection, Error> {
    let network = Network::bare(asked.timeout, asked.http1);
    let (app, secret) = simulated.simulator.app();
    let host = SignInHost {
        http: network.client(&root)?,
        authority: root.clone(),
        tenant: simulated.simulator.tenant_id().to_owned(),
        client_id: app.to_owned(),
    };
    let scope = format!("{}/.default", root.as_str().trim_end_matches('/'));
    let source = TokenSource::Secret { host, secret: SecretString::from(secret), scope };
    let tokens = Tokens::telling(source, true, Notices::to(tell));
    let to = root.clone();
    let http = Connections::new(move || network.client(&to))?;
    let (tokens, tenant) = (Arc::new(tokens), "simulated".to_owned());
    Ok(Connection { root, http, tokens, simulator: Some(simulated), tenant, claims: Claims::default() })
}

/// How hosts are reached. A signal is heard while the certificates are read.
///
/// # Errors
/// As [`Network::new`].
pub(super) async fn network(asked: &Service) -> Result<Network, Error> {
    let (timeout, http1, file) = (asked.timeout, asked.http1, asked.ca_file.clone());
    let network = spawn_blocking(move || Network::new(timeout, http1, file.as_deref()));
    network.await?
}

/// Signs in and compares the tenant; permissions are for the caller to judge. `notices` hears of the sign-in from here on.
///
/// # Errors
/// As [`connect`].
pub(super) async fn sign_in(
    asked: &Service,
    root: Url,
    unattended: bool,
    notices: Notices,
) -> Result<Connection, Error> {
    let cloud = cloud(asked);
    let network = network(asked).await?;
    let around = surroundings(asked)?;
    let authority = authority(&around, cloud, &root)?;
    let plan = Plan {
        around: &around,
        network: &network,
        authority: &authority,
        resource: cloud.root,
        federation: cloud.federation,
        show: tell,
        open,
    };
    if of_microsoft(&root).is_none() && !net::is_loopback(&root) {
        tell(&format!(
            "warning: --endpoint is not Microsoft's: tokens for {} are sent to {}",
            cloud.root,
            root.host_str().unwrap_or_default()
        ));
    }
    let kind = match named(asked.auth) {
        Some(kind) => kind,
        None => chosen(&plan, unattended).await?,
    };
    let tokens = Tokens::telling(plan.source(kind).await?, root.scheme() == "http", notices);
    let first = tokens.current().await.map_err(Error::SignIn)?;
    let readable = first.claims.tid.is_some();
    if !readable && asked.expect_tenant.is_some() {
        return Err(Error::SignIn(
            "--expect-tenant cannot be compared: the token does not say of which tenant it is; nothing was sent. Take another \
             way to sign in, or leave the flag out"
                .to_owned(),
        ));
    }
    for (flag, tenant) in [("--expect-tenant", &asked.expect_tenant), ("--tenant", &asked.tenant)] {
        if let Some(tenant) = tenant {
            // A token that cannot be read is said with the permissions; a later one may be readable.
            if readable || UserId::parse(tenant).is_ok_and(|id| id.is_guid()) {
                let id = plan.host(tenant)?.tenant_id().await;
                let id =
                    id.map_err(|failure| Error::SignIn(format!("{}; nothing was sent", failure.text())))?;
                tokens.expect(flag, tenant, id).map_err(Error::SignIn)?;
            }
        }
    }
    let to = root.clone();
    let http = Connections::new(move || network.client(&to))?;
    let claims = first.claims.clone();
    Ok(Connection { root, http, tokens: Arc::new(tokens), simulator: None, tenant: String::new(), claims })
}

/// What the environment offers, said; with nobody to look, only one way may be open.
async fn chosen(plan: &Plan<'_>, unattended: bool) -> Result<Kind, Error> {
    let choice = choose(plan.around, plan.machine_answers()).await.map_err(Error::SignIn)?;
    if !choice.also.is_empty() {
        let also: Vec<_> = choice.also.iter().map(|kind| format!("--auth {}", kind.flag())).collect();
        let taken = choice.kind.flag();
        if unattended {
            return Err(Error::Usage(format!(
                "the environment offers more than one way to sign in. Name one: --auth {taken} or {}",
                also.join(" or ")
            )));
        }
        tell(&format!(
            "warning: the environment also offers {}; --auth {taken} is taken",
            also.join(" and ")
        ));
    }
    let mut said = format!("Sign-in  {} ({})", choice.kind.flag(), choice.because);
    for why in &choice.not {
        said.push_str(&format!("\n         not {why}"));
    }
    if !choice.absent.is_empty() {
        let absent: Vec<_> = choice.absent.iter().map(|kind| kind.flag()).collect();
        said.push_str(&format!("\n         not set up: {}", absent.join(", ")));
    }
    note(&said);
    Ok(choice.kind)
}

fn named(auth: Auth) -> Option<Kind> {
    Some(match auth {
        Auth::Auto => return None,
        Auth::Token => Kind::Token,
        Auth::Secret => Kind::Secret,
        Auth::Certificate => Kind::Certificate,
        Auth::Workload => Kind::Workload,
        Auth::Github => Kind::GitHub,
        Auth::AzureDevops => Kind::AzureDevOps,
        Auth::ManagedIdentity => Kind::ManagedIdentity,
        Auth::Az => Kind::AzureCli,
        Auth::Browser => Kind::Browser,
        Auth::DeviceCode => Kind::DeviceCode,
    })
}

/// The environment, with the flags that stand for a variable.
fn surroundings(asked: &Service) -> Result<Surroundings, Error> {
    let mut around = Surroundings::of_process()?;
    around.set("AZURE_TENANT_ID", asked.tenant.as_deref());
    around.set("AZURE_CLIENT_ID", asked.client_id.as_deref());
    let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
    around.set("AZURE_CLIENT_CERTIFICATE_PATH", text(&asked.certificate).as_deref());
    around.set("REPROVISION_TOKEN_FILE", text(&asked.token_file).as_deref());
    around.set("REPROVISION_TOKEN_COMMAND", asked.token_command.as_deref());
    Ok(around)
}

fn cloud(asked: &Service) -> graph::Cloud {
    match asked.cloud {
        cli::Cloud::Global => graph::GLOBAL,
        cli::Cloud::Usgov => graph::USGOV,
        cli::Cloud::UsgovDod => graph::USGOV_DOD,
        cli::Cloud::China => graph::CHINA,
    }
}

/// The sign-in host: the cloud's, or the one of `AZURE_AUTHORITY_HOST` where it does not belong to another cloud.
fn authority(around: &Surroundings, cloud: graph::Cloud, root: &Url) -> Result<Url, Error> {
    let usage = |what: String| Error::Usage(format!("AZURE_AUTHORITY_HOST {what}"));
    let named = around.get("AZURE_AUTHORITY_HOST");
    let text = named.unwrap_or(cloud.authority);
    let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&text).map_err(|error| usage(format!("is no URL ({error})")))?;
    if url.scheme() != "https" && !net::is_loopback(&url) {
        return Err(usage("must be https: secrets would leave in the clear".to_owned()));
    }
    let host = url.host_str().unwrap_or_default();
    let known_root = of_microsoft(root).is_some();
    match cloud.owns_authority(host) {
        Some(false) => Err(usage(format!(
            "{host} belongs to another cloud than --cloud {}: give the --cloud that fits, or unset the variable",
            cloud.name
        ))),
        None if known_root => Err(usage(format!(
            "{host} is no sign-in host of --cloud {}: unset the variable, or give the --endpoint that belongs to it",
            cloud.name
        ))),
        _ => Ok(url),
    }
}

/// Variables that a browser, which lives longer than we do and loads what it likes, is not given.
const SECRETS: [&str; 7] = [
    "REPROVISION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_PASSWORD",
    "IDENTITY_HEADER",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "SYSTEM_ACCESSTOKEN",
];

/// Opens the browser that the platform, or `BROWSER`, names.
fn open(url: &str) -> bool {
    let browser = std::env::var("BROWSER").ok().filter(|name| !name.is_empty());
    let (program, first): (&str, &[&str]) = match &browser {
        Some(name) => (name, &[]),
        None if cfg!(windows) => ("rundll32", &["url.dll,FileProtocolHandler"]),
        None if cfg!(target_os = "macos") => ("open", &[]),
        None => ("xdg-open", &[]),
    };
    let mut command = std::process::Command::new(program);
    SECRETS.iter().for_each(|secret| {
        command.env_remove(secret);
    });
    command.args(first).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}

/// The cloud whose Graph a URL is on, by its host alone: neither path nor port makes it another's.
fn of_microsoft(root: &Url) -> Option<graph::Cloud> {
    let host = root.host_str()?.trim_end_matches('.');
    graph::CLOUDS.into_iter().find(|known| known.root.trim_start_matches("https://") == host)
}

/// The Graph root of the cloud, or the one asked for, unless it belongs to another cloud.
fn endpoint(asked: &Service, cloud: graph::Cloud) -> Result<String, Error> {
    let Some(endpoint) = &asked.endpoint else { return Ok(cloud.root.to_owned()) };
    match Url::parse(endpoint).ok().as_ref().and_then(of_microsoft) {
        Some(known) if known != cloud => Err(Error::Usage(format!(
            "--endpoint {} belongs to --cloud {}, and --cloud is {}: give one of them",
            net::without_user(endpoint),
            known.name,
            cloud.name
        ))),
        _ => Ok(endpoint.clone()),
    }
}
