//! Flags of `doctor`.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::Object;
use super::service::Service;

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Which Graph, as whom.
    #[command(flatten)]
    pub service: Service,
    /// Kind of object whose permissions are checked
    #[arg(long, env = "REPROVISION_OBJECT", value_name = "KIND", default_value = "users")]
    pub object: Object,
    /// One JSON document on standard output
    #[arg(long, env = "REPROVISION_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}
