//! `run`: check, open or continue the run, ask, drive, account.

mod drive;
mod finish;
mod folder;
mod pacing;
mod panic_guard;
mod plan;
mod progress;
mod prompt;
mod recorder;
mod safety_limits;
mod state_writer;
mod stop_monitor;

use std::fs::OpenOptions;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use self::drive::{Call, Ended, drive};
use self::finish::{Rows, Worked, account, complete, exit_of};
use self::folder::{Claim, Found};
use self::plan::{RunConfig, Source};
use self::prompt::{Plan, input_lines, unusable_lines};
use self::safety_limits::Guards;
use crate::cli::Run;
use crate::commands::looking::remember_clocks;
use crate::commands::service::options;
use crate::commands::signals::{ended_by, listen, unless_stopped};
use crate::engine::retry::RetryPolicy;
use crate::error::{CREATE_TEMPORARY, Error, Exit};
use crate::graph::{Client, ClientConfig};
use crate::input::{Checked, check, look};
use crate::model::{Outcome, WallClock, neutral};
use crate::report::{count, thousands};
use crate::rundir::{Identity, Journal, ReadBack, RunFile, SCHEMA, State, is_accounted, newest_state};
use crate::session::{Endpoint, Purpose, Session};
use crate::simulator::Scenario;
use crate::stop::Stop;
use crate::sys::{self, Signals};
use crate::terminal::Console;

/// The list that `--simulate` uses without an input.
const BUILT_IN: &str = include_str!("../../../samples/users.csv");
/// Runs that one input is remembered as a retry of.
const RETRY_OF: usize = 20;
/// Longest name of a run taken from a cell, in characters.
const RUN_NAME: usize = 120;
/// The last words of a process that is to end at once may take so long.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// What an invocation came to.
pub(crate) struct RunEnd {
    pub(crate) exit: Exit,
    /// The run that it worked on or found complete; `None` where there was nothing to do, or nothing was to be sent.
    pub(crate) folder: Option<PathBuf>,
}

impl From<Exit> for RunEnd {
    fn from(exit: Exit) -> Self {
        Self { exit, folder: None }
    }
}

/// Runs to an exit code.
///
/// # Errors
/// Where nothing could be sent.
pub(crate) async fn run(asked: Run, console: &Console) -> Result<RunEnd, Error> {
    let asked_at = Instant::now();
    let mut signals = listen()?;
    match unless_stopped(&mut signals, "nothing was sent", prepare(&asked, console)).await? {
        ControlFlow::Continue(Prepared::Ready(ready)) => {
            let folder = Some(ready.claim.folder.clone());
            ready.work(signals, asked_at).await.map(|exit| RunEnd { exit, folder })
        }
        ControlFlow::Continue(Prepared::Over(ended)) => Ok(ended),
        ControlFlow::Break(exit) => Ok(exit.into()),
    }
}

enum Prepared {
    Over(RunEnd),
    Ready(Box<Ready>),
}

/// A run that may begin.
struct Ready {
    config: RunConfig,
    claim: Claim,
    checked: Checked,
    run: RunFile,
    journal: Journal,
    read: ReadBack,
    to_do: u64,
    /// How long a person thought about the question: no part of the run.
    thought: Duration,
    connection: Session,
    console: Console,
}

