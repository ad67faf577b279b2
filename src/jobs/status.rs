//! `status`: shows the state of a live or dead run, from its files alone.

use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::error::{Error, Exit};
use crate::jobs::chosen_run::ChosenRun;
use crate::jobs::next_commands;
use crate::model::{Outcome, Scope, action};
use crate::report::{count, human, shard_sentence, thousands};
use crate::rundir::{RunFile, State, each_record};
use crate::terminal::Console;

/// Refresh interval of `--watch`.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Looking must not cost more than a tenth of one processor, however large the run.
const REST: u32 = 10;
/// From this length on a silence is shown instead of the time left. A run with the slowest usual rate, one
/// user in a few seconds, is not silent.
const SILENCE: Duration = Duration::from_secs(15);
/// The pace is that of the last minute.
const LATELY: SignedDuration = SignedDuration::from_secs(60);

/// The state of a run.
#[derive(Debug, Serialize)]
struct Standing {
    schema: u32,
    folder: PathBuf,
    tenant: String,
    input: String,
    simulated: bool,
    operator: String,
    host: String,
    pid: u32,
    started_at: Timestamp,
    /// `running`, `stopped` or `complete`.
    state: &'static str,
    /// Rows of the other shards.
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<String>,
    /// Rows that are to have a record.
    rows: u64,
    done: u64,
    accepted: u64,
    failed: u64,
    invalid: u64,
    duplicate: u64,
    /// Rows finished in the last minute, per second.
    per_second: f64,
    /// Pauses still running: whose limit, and until when.
    pauses: Vec<(String, Timestamp)>,
    /// The command that continues it where it was stopped.
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    continue_with: Option<String>,
    /// Seconds since the last answer, where it is running.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent_s: Option<u64>,
    /// Lines that cannot be read; a running process may be in the middle of one.
    damaged_lines: u64,
}

/// The lines of one run.
#[derive(Clone, Debug)]
pub(crate) struct StatusPlan {
    pub(crate) run: ChosenRun,
    /// Until the run ends.
    pub(crate) watch: bool,
    /// JSON documents instead of lines.
    pub(crate) json: bool,
}

/// Prints the state of a run, once or until it ends.
///
/// # Errors
/// `Error::Usage`, `Error::Damaged`, `Error::File`.
pub(crate) fn status(plan: &StatusPlan, console: &Console) -> Result<Exit, Error> {
    let redrawn = console.redraws_results();
    loop {
        let began = Instant::now();
        let standing = look(&plan.run.folder)?;
        let running = plan.watch && standing.state == "running";
        if plan.json {
            let line =
                serde_json::to_string(&standing).map_err(|error| Error::Internal(error.to_string()))?;
            console.result(&line);
        } else if running && redrawn {
            // Each refresh replaces the previous one. The last one remains.
            console.set_status_line(Some(&text(&standing, &plan.run.reason())));
        } else {
            console.set_status_line(None);
            console.result(&text(&standing, &plan.run.reason()));
        }
        if !running {
            return Ok(Exit::Done);
        }
        if !plan.json && !redrawn {
            console.status("");
        }
        thread::sleep(LOOK_EVERY.max(began.elapsed() * REST));
    }
}

