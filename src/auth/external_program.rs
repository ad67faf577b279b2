//! Tokens from other programs: what a command prints, within its time.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::failure::Failure;
use super::redact::redact;
use crate::model::sanitize;
use crate::sys::{ProcessGroup, has_terminal};

/// Longest run time of a program. A slower one hangs.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest text of a program that is shown, in characters.
pub(super) const SHOWN: usize = 300;
/// Longest output that is read: the longest token in the JSON of a program has a third of it.
const LONGEST: u64 = 64 * 1024;
/// Variables that only reprovision reads. A command that prints a token may need the others.
const OWN_SECRET: &str = "REPROVISION_TOKEN";

/// Runs the line through the platform's shell, as admins write it.
pub(super) async fn run(line: &str) -> Result<Zeroizing<String>, Failure> {
    run_apart(line, !has_terminal()).await
}

async fn run_apart(line: &str, apart: bool) -> Result<Zeroizing<String>, Failure> {
    #[cfg(windows)]
    let command = {
        let mut command = Command::new("cmd");
        // The line between two quotation marks, unchanged, because `cmd` has its own escapes.
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
        let said = sanitize(&redact(said.trim(), &[]), SHOWN);
        return Err(Failure::passing(format!("--token-command failed ({}): {said}", output.status)));
    }
    match std::str::from_utf8(&output.stdout) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Failure::Final("--token-command printed something that is not text".to_owned())),
    }
}

/// The output of a program, up to the limit.
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: Zeroizing<Vec<u8>>,
    pub(super) stderr: Zeroizing<Vec<u8>>,
}

/// Runs `command`, which messages call `name`. `apart`: without a terminal to share.
///
/// # Errors
/// A program that is not there, has hung or prints too much.
pub(super) async fn output(mut command: Command, name: &str, apart: bool) -> Result<Output, Failure> {
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
        // Both outputs are read at the same time, because a program blocks when one of them is full.
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
        let text = format!("it prints more than {} KiB, which cannot be a token", LONGEST / 1024);
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
        // The processes that held the pipe are gone.
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