async fn prepare(asked: &Run, console: &Console) -> Result<Prepared, Error> {
    let options = options(&asked.service);
    let place = Endpoint::locate(&options).await?;
    let config = RunConfig::new(asked, &place, console)?;
    if let Source::File(input) = &config.source {
        if config.simulated.is_some()
            && let Some(name) = Scenario::names().find(|name| input == Path::new(name))
            && !input.exists()
        {
            return Err(Error::Usage(format!("{name} is a scenario, not a list: --simulate={name}")));
        }
        look(input)?;
    }
    if asked.dry_run {
        return dry_run(&config, console).await.map(|exit| Prepared::Over(exit.into()));
    }
    let purpose = Purpose { writes: true, kind: config.kind, unattended: asked.yes };
    let connection = Session::open(&options, place, purpose, console).await?;
    // The folder comes first: what is checked is the copy in it.
    let mut claim = Claim::begin(&config.place, &config.tenant_part(&connection.tenant), &config.stem())?;
    let checked = read_input(&config, claim.incoming()).await?;
    if checked.rows == 0 {
        console.status(&input_lines(&config, &checked));
        console.result("nothing to do: the list has a header and no rows");
        return Ok(Prepared::Over(Exit::Done.into()));
    }
    if checked.selected == 0 {
        console.status(&input_lines(&config, &checked));
        console.result("nothing to do: no row belongs to this shard");
        return Ok(Prepared::Over(Exit::Done.into()));
    }
    if let Some(most) = config.expect_max.filter(|most| checked.users > *most) {
        return Err(Error::GuardRail(format!(
            "{} in the input, and --expect-max allows {}; nothing was sent",
            count(checked.users, config.kind.plural()),
            thousands(most)
        )));
    }
    let run = run_file(&config, &connection, &checked, &claim.incoming())?;
    let Found { mut run, known, finished } = claim.settle(&config.place, run)?;
    let (folder, copy) = (claim.folder.clone(), claim.copy());
    let opened = spawn_blocking(move || {
        let opened = Journal::open(&folder, checked.rows, || checked.ids(&copy));
        opened.map(|(journal, read)| (checked, journal, read))
    });
    let (checked, journal, read) = opened.await??;
    if read.damaged > 0 {
        console.warn(&format!(
            "{} of {}, kept in damaged.txt; done again",
            count(read.damaged, "damaged lines"),
            claim.folder.join("results.csv").display()
        ));
    }
    if known && read.totals.records == checked.selected {
        let rows = Rows::of(&checked, &claim.copy())?;
        if !is_accounted(&claim.folder) {
            // This call accounts for it.
            claim.keep();
        }
        let exit = complete(&config, &claim.folder, run, rows, &read, console)?;
        return Ok(Prepared::Over(RunEnd { exit, folder: Some(claim.folder.clone()) }));
    }
    let answered = read.totals.of(Outcome::Accepted) + read.totals.of(Outcome::Failed);
    let to_do = checked.users.saturating_sub(answered);
    let signed_in = connection.signed_in();
    let plan = Plan {
        signed_in: &signed_in,
        config: &config,
        checked: &checked,
        run: &run,
        folder: &claim.folder,
        done: read.totals.records,
        to_do,
        finished,
    };
    let thought = plan.agree(console).await?;
    run.continue_with = Some(config.continue_command(&claim.folder, false));
    run.write(&claim.folder)?;
    claim.keep();
    Ok(Prepared::Ready(Box::new(Ready {
        config,
        claim,
        checked,
        run,
        journal,
        read,
        to_do,
        thought,
        connection,
        console: console.clone(),
    })))
}

impl Ready {
    async fn work(self: Box<Self>, signals: Signals, asked_at: Instant) -> Result<Exit, Error> {
        let Self { config, claim, checked, mut run, journal, read, to_do, thought, connection, console } =
            *self;
        let started = asked_at + thought;
        let refused = connection.missing_permission(config.kind, true);
        let Session { root, mut http, tokens, simulator, .. } = connection;
        if !config.http1 {
            http = http.several(config.concurrency)?;
        }
        // Every embedded simulator begins with a full quota: what another one said of its own is nothing to it.
        let state = match simulator {
            Some(_) => State::read(&claim.folder),
            None => newest_state(claim.parent(), &run.identity),
        };
        let pace = config.pacing.start(&state, config.concurrency, config.batch, Timestamp::now());
        let stop = Stop::new();
        let client = ClientConfig {
            root,
            version: config.api_version.clone(),
            kind: config.kind,
            priority: config.priority.as_str(),
        };
        let on = config.continue_command(&claim.folder, true);
        let client = Client::new(&client, http, tokens.clone(), WallClock::System);
        let clocks = client.clocks();
        let call = Call {
            exchange: client,
            pace: pace.clone(),
            policy: RetryPolicy { max_attempts: config.max_attempts, jitter: 0.5, max_wait: config.max_wait },
            concurrency: config.concurrency,
            batch: config.batch,
            limit: config.limit,
            guards: Guards::new(config.max_failures, config.kind, refused, on),
            max_stall: config.max_stall,
            max_wait: config.max_wait,
            deadline: config.deadline.map(|deadline| started + deadline),
            console: console.clone(),
            form: config.form,
            accepted_before: read.totals.of(Outcome::Accepted) > 0,
            to_do: config.limit.map_or(to_do, |limit| limit.min(to_do)),
            folder: claim.folder.clone(),
            lock: claim.lock(),
            learned: state.learned,
            simulated: simulator.is_some(),
        };
        let rows = Rows::of(&checked, &claim.copy())?;
        let done = read.done;
        let items = checked.items(&claim.copy(), move |row| done.contains(row))?;
        let error = match drive(call, items, journal, stop.clone(), signals).await {
            Ended::Written(ended) => ended.err(),
            Ended::AtOnce => {
                stopped_at_once(config.continue_command(&claim.folder, false), &console).await;
                return Ok(stop.reasons().iter().map(exit_of).fold(Exit::Done, Exit::worse));
            }
        };
        remember_clocks(&mut run, &claim.folder, &clocks);
        if let Some(simulated) = &simulator {
            console
                .note(&format!("SIMULATED  the simulator's own ledger:\n{}", simulated.simulator.account()));
        }
        let worked = Worked {
            reasons: stop.reasons(),
            error,
            wall: started.elapsed(),
            waits: pace.waits(),
            damaged: read.damaged,
            notes: tokens.notices(),
        };
        let stopped = worked.reasons.iter().map(exit_of).fold(Exit::Done, Exit::worse);
        let mut signals = listen()?;
        let (asked, folder, lock) = (config.clone(), claim.folder.clone(), claim.lock());
        let written = spawn_blocking(move || {
            let _held = lock;
            account(&asked, &folder, run, rows, worked)
        });
        let accounted = tokio::select! {
            biased;
            written = written => written?,
            signal = signals.next() => {
                // Each file is replaced as a whole; the next call writes what is missing.
                stopped_at_once(config.continue_command(&claim.folder, false), &console).await;
                return Ok(stopped.worse(ended_by(signal)));
            }
        };
        let exit = accounted.exit;
        let told = spawn_blocking(move || accounted.print(&console));
        tokio::select! {
            _ = told => {}
            // Nobody reads it: all is done and written.
            _ = signals.next() => {}
        }
        Ok(exit)
    }
}

