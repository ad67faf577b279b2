//! The end of a run: writes `failed.csv` and `summary.json`, prints the result, and decides the exit code.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::pacing::limits_of;
use super::plan::RunPlan;
use crate::error::{Error, Exit, sign_in_text};
use crate::input::Checked;
use crate::jobs::next_commands;
use crate::model::Outcome;
use crate::pace::ThrottleStats;
use crate::report::{self, Figures, Summary, count, next_step};
use crate::rundir::{
    Failed, Original, ReadBack, RunFile, State, Totals, each_record, hashes, is_accounted, read_account,
};
use crate::stop::StopReason;
use crate::sys;
use crate::terminal::Console;

/// The state of the run after its last request.
#[derive(Debug, Default)]
pub(super) struct Worked {
    /// Why it stopped early.
    pub(super) reasons: Vec<StopReason>,
    /// The error of a file that could not be written.
    pub(super) error: Option<Error>,
    /// Length of this call.
    pub(super) wall: Duration,
    /// How often and how long the service throttled the run.
    pub(super) waits: ThrottleStats,
    /// Lines of `results.csv` that were found damaged at the start.
    pub(super) damaged: u64,
    /// Notices about the sign-in.
    pub(super) notes: Vec<String>,
}

/// A data row's number and its cells.
type Cells = Result<(u64, Vec<String>), Error>;

/// The original cells of every data row: `failed.csv` repeats them.
pub(super) struct OriginalRows {
    names: Vec<String>,
    delimiter: u8,
    cells: Box<dyn Iterator<Item = Cells> + Send>,
}

impl OriginalRows {
    /// From the copy of the input.
    ///
    /// # Errors
    /// `Error::File` where it cannot be opened.
    pub(super) fn of(checked: &Checked, copy: &Path) -> Result<Self, Error> {
        let cells = checked.raw_rows(copy)?.map(|row| row.map(|row| (row.number, row.cells)));
        Ok(Self { names: checked.names(), delimiter: checked.delimiter, cells: Box::new(cells) })
    }

    /// Into `failed.csv` those that are in it.
    fn write(self, folder: &Path, failed: Failed) -> Result<(), Error> {
        let original = Original { names: &self.names, delimiter: self.delimiter };
        failed.write(folder, original, self.cells, next_step)
    }
}

/// The result of an invocation, ready to be printed.
#[derive(Debug)]
pub(super) struct Accounted {
    pub(super) exit: Exit,
    /// Rows by outcome, unless `results.csv` could not be read.
    pub(super) totals: Option<Totals>,
    stopped: Vec<String>,
    text: Option<String>,
}

impl Accounted {
    /// Waits for as long as nobody reads.
    pub(super) fn print(&self, console: &Console) {
        print_stops(self.exit, &self.stopped, console);
        if let Some(text) = &self.text {
            console.result(text);
        }
    }
}

/// Writes the account of a call that sent something.
pub(super) fn account(
    plan: &RunPlan,
    folder: &Path,
    mut run: RunFile,
    rows: OriginalRows,
    worked: Worked,
) -> Accounted {
    let mut exit = worked.reasons.iter().map(exit_of).fold(Exit::Done, Exit::worse);
    let mut stopped: Vec<String> = worked.reasons.iter().map(sentence).collect();
    let mut fail = |error: &Error, exit: &mut Exit| {
        *exit = exit.worse(error.exit());
        let sentence = error.chain();
        if !stopped.contains(&sentence) {
            stopped.push(sentence);
        }
    };
    if let Some(error) = &worked.error {
        fail(error, &mut exit);
    }
    // What is claimed is what is read back: one pass over the file, whatever the run itself believes to have
    // written.
    let (mut figures, mut failed) = (Figures::begun(), Failed::default());
    let read = read_account(folder, run.rows, |record| {
        figures.add(record);
        failed.add(record);
    });
    let read = match read {
        Ok(read) => read,
        Err(error) => {
            fail(&error, &mut exit);
            return Accounted { exit: exit.worse(Exit::Internal), totals: None, stopped, text: None };
        }
    };
    // failed.csv may be open in another program: the account is in results.csv all the same.
    if let Err(error) = rows.write(folder, failed) {
        fail(&error, &mut exit);
    }
    if worked.reasons.iter().any(|why| matches!(why, StopReason::SafetyLimit(_))) {
        run.next = Some(plan.next_commands(folder, true));
        if let Err(error) = run.write(folder) {
            fail(&error, &mut exit);
        }
    }
    let complete = read.totals.records == run.rows_in();
    if complete || (plan.limit.is_some() && read.totals.of(Outcome::Failed) > 0) {
        exit = exit.worse(own_exit(&read));
    }
    if !complete && stopped.is_empty() && plan.limit.is_none() {
        exit = Exit::Internal;
        stopped.push(format!(
            "{} in, {} out: please report it; the same command continues",
            count(run.rows_in(), "rows"),
            count(read.totals.records, "rows")
        ));
    }
    let damaged = worked.damaged + read.damaged;
    let mut summary = Summary::new(run, &read.totals, stopped, worked.wall, worked.waits.longest);
    summary.limits = limits_of(&worked.waits);
    summary.exit_code = exit.code();
    summary.damaged_lines = damaged;
    summary.notes = worked.notes;
    if let Err(error) = write_summary(folder, &mut summary, &figures) {
        exit = exit.worse(error.exit());
        summary.exit_code = exit.code();
        summary.stopped.push(error.chain());
    }
    let text = Some(summary.text(folder, &next_commands::of_run(&summary.run, folder)));
    Accounted { exit, totals: Some(read.totals), stopped: summary.stopped, text }
}

