//! `simulate`: a local Graph until it is stopped, then its ledger.

use std::net::{Ipv4Addr, SocketAddr};

use super::say;
use super::signals::listen;
use crate::cli::Simulate;
use crate::error::{Error, Exit};
use crate::session::load_scenario;
use crate::simulator::{RULES, Simulator};

pub(super) async fn simulate(asked: Simulate) -> Result<Exit, Error> {
    let scenario = load_scenario(&asked.scenario).await?;
    let title = scenario.title.clone();
    let mut signals = listen()?;
    let simulator = Simulator::start(scenario, SocketAddr::from((Ipv4Addr::LOCALHOST, asked.port)))
        .await
        .map_err(|error| Error::Usage(format!("cannot listen on port {}: {error}", asked.port)))?;
    say(&format!("SIMULATED  {title}"));
    say(&format!("endpoint   {}", simulator.url()));
    say(&format!("token      {}", simulator.token()));
    say("Ctrl-C stops it and prints the ledger");
    signals.next().await;
    say(&simulator.account());
    say("what of this Microsoft documents, what was seen, what is invented:");
    for (basis, rule) in RULES {
        say(&format!("{basis:<11} {rule}"));
    }
    Ok(Exit::Done)
}
