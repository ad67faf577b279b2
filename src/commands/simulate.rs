//! `simulate`: a local Graph until it is stopped, then its ledger.

use std::net::{Ipv4Addr, SocketAddr};

use crate::cli::Simulate;
use crate::error::{Error, Exit};
use crate::jobs::signals::listen;
use crate::session::load_scenario;
use crate::simulator::{RULES, Simulator};
use crate::terminal::Console;

pub(super) async fn simulate(asked: Simulate, console: &Console) -> Result<Exit, Error> {
    let scenario = load_scenario(&asked.scenario).await?;
    let title = scenario.title.clone();
    let mut signals = listen()?;
    let simulator = Simulator::start(scenario, SocketAddr::from((Ipv4Addr::LOCALHOST, asked.port)))
        .await
        .map_err(|error| Error::Usage(format!("cannot listen on port {}: {error}", asked.port)))?;
    console.result(&format!("SIMULATED  {title}"));
    console.result(&format!("endpoint   {}", simulator.url()));
    console.result(&format!("token      {}", simulator.token()));
    console.result("Ctrl-C stops it and prints the ledger");
    signals.next().await;
    console.result(&simulator.account());
    console.result("what of this Microsoft documents, what was seen, what is invented:");
    for (basis, rule) in RULES {
        console.result(&format!("{basis:<11} {rule}"));
    }
    Ok(Exit::Done)
}
