//! Several runs as one: shards of one input and runs of several tenants, with the proof that nothing is missing.

use std::path::PathBuf;

use serde::Serialize;

use super::figures::{Cause, Durations, Figures};
use super::files::load;
use super::html::Part;
use super::words::thousands;
use crate::error::Error;
use crate::rundir::{Identity, Rows};

/// Missing rows that are named.
const SAMPLES: usize = 5;

/// One input in one tenant, and the runs that share its rows.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Name of the input.
    pub input: String,
    /// Its SHA-256.
    pub input_sha256: String,
    /// The tenant.
    pub tenant: String,
    /// How many runs share it.
    pub runs: usize,
    /// Data rows of the input.
    pub rows: u64,
    /// Rows with a record in one of the runs; no row has one in two of them.
    pub covered: u64,
    /// The first rows without a record.
    pub missing: Vec<u64>,
    #[serde(skip)]
    identity: Identity,
    #[serde(skip)]
    seen: Rows,
}

impl Group {
    /// In words.
    pub fn sentence(&self) -> String {
        let runs =
            if self.runs == 1 { "1 run covers".to_owned() } else { format!("{} runs cover", self.runs) };
        let rest = match self.missing.as_slice() {
            [] => "every row once, none twice".to_owned(),
            rows => {
                let rows: Vec<_> = rows.iter().map(u64::to_string).collect();
                let missing = self.rows - self.covered;
                let more = if missing > rows.len() as u64 { " …" } else { "" };
                format!("{} rows have no record (row {}{more})", thousands(missing), rows.join(", "))
            }
        };
        format!(
            "{} in {}: {runs} {} of {} rows: {rest}",
            self.input,
            self.tenant,
            thousands(self.covered),
            thousands(self.rows)
        )
    }
}

/// Runs read together.
#[derive(Debug)]
pub struct Merged {
    /// Each run.
    pub parts: Vec<Part>,
    /// Their figures together.
    pub figures: Figures,
    /// Their inputs.
    pub groups: Vec<Group>,
}

/// The machine form of a merged report.
#[derive(Debug, Serialize)]
pub struct MergedSummary<'a> {
    /// Version of this form.
    pub schema: u32,
    /// Data rows of all inputs.
    pub rows_in: u64,
    /// Rows with a record.
    pub rows_out: u64,
    /// Whether both are equal.
    pub complete: bool,
    /// Count of each outcome.
    pub totals: std::collections::BTreeMap<String, u64>,
    /// Inputs and how far they are covered.
    pub inputs: &'a [Group],
    /// Reasons and error codes, the most frequent first.
    pub causes: Vec<Cause>,
    /// How long users took.
    pub durations_ms: Durations,
    /// Users by number of requests: 1, 2, … and the last for 7 and more.
    pub attempts: &'a [u64],
    /// The summaries of the runs, each with the name of its folder.
    pub runs: Vec<(&'a str, &'a super::Summary)>,
}

impl Merged {
    /// Reads them.
    ///
    /// # Errors
    /// `Error::Usage` where a row stands in two of them; else as for one run.
    pub fn read(folders: &[PathBuf]) -> Result<Self, Error> {
        let mut merged = Self { parts: Vec::new(), figures: Figures::default(), groups: Vec::new() };
        for folder in folders {
            let part = load(folder)?;
            let run = &part.summary.run;
            let at = match merged.groups.iter().position(|group| group.identity == run.identity) {
                Some(at) => at,
                None => {
                    merged.groups.push(Group {
                        input: run.input.clone(),
                        input_sha256: run.identity.input_sha256.clone(),
                        tenant: run.identity.tenant.clone(),
                        runs: 0,
                        rows: 0,
                        covered: 0,
                        missing: Vec::new(),
                        identity: run.identity.clone(),
                        seen: Rows::default(),
                    });
                    merged.groups.len() - 1
                }
            };
            let group = &mut merged.groups[at];
            group.runs += 1;
            group.rows = group.rows.max(run.rows);
            let mut twice = None;
            merged.figures.read(folder, run.rows, |row| {
                if group.seen.insert(row) {
                    group.covered += 1;
                } else {
                    twice.get_or_insert(row);
                }
            })?;
            if let Some(row) = twice {
                return Err(Error::Usage(format!(
                    "row {row} of {} has a record in {} and in a run named before it: they are no shards of one run, \
                     and their sum would count users twice; leave one of them out",
                    run.input,
                    folder.display()
                )));
            }
            merged.parts.push(part);
        }
        for group in &mut merged.groups {
            group.missing = (1..=group.rows).filter(|row| !group.seen.contains(*row)).take(SAMPLES).collect();
        }
        Ok(merged)
    }

    /// For machines.
    pub fn summary(&self) -> MergedSummary<'_> {
        let mut totals = std::collections::BTreeMap::new();
        for (name, count) in self.parts.iter().flat_map(|part| &part.summary.totals) {
            *totals.entry(name.clone()).or_default() += count;
        }
        let rows_in = self.groups.iter().map(|group| group.rows).sum();
        let rows_out = self.groups.iter().map(|group| group.covered).sum();
        MergedSummary {
            schema: 1,
            rows_in,
            rows_out,
            complete: rows_in == rows_out,
            totals,
            inputs: &self.groups,
            causes: self.figures.causes(),
            durations_ms: self.figures.durations(),
            attempts: &self.figures.attempts,
            runs: self.parts.iter().map(|part| (part.name.as_str(), &part.summary)).collect(),
        }
    }
}
