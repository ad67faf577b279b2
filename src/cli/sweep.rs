//! Flags of `sweep`: those of `run` but its list, and what is remembered from night to night.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::run::Run;
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
    /// Time after a retry in which an unchanged error is not retried again
    #[arg(long, env = "REPROVISION_RETRY_INTERVAL", value_name = "D", default_value = "20h", value_parser = duration, help_heading = "Sweep")]
    pub retry_interval: Duration,
    /// Maximum number of retries of an unchanged error, 1 to 1000
    #[arg(long, env = "REPROVISION_MAX_RETRIES", value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Sweep")]
    pub max_retries: u32,
}
