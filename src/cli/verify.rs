//! Flags of `verify`.

use std::path::PathBuf;

use clap::Args;

use super::service::Service;

/// Flags of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Folder of a run, or a unique part of its name [default: the newest of --tenant, or of all]
    pub run: Option<PathBuf>,
    /// Which Graph, as whom.
    #[command(flatten)]
    pub service: Service,
}
