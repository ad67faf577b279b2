//! The account of a run: `summary.json` for machines, a few lines for people.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::figures::{Cause, Durations, Figures, Span};
use super::limits::Limits;
use super::words::{COUNTED, THIS_INVOCATION, human_s};
use crate::error::Exit;
use crate::model::{Outcome, action, count, noun, thousands};
use crate::rundir::{FileHash, NextCommands, RunFile, Totals};

/// Causes printed; the rest stands in report.html.
const MOST_CAUSES: usize = 10;

/// Seconds by which the records may span more than the one invocation that wrote them: their times are rounded.
const ROUNDING_S: f64 = 1.0;

/// Version of the form of `summary.json`.
const SCHEMA: u32 = 1;

/// `summary.json`; its form is `docs/summary.schema.json`. A new version only where a field changes its meaning or goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Version of this form.
    pub schema: u32,
    /// What was asked.
    pub run: RunFile,
    /// How the call ended.
    pub exit_code: u8,
    /// Why it stopped early, in sentences; empty where it did not.
    pub stopped: Vec<String>,
    /// What else a person should know of this call: trouble with the sign-in that was overcome, a clock that is off.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Data rows of the input; of a shard its own.
    pub rows_in: u64,
    /// Rows with a record.
    pub rows_out: u64,
    /// Whether both are equal.
    pub complete: bool,
    /// Count of each outcome.
    pub totals: BTreeMap<String, u64>,
    /// Count of each reason and the input's lines of its first rows.
    pub reasons: BTreeMap<String, (u64, Vec<u64>)>,
    /// Reasons and error codes with what to do, the most frequent first.
    #[serde(default)]
    pub causes: Vec<Cause>,
    /// How long users took.
    #[serde(default)]
    pub durations_ms: Durations,
    /// Users by number of requests: 1, 2, … and the last for 7 and more.
    #[serde(default)]
    pub attempts: Vec<u64>,
    /// Requests for rows that have their record, over all calls.
    pub requests: u64,
    /// Of them refused by a limit.
    pub throttled: u64,
    /// Longest single wait that was asked for in this call, in seconds.
    pub longest_wait_s: f64,
    /// What the limits of the service did to this call, rows without a record included.
    #[serde(default)]
    pub limits: Limits,
    /// Length of this invocation in seconds; where it was killed or only writes missing files, as `elapsed_s`.
    pub wall_s: f64,
    /// From the first request to the last answer in the records, over all invocations, in seconds.
    #[serde(default)]
    pub elapsed_s: f64,
    /// Lines of results.csv that could not be read and were done again.
    pub damaged_lines: u64,
    /// The other files of the run as they were then.
    #[serde(default)]
    pub files: Vec<FileHash>,
}

impl Summary {
    /// From the account that was read back.
    pub fn new(
        run: RunFile,
        totals: &Totals,
        stopped: Vec<String>,
        wall: Duration,
        longest_wait: Duration,
    ) -> Self {
        Self {
            schema: SCHEMA,
            exit_code: 0,
            rows_in: run.rows_in(),
            rows_out: totals.records,
            complete: run.rows_in() == totals.records,
            totals: totals.outcomes.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            reasons: totals
                .reasons
                .iter()
                .map(|(reason, found)| (reason.as_str().to_owned(), found.clone()))
                .collect(),
            causes: Vec::new(),
            durations_ms: Durations::default(),
            attempts: Vec::new(),
            requests: totals.attempts,
            throttled: totals.throttled,
            longest_wait_s: longest_wait.as_secs_f64(),
            limits: Limits::default(),
            wall_s: wall.as_secs_f64(),
            elapsed_s: 0.0,
            damaged_lines: 0,
            files: Vec::new(),
            notes: Vec::new(),
            stopped,
            run,
        }
    }

    /// Adds what one pass over the records tells.
    pub fn tell(&mut self, figures: &Figures) {
        self.causes = figures.causes();
        self.durations_ms = figures.durations();
        self.attempts = figures.attempts.to_vec();
        self.lasted(&figures.span);
    }

    /// Takes the length from the records. It is that of the invocation too where no other is known: it was killed.
    pub(super) fn lasted(&mut self, span: &Span) {
        self.elapsed_s = span.length().as_secs_f64();
        if self.wall_s == 0.0 {
            self.wall_s = self.elapsed_s;
        }
    }

    /// Returns whether this version knows what the fields mean.
    pub(super) fn is_known(&self) -> bool {
        self.schema <= SCHEMA
    }

    /// Whether it counts what the records count.
    pub fn of_all(&self, totals: &Totals) -> bool {
        self.rows_out == totals.records
            && self
                .totals
                .iter()
                .map(|(name, count)| (name.as_str(), *count))
                .eq(totals.outcomes.iter().map(|(name, count)| (*name, *count)))
    }

