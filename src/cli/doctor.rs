//! Flags of `doctor`.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::service::Service;
use crate::model::ObjectKind;

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Which Graph, as whom.
    #[command(flatten)]
    pub service: Service,
    /// Kind of object whose permissions are checked
    #[arg(long, env = "REPROVISION_OBJECT", value_name = "KIND", value_enum, default_value_t)]
    pub object: ObjectKind,
    /// One JSON document on standard output
    #[arg(long, env = "REPROVISION_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}
