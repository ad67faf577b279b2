//! Flags of `sweep`: those of `run` but its list, and what is remembered from night to night.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Run;
use super::values::duration;

/// Flags of `sweep`.
#[derive(Debug, Args)]
pub struct Sweep {
    /// How to retry.
    #[command(flatten)]
    pub run: Run,
    /// Memory from one sweep to the next: object ids and error codes, no names; one file for each tenant and kind of object [default: history-TENANT-users.csv and the like in reprovision-runs]
    #[arg(long, env = "REPROVISION_HISTORY", value_name = "FILE", help_heading = "Sweep")]
    pub history: Option<PathBuf>,
    /// Leave an unchanged error alone for this long after a retry
    #[arg(long, env = "REPROVISION_COOLDOWN", value_name = "D", default_value = "20h", value_parser = duration, help_heading = "Sweep")]
    pub cooldown: Duration,
    /// Give up an unchanged error after this many retries
    #[arg(long, env = "REPROVISION_GIVE_UP", value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Sweep")]
    pub give_up: u32,
}