/// A complete run that was named again, or cut short before its account was written: nothing is sent, what is
/// missing or of an earlier call is written, and it ends with its own code.
///
/// # Errors
/// `Error::File`.
pub(super) fn complete(
    folder: &Path,
    run: RunFile,
    rows: OriginalRows,
    read: &ReadBack,
    console: &Console,
) -> Result<Exit, Error> {
    let mut rebuilt = Vec::new();
    let stale = !is_accounted(folder);
    let mut missing = |name: &'static str| {
        let missing = (stale && name != "state.json") || !folder.join(name).exists();
        rebuilt.extend(missing.then_some(name));
        missing
    };
    if missing("state.json") {
        State { saved_at: Some(Timestamp::now()), ..State::default() }.write(folder)?;
    }
    if missing("failed.csv") {
        let mut failed = Failed::default();
        each_record(folder, run.rows, |record| failed.add(record))?;
        rows.write(folder, failed)?;
    }
    let (summary_missing, report_missing) = (missing("summary.json"), missing("report.html"));
    let exit = own_exit(read);
    let mut summary = Summary::new(run, &read.totals, Vec::new(), Duration::ZERO, Duration::ZERO);
    summary.exit_code = exit.code();
    let figures = Figures::of(folder, summary.run.rows)?;
    summary.tell(&figures);
    if summary_missing || report_missing {
        write_summary(folder, &mut summary, &figures)?;
    }
    let files = if rebuilt.is_empty() {
        "all its files are there".to_owned()
    } else {
        format!("written again: {}", rebuilt.join(", "))
    };
    console.status(&format!("{} is complete: nothing was sent; {files}", folder.display()));
    console.result(&summary.text(folder, &next_commands::of_run(&summary.run, folder)));
    Ok(exit)
}

/// The code of a run that was not stopped.
fn own_exit(read: &ReadBack) -> Exit {
    if read.totals.of(Outcome::Failed) + read.totals.of(Outcome::Invalid) > 0 {
        Exit::SomeFailed
    } else {
        Exit::Done
    }
}

fn write_summary(folder: &Path, summary: &mut Summary, figures: &Figures) -> Result<(), Error> {
    report::complete(folder, summary, figures)?;
    summary.files = hashes(folder)?;
    let bytes = serde_json::to_vec_pretty(summary).map_err(|error| Error::Internal(error.to_string()))?;
    let path = folder.join("summary.json");
    sys::replace(&path, &bytes).map_err(|source| Error::file("replace", &path, source))
}

fn print_stops(exit: Exit, stopped: &[String], console: &Console) {
    let is_error = matches!(exit, Exit::Internal | Exit::Usage | Exit::SignIn | Exit::SafetyLimit);
    for sentence in stopped {
        match is_error {
            true => console.error(sentence),
            false => console.status(&format!("stopped: {sentence}")),
        }
    }
}

/// The exit code for a stop reason.
pub(super) fn exit_of(why: &StopReason) -> Exit {
    match why {
        StopReason::Interrupted => Exit::Interrupted,
        StopReason::Terminated => Exit::Terminated,
        StopReason::Deadline(_) | StopReason::LongPause(_) | StopReason::Stalled(_) => Exit::Stopped,
        StopReason::SafetyLimit(_) => Exit::SafetyLimit,
        StopReason::SignIn(_) => Exit::SignIn,
        StopReason::Journal(_) | StopReason::Bug(_) | StopReason::Input(_) => Exit::Internal,
    }
}

fn sentence(why: &StopReason) -> String {
    match why {
        StopReason::Interrupted => "by Ctrl-C".to_owned(),
        StopReason::Terminated => "by SIGTERM or SIGHUP".to_owned(),
        StopReason::SignIn(text) => sign_in_text(text),
        StopReason::Deadline(text)
        | StopReason::LongPause(text)
        | StopReason::Stalled(text)
        | StopReason::SafetyLimit(text)
        | StopReason::Journal(text)
        | StopReason::Bug(text)
        | StopReason::Input(text) => text.clone(),
    }
}
