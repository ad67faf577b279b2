//! From the flags of a command to the options of a session.

use crate::cli::Service;
use crate::error::Error;
use crate::jobs::simulated::recall;
use crate::session::{Endpoint, Purpose, ServiceOptions, Session};
use crate::terminal::Console;

/// The options that the flags of every command about Graph stand for.
pub(crate) fn options(flags: &Service) -> ServiceOptions {
    ServiceOptions {
        cloud: flags.cloud,
        endpoint: flags.endpoint.clone(),
        api_version: flags.api_version.clone(),
        simulate: flags.simulate.clone(),
        tenant: flags.tenant.clone(),
        expect_tenant: flags.expect_tenant.clone(),
        sign_in: flags.auth.0,
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
    let session = Session::open(&options, endpoint, purpose, console).await?;
    recall(&session, None, console);
    Ok(session)
}
