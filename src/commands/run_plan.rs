//! The plan of a run, from the flags of `run`.

use std::path::Path;
use std::time::Duration;

use crate::cli::{ProgressFlag, Run};
use crate::error::Error;
use crate::jobs::run::{Confirmation, DEFAULT_MAX_STALL, FolderChoice, Pacing, RunPlan, Source};
use crate::model::{LogFormat, NextCommand, ProgressForm, Shard};
use crate::session::{Endpoint, is_scenario};
use crate::terminal::Console;

/// Default of `--max-stall` on a terminal: a person waits less long than a scheduled job.
const STALL_TERMINAL: Duration = Duration::from_secs(600);

/// What the flags of `run` ask for at this endpoint.
///
/// # Errors
/// `Error::Usage` for flags that do not go together, and for a list that cannot be one.
pub(super) fn run_plan(
    flags: &Run,
    endpoint: &Endpoint,
    typed: &NextCommand,
    console: &Console,
) -> Result<RunPlan, Error> {
    let service = &flags.service;
    let simulator = endpoint.simulator.as_ref();
    if flags.yes && service.tenant.is_none() && !endpoint.is_loopback() && !flags.dry_run {
        return Err(Error::Usage(
            "--yes needs --tenant, because nobody is asked to confirm the tenant; nothing was sent"
                .to_owned(),
        ));
    }
    let plan = RunPlan::new(source(flags, simulator.is_some())?, endpoint);
    Ok(RunPlan {
        kind: flags.object,
        column: flags.column.clone(),
        delimiter: flags.delimiter,
        shard: flags.shard,
        folder: folder(flags)?,
        confirmation: match plan.confirmation {
            Confirmation::Ask if flags.yes => Confirmation::Given,
            other => other,
        },
        limit: flags.limit,
        expect_max: flags.expect_max,
        max_failures: flags.max_failures,
        max_stall: flags.max_stall.unwrap_or(if console.is_on_terminal() {
            STALL_TERMINAL
        } else {
            DEFAULT_MAX_STALL
        }),
        deadline: flags.deadline,
        pacing: Pacing {
            rate: flags.rate,
            initial: flags.initial_rate,
            share: flags.shard.map_or(1, Shard::of),
            ..plan.pacing
        },
        concurrency: flags.concurrency,
        // A batch larger than what may be in flight would never be full.
        batch: flags.batch.min(flags.concurrency),
        max_attempts: flags.max_attempts,
        priority: flags.priority,
        label: flags.label.clone(),
        ticket: flags.ticket.clone(),
        form: form(flags.progress, console),
        tenant: service.tenant.clone(),
        cloud: service.cloud.name,
        typed: typed.clone(),
        ..plan
    })
}

fn source(flags: &Run, simulated: bool) -> Result<Source, Error> {
    let Some(input) = &flags.input else {
        return match simulated || flags.from_find {
            true => Ok(Source::BuiltIn),
            false => Err(Error::Usage("which users? give a CSV, or - for standard input".to_owned())),
        };
    };
    if input == Path::new("-") {
        return Ok(Source::Stdin);
    }
    if let Some(name) = input.to_str().filter(|name| simulated && is_scenario(name) && !input.exists()) {
        return Err(Error::Usage(format!("{name} is a scenario, not a list: --simulate={name}")));
    }
    Source::file(input)
}

fn folder(flags: &Run) -> Result<FolderChoice, Error> {
    match &flags.out {
        Some(out) if flags.new_run && out.join("run.json").exists() => Err(Error::Usage(format!(
            "{} holds a run, and --new-run never touches old files: give another --out",
            out.display()
        ))),
        Some(out) => Ok(FolderChoice::Named(out.clone())),
        None if flags.new_run => Ok(FolderChoice::New),
        None => Ok(FolderChoice::Resume),
    }
}

/// `--progress`, and what a terminal, `--quiet`, `CI` and `TERM=dumb` make of `auto`.
fn form(flag: ProgressFlag, console: &Console) -> ProgressForm {
    let lines = if console.format() == LogFormat::Json { ProgressForm::Json } else { ProgressForm::Lines };
    match flag {
        ProgressFlag::Bar => ProgressForm::Bar,
        ProgressFlag::Lines => lines,
        ProgressFlag::None => ProgressForm::None,
        ProgressFlag::Auto if console.is_quiet() => ProgressForm::None,
        ProgressFlag::Auto if console.draws() => ProgressForm::Bar,
        ProgressFlag::Auto => lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{self, Command, Parsed};
    use crate::commands::service::options;
    use crate::session::ServiceOptions;

    #[tokio::test]
    async fn defaults_of_flags_are_those_of_plans() {
        let words = ["reprovision", "run", "--simulate=calm"].map(Into::into).to_vec();
        let Ok(Parsed::Command(cli, typed)) = cli::parse(words) else { panic!("valid") };
        let Command::Run(flags) = cli.command else { panic!("run") };
        let typed_options = options(&flags.service);
        let defaults = ServiceOptions { simulate: Some("calm".to_owned()), ..ServiceOptions::default() };
        assert_eq!(format!("{typed_options:?}"), format!("{defaults:?}"));
        let endpoint = Endpoint::locate(&defaults).await.expect("a simulator");
        let plan = run_plan(&flags, &endpoint, &typed, &Console::silent()).expect("a plan");
        let default = RunPlan { typed: plan.typed.clone(), ..RunPlan::new(Source::BuiltIn, &endpoint) };
        assert_eq!(format!("{plan:?}"), format!("{default:?}"));
    }
}
