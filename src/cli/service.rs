//! Flags of every command that talks to Graph: where it is, how to sign in, how to reach it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::auth_flag::AuthFlag;
use super::values::duration;
use crate::model::{Cloud, DEFAULT_SCENARIO};

/// Which Graph, as whom, over which network.
#[derive(Clone, Debug, Args)]
pub struct Service {
    /// Tenant id or domain; an id is checked against every token
    #[arg(long, env = "AZURE_TENANT_ID", value_name = "ID or DOMAIN")]
    pub tenant: Option<String>,
    /// How to sign in; auto uses what the environment offers
    #[arg(
        long,
        env = "REPROVISION_AUTH",
        value_name = "KIND",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub auth: AuthFlag,
    /// Use a built-in simulator: a built-in scenario or a scenario file; no tenant needed
    #[arg(long, value_name = "SCENARIO", num_args = 0..=1, default_missing_value = DEFAULT_SCENARIO, require_equals = true, conflicts_with_all = ["endpoint", "token_file", "token_command"])]
    pub simulate: Option<String>,

    /// Graph root, sign-in host and token scope together
    #[arg(
        long,
        env = "REPROVISION_CLOUD",
        value_name = "C",
        default_value = "global",
        help_heading = "Service",
        hide_short_help = true
    )]
    pub cloud: Cloud,
    /// Graph root without version [default: of the cloud]; https, or http to loopback only
    #[arg(
        long,
        env = "REPROVISION_ENDPOINT",
        value_name = "URL",
        help_heading = "Service",
        hide_short_help = true
    )]
    pub endpoint: Option<String>,
    /// beta or v1.0
    #[arg(long, env = "REPROVISION_API_VERSION", value_name = "V", default_value = "beta", value_parser = ["beta", "v1.0"], help_heading = "Service", hide_short_help = true)]
    pub api_version: String,
    /// HTTP/1.1 only
    #[arg(long, env = "REPROVISION_HTTP1", value_parser = BoolishValueParser::new(), help_heading = "Service", hide_short_help = true)]
    pub http1: bool,
    /// Time limit of one request; waiting for Retry-After does not count
    #[arg(long, env = "REPROVISION_TIMEOUT", value_name = "D", default_value = "30s", value_parser = duration, help_heading = "Service", hide_short_help = true)]
    pub timeout: Duration,
    /// Longest pause that is waited for when Microsoft 365 asks for one; a longer one ends the command (exit 5)
    #[arg(long, env = "REPROVISION_MAX_WAIT", value_name = "D", default_value = "1h", value_parser = duration, help_heading = "Service", hide_short_help = true)]
    pub max_wait: Duration,
    /// PEM with CAs to trust besides the machine's own
    #[arg(
        long,
        env = "REPROVISION_CA_FILE",
        value_name = "FILE",
        help_heading = "Service",
        hide_short_help = true
    )]
    pub ca_file: Option<PathBuf>,

    /// The app: its Application (client) ID, or a user-assigned identity's
    #[arg(
        long,
        env = "AZURE_CLIENT_ID",
        value_name = "ID",
        help_heading = "Sign-in",
        hide_short_help = true
    )]
    pub client_id: Option<String>,
    /// PEM with the app's certificate and its private key
    #[arg(
        long,
        env = "AZURE_CLIENT_CERTIFICATE_PATH",
        value_name = "FILE",
        help_heading = "Sign-in",
        hide_short_help = true
    )]
    pub certificate: Option<PathBuf>,
    /// File with the token; read again when a new one is needed
    #[arg(
        long,
        env = "REPROVISION_TOKEN_FILE",
        value_name = "FILE",
        help_heading = "Sign-in",
        hide_short_help = true
    )]
    pub token_file: Option<PathBuf>,
    /// Command that prints a token; run again when a new one is needed. REPROVISION_TOKEN holds a token itself
    #[arg(
        long,
        env = "REPROVISION_TOKEN_COMMAND",
        value_name = "LINE",
        help_heading = "Sign-in",
        hide_short_help = true
    )]
    pub token_command: Option<String>,

    /// Refuse a token of any other tenant, whatever --tenant or AZURE_TENANT_ID say (exit 6)
    #[arg(
        long,
        env = "REPROVISION_EXPECT_TENANT",
        value_name = "ID",
        help_heading = "Guards",
        hide_short_help = true
    )]
    pub expect_tenant: Option<String>,
}
