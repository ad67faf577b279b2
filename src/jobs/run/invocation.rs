//! One invocation of a run: check the list, create or resume the run, ask, send, report.

use std::fs::OpenOptions;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::drive::{Call, DriveEnd, drive};
use super::finish::{OriginalRows, Worked, account, complete, exit_of};
use super::folder::{Claim, ClaimedRun};
use super::plan::{RunPlan, Source};
use super::prompt::{Prompt, input_lines, unusable_lines};
use super::safety_limits::Guards;
use crate::engine::retry::RetryPolicy;
use crate::error::{CREATE_TEMPORARY, Error, Exit};
use crate::graph::{Client, ClientConfig};
use crate::input::{Checked, check};
use crate::jobs::signals::{ended_by, listen, unless_stopped};
use crate::model::{Outcome, WallClock, sanitize};
use crate::report::{count, thousands};
use crate::rundir::{
    Identity, Journal, ReadBack, RunFile, SCHEMA, State, Totals, is_accounted, newest_state,
};
use crate::session::Session;
use crate::stop::Stop;
use crate::sys::{self, Signals};
use crate::terminal::Console;

/// The list that `--simulate` uses without an input.
const BUILT_IN: &str = include_str!("../../../samples/users.csv");
/// Runs that one input is remembered as a retry of.
const RETRY_OF: usize = 20;
/// Longest name of a run taken from a cell, in characters.
const RUN_NAME: usize = 120;
/// Longest time for printing the last messages of an aborted process.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// The result of an invocation.
#[derive(Debug)]
pub struct RunEnd {
    /// The exit code for the process.
    pub exit: Exit,
    /// The run that it worked on or found complete; `None` if there was nothing to do, or nothing was to be
    /// sent.
    pub run: Option<EndedRun>,
}

/// A run after an invocation.
#[derive(Debug)]
pub struct EndedRun {
    /// Its folder.
    pub folder: PathBuf,
    /// Its `run.json`.
    pub file: RunFile,
    /// Whether every row has its record.
    pub is_complete: bool,
    /// Rows by outcome; `None` if a second signal or an unreadable file kept them from being counted.
    pub totals: Option<Totals>,
    /// Whether this invocation could send. `false`: the run was complete before.
    pub is_worked: bool,
}

impl From<Exit> for RunEnd {
    fn from(exit: Exit) -> Self {
        Self { exit, run: None }
    }
}

/// Checks the list, asks for confirmation if the plan says so, sends, and writes the reports.
///
/// # Errors
/// If nothing could be sent.
pub async fn run(plan: RunPlan, session: &Session, console: &Console) -> Result<RunEnd, Error> {
    let started = Instant::now();
    let mut signals = listen()?;
    let preparing = prepare(plan, session, console);
    match unless_stopped(&mut signals, console, "nothing was sent", preparing).await? {
        ControlFlow::Continue(Prepared::Ready(ready)) => ready.work(session, signals, started).await,
        ControlFlow::Continue(Prepared::Over(ended)) => Ok(*ended),
        ControlFlow::Break(exit) => Ok(exit.into()),
    }
}

enum Prepared {
    Over(Box<RunEnd>),
    Ready(Box<Ready>),
}

/// A run that may begin.
struct Ready {
    plan: RunPlan,
    claim: Claim,
    checked: Checked,
    run: RunFile,
    journal: Journal,
    read: ReadBack,
    to_do: u64,
    /// Time for which the confirmation was pending. It does not count as time of the run.
    thought: Duration,
    console: Console,
}

async fn prepare(plan: RunPlan, session: &Session, console: &Console) -> Result<Prepared, Error> {
    // The folder comes first: what is checked is the copy in it.
    let mut claim = Claim::begin(&plan.folder, &plan.tenant_part(&session.tenant), &plan.stem())?;
    let checked = read_input(&plan, claim.incoming()).await?;
    if checked.rows == 0 {
        console.status(&input_lines(&plan, &checked));
        console.result("nothing to do: the list has a header and no rows");
        return Ok(Prepared::Over(Box::new(Exit::Done.into())));
    }
    if checked.selected == 0 {
        console.status(&input_lines(&plan, &checked));
        console.result("nothing to do: no row belongs to this shard");
        return Ok(Prepared::Over(Box::new(Exit::Done.into())));
    }
    if let Some(most) = plan.expect_max.filter(|most| checked.users > *most) {
        return Err(Error::SafetyLimit(format!(
            "{} in the input, and --expect-max allows {}; nothing was sent",
            count(checked.users, plan.kind.plural()),
            thousands(most)
        )));
    }
    let run = run_file(&plan, session, &checked, &claim.incoming())?;
    let ClaimedRun { mut run, known, finished } = claim.settle(&plan.folder, run)?;
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
        let rows = OriginalRows::of(&checked, &claim.copy())?;
        if !is_accounted(&claim.folder) {
            // This call accounts for it.
            claim.keep();
        }
        let (folder, file, totals) = (claim.folder.clone(), run.clone(), Some(read.totals.clone()));
        let ended = EndedRun { folder, file, is_complete: true, totals, is_worked: false };
        let exit = complete(&claim.folder, run, rows, &read, console)?;
        return Ok(Prepared::Over(Box::new(RunEnd { exit, run: Some(ended) })));
    }
    let answered = read.totals.of(Outcome::Accepted) + read.totals.of(Outcome::Failed);
    let to_do = checked.users.saturating_sub(answered);
    let signed_in = session.signed_in();
    let prompt = Prompt {
        signed_in: &signed_in,
        plan: &plan,
        checked: &checked,
        run: &run,
        folder: &claim.folder,
        done: read.totals.records,
        to_do,
        finished,
    };
    let thought = prompt.agree(console).await?;
    run.next = Some(plan.next_commands(&claim.folder, false));
    run.write(&claim.folder)?;
    claim.keep();
    Ok(Prepared::Ready(Box::new(Ready {
        plan,
        claim,
        checked,
        run,
        journal,
        read,
        to_do,
        thought,
        console: console.clone(),
    })))
}

