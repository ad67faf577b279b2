//! `schedule`: prints a unit that runs `sweep` every night, with what each exit code should lead to.

use crate::cli::{Schedule, Scheduler};
use crate::error::Exit;
use crate::terminal::Console;

/// Prints the unit.
pub(super) fn schedule(asked: &Schedule, console: &Console) -> Exit {
    let unit = match asked.kind {
        Scheduler::Cron => include_str!("schedule/cron"),
        Scheduler::Systemd => include_str!("schedule/systemd"),
        Scheduler::Kubernetes => include_str!("schedule/kubernetes"),
        Scheduler::Github => include_str!("schedule/github"),
        Scheduler::AzureDevops => include_str!("schedule/azure-devops"),
    };
    let (hour, minute) = asked.at;
    let unit = unit
        .replace("@TENANT@", &asked.tenant)
        .replace("@HH@", &format!("{hour:02}"))
        .replace("@MM@", &format!("{minute:02}"))
        .replace("@H@", &hour.to_string())
        .replace("@M@", &minute.to_string());
    console.result(unit.trim_end());
    Exit::Done
}
