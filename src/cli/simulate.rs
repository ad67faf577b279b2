//! Flags of `simulate`.

use clap::Args;

/// Flags of `simulate`.
#[derive(Debug, Args)]
pub struct Simulate {
    /// A built-in scenario or a scenario file
    #[arg(default_value = "default")]
    pub scenario: String,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub port: u16,
}
