//! The commands to type after a run, from its `run.json`.

use std::path::Path;

use crate::error::Error;
use crate::model::{CLOUDS, DEFAULT_SCENARIO, GLOBAL, NextCommand, ObjectKind};
use crate::rundir::{NextCommands, RunFile};
use crate::session::UNKNOWN_TENANT;

/// A command about a run of another invocation, with the tenant and the kind of object. The way to sign in is
/// not known from `run.json`.
pub(crate) fn about(run: &RunFile, command: &str, operand: &Path) -> NextCommand {
    let mut next = NextCommand::new(command).operand(operand.display().to_string());
    let identity = &run.identity;
    if !run.simulated {
        if identity.tenant != UNKNOWN_TENANT {
            next = next.with("--tenant", &identity.tenant);
        }
        let root = identity.endpoint.trim_end_matches('/');
        next = match CLOUDS.iter().find(|cloud| cloud.root == root) {
            Some(cloud) if *cloud == GLOBAL => next,
            Some(cloud) => next.with("--cloud", cloud.name),
            None => next.with("--endpoint", &identity.endpoint),
        };
    }
    if command == "run" {
        if identity.object != ObjectKind::Users {
            next = next.with("--object", identity.object.plural());
        }
        next = run.read_with().fold(next, |next, (name, value)| next.with(&name, value));
    }
    match run.scenario().filter(|name| *name != DEFAULT_SCENARIO) {
        Some(name) => next.with_joined("--simulate", name),
        None if run.simulated => next.with_switch("--simulate"),
        None => next,
    }
}

/// The recorded commands. A run that was killed before its first request has none: they are made from
/// `run.json`.
pub(crate) fn of_run(run: &RunFile, folder: &Path) -> NextCommands {
    run.next.clone().unwrap_or_else(|| NextCommands {
        resume: about(run, "run", &folder.join("input.csv"))
            .with("--out", folder.display().to_string())
            .line(),
        retry: about(run, "run", &folder.join("failed.csv")).line(),
        verify: about(run, "verify", folder).line(),
    })
}

/// The error if confirmation is needed and no terminal is there. It shows the typed command with what is
/// missing. A loopback address needs no tenant.
pub(crate) fn no_terminal(typed: &NextCommand, tenant: Option<&str>, is_loopback: bool) -> Error {
    let command = typed.clone().confirmed(tenant).line();
    let name = match tenant.is_some() || is_loopback {
        true => "",
        false => ", with the domain or id of the tenant in --tenant",
    };
    Error::Usage(format!(
        "confirmation needs a terminal, and this process has none. Nothing was sent. To confirm on the command line{name}: {command}"
    ))
}