impl Ready {
    /// # Errors
    /// If nothing could be sent. What goes wrong after the first request is part of the end.
    async fn work(
        self: Box<Self>,
        session: &Session,
        signals: Signals,
        asked_at: Instant,
    ) -> Result<RunEnd, Error> {
        let Self { plan, claim, checked, mut run, journal, read, to_do, thought, console } = *self;
        let started = asked_at + thought;
        let refused = session.missing_permission(plan.kind, true);
        let http = session.connections(plan.concurrency)?;
        let (tokens, simulator) = (session.tokens.clone(), &session.simulator);
        // Every embedded simulator begins with a full quota: what another one said of its own is nothing to
        // it.
        let state = match simulator {
            Some(_) => State::read(&claim.folder),
            None => newest_state(claim.parent(), &run.identity),
        };
        let pace = plan.pacing.start(&state, plan.concurrency, plan.batch, Timestamp::now());
        let stop = Stop::new();
        let client = ClientConfig {
            root: session.root.clone(),
            version: session.api_version.clone(),
            kind: plan.kind,
            priority: plan.priority.as_str(),
        };
        let next = plan.next_commands(&claim.folder, false);
        let past_failures = plan.next_commands(&claim.folder, true).resume;
        let client = Client::new(&client, http, tokens.clone(), WallClock::System);
        let clocks = client.clocks();
        let call = Call {
            exchange: client,
            pace: pace.clone(),
            policy: RetryPolicy { max_attempts: plan.max_attempts, jitter: 0.5, max_wait: session.max_wait },
            concurrency: plan.concurrency,
            batch: plan.batch,
            limit: plan.limit,
            guards: Guards::new(plan.max_failures, plan.kind, refused, past_failures),
            max_stall: plan.max_stall,
            max_wait: session.max_wait,
            deadline: plan.deadline.map(|deadline| started + deadline),
            console: console.clone(),
            form: plan.form,
            accepted_before: read.totals.of(Outcome::Accepted) > 0,
            to_do: plan.limit.map_or(to_do, |limit| limit.min(to_do)),
            folder: claim.folder.clone(),
            lock: claim.lock(),
            learned: state.learned,
            simulated: simulator.is_some(),
        };
        let rows = OriginalRows::of(&checked, &claim.copy())?;
        let done = read.done;
        let items = checked.items(&claim.copy(), move |row| done.contains(row))?;
        let ended = |exit, file: RunFile, totals: Option<Totals>| {
            let folder = claim.folder.clone();
            let is_complete = totals.as_ref().is_some_and(|totals| totals.records == file.rows_in());
            Ok(RunEnd { exit, run: Some(EndedRun { folder, file, is_complete, totals, is_worked: true }) })
        };
        let error = match drive(call, items, journal, stop.clone(), signals).await {
            DriveEnd::Written(ended) => ended.err(),
            DriveEnd::AtOnce => {
                stopped_at_once(next.resume, &console).await;
                let exit = stop.reasons().iter().map(exit_of).fold(Exit::Done, Exit::worse);
                return ended(exit, run, None);
            }
        };
        if let Some(ahead) = clocks.service_ahead() {
            run.set_clock_ahead(ahead);
            if let Err(error) = run.write(&claim.folder) {
                console.warn(&error.chain());
            }
        }
        if let Some(simulated) = simulator {
            console.note(&format!("SIMULATED  the simulator's own ledger:\n{}", simulated.ledger()));
        }
        let worked = Worked {
            reasons: stop.reasons(),
            error,
            wall: started.elapsed(),
            waits: pace.throttle_stats(),
            damaged: read.damaged,
            notes: tokens.notices(),
        };
        let stopped = worked.reasons.iter().map(exit_of).fold(Exit::Done, Exit::worse);
        let (folder, lock, file) = (claim.folder.clone(), claim.lock(), run.clone());
        let mut signals = match listen() {
            Ok(signals) => signals,
            Err(error) => {
                console.error(&error.chain());
                return ended(stopped.worse(Exit::Internal), file, None);
            }
        };
        let written = spawn_blocking(move || {
            let _held = lock;
            account(&plan, &folder, run, rows, worked)
        });
        let accounted = tokio::select! {
            biased;
            written = written => match written {
                Ok(accounted) => accounted,
                Err(error) => {
                    console.error(&Error::from(error).chain());
                    return ended(stopped.worse(Exit::Internal), file, None);
                }
            },
            signal = signals.next() => {
                // Each file is replaced as a whole; the next invocation writes what is missing.
                stopped_at_once(next.resume, &console).await;
                return ended(stopped.worse(ended_by(signal)), file, None);
            }
        };
        let (exit, totals) = (accounted.exit, accounted.totals.clone());
        let told = spawn_blocking(move || accounted.print(&console));
        tokio::select! {
            _ = told => {}
            // Nobody reads it: all is done and written.
            _ = signals.next() => {}
        }
        ended(exit, file, totals)
    }
}

