//! One call of `run` as a value: what flags, environment and settings file mean together.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::pacing::Pacing;
use crate::cli::{self, Progress, Run};
use crate::commands::typed::{Typed, no_terminal};
use crate::error::Error;
use crate::input::Options;
use crate::model::{LogFormat, MaxFailures, ObjectKind, Priority, Shard};
use crate::net;
use crate::rundir::{READ_WITH, SCENARIO, TENANT_NAME};
use crate::session::Endpoint;
use crate::terminal::{Console, ProgressForm};

/// `--max-stall` without the flag: people wait less long than jobs.
const STALL_TERMINAL: Duration = Duration::from_secs(600);
const STALL_JOB: Duration = Duration::from_secs(1800);

/// Where the rows come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    Stdin,
    /// The list that `--simulate` uses without an input.
    BuiltIn,
}

/// Which folder the run lives in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// `--out`: this one.
    Folder(PathBuf),
    /// The newest unfinished run of the same identity, or a new one.
    GoOn,
    /// `--new-run`: a new one.
    New,
}

/// Who says yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    /// `--yes`
    Given,
    /// A person at the terminal.
    Ask,
    /// Nobody is asked about a simulated tenant.
    NotNeeded,
}

/// What one call is to do.
#[derive(Clone, Debug)]
pub(super) struct RunConfig {
    pub(super) source: Source,
    pub(super) options: Options,
    pub(super) kind: ObjectKind,
    pub(super) place: Where,
    pub(super) consent: Consent,
    pub(super) limit: Option<u64>,
    pub(super) expect_max: Option<u64>,
    pub(super) max_failures: MaxFailures,
    pub(super) max_stall: Duration,
    pub(super) max_wait: Duration,
    pub(super) deadline: Option<Duration>,
    pub(super) pacing: Pacing,
    pub(super) concurrency: u16,
    /// Users in one request, from 1.
    pub(super) batch: u16,
    pub(super) max_attempts: u32,
    pub(super) priority: Priority,
    pub(super) api_version: String,
    pub(super) http1: bool,
    pub(super) label: Option<String>,
    pub(super) ticket: Option<String>,
    pub(super) form: ProgressForm,
    /// Tenant as it was asked for.
    pub(super) tenant: Option<String>,
    pub(super) cloud: &'static str,
    /// What a simulated tenant is like.
    pub(super) simulated: Option<String>,
    /// Its scenario as it was asked for.
    pub(super) scenario: Option<String>,
    /// The command that goes on.
    pub(super) again: Typed,
}

impl RunConfig {
    /// # Errors
    /// `Error::Usage` for flags that do not go together.
    pub(super) fn new(asked: &Run, place: &Endpoint, console: &Console) -> Result<Self, Error> {
        let service = &asked.service;
        if asked.yes && service.tenant.is_none() && !net::is_loopback(&place.root) && !asked.dry_run {
            return Err(Error::Usage(
                "--yes needs --tenant, because nobody is asked to confirm the tenant; nothing was sent"
                    .to_owned(),
            ));
        }
        let source = match &asked.input {
            Some(input) if input.as_os_str() == "-" => Source::Stdin,
            Some(input) => Source::File(input.clone()),
            None if place.simulator.is_some() => Source::BuiltIn,
            None => return Err(Error::Usage("which users? give a CSV, or - for standard input".to_owned())),
        };
        let terminal = io::stderr().is_terminal();
        Ok(Self {
            source,
            options: Options {
                column: asked.column.clone(),
                delimiter: asked.delimiter,
                object: asked.object,
                reading: None,
                shard: asked.shard,
            },
            kind: asked.object,
            place: match (&asked.out, asked.new_run) {
                (Some(out), new) => {
                    if new && out.join("run.json").exists() {
                        return Err(Error::Usage(format!(
                            "{} holds a run, and --new-run never touches old files: give another --out",
                            out.display()
                        )));
                    }
                    Where::Folder(out.clone())
                }
                (None, true) => Where::New,
                (None, false) => Where::GoOn,
            },
            consent: match (place.simulator.is_some(), asked.yes) {
                (true, _) => Consent::NotNeeded,
                (false, true) => Consent::Given,
                (false, false) => Consent::Ask,
            },
            limit: asked.limit,
            expect_max: asked.expect_max,
            max_failures: asked.max_failures,
            max_stall: asked.max_stall.unwrap_or(if terminal { STALL_TERMINAL } else { STALL_JOB }),
            max_wait: service.max_wait,
            deadline: asked.deadline,
            pacing: Pacing {
                rate: asked.rate,
                initial: asked.initial_rate,
                share: asked.shard.map_or(1, Shard::of),
                simulated: place.simulator.as_ref().and_then(|simulated| simulated.rate),
            },
            concurrency: asked.concurrency,
            // A group larger than what may be in flight would never be full.
            batch: asked.batch.min(asked.concurrency),
            max_attempts: asked.max_attempts,
            priority: asked.priority,
            api_version: service.api_version.clone(),
            http1: service.http1,
            label: asked.label.clone(),
            ticket: asked.ticket.clone(),
            form: form(asked.progress, console),
            tenant: service.tenant.clone(),
            cloud: match service.cloud {
                cli::Cloud::Global => "global",
                cli::Cloud::Usgov => "usgov",
                cli::Cloud::UsgovDod => "usgov-dod",
                cli::Cloud::China => "china",
            },
            simulated: place.simulator.as_ref().map(|simulated| simulated.title.clone()),
            scenario: place.simulator.as_ref().map(|simulated| simulated.name.clone()),
            again: {
                let again = Typed::now().without("--limit").without_switch("--new-run");
                match asked.yes && place.simulator.is_none() {
                    true => again.confirmed(service.tenant.as_deref()),
                    false => again,
                }
            },
        })
    }