/// The last words of a process that was told to end at once: a blocked terminal keeps it no longer than the rest.
async fn stopped_at_once(again: String, console: &Console) {
    let said = format!("stopped at once; all answers received are recorded. To continue: {again}");
    let console = console.clone();
    let _ = timeout(LAST_WORDS, spawn_blocking(move || console.status(&said))).await;
}

/// What was asked, by whom, on what.
fn run_file(
    config: &RunConfig,
    connection: &Session,
    checked: &Checked,
    copy: &Path,
) -> Result<RunFile, Error> {
    let now = Timestamp::now();
    Ok(RunFile {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        identity: Identity {
            input_sha256: checked.sha256.clone(),
            tenant: connection.tenant.clone(),
            app: connection.claims.app().unwrap_or("unknown").to_owned(),
            endpoint: match connection.simulator {
                Some(_) => "simulated".to_owned(),
                None => connection.root.to_string(),
            },
            object: config.kind,
            column: checked.column_name.clone(),
            shard: config.options.shard,
        },
        input: config.input(),
        bytes: checked.bytes,
        rows: checked.rows,
        selected: config.options.shard.map(|_| checked.selected),
        reading: Some(checked.reading()),
        label: config.label.clone(),
        ticket: config.ticket.clone(),
        retry_of: retry_of(checked, copy)?,
        simulated: connection.simulator.is_some(),
        created_at: now,
        started_at: now,
        operator: sys::operator(),
        host: sys::host_name(),
        pid: std::process::id(),
        settings: config.settings(),
        continue_with: None,
    })
}

/// The runs named in the `reprovision_run` column, if the input is a `failed.csv`.
fn retry_of(checked: &Checked, copy: &Path) -> Result<Vec<String>, Error> {
    let is_ours = |name: &String| name.trim() == "reprovision_run";
    let column = checked.header.as_ref().and_then(|names| names.iter().position(is_ours));
    let Some(column) = column else { return Ok(Vec::new()) };
    let mut found: Vec<String> = Vec::new();
    for row in checked.raw_rows(copy)? {
        let name = row?.cells.get(column).map_or_else(String::new, |cell| neutral(cell.trim(), RUN_NAME));
        if !name.is_empty() && !found.contains(&name) {
            found.push(name);
        }
        if found.len() == RETRY_OF {
            break;
        }
    }
    Ok(found)
}

/// Copies the input and checks it whole, on a thread of its own: a signal is heard meanwhile.
async fn read_input(config: &RunConfig, copy: PathBuf) -> Result<Checked, Error> {
    let (source, options) = (config.source.clone(), config.options.clone());
    let checked = spawn_blocking(move || {
        let private = |path: &Path| {
            sys::open_private(path, OpenOptions::new().write(true).create(true).truncate(true))
                .map_err(|source| Error::file("create", path, source))
        };
        private(&copy)?;
        match source {
            Source::File(input) => check(&input, &copy, &options),
            Source::Stdin => check(Path::new("-"), &copy, &options),
            Source::BuiltIn => {
                let beside = copy.with_extension("built-in");
                let written = private(&beside)?.write_all(BUILT_IN.as_bytes());
                let checked = written
                    .map_err(|source| Error::file("write", &beside, source))
                    .and_then(|()| check(&beside, &copy, &options));
                let _ = std::fs::remove_file(&beside);
                checked
            }
        }
    });
    checked.await?
}

/// A private folder that goes away with its value.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn dry_run(config: &RunConfig, console: &Console) -> Result<Exit, Error> {
    let folder = std::env::temp_dir().join(format!("reprovision-dry-run-{}", uuid::Uuid::new_v4()));
    sys::create_folder(&folder).map_err(|source| Error::file(CREATE_TEMPORARY, &folder, source))?;
    let scratch = Scratch(folder);
    let checked = read_input(config, scratch.0.join("input.csv")).await?;
    let simulated = if config.simulated.is_some() { "SIMULATED  " } else { "" };
    let mut said = format!(
        "{}{}\n{}\nDry run  {simulated}nothing was sent",
        input_lines(config, &checked),
        unusable_lines(&checked),
        config.pacing.time(config.limit.map_or(checked.users, |limit| limit.min(checked.users)))
    );
    if config.expect_max.is_some_and(|most| checked.users > most) {
        said.push_str("; a real run would stop here: more users than --expect-max allows (exit 7)");
    }
    console.result(&said);
    Ok(Exit::Done)
}
