//! Flags of `report` and `status`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `--redact`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names say it")]
pub enum RedactKind {
    Upn,
}

/// Flags of `report`.
#[derive(Debug, Args)]
pub struct Report {
    /// Folder of a run, or a unique part of its name [default: the newest]
    pub runs: Vec<PathBuf>,
    /// Tenant id or domain whose newest run is meant where no run is named [default: the newest of all]
    #[arg(long, env = "AZURE_TENANT_ID", value_name = "ID or DOMAIN")]
    pub tenant: Option<String>,
    /// One report for several runs (shards of one list, several tenants); lists missing rows (exit 5)
    #[arg(long)]
    pub merge: bool,
    /// Leave out sign-in names and texts that may hold one; object ids stay
    #[arg(long, value_name = "WHAT")]
    pub redact: Option<RedactKind>,
    /// Where to write it [default: report.html in the run's folder, with --redact report-redacted.html,
    /// with --merge merged.html here]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Overwrite the file of --out
    #[arg(long)]
    pub force: bool,
}

/// Flags of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Folder of a run, or a unique part of its name [default: the newest]
    pub run: Option<PathBuf>,
    /// Tenant id or domain whose newest run is meant where no run is named [default: the newest of all]
    #[arg(long, env = "AZURE_TENANT_ID", value_name = "ID or DOMAIN")]
    pub tenant: Option<String>,
    /// Refresh every two seconds until the run ends
    #[arg(long)]
    pub watch: bool,
    /// One JSON document on standard output
    #[arg(long)]
    pub json: bool,
}
