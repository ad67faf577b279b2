//! Which Graph, and a first token for it: what every command that talks to Graph does first.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use secrecy::SecretString;
use url::Url;

use crate::auth::{Claims, TokenSource, Tokens};
use crate::cli::{self, Service};
use crate::error::Error;
use crate::graph::{self, Connections};
use crate::model::ObjectKind;
use crate::net;
use crate::simulator::{Scenario, Simulator};

/// Share of a scenario's quota that is used without `--rate`.
const SHARE: f64 = 0.9;

/// The simulator behind `--simulate`.
#[derive(Debug)]
pub(super) struct Simulated {
    pub(super) simulator: Simulator,
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
    let cloud = match asked.cloud {
        cli::Cloud::Global => graph::GLOBAL,
        cli::Cloud::Usgov => graph::USGOV,
        cli::Cloud::UsgovDod => graph::USGOV_DOD,
        cli::Cloud::China => graph::CHINA,
    };
    let Some(name) = &asked.simulate else {
        return Ok(Place { root: net::root(&endpoint(asked, cloud)?)?, simulator: None });
    };
    let mut scenario = Scenario::load(name).map_err(Error::Usage)?;
    // The users of one's own list exist.
    scenario.objects.strangers = true;
    let rate = (scenario.writes_per_second > 0.0).then_some(scenario.writes_per_second * SHARE);
    let title = scenario.title.clone();
    let simulator = Simulator::start(scenario, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .await
        .map_err(|error| Error::Internal(format!("the simulator: {error}")))?;
    let root = net::root(&simulator.url())?;
    Ok(Place { root, simulator: Some(Simulated { simulator, rate, title }) })
}

/// Signs in.
///
/// # Errors
/// `Error::SignIn` and `Error::Usage` with what to do; `Error::Network`.
pub(super) async fn connect(asked: &Service, place: Place, _purpose: Purpose) -> Result<Connection, Error> {
    let Place { root, simulator } = place;
    let tokens = match &simulator {
        Some(simulated) => {
            Tokens::new(TokenSource::Fixed(SecretString::from(simulated.simulator.token())), None, true)
        }
        None => Tokens::new(
            source(asked)?,
            asked.expect_tenant.clone().or_else(|| asked.tenant.clone()),
            root.scheme() == "http",
        ),
    };
    let claims = tokens.current().await.map_err(Error::SignIn)?.claims.clone();
    let tenant = match &simulator {
        Some(_) => "simulated".to_owned(),
        None => claims.tid.clone().or(asked.tenant.clone()).unwrap_or_else(|| "unknown".to_owned()),
    };
    let (to, timeout, http1) = (root.clone(), asked.timeout, asked.http1);
    let http = Connections::new(move || net::client(&to, timeout, http1))?;
    Ok(Connection { root, http, tokens: Arc::new(tokens), simulator, tenant, claims })
}

/// The Graph root of the cloud, or the one asked for, unless it belongs to another cloud.
fn endpoint(asked: &Service, cloud: graph::Cloud) -> Result<String, Error> {
    let Some(endpoint) = &asked.endpoint else { return Ok(cloud.root.to_owned()) };
    let bare = endpoint.trim_end_matches('/');
    match graph::CLOUDS.into_iter().find(|known| known.root.eq_ignore_ascii_case(bare)) {
        Some(known) if known != cloud => Err(Error::Usage(format!(
            "--endpoint {endpoint} belongs to --cloud {}, and --cloud is {}: give one of them",
            known.name, cloud.name
        ))),
        _ => Ok(endpoint.clone()),
    }
}

fn source(asked: &Service) -> Result<TokenSource, Error> {
    let fixed = std::env::var("REPROVISION_TOKEN").ok().filter(|token| !token.is_empty());
    match (fixed, &asked.token_file, &asked.token_command) {
        (Some(token), None, None) => Ok(TokenSource::Fixed(SecretString::from(token))),
        (None, Some(file), None) => Ok(TokenSource::File(file.clone())),
        (None, None, Some(command)) => Ok(TokenSource::Command(command.clone())),
        (None, None, None) => Err(Error::SignIn(
            "no token: set REPROVISION_TOKEN, or --token-file, or --token-command \
             'az account get-access-token --resource-type ms-graph --query accessToken --output tsv'; nothing was sent"
                .to_owned(),
        )),
        _ => Err(Error::Usage("more than one of REPROVISION_TOKEN, --token-file and --token-command: choose one".to_owned())),
    }
}