/// The last words of a process that was told to end at once: a blocked terminal keeps it no longer than the
/// rest.
async fn stopped_at_once(again: String, console: &Console) {
    let said = format!("stopped at once; all answers received are recorded. To continue: {again}");
    let console = console.clone();
    let _ = timeout(LAST_WORDS, spawn_blocking(move || console.status(&said))).await;
}

/// What was asked, by whom, on what.
fn run_file(plan: &RunPlan, session: &Session, checked: &Checked, copy: &Path) -> Result<RunFile, Error> {
    let now = Timestamp::now();
    Ok(RunFile {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        identity: Identity {
            input_sha256: checked.sha256.clone(),
            tenant: session.tenant.clone(),
            app: session.claims.app().unwrap_or("unknown").to_owned(),
            endpoint: match session.simulator {
                Some(_) => "simulated".to_owned(),
                None => session.root.to_string(),
            },
            object: plan.kind,
            column: checked.column_name.clone(),
            shard: plan.shard,
        },
        input: plan.input(),
        bytes: checked.bytes,
        rows: checked.rows,
        selected: plan.shard.map(|_| checked.selected),
        reading: Some(checked.reading()),
        label: plan.label.clone(),
        ticket: plan.ticket.clone(),
        retry_of: retry_of(checked, copy)?,
        simulated: session.simulator.is_some(),
        created_at: now,
        started_at: now,
        operator: sys::operator(),
        host: sys::host_name(),
        pid: std::process::id(),
        settings: plan.settings(session),
        next: None,
    })
}

/// The runs named in the `reprovision_run` column, if the input is a `failed.csv`.
fn retry_of(checked: &Checked, copy: &Path) -> Result<Vec<String>, Error> {
    let is_ours = |name: &String| name.trim() == "reprovision_run";
    let column = checked.header.as_ref().and_then(|names| names.iter().position(is_ours));
    let Some(column) = column else { return Ok(Vec::new()) };
    let mut found: Vec<String> = Vec::new();
    for row in checked.raw_rows(copy)? {
        let name = row?.cells.get(column).map_or_else(String::new, |cell| sanitize(cell.trim(), RUN_NAME));
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
async fn read_input(plan: &RunPlan, copy: PathBuf) -> Result<Checked, Error> {
    let (source, options) = (plan.source.clone(), plan.input_options());
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

/// Checks the list and says what a run would do and how long it would take. Nothing is sent.
///
/// # Errors
/// `Error::Usage`, `Error::Input` and `Error::File` for a list that cannot be read.
pub async fn dry_run(plan: &RunPlan, console: &Console) -> Result<Exit, Error> {
    let checking = check_only(plan, console);
    Ok(match unless_stopped(&mut listen()?, console, "nothing was sent", checking).await? {
        ControlFlow::Continue(()) => Exit::Done,
        ControlFlow::Break(exit) => exit,
    })
}

async fn check_only(plan: &RunPlan, console: &Console) -> Result<(), Error> {
    let folder = std::env::temp_dir().join(format!("reprovision-dry-run-{}", uuid::Uuid::new_v4()));
    sys::create_folder(&folder).map_err(|source| Error::file(CREATE_TEMPORARY, &folder, source))?;
    let scratch = Scratch(folder);
    let checked = read_input(plan, scratch.0.join("input.csv")).await?;
    let simulated = if plan.simulated.is_some() { "SIMULATED  " } else { "" };
    let mut said = format!(
        "{}{}\n{}\nDry run  {simulated}nothing was sent",
        input_lines(plan, &checked),
        unusable_lines(&checked),
        plan.pacing.time(plan.limit.map_or(checked.users, |limit| limit.min(checked.users)))
    );
    if plan.expect_max.is_some_and(|most| checked.users > most) {
        said.push_str("; a real run would stop here: more users than --expect-max allows (exit 7)");
    }
    console.result(&said);
    Ok(())
}