    /// The refusal where a question is needed and no terminal is there.
    pub(super) fn unconfirmed(tenant: Option<&str>, is_loopback: bool) -> Error {
        no_terminal(tenant, is_loopback)
    }

    /// The command that continues the run in `folder`. A list from standard input is read from its copy there. Past the
    /// limit of failures, `--max-failures` no longer stops it.
    pub(super) fn continue_command(&self, folder: &Path, past_failures: bool) -> String {
        let mut again = self.again.clone();
        if self.source == Source::Stdin {
            let copy = folder.join("input.csv").display().to_string();
            again = again.instead("-", &copy).without("--out").with("--out", &folder.display().to_string());
        }
        if past_failures {
            again = again.without("--max-failures").with("--max-failures", "100%");
        }
        again.line()
    }

    /// The input as the user named it.
    pub(super) fn input(&self) -> String {
        match &self.source {
            Source::File(path) => path.display().to_string(),
            Source::Stdin => "-".to_owned(),
            Source::BuiltIn => "built-in list".to_owned(),
        }
    }

    /// The same in words.
    pub(super) fn input_for_people(&self) -> String {
        match self.source {
            Source::Stdin => "standard input".to_owned(),
            Source::File(_) | Source::BuiltIn => self.input(),
        }
    }

    /// The input as a part of a folder's name.
    pub(super) fn stem(&self) -> String {
        let stem = match &self.source {
            Source::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            Source::Stdin => "stdin".to_owned(),
            Source::BuiltIn => "built-in".to_owned(),
        };
        match self.options.shard {
            Some(shard) => format!("{stem}-{}of{}", shard.index(), shard.of()),
            None => stem,
        }
    }

    /// The tenant's part of a folder's name: the first label of a domain.
    pub(super) fn tenant_part(&self, tenant: &str) -> String {
        let asked = self.tenant.as_deref().filter(|_| self.simulated.is_none()).unwrap_or(tenant);
        asked.split('.').next().unwrap_or("tenant").to_owned()
    }

    /// The rate and the like, as `run.json` keeps them.
    pub(super) fn settings(&self) -> serde_json::Value {
        let share = |most: MaxFailures| match most {
            MaxFailures::Count(count) => serde_json::json!(count),
            MaxFailures::Share(share) => serde_json::json!(format!("{}%", share * 100.0)),
        };
        serde_json::json!({
            "pace": self.pacing.settings(),
            "concurrency": self.concurrency,
            "batch": self.batch,
            "max_attempts": self.max_attempts,
            "priority": self.priority.as_str(),
            "api_version": self.api_version,
            "limit": self.limit,
            "max_failures": share(self.max_failures),
            "max_stall_s": self.max_stall.as_secs(),
            "max_wait_s": self.max_wait.as_secs(),
            "deadline_s": self.deadline.map(|deadline| deadline.as_secs()),
            SCENARIO: self.scenario,
            TENANT_NAME: self.tenant,
            READ_WITH[0]: self.options.column,
            READ_WITH[1]: self.options.delimiter.map(|byte| match byte {
                b'\t' => "tab".to_owned(),
                byte => char::from(byte).to_string(),
            }),
        })
    }
}

/// `--progress`, and what a terminal, `--quiet`, `CI` and `TERM=dumb` make of `auto`.
fn form(asked: Progress, console: &Console) -> ProgressForm {
    let lines = if console.format() == LogFormat::Json { ProgressForm::Json } else { ProgressForm::Lines };
    match asked {
        Progress::Bar => ProgressForm::Bar,
        Progress::Lines => lines,
        Progress::None => ProgressForm::None,
        Progress::Auto if console.is_quiet() => ProgressForm::None,
        Progress::Auto if console.draws() => ProgressForm::Bar,
        Progress::Auto => lines,
    }
}
