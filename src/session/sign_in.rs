//! Signing in: which method, at which host, with the tenant compared before anything is sent.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use url::Url;

use super::endpoint::cloud_of;
use super::options::ServiceOptions;
use crate::auth::{Environment, Notices, Show, SignInPlan, Tokens, choose, secret_variables};
use crate::error::Error;
use crate::model::{Cloud, SignInMethod, UserId};
use crate::net::{self, Network};
use crate::terminal::Console;

/// What a sign-in gave.
#[derive(Debug)]
pub(super) struct SignedIn {
    /// How hosts are reached.
    pub(super) network: Network,
    pub(super) tokens: Arc<Tokens>,
}

/// How hosts are reached. The certificates are read on a thread of their own, so that signals are handled meanwhile.
///
/// # Errors
/// As [`Network::new`].
pub async fn network(options: &ServiceOptions) -> Result<Network, Error> {
    let (timeout, http1, file) = (options.timeout, options.http1, options.ca_file.clone());
    let network = spawn_blocking(move || Network::new(timeout, http1, file.as_deref()));
    network.await?
}

/// Signs in and compares the tenant. Permissions are for the caller to judge. `notices` receives what happens to the
/// sign-in from here on.
///
/// # Errors
/// `Error::SignIn` and `Error::Usage` with what to do; `Error::Network`.
pub(super) async fn sign_in(
    options: &ServiceOptions,
    root: &Url,
    unattended: bool,
    notices: Notices,
    console: &Console,
) -> Result<SignedIn, Error> {
    let cloud = options.cloud;
    let network = network(options).await?;
    net::ask_proxy(root).await?;
    let environment = environment(options)?;
    let authority = authority(&environment, cloud, root)?;
    let shown = console.clone();
    let plan = SignInPlan {
        environment: &environment,
        network: &network,
        authority: &authority,
        resource: cloud.root,
        federation: cloud.federation,
        show: Show::new(move |text| shown.status(text)),
        open: open_browser,
    };
    if cloud_of(root).is_none() && !net::is_loopback(root) {
        console.warn(&format!(
            "--endpoint is not Microsoft's: tokens for {} are sent to {}",
            cloud.root,
            root.host_str().unwrap_or_default()
        ));
    }
    let method = match options.sign_in {
        Some(method) => method,
        None => chosen(&plan, unattended, console).await?,
    };
    let tokens = Tokens::telling(plan.source(method).await?, root.scheme() == "http", notices);
    let first = tokens.current().await.map_err(Error::SignIn)?;
    let readable = first.claims.tid.is_some();
    if !readable && options.expect_tenant.is_some() {
        return Err(Error::SignIn(
            "cannot check --expect-tenant: the token does not contain a tenant id. Nothing was sent. Sign in another way, \
             or remove --expect-tenant"
                .to_owned(),
        ));
    }
    for (flag, tenant) in [("--expect-tenant", &options.expect_tenant), ("--tenant", &options.tenant)] {
        if let Some(tenant) = tenant {
            // A token that cannot be read is reported with the permissions; a later one may be readable.
            if readable || UserId::parse(tenant).is_ok_and(|id| id.is_guid()) {
                let id = plan.host(tenant)?.tenant_id().await;
                let id =
                    id.map_err(|failure| Error::SignIn(format!("{}; nothing was sent", failure.text())))?;
                tokens.expect(flag, tenant, id).map_err(Error::SignIn)?;
            }
        }
    }
    Ok(SignedIn { network, tokens: Arc::new(tokens) })
}

/// The method that the environment offers, printed with why. Where no person can look, only one may be configured.
async fn chosen(plan: &SignInPlan<'_>, unattended: bool, console: &Console) -> Result<SignInMethod, Error> {
    let choice =
        choose(plan.environment, async |row| plan.is_there(row).await).await.map_err(Error::SignIn)?;
    if !choice.also.is_empty() {
        let also: Vec<_> = choice.also.iter().map(|method| format!("--auth {}", method.name)).collect();
        let taken = choice.method.name;
        if unattended {
            return Err(Error::Usage(format!(
                "the environment offers more than one way to sign in. Name one: --auth {taken} or {}",
                also.join(" or ")
            )));
        }
        console.warn(&format!("the environment also offers {}; --auth {taken} is taken", also.join(" and ")));
    }
    let mut said = format!("Sign-in  {} ({})", choice.method.name, choice.because);
    for why in &choice.not {
        said.push_str(&format!("\n         not {why}"));
    }
    if !choice.absent.is_empty() {
        let absent: Vec<_> = choice.absent.iter().map(|method| method.name).collect();
        said.push_str(&format!("\n         not set up: {}", absent.join(", ")));
    }
    console.note(&said);
    Ok(choice.method)
}

/// The environment, with the options that stand for a variable.
fn environment(options: &ServiceOptions) -> Result<Environment, Error> {
    let mut environment = Environment::of_process()?;
    environment.set("AZURE_TENANT_ID", options.tenant.as_deref());
    environment.set("AZURE_CLIENT_ID", options.client_id.as_deref());
    let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
    environment.set("AZURE_CLIENT_CERTIFICATE_PATH", text(&options.certificate).as_deref());
    environment.set("REPROVISION_TOKEN_FILE", text(&options.token_file).as_deref());
    environment.set("REPROVISION_TOKEN_COMMAND", options.token_command.as_deref());
    Ok(environment)
}

/// The sign-in host: the one of the cloud, or of `AZURE_AUTHORITY_HOST` where it does not belong to another cloud.
fn authority(environment: &Environment, cloud: Cloud, root: &Url) -> Result<Url, Error> {
    let usage = |what: String| Error::Usage(format!("AZURE_AUTHORITY_HOST {what}"));
    let named = environment.get("AZURE_AUTHORITY_HOST");
    let text = named.unwrap_or(cloud.authority);
    let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&text).map_err(|error| usage(format!("is not a URL ({error})")))?;
    if url.scheme() != "https" && !net::is_loopback(&url) {
        return Err(usage("must be https: secrets would leave in the clear".to_owned()));
    }
    let host = url.host_str().unwrap_or_default();
    let known_root = cloud_of(root).is_some();
    match cloud.owns_authority(host) {
        Some(false) => Err(usage(format!(
            "{host} belongs to another cloud than --cloud {}: give the --cloud that fits, or unset the variable",
            cloud.name
        ))),
        None if known_root => Err(usage(format!(
            "{host} is not a sign-in host of --cloud {}: unset the variable, or give the --endpoint that belongs to it",
            cloud.name
        ))),
        _ => Ok(url),
    }
}

/// Opens the browser that the platform, or `BROWSER`, names. False: none could be started.
fn open_browser(url: &str) -> bool {
    let browser = std::env::var("BROWSER").ok().filter(|name| !name.is_empty());
    let (program, first): (&str, &[&str]) = match &browser {
        Some(name) => (name, &[]),
        None if cfg!(windows) => ("rundll32", &["url.dll,FileProtocolHandler"]),
        None if cfg!(target_os = "macos") => ("open", &[]),
        None => ("xdg-open", &[]),
    };
    let mut command = std::process::Command::new(program);
    secret_variables().for_each(|secret| {
        command.env_remove(secret);
    });
    command.args(first).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}
