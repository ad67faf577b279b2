//! Flags of `find`, and which errors any scan looks for.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::service::Service;
use super::values::duration;
use crate::model::ObjectKind;

/// Flags of `find`.
#[derive(Debug, Args)]
pub struct Find {
    /// Which Graph, as whom.
    #[command(flatten)]
    pub service: Service,
    /// Kind of object
    #[arg(long, env = "REPROVISION_OBJECT", value_name = "KIND", value_enum, default_value_t)]
    pub object: ObjectKind,
    /// Write the list to a file, so that an interrupted scan can continue [default: standard output, once complete]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print counts by service and code instead of the list
    #[arg(long, env = "REPROVISION_SUMMARY", value_parser = BoolishValueParser::new())]
    pub summary: bool,
    /// Which errors. Last: its heading would hold for all that follows.
    #[command(flatten)]
    pub only: Only,
}

/// Which errors are looked for.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which errors")]
pub struct Only {
    /// Errors of this service only, such as exchange; may be given more than once
    #[arg(
        long,
        env = "REPROVISION_ONLY_SERVICE",
        hide_short_help = true,
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub only_service: Vec<String>,
    /// Errors with this code only; may be given more than once
    #[arg(
        long,
        env = "REPROVISION_ONLY_CODE",
        hide_short_help = true,
        value_name = "CODE",
        value_delimiter = ','
    )]
    pub only_code: Vec<String>,
    /// Only errors published at least this long ago, such as 1d
    #[arg(long, env = "REPROVISION_OLDER_THAN", hide_short_help = true, value_name = "D", value_parser = duration)]
    pub older_than: Option<Duration>,
}