fn look(folder: &Path) -> Result<Standing, Error> {
    let run = RunFile::read(folder)
        .ok_or_else(|| Error::Usage(format!("{}: run.json cannot be read any more", folder.display())))?;
    let now = Timestamp::now();
    let since = now.checked_sub(LATELY).unwrap_or(now);
    let (mut lately, mut last) = (0_u64, None);
    let read = each_record(folder, run.rows, |record| {
        let finished = record.finished_at.parse::<Timestamp>();
        if let Ok(at) = finished
            && record.attempts > 0
        {
            lately += u64::from(at >= since);
            last = last.max(Some(at));
        }
    })?;
    let (totals, rows_in, shard) = (read.totals, run.rows_in(), shard_sentence(&run));
    let state = if is_held(folder)? {
        "running"
    } else if totals.records == rows_in {
        "complete"
    } else {
        "stopped"
    };
    // The first minute of a call is shorter than a minute.
    let over = now.duration_since(run.started_at.max(since)).as_secs_f64().max(1.0);
    let pauses = State::read(folder)
        .cooldowns
        .into_iter()
        .filter(|(_, until, _)| *until > now)
        .map(|(scope, until, _)| {
            (Scope::from_name(&scope).map_or(scope, |scope| scope.owner().to_owned()), until)
        })
        .collect();
    let silent = now.duration_since(last.unwrap_or(run.started_at).max(run.started_at));
    Ok(Standing {
        schema: 1,
        continue_with: (state == "stopped").then(|| next_commands::of_run(&run, folder).resume),
        silent_s: (state == "running").then(|| u64::try_from(silent.as_secs()).unwrap_or(0)),
        folder: folder.to_owned(),
        tenant: run.identity.tenant,
        input: run.input,
        simulated: run.simulated,
        operator: run.operator,
        host: run.host,
        pid: run.pid,
        started_at: run.started_at,
        state,
        shard,
        rows: rows_in,
        done: totals.records,
        accepted: totals.of(Outcome::Accepted),
        failed: totals.of(Outcome::Failed),
        invalid: totals.of(Outcome::Invalid),
        duplicate: totals.of(Outcome::Duplicate),
        per_second: if state == "running" { lately as f64 / over } else { 0.0 },
        pauses,
        damaged_lines: read.damaged,
    })
}

/// Whether a process works on the run. The lock is shared, so that two `status` commands do not disturb each
/// other.
fn is_held(folder: &Path) -> Result<bool, Error> {
    let path = folder.join("lock");
    let file = match OpenOptions::new().read(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(Error::file("read", path, source)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(Error::file("look at the lock of", path, source)),
    }
}

/// `reason` says why this run is shown, if the user did not name one.
fn text(standing: &Standing, reason: &str) -> String {
    let mut lines = Vec::new();
    let simulated = if standing.simulated { "SIMULATED  " } else { "" };
    lines.push(format!("Run      {simulated}{}{reason}", standing.folder.display()));
    lines.push(format!("         {} · {}", standing.tenant, standing.input));
    lines.extend(standing.shard.iter().map(|shard| format!("         {shard}")));
    lines.push(match standing.state {
        "running" => format!(
            "State    running: {} on {}, process {}, since {:.0}",
            standing.operator, standing.host, standing.pid, standing.started_at
        ),
        "complete" => "State    complete".to_owned(),
        _ => "State    stopped: no process works on it".to_owned(),
    });
    // Not a hundred before it is.
    let share = (standing.done as f64 / standing.rows.max(1) as f64 * 100.0).floor();
    lines.push(format!(
        "Done     {} of {} ({share:.0} %): {} accepted · {} failed · {} invalid · {} duplicate",
        thousands(standing.done),
        count(standing.rows, "rows"),
        thousands(standing.accepted),
        thousands(standing.failed),
        thousands(standing.invalid),
        thousands(standing.duplicate),
    ));
    if standing.accepted > 0 {
        lines.push(format!("         {}", action::ACCEPTED_MEANS));
    }
    lines.extend(standing.continue_with.iter().map(|command| format!("Continue {command}")));
    let silence = standing.silent_s.map(Duration::from_secs).filter(|silence| *silence >= SILENCE);
    if let (Some(silence), []) = (silence, &standing.pauses[..]) {
        lines.push(format!("Waiting  no user was answered in the last {}", human(silence)));
    }
    // While nothing is sent the rate falls, and the time left would only grow.
    let sends = standing.pauses.is_empty() && silence.is_none();
    if standing.state == "running" && standing.per_second > 0.0 && sends {
        let left = (standing.rows - standing.done) as f64 / standing.per_second;
        lines.push(format!(
            "Pace     {:.1}/s in the last minute: about {} left",
            standing.per_second,
            human(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX))
        ));
    }
    for (owner, until) in &standing.pauses {
        let left = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
        lines.push(format!("Paused   by Microsoft 365 ({owner}): {} left", human(left)));
    }
    if standing.damaged_lines > 0 && standing.state != "running" {
        lines.push(format!(
            "Damaged  {} of results.csv that cannot be read; done again",
            count(standing.damaged_lines, "lines")
        ));
    }
    lines.join("\n")
}
