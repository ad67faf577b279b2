//! `--auth az`: the account that is signed in with `az login`.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Deserialize;
use tokio::process::Command;

use crate::auth::aadsts::{self, SignInRequest};
use crate::auth::external_program::{SHOWN, output};
use crate::auth::failure::Failure;
use crate::auth::host::Grant;
use crate::auth::plan::{Building, SignInPlan};
use crate::auth::redact::redact;
use crate::auth::source::{Credential, TokenSource};
use crate::model::sanitize;
use crate::sys::has_terminal;

/// The name of the program: a batch file on Windows.
const PROGRAM: &str = if cfg!(windows) { "az.cmd" } else { "az" };

pub(super) fn source<'a>(plan: &'a SignInPlan<'a>) -> Building<'a> {
    async move {
        Ok(TokenSource::new(AzureCli {
            scope: plan.scope(),
            tenant: plan.tenant().map(str::to_owned),
            authority: plan.authority.to_string(),
        }))
    }
    .boxed()
}

/// Whether Azure CLI is installed.
pub(super) fn is_there<'a>(plan: &'a SignInPlan<'a>) -> BoxFuture<'a, bool> {
    async move { plan.environment.has_program(PROGRAM) }.boxed()
}

/// The Azure CLI, signed in by `az login`.
#[derive(Debug)]
struct AzureCli {
    /// `{Graph root}/.default`
    scope: String,
    /// Tenant id or domain; none: the one that `az` is set to.
    tenant: Option<String>,
    /// The sign-in host, for messages.
    authority: String,
}

#[derive(Deserialize)]
struct Given {
    #[serde(rename = "accessToken")]
    token: String,
    /// Seconds since 1970; `expiresOn` beside it is local time and not read.
    expires_on: Option<i64>,
}

impl Credential for AzureCli {
    fn name(&self) -> &'static str {
        "Azure CLI"
    }

    fn fetch<'a>(&'a self, claims: Option<&'a str>) -> BoxFuture<'a, Result<Grant, Failure>> {
        self.token(claims).boxed()
    }
}

impl AzureCli {
    async fn token(&self, claims: Option<&str>) -> Result<Grant, Failure> {
        if claims.is_some() {
            return Err(Failure::Final(
                "Microsoft 365 wants a fresh sign-in (claims challenge), which az cannot pass on: az logout, az login, then the same command"
                    .to_owned(),
            ));
        }
        let mut command = Command::new(PROGRAM);
        command.args(["account", "get-access-token", "--scope", &self.scope, "--output", "json"]);
        if let Some(tenant) = &self.tenant {
            command.args(["--tenant", tenant]);
        }
        let output = output(command, "Azure CLI (az)", !has_terminal()).await?;
        if !output.status.success() {
            return Err(Failure::Final(self.explain(&String::from_utf8_lossy(&output.stderr))));
        }
        let given: Given = serde_json::from_slice(&output.stdout).map_err(|_| {
            Failure::Final("Azure CLI (az) printed no token; try: az account get-access-token".to_owned())
        })?;
        Ok(Grant { ends: given.expires_on, ..Grant::bare(&given.token) })
    }

    fn explain(&self, said: &str) -> String {
        let tenant = self.tenant.as_deref().unwrap_or("TENANT");
        let asked = SignInRequest {
            authority: &self.authority,
            tenant,
            client_id: "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
        };
        let known = aadsts::code_in(said).and_then(|code| aadsts::fix(code, asked));
        let shown = sanitize(&redact(said.trim().trim_start_matches("ERROR:").trim(), &[]), SHOWN);
        let again = match &self.tenant {
            Some(tenant) => {
                format!("sign in: az login --tenant {} --allow-no-subscriptions", sanitize(tenant, SHOWN))
            }
            None => "sign in: az login --allow-no-subscriptions".to_owned(),
        };
        format!("Azure CLI (az) gives no token: {shown}\n  {}", known.unwrap_or(again))
    }
}
