//! The account of a run: `summary.json` for machines, a few lines for people.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::words::{ACCEPTED_MEANS, cause, human, next_step, thousands};
use crate::model::{ObjectKind, Outcome};
use crate::rundir::{RunFile, Totals};

/// `summary.json`.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Version of this form.
    pub schema: u32,
    /// What was asked.
    pub run: RunFile,
    /// How the call ended.
    pub exit_code: u8,
    /// Why it stopped early, in sentences; empty where it did not.
    pub stopped: Vec<String>,
    /// Data rows of the input.
    pub rows_in: u64,
    /// Rows with a record.
    pub rows_out: u64,
    /// Whether both are equal.
    pub complete: bool,
    /// Count of each outcome.
    pub totals: BTreeMap<&'static str, u64>,
    /// Count and first rows of each reason.
    pub reasons: BTreeMap<&'static str, (u64, Vec<u64>)>,
    /// Requests over all calls of finished users.
    pub requests: u64,
    /// Of them refused by a limit.
    pub throttled: u64,
    /// Longest single wait that was asked for in this call, in seconds.
    pub longest_wait_s: f64,
    /// Length of this call in seconds.
    pub wall_s: f64,
    /// Lines of results.csv that could not be read and were done again.
    pub damaged_lines: u64,
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
            schema: 1,
            exit_code: 0,
            rows_in: run.rows,
            rows_out: totals.records,
            complete: run.rows == totals.records,
            totals: totals.outcomes.clone(),
            reasons: totals.reasons.iter().map(|(reason, found)| (reason.as_str(), found.clone())).collect(),
            requests: totals.attempts,
            throttled: totals.throttled,
            longest_wait_s: longest_wait.as_secs_f64(),
            wall_s: wall.as_secs_f64(),
            damaged_lines: 0,
            stopped,
            run,
        }
    }

    /// For people.
    pub fn text(&self, totals: &Totals, folder: &Path, object: ObjectKind, again: &str) -> String {
        let mut out = String::new();
        let simulated = if self.run.simulated { "SIMULATED  " } else { "" };
        let ended = if self.complete { "Finished" } else { "Stopped" };
        let _ = writeln!(out, "{simulated}{ended} after {}", human(Duration::from_secs_f64(self.wall_s)));
        let equal = if self.complete { "=" } else { "≠" };
        let _ = writeln!(
            out,
            "  {} rows in {equal} {} rows out",
            thousands(self.rows_in),
            thousands(self.rows_out)
        );
        let outcomes = [Outcome::Accepted, Outcome::Failed, Outcome::Invalid, Outcome::Duplicate];
        let counts: Vec<_> = outcomes
            .into_iter()
            .filter(|outcome| totals.of(*outcome) > 0 || *outcome == Outcome::Accepted)
            .map(|outcome| format!("{} {}", thousands(totals.of(outcome)), outcome.as_str()))
            .collect();
        let _ = writeln!(out, "  {}", counts.join(" · "));
        if totals.of(Outcome::Accepted) > 0 {
            let _ = writeln!(out, "  {ACCEPTED_MEANS}");
        }
        let _ = writeln!(
            out,
            "  {} requests, {} refused by a limit, longest wait {}",
            thousands(self.requests),
            thousands(self.throttled),
            human(Duration::from_secs_f64(self.longest_wait_s))
        );
        if !totals.reasons.is_empty() {
            let _ = writeln!(out, "Why {} were not accepted", object.plural());
            for (reason, (count, rows)) in &totals.reasons {
                let rows: Vec<_> = rows.iter().map(u64::to_string).collect();
                let _ = writeln!(
                    out,
                    "  {:>7}  {} ({}; rows {}{}): {}",
                    thousands(*count),
                    cause(*reason),
                    reason.as_str(),
                    rows.join(", "),
                    if *count > rows.len() as u64 { " …" } else { "" },
                    next_step(*reason)
                );
            }
        }
        for sentence in &self.stopped {
            let _ = writeln!(out, "Stopped: {sentence}");
        }
        if !self.complete {
            let _ = writeln!(out, "Go on     {again}");
        } else if totals.of(Outcome::Failed) + totals.of(Outcome::Invalid) > 0 {
            let _ = writeln!(
                out,
                "Next      fix the causes, then: reprovision run {}",
                folder.join("failed.csv").display()
            );
        }
        let _ = write!(out, "Files     {}   exit {}", folder.display(), self.exit_code);
        out
    }
}
