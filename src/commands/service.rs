//! From the flags of a command to the options of a session.

use crate::auth::Kind;
use crate::cli::{Auth, Cloud, Service};
use crate::error::Error;
use crate::graph;
use crate::session::{Endpoint, Purpose, ServiceOptions, Session};

use crate::terminal::Console;

/// The options that the flags of every command about Graph stand for.
pub(crate) fn options(flags: &Service) -> ServiceOptions {
    ServiceOptions {
        cloud: match flags.cloud {
            Cloud::Global => graph::GLOBAL,
            Cloud::Usgov => graph::USGOV,
            Cloud::UsgovDod => graph::USGOV_DOD,
            Cloud::China => graph::CHINA,
        },
        endpoint: flags.endpoint.clone(),
        api_version: flags.api_version.clone(),
        simulate: flags.simulate.clone(),
        tenant: flags.tenant.clone(),
        expect_tenant: flags.expect_tenant.clone(),
        sign_in: method(flags.auth),
        client_id: flags.client_id.clone(),
        certificate: flags.certificate.clone(),
        token_file: flags.token_file.clone(),
        token_command: flags.token_command.clone(),
        timeout: flags.timeout,
        max_wait: flags.max_wait,
        http1: flags.http1,
        ca_file: flags.ca_file.clone(),
    }
}

/// Finds Graph or starts the simulator, and signs in.
///
/// # Errors
/// As [`Endpoint::locate`] and [`Session::open`].
pub(crate) async fn connect(flags: &Service, purpose: Purpose, console: &Console) -> Result<Session, Error> {
    let options = options(flags);
    let endpoint = Endpoint::locate(&options).await?;
    Session::open(&options, endpoint, purpose, console).await
}

fn method(flag: Auth) -> Option<Kind> {
    Some(match flag {
        Auth::Auto => return None,
        Auth::Token => Kind::Token,
        Auth::Secret => Kind::Secret,
        Auth::Certificate => Kind::Certificate,
        Auth::Workload => Kind::Workload,
        Auth::Github => Kind::GitHub,
        Auth::AzureDevops => Kind::AzureDevOps,
        Auth::ManagedIdentity => Kind::ManagedIdentity,
        Auth::Az => Kind::AzureCli,
        Auth::Browser => Kind::Browser,
        Auth::DeviceCode => Kind::DeviceCode,
    })
}