    /// How many rows ended so.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.totals.get(outcome.as_str()).copied().unwrap_or(0)
    }

    /// The exit code that the records alone call for.
    pub fn own_exit(&self) -> Exit {
        match self.complete {
            false => Exit::Stopped,
            true if self.of(Outcome::Failed) + self.of(Outcome::Invalid) > 0 => Exit::SomeFailed,
            true => Exit::Done,
        }
    }

    /// Whether the limits of this call met other requests than the records count: those for rows that have no record yet,
    /// or not those of an earlier call.
    pub fn limits_met_others(&self) -> bool {
        !self.complete || self.limits.throttled.values().sum::<u64>() != self.throttled
    }

    /// The same in words, for the requests of this call; nothing where no limit was met.
    pub fn limits_of_call(&self) -> Option<String> {
        let (longest, limits) = (human_s(self.longest_wait_s), self.limits.text()?);
        let throttled = thousands(self.limits.throttled.values().sum());
        Some(format!("{THIS_INVOCATION}: {throttled} throttled, longest wait {longest}, {limits}"))
    }

    /// What it took. Where the records and this invocation count different requests, each has a line that says so, and
    /// only the invocation's says how many were throttled.
    fn effort(&self) -> Vec<String> {
        let requests = count(self.requests, "requests");
        if self.limits_met_others() {
            return [format!("{requests} {COUNTED}")].into_iter().chain(self.limits_of_call()).collect();
        }
        let (throttled, longest) = (thousands(self.throttled), human_s(self.longest_wait_s));
        let all = format!("{requests}, {throttled} throttled, longest wait {longest}");
        [all].into_iter().chain(self.limits.text()).collect()
    }

    /// How long it took: this invocation, and where an earlier one had a part in it, all of them.
    fn took(&self) -> String {
        let invocation = human_s(self.wall_s);
        match self.elapsed_s > self.wall_s + ROUNDING_S {
            true => format!(
                "{invocation} in this invocation, {} after the first request",
                human_s(self.elapsed_s)
            ),
            false => invocation,
        }
    }

    /// For people.
    pub fn text(&self, folder: &Path, next: &NextCommands) -> String {
        let mut out = String::new();
        let simulated = if self.run.simulated { "SIMULATED  " } else { "" };
        let answered = self.of(Outcome::Accepted) + self.of(Outcome::Failed);
        let limit = self.run.settings.get("limit").and_then(serde_json::Value::as_u64);
        let limited = self.stopped.is_empty() && limit.is_some_and(|limit| answered >= limit);
        let ended = match self.complete {
            true => "Finished",
            false if limited => "Stopped by --limit",
            false => "Stopped",
        };
        let _ = writeln!(out, "{simulated}{ended} after {}", self.took());
        for (name, text) in [("label", &self.run.label), ("ticket", &self.run.ticket)] {
            if let Some(text) = text {
                let _ = writeln!(out, "  {name} {text}");
            }
        }
        let (rows_in, rows_out) = (count(self.rows_in, "rows"), thousands(self.rows_out));
        let _ = if self.complete {
            writeln!(out, "  {rows_in} in = {} out", count(self.rows_out, "rows"))
        } else {
            writeln!(out, "  {rows_in} in, {rows_out} done so far")
        };
        if let Some(sentence) = shard_sentence(&self.run) {
            let _ = writeln!(out, "  {sentence}");
        }
        let outcomes = [Outcome::Accepted, Outcome::Failed, Outcome::Invalid, Outcome::Duplicate];
        let counts: Vec<_> = outcomes
            .into_iter()
            .filter(|outcome| self.of(*outcome) > 0 || *outcome == Outcome::Accepted)
            .map(|outcome| format!("{} {}", thousands(self.of(outcome)), outcome.as_str()))
            .collect();
        let _ = writeln!(out, "  {}", counts.join(" · "));
        if self.of(Outcome::Accepted) > 0 {
            let _ = writeln!(out, "  {}", action::ACCEPTED_MEANS);
        }
        for line in self.effort() {
            let _ = writeln!(out, "  {line}");
        }
        if !self.causes.is_empty() {
            let _ = writeln!(out, "Why {} were not accepted", self.run.identity.object.plural());
            for cause in self.causes.iter().take(MOST_CAUSES) {
                let _ = writeln!(out, "  {}", cause_line(cause));
            }
            let more = self.causes.len().saturating_sub(MOST_CAUSES);
            if more > 0 {
                let _ = writeln!(out, "  and {} more: report.html", count(more as u64, "causes"));
            }
        }
        if self.damaged_lines > 0 {
            let _ = writeln!(
                out,
                "  {} of results.csv, kept in damaged.txt; done again",
                count(self.damaged_lines, "damaged lines")
            );
        }
        for note in &self.notes {
            let _ = writeln!(
                out,
                "Note      {}",
                note.trim_start_matches("warning: ").replace('\n', "\n        ")
            );
        }
        if !self.complete {
            let _ = writeln!(out, "Continue  {}", next.resume);
        } else if self.of(Outcome::Failed) + self.of(Outcome::Invalid) > 0 {
            let _ = writeln!(out, "Next      fix the causes, then: {}", next.retry);
        }
        if self.complete && self.of(Outcome::Accepted) > 0 && !self.run.simulated {
            let _ = writeln!(out, "Later     is the error gone? {}", next.verify);
        }
        let _ = write!(out, "Files     {}   exit {}", folder.display(), self.exit_code);
        out
    }
}

/// What a shard leaves to others; `None` for a run of all rows.
pub fn shard_sentence(run: &RunFile) -> Option<String> {
    let shard = run.identity.shard?;
    Some(format!(
        "shard {shard}: {} of the list's {}; {} left to the other shards",
        thousands(run.rows_in()),
        count(run.rows, "rows"),
        thousands(run.rows.saturating_sub(run.rows_in()))
    ))
}

fn cause_line(cause: &Cause) -> String {
    let lines: Vec<_> = cause.lines.iter().map(u64::to_string).collect();
    let code = match cause.error_code.as_str() {
        "" => String::new(),
        code => format!(" {code}"),
    };
    format!(
        "{:>7}  {} ({}{code}; {} {}{}): {}",
        thousands(cause.count),
        cause.title,
        cause.reason,
        noun(cause.count, "lines"),
        lines.join(", "),
        if cause.count > lines.len() as u64 { " …" } else { "" },
        cause.next_step
    )
}
