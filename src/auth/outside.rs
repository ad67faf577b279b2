//! Tokens from other programs: a command line of the user's own, and Azure CLI.

use std::process::{Output, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use super::aadsts::{self, Asked};
use super::failure::Failure;
use super::host::Grant;
use crate::model::neutral;

/// A program that takes longer has hung.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest text of a program that is shown, in characters.
const SHOWN: usize = 300;
/// What nobody but this program needs.
const OWN_SECRETS: [&str; 2] = ["REPROVISION_TOKEN", "IDENTITY_HEADER"];

/// The Azure CLI, signed in by `az login`.
#[derive(Debug)]
pub struct AzureCli {
    /// `{Graph root}/.default`
    pub scope: String,
    /// Tenant id or domain; none: the one that `az` is set to.
    pub tenant: Option<String>,
    /// The sign-in host, for messages.
    pub authority: String,
}

#[derive(Deserialize)]
struct Given {
    #[serde(rename = "accessToken")]
    token: String,
    /// Seconds since 1970; `expiresOn` beside it is local time and not read.
    expires_on: Option<i64>,
}

impl AzureCli {
    /// The name of the program: a batch file on Windows.
    pub const PROGRAM: &'static str = if cfg!(windows) { "az.cmd" } else { "az" };

    pub(super) async fn token(&self, claims: Option<&str>) -> Result<Grant, Failure> {
        if claims.is_some() {
            return Err(Failure::Final(
                "Microsoft 365 wants a fresh sign-in (claims challenge), which az cannot pass on: az logout, az login, then the same command"
                    .to_owned(),
            ));
        }
        let mut command = Command::new(Self::PROGRAM);
        command.args(["account", "get-access-token", "--scope", &self.scope, "--output", "json"]);
        if let Some(tenant) = &self.tenant {
            command.args(["--tenant", tenant]);
        }
        let output = output(command, "Azure CLI (az)").await?;
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
        let asked =
            Asked { authority: &self.authority, tenant, client_id: "04b07795-8ddb-461a-bbee-02f9e1bf7b46" };
        let known = aadsts::code_in(said).and_then(|code| aadsts::fix(code, asked));
        let shown = neutral(said.trim().trim_start_matches("ERROR:").trim(), SHOWN);
        let again = match &self.tenant {
            Some(tenant) => {
                format!("sign in: az login --tenant {} --allow-no-subscriptions", neutral(tenant, SHOWN))
            }
            None => "sign in: az login --allow-no-subscriptions".to_owned(),
        };
        format!("Azure CLI (az) gives no token: {shown}\n  {}", known.unwrap_or(again))
    }
}

/// Runs the line through the platform's shell, as admins write it.
pub(super) async fn run(line: &str) -> Result<String, Failure> {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("/bin/sh", "-c") };
    let mut command = Command::new(shell);
    command.arg(flag).arg(line);
    let output = output(command, "--token-command").await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = neutral(said.trim(), SHOWN);
        return Err(Failure::passing(format!("--token-command failed ({}): {said}", output.status)));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Failure::Final("--token-command printed something that is no text".to_owned()))
}

async fn output(mut command: Command, name: &str) -> Result<Output, Failure> {
    for secret in OWN_SECRETS {
        command.env_remove(secret);
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Failure::Final(format!("{name} is not installed, or not in PATH"))
            }
            _ => Failure::Final(format!("cannot start {name}: {error}")),
        })?;
    tokio::time::timeout(TIMEOUT, child.wait_with_output())
        .await
        .map_err(|_| Failure::passing(format!("{name} gave no token within {} s", TIMEOUT.as_secs())))?
        .map_err(|error| Failure::Final(format!("{name}: {error}")))
}
