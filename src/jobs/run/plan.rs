//! The plan of one invocation of `run`, typed and checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::pacing::Pacing;
use crate::error::Error;
use crate::input::{Options, look};
use crate::model::{
    Cloud, DEFAULT_CONCURRENCY, DEFAULT_MAX_ATTEMPTS, MaxFailures, NextCommand, ObjectKind, Priority,
    ProgressForm, Shard,
};
use crate::rundir::{NextCommands, READ_WITH, SCENARIO, TENANT_NAME};
use crate::session::{Endpoint, Session};

/// The run stops after this time without an answer for any user, unless something else is asked for. A
/// scheduled job waits longer than a person.
pub const DEFAULT_MAX_STALL: Duration = Duration::from_secs(1800);

/// The source of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// The list that `--simulate` uses without an input.
    BuiltIn,
}

/// Which folder the run lives in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderChoice {
    /// `--out`: this one.
    Named(PathBuf),
    /// The newest unfinished run of the same identity, or a new folder.
    Resume,
    /// `--new-run`: a new folder.
    New,
}

/// How the run is confirmed before the first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// `--yes`
    Given,
    /// A person at the terminal.
    Ask,
    /// No confirmation, because the tenant is simulated.
    NotNeeded,
}

/// The plan of one invocation.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// The source of the rows.
    pub source: Source,
    /// The kind of the objects.
    pub kind: ObjectKind,
    /// Column with the ids, by name or number from 1; `None`: found by its name.
    pub column: Option<String>,
    /// `None`: found in the header.
    pub delimiter: Option<u8>,
    /// The rows that are for this machine; `None`: all.
    pub shard: Option<Shard>,
    /// The run folder.
    pub folder: FolderChoice,
    /// How the run is confirmed before the first request.
    pub confirmation: Confirmation,
    /// Maximum number of users to which a request is sent.
    pub limit: Option<u64>,
    /// A list with more users is rejected.
    pub expect_max: Option<u64>,
    /// More failed users stop the run.
    pub max_failures: MaxFailures,
    /// The run stops after this time without an answer for any user.
    pub max_stall: Duration,
    /// No new work is started after this time.
    pub deadline: Option<Duration>,
    /// The rate.
    pub pacing: Pacing,
    /// Maximum number of users in flight, 1 to 1000.
    pub concurrency: u16,
    /// Users in one request, 1 to 20 and at most `concurrency`.
    pub batch: u16,
    /// Attempts per user on transient failures, from 1.
    pub max_attempts: u32,
    /// Priority that the service uses when it throttles.
    pub priority: Priority,
    /// A text for `run.json` and `summary.json`.
    pub label: Option<String>,
    /// A text for `run.json` and `summary.json`.
    pub ticket: Option<String>,
    /// Form of the progress display.
    pub form: ProgressForm,
    /// Tenant as given by the user.
    pub tenant: Option<String>,
    /// Name of the cloud, for the prompt.
    pub cloud: &'static str,
    /// Title of the scenario of a simulated tenant.
    pub simulated: Option<String>,
    /// Its scenario as given by the user.
    pub scenario: Option<String>,
    /// The command line of this invocation, from which the commands to type next are made.
    pub typed: NextCommand,
}

impl Source {
    /// A list in a file, which must exist.
    ///
    /// # Errors
    /// `Error::Input`.
    pub fn file(path: &Path) -> Result<Self, Error> {
        look(path)?;
        Ok(Self::File(path.to_owned()))
    }

    /// The input as the user named it.
    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "-".to_owned(),
            Self::BuiltIn => "built-in list".to_owned(),
        }
    }
}

impl RunPlan {
    /// The plan of `reprovision run` without flags, for a list and an endpoint. No progress is shown.
    pub fn new(source: Source, endpoint: &Endpoint) -> Self {
        let simulator = endpoint.simulator.as_ref();
        let typed = NextCommand::new("run");
        let typed = match &source {
            Source::BuiltIn => typed,
            source => typed.operand(source.name()),
        };
        Self {
            source,
            kind: ObjectKind::default(),
            column: None,
            delimiter: None,
            shard: None,
            folder: FolderChoice::Resume,
            confirmation: if simulator.is_some() { Confirmation::NotNeeded } else { Confirmation::Ask },
            limit: None,
            expect_max: None,
            max_failures: MaxFailures::default(),
            max_stall: DEFAULT_MAX_STALL,
            deadline: None,
            pacing: Pacing {
                rate: None,
                initial: None,
                share: 1,
                simulated: simulator.and_then(|simulator| simulator.rate),
            },
            concurrency: DEFAULT_CONCURRENCY,
            batch: 1,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
            priority: Priority::default(),
            label: None,
            ticket: None,
            form: ProgressForm::None,
            tenant: None,
            cloud: Cloud::default().name,
            simulated: simulator.map(|simulator| simulator.title.clone()),
            scenario: simulator.map(|simulator| simulator.name.clone()),
            typed,
        }
    }

    /// Options for reading the list.
    pub(super) fn input_options(&self) -> Options {
        Options {
            column: self.column.clone(),
            delimiter: self.delimiter,
            object: self.kind,
            reading: None,
            shard: self.shard,
        }
    }

    /// What to type after this invocation of the run in `folder`. A list from standard input is read from its
    /// copy there. `past_failures`: the command continues although the limit of `--max-failures` was reached.
    pub(super) fn next_commands(&self, folder: &Path, past_failures: bool) -> NextCommands {
        let path = folder.display().to_string();
        let typed = self.typed.clone().without("--limit").without("--new-run");
        let typed = match self.confirmation {
            Confirmation::Given => typed.confirmed(self.tenant.as_deref()),
            Confirmation::Ask | Confirmation::NotNeeded => typed,
        };
        let mut resume = typed.clone();
        if self.source == Source::Stdin {
            resume = resume.with_operand(folder.join("input.csv").display().to_string()).with("--out", &path);
        }
        if past_failures {
            resume = resume.with("--max-failures", "100%");
        }
        let retry = typed.clone().for_list(folder.join("failed.csv").display().to_string());
        NextCommands {
            resume: resume.line(),
            retry: retry.without("--out").without("--shard").line(),
            verify: typed.same_tenant("verify").operand(path).line(),
        }
    }

    /// The input as the user named it.
    pub(super) fn input(&self) -> String {
        self.source.name()
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
        match self.shard {
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
    pub(super) fn settings(&self, session: &Session) -> serde_json::Value {
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
            "api_version": session.api_version,
            "limit": self.limit,
            "max_failures": share(self.max_failures),
            "max_stall_s": self.max_stall.as_secs(),
            "max_wait_s": session.max_wait.as_secs(),
            "deadline_s": self.deadline.map(|deadline| deadline.as_secs()),
            SCENARIO: self.scenario,
            TENANT_NAME: self.tenant,
            READ_WITH[0]: self.column,
            READ_WITH[1]: self.delimiter.map(|byte| match byte {
                b'\t' => "tab".to_owned(),
                byte => char::from(byte).to_string(),
            }),
        })
    }
}
