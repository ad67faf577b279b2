//! Flags of `explain`.

use clap::Args;

/// Flags of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// A code, a reason, or the text of an error in quotes; without it all known ones are listed
    pub code: Vec<String>,
}
