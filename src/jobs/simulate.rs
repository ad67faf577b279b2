//! `simulate`: a local Graph until it is stopped, then its ledger.

use crate::error::Error;
use crate::jobs::signals::listen;
use crate::session::{EmbeddedSimulator, load_scenario};
use crate::terminal::Console;

/// Runs the simulator of scenario `name` on a port of this machine until a signal arrives. Port 0 takes a
/// free one.
///
/// # Errors
/// `Error::Usage` for a scenario that cannot be read or a port that cannot be used; `Error::Internal`.
pub(crate) async fn simulate(name: &str, port: u16, console: &Console) -> Result<(), Error> {
    let scenario = load_scenario(name).await?;
    let mut signals = listen()?;
    let simulated = EmbeddedSimulator::start(scenario, name, port)
        .await
        .map_err(|error| Error::Usage(format!("cannot listen on port {port}: {error}")))?;
    console.result(&format!("SIMULATED  {}", simulated.title));
    console.result(&format!("endpoint   {}", simulated.simulator.url()));
    console.result(&format!("token      {}", simulated.simulator.token()));
    console.result("Ctrl-C stops it and prints the ledger");
    signals.next().await;
    console.result(&simulated.ledger());
    console.result("what of this Microsoft documents, what was seen, what is invented:");
    EmbeddedSimulator::rules().for_each(|rule| console.result(&rule));
    Ok(())
}
