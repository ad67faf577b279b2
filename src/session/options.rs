//! Which service, as whom, over which network: what a session is opened with.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::{Cloud, SignInMethod};

/// Plain values; where they come from (flags, environment, settings file) does not matter here.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// Graph root, sign-in host and token scope.
    pub cloud: Cloud,
    /// Graph root without version, instead of the one of the cloud.
    pub endpoint: Option<String>,
    /// `beta` or `v1.0`.
    pub api_version: String,
    /// Scenario of the embedded simulator that stands in for the service: a built-in name or a file.
    pub simulate: Option<String>,
    /// Tenant id or domain.
    pub tenant: Option<String>,
    /// The tenant whose tokens alone are accepted, whatever `tenant` says.
    pub expect_tenant: Option<String>,
    /// How to sign in; `None`: what the environment offers.
    pub sign_in: Option<SignInMethod>,
    /// The app, or a user-assigned identity.
    pub client_id: Option<String>,
    /// PEM with the certificate of the app and its private key.
    pub certificate: Option<PathBuf>,
    /// File with a token.
    pub token_file: Option<PathBuf>,
    /// Command that prints a token.
    pub token_command: Option<String>,
    /// Time limit of one request.
    pub timeout: Duration,
    /// Longest pause that is waited for if the service asks for one.
    pub max_wait: Duration,
    /// HTTP/1.1 only.
    pub http1: bool,
    /// PEM with authorities to trust in addition to those of the machine.
    pub ca_file: Option<PathBuf>,
}

impl Default for ServiceOptions {
    /// Microsoft Graph of the public cloud, with what the environment offers for the sign-in.
    fn default() -> Self {
        Self {
            cloud: Cloud::default(),
            endpoint: None,
            api_version: "beta".to_owned(),
            simulate: None,
            tenant: None,
            expect_tenant: None,
            sign_in: None,
            client_id: None,
            certificate: None,
            token_file: None,
            token_command: None,
            timeout: Duration::from_secs(30),
            max_wait: Duration::from_secs(3600),
            http1: false,
            ca_file: None,
        }
    }
}
