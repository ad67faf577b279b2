//! Several runs as one: shards of one input and runs of several tenants, with the proof that nothing is missing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::figures::{Cause, Durations, Figures};
use super::part::{Part, load};
use crate::error::Error;
use crate::model::{Shard, count, noun, thousands};
use crate::rundir::{Identity, RowSet};

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
    /// Shards that were given, each with its run.
    pub shards: BTreeMap<Shard, String>,
    /// Shards that were not, where rows are missing.
    pub missing_shards: Vec<Shard>,
    #[serde(skip)]
    identity: Identity,
    #[serde(skip)]
    seen: RowSet,
}

impl Group {
    /// Another shard of the same list.
    fn add(&mut self, shard: Shard, run: &str) -> Result<(), Error> {
        if let Some((other, before)) = self.shards.iter().find(|(other, _)| other.of() != shard.of()) {
            return Err(Error::Usage(format!(
                "{before} is shard {other} and {run} is shard {shard} of {}: they are no shares of one split; \
                 leave one of them out",
                self.input
            )));
        }
        match self.shards.insert(shard, run.to_owned()) {
            Some(before) => Err(Error::Usage(format!(
                "{before} and {run} are both shard {shard} of {}, and their sum would count users twice; \
                 leave one of them out",
                self.input
            ))),
            None => Ok(()),
        }
    }

    /// In words.
    pub fn sentence(&self) -> String {
        let cover = if self.runs == 1 { "covers" } else { "cover" };
        let runs = self.runs as u64;
        let list = |shards: &mut dyn Iterator<Item = &Shard>| {
            shards.map(|shard| shard.index().to_string()).collect::<Vec<_>>().join(", ")
        };
        let runs = match self.shards.keys().next() {
            Some(first) => {
                let shards = list(&mut self.shards.keys());
                format!("{} {shards} of {} {cover}", noun(runs, "shards"), first.of())
            }
            None => format!("{} {cover}", count(runs, "runs")),
        };
        let lacking = match self.missing_shards.as_slice() {
            [] => String::new(),
            [one] => format!("shard {} is missing; ", one.index()),
            many => format!("shards {} are missing; ", list(&mut many.iter())),
        };
        let rest = match self.missing.as_slice() {
            [] => "every row once, none twice".to_owned(),
            rows => {
                let rows: Vec<_> = rows.iter().map(u64::to_string).collect();
                let missing = self.rows - self.covered;
                let more = if missing > rows.len() as u64 { " …" } else { "" };
                format!(
                    "{lacking}{} without a record (row {}{more})",
                    count(missing, "rows"),
                    rows.join(", ")
                )
            }
        };
        format!(
            "{} in {}: {runs} {} of {}: {rest}",
            self.input,
            self.tenant,
            thousands(self.covered),
            count(self.rows, "rows")
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
    pub totals: BTreeMap<String, u64>,
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
            let identity = Identity { shard: None, ..run.identity.clone() };
            let at = match merged.groups.iter().position(|group| group.identity == identity) {
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
                        shards: BTreeMap::new(),
                        missing_shards: Vec::new(),
                        identity,
                        seen: RowSet::default(),
                    });
                    merged.groups.len() - 1
                }
            };
            let group = &mut merged.groups[at];
            if let Some(shard) = run.identity.shard {
                group.add(shard, &folder.display().to_string())?;
            }
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
            if let (Some(first), false) = (group.shards.keys().next(), group.missing.is_empty()) {
                let all = (1..=first.of()).filter_map(|index| Shard::new(index, first.of()));
                group.missing_shards = all.filter(|shard| !group.shards.contains_key(shard)).collect();
            }
        }
        Ok(merged)
    }

    /// For machines.
    pub fn summary(&self) -> MergedSummary<'_> {
        let mut totals = BTreeMap::new();
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
