//! Tokens from other programs: a command line of the user's own, and Azure CLI.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::aadsts::{self, SignInRequest};
use super::failure::Failure;
use super::host::Grant;
use super::redact::redact;
use crate::model::neutral;
use crate::sys::{ProcessGroup, has_terminal};

/// A program that takes longer has hung.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest text of a program that is shown, in characters.
const SHOWN: usize = 300;
/// Longest output that is read: the longest token in the JSON of a program has a third of it.
const LONGEST: u64 = 64 * 1024;
/// What nobody but this program reads. A command that gets a token may need the others.
const OWN_SECRET: &str = "REPROVISION_TOKEN";

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
        let shown = neutral(&redact(said.trim().trim_start_matches("ERROR:").trim(), &[]), SHOWN);
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
pub(super) async fn run(line: &str) -> Result<Zeroizing<String>, Failure> {
    run_apart(line, !has_terminal()).await
}

async fn run_apart(line: &str, apart: bool) -> Result<Zeroizing<String>, Failure> {
    #[cfg(windows)]
    let command = {
        let mut command = Command::new("cmd");
        // The line as it is between two quotation marks: cmd reads nobody's escapes but its own.
        command.raw_arg(format!("/D /S /C \"{line}\""));
        command
    };
    #[cfg(not(windows))]
    let command = {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line);
        command
    };
    let output = output(command, "--token-command", apart).await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = neutral(&redact(said.trim(), &[]), SHOWN);
        return Err(Failure::passing(format!("--token-command failed ({}): {said}", output.status)));
    }
    match std::str::from_utf8(&output.stdout) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Failure::Final("--token-command printed something that is no text".to_owned())),
    }
}

/// What a program printed, as far as it is read.
struct Output {
    status: ExitStatus,
    stdout: Zeroizing<Vec<u8>>,
    stderr: Zeroizing<Vec<u8>>,
}

/// `apart`: where there is no terminal to share.
async fn output(mut command: Command, name: &str, apart: bool) -> Result<Output, Failure> {
    command.env_remove(OWN_SECRET).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (mut child, group) =
        ProcessGroup::start(&mut command, apart).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Failure::Final(format!("{name} is not installed, or not in PATH"))
            }
            _ => Failure::Final(format!("cannot start {name}: {error}")),
        })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        // Both at once: a program may fill either while nobody reads it.
        let (stdout, stderr) = tokio::try_join!(read(stdout), read(stderr))?;
        let status = child.wait().await?;
        group.ended();
        Ok::<_, std::io::Error>(Output { status, stdout, stderr })
    };
    tokio::time::timeout(TIMEOUT, work)
        .await
        .map_err(|_| Failure::passing(format!("{name} gave no token within {} s", TIMEOUT.as_secs())))?
        .map_err(|error| Failure::Final(format!("{name}: {error}")))
}

async fn read(from: Option<impl AsyncRead + Unpin>) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    if let Some(from) = from {
        from.take(LONGEST + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() as u64 > LONGEST {
        let text = format!("it prints more than {} KiB, which is no token", LONGEST / 1024);
        return Err(std::io::Error::other(text));
    }
    Ok(bytes)
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::sys::{PIPE_TIMEOUT, TimedFile, make_pipe};

    /// The command is given up after its time. Its children hold a pipe, which ends with the last of them.
    async fn outlived(line: &str, apart: bool) {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        make_pipe(&pipe);
        let mut reader = TimedFile::open(&pipe, PIPE_TIMEOUT).expect("open");
        let line = line.replace("PIPE", &pipe.display().to_string());
        let running = tokio::spawn(async move { run_apart(&line, apart).await });
        let began = tokio::task::spawn_blocking(move || {
            let mut up = [0; 3];
            reader.read_exact(&mut up).map(|()| reader)
        });
        let mut reader = began.await.expect("no panic").expect("the command began");
        // From here on nothing but the clock moves.
        tokio::time::pause();
        let error = running.await.expect("no panic").expect_err("no token");
        assert_eq!(error.text(), "--token-command gave no token within 60 s");
        // Whoever holds the pipe is gone.
        assert_eq!(reader.read_to_end(&mut Vec::new()).expect("its end"), 0);
    }

    #[tokio::test]
    async fn what_a_command_started_ends_with_it_when_its_time_is_over() {
        outlived("{ echo up; exec sleep 1000; } > 'PIPE' & wait", true).await;
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn so_it_does_where_it_shares_the_terminal() {
        // Two of them, one behind another shell.
        let line = "sleep 1000 > 'PIPE' & sh -c '{ sleep 1000 & echo up; wait; } > \"PIPE\"' & wait";
        outlived(line, false).await;
    }

    #[tokio::test]
    async fn a_program_that_prints_without_end_is_stopped() {
        for line in ["yes", "yes >&2"] {
            let error = run(line).await.expect_err("no token");
            assert!(error.text().contains("prints more than 64 KiB"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_program_that_talks_much_on_both_sides_is_read() {
        let line = "head -c 60000 /dev/zero | tr '\\0' e >&2; head -c 60000 /dev/zero | tr '\\0' o";
        assert_eq!(run(line).await.expect("text").len(), 60_000);
    }

    #[tokio::test]
    async fn what_a_failing_program_says_is_shown_without_tokens() {
        let line = "echo \"> Authorization: Bearer eyJhbGciOiJub25lIn0.canarycanarycanary.x\" >&2; exit 3";
        let error = run(line).await.expect_err("failed");
        assert!(error.text().contains("[token]") && !error.text().contains("canary"), "{error:?}");
    }
}
