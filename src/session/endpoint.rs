//! Where Graph is: the root of a cloud, the one that was named, or the embedded simulator.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use jiff::Timestamp;
use tokio::task::spawn_blocking;
use url::Url;

use super::options::ServiceOptions;
use crate::error::Error;
use crate::model::{CLOUDS, Cloud, ObjectKind};
use crate::net;
use crate::simulator::{Collection, RULES, Scenario, Simulator};
use crate::sys;

/// Share of a scenario's quota that is used without `--rate`, so that the main job is not throttled all the time.
const USED_SHARE: f64 = 0.9;

/// The simulator behind `--simulate`.
#[derive(Debug)]
pub struct EmbeddedSimulator {
    /// The running server.
    pub simulator: Simulator,
    /// The scenario as it was asked for: a built-in name or a file.
    pub name: String,
    /// Writes per second that fit its quota; `None` where it has none.
    pub rate: Option<f64>,
    /// The first words of the scenario.
    pub title: String,
}

impl EmbeddedSimulator {
    /// Starts a scenario, which was asked for as `name`, on a port of this machine. Port 0 takes a free one.
    ///
    /// # Errors
    /// As the system says.
    pub async fn start(scenario: Scenario, name: &str, port: u16) -> io::Result<Self> {
        let rate = (scenario.writes_per_second > 0.0).then_some(scenario.writes_per_second * USED_SHARE);
        let (name, title) = (name.to_owned(), scenario.title.clone());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self { simulator: Simulator::start(scenario, address).await?, name, rate, title })
    }

    /// What the simulator does, a line each: whether Microsoft documents it, it was seen, or it is invented.
    pub fn rules() -> impl Iterator<Item = String> {
        RULES.iter().map(|(source, rule)| format!("{source:<11} {rule}"))
    }

    /// Tells the simulator that an earlier invocation had this object accepted.
    pub fn remember(&self, kind: ObjectKind, id: &str, at: Timestamp) {
        let collection = match kind {
            ObjectKind::Users => Collection::Users,
            ObjectKind::Groups => Collection::Groups,
            ObjectKind::Contacts => Collection::Contacts,
        };
        self.simulator.record_earlier_acceptance(collection, id, at);
    }

    /// What the simulator counted, for people.
    pub fn ledger(&self) -> String {
        self.simulator.report()
    }
}

/// Whether a scenario is built in under this name.
pub fn is_scenario(name: &str) -> bool {
    Scenario::names().any(|known| known == name)
}

/// Where Graph is, before anybody has signed in.
#[derive(Debug)]
pub struct Endpoint {
    /// Graph root without version.
    pub root: Url,
    /// The simulator, where it stands in for Graph.
    pub simulator: Option<EmbeddedSimulator>,
}

impl Endpoint {
    /// Finds Graph, or starts the simulator.
    ///
    /// # Errors
    /// `Error::Usage` for an endpoint that cannot be used or a scenario that cannot be read.
    pub async fn locate(options: &ServiceOptions) -> Result<Self, Error> {
        let Some(name) = &options.simulate else {
            return Ok(Self { root: net::root(&root(options)?)?, simulator: None });
        };
        let mut scenario = load_scenario(name).await?;
        // The users of a list of one's own exist in it.
        scenario.objects.unknown_ids_exist = true;
        let simulated = EmbeddedSimulator::start(scenario, name, 0)
            .await
            .map_err(|error| Error::Internal(format!("the simulator: {error}")))?;
        let root = net::root(&simulated.simulator.url())?;
        Ok(Self { root, simulator: Some(simulated) })
    }

    /// Whether Graph is on this machine.
    pub fn is_loopback(&self) -> bool {
        net::is_loopback(&self.root)
    }
}

/// Reads a built-in scenario, or one of a file. It runs on a thread of its own, so that signals are handled meanwhile.
///
/// # Errors
/// `Error::Usage`.
pub async fn load_scenario(name: &str) -> Result<Scenario, Error> {
    let name = name.to_owned();
    spawn_blocking(move || Scenario::load(&name, sys::read_settings)).await?.map_err(Error::Usage)
}

/// The cloud whose Graph a URL is on, by its host alone: neither path nor port makes it another's.
pub(super) fn cloud_of(root: &Url) -> Option<Cloud> {
    let host = root.host_str()?.trim_end_matches('.');
    CLOUDS.into_iter().find(|known| known.root.trim_start_matches("https://") == host)
}

/// The Graph root of the cloud, or the one asked for, unless it belongs to another cloud.
fn root(options: &ServiceOptions) -> Result<String, Error> {
    let cloud = options.cloud;
    let Some(endpoint) = &options.endpoint else { return Ok(cloud.root.to_owned()) };
    match Url::parse(endpoint).ok().as_ref().and_then(cloud_of) {
        Some(known) if known != cloud => Err(Error::Usage(format!(
            "--endpoint {} belongs to --cloud {}, and --cloud is {}: give one of them",
            net::without_user(endpoint),
            known.name,
            cloud.name
        ))),
        _ => Ok(endpoint.clone()),
    }
}
