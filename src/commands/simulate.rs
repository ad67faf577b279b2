//! `simulate`: from flags to the simulator.

use crate::cli::Simulate;
use crate::error::{Error, Exit};
use crate::jobs::simulate::simulate as simulate_job;
use crate::terminal::Console;

pub(super) async fn simulate(flags: Simulate, console: &Console) -> Result<Exit, Error> {
    simulate_job(&flags.scenario, flags.port, console).await?;
    Ok(Exit::Done)
}
