//! One run of a report, as its folder holds it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::figures::Span;
use super::summary::Summary;
use super::verified::Verified;
use crate::error::Error;
use crate::rundir::{RunFile, each_record};

/// One run on a page.
#[derive(Debug)]
pub struct Part {
    /// Name of its folder.
    pub name: String,
    /// Its account.
    pub summary: Summary,
    /// What a later look found.
    pub verified: Option<Verified>,
}

/// Reads what a folder holds: its summary, or one made of its records if the run was cut short or the summary is of a newer
/// version.
///
/// # Errors
/// `Error::Usage` if the folder is not one of a run; those of `each_record`.
pub fn load(folder: &Path) -> Result<Part, Error> {
    let run = RunFile::read(folder).ok_or_else(|| {
        Error::Usage(format!("{} is not the folder of a run. It has no readable run.json", folder.display()))
    })?;
    let mut span = Span::default();
    let read = each_record(folder, run.rows, |record| span.add(record))?;
    let written = fs::read(folder.join("summary.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Summary>(&bytes).ok())
        .filter(|summary| {
            summary.is_known() && summary.of_all(&read.totals) && summary.run.started_at == run.started_at
        });
    let summary = written.unwrap_or_else(|| {
        let cut = "it is still running, or was cut short; the same command continues".to_owned();
        let stopped = if read.totals.records < run.rows_in() { vec![cut] } else { Vec::new() };
        let mut summary = Summary::new(run, &read.totals, stopped, Duration::ZERO, Duration::ZERO);
        summary.lasted(&span);
        summary.exit_code = summary.own_exit().code();
        summary
    });
    Ok(Part { name: name(folder), summary, verified: Verified::read(folder)? })
}

/// Name of a folder, whichever way the path leads there.
pub(super) fn name(folder: &Path) -> String {
    fs::canonicalize(folder)
        .ok()
        .and_then(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()))
        .unwrap_or_else(|| folder.display().to_string())
}
