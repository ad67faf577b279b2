//! The report of a run's folder: read, and written as `report.html`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::figures::{Figures, Span};
use super::html::{Page, Part, Redact};
use super::summary::Summary;
use super::verified::Verified;
use crate::error::Error;
use crate::rundir::{RunFile, each_record, write_page};

/// Adds what the records tell to the account of a call that ends, and writes `report.html`.
///
/// # Errors
/// `Error::File`; as `each_record`.
pub fn complete(folder: &Path, summary: &mut Summary, figures: &Figures) -> Result<(), Error> {
    summary.tell(figures);
    // The account is needed again afterwards, and a part owns its own.
    let part = Part { name: name(folder), summary: summary.clone(), verified: Verified::read(folder)? };
    let page = Page { parts: &[part], figures, groups: &[], redact: Redact::Nothing }.render();
    write_page(folder, &page)
}

/// Writes `report.html` anew from what the folder holds now, such as a later look at its users.
///
/// # Errors
/// As [`load`] and [`complete`].
pub fn rewrite(folder: &Path) -> Result<(), Error> {
    let part = load(folder)?;
    let figures = Figures::of(folder, part.summary.run.rows)?;
    let page = Page { parts: &[part], figures: &figures, groups: &[], redact: Redact::Nothing }.render();
    write_page(folder, &page)
}

/// Reads what a folder holds: its summary, or where the run was cut short, one made of its records.
///
/// # Errors
/// `Error::Usage` where it is no folder of a run; as `each_record`.
pub fn load(folder: &Path) -> Result<Part, Error> {
    let run = RunFile::read(folder).ok_or_else(|| {
        Error::Usage(format!("{} is no folder of a run: it has no readable run.json", folder.display()))
    })?;
    let mut span = Span::default();
    let read = each_record(folder, run.rows, |record| span.add(record))?;
    let written = fs::read(folder.join("summary.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Summary>(&bytes).ok())
        .filter(|summary| summary.of_all(&read.totals) && summary.run.started_at == run.started_at);
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

fn name(folder: &Path) -> String {
    fs::canonicalize(folder)
        .ok()
        .and_then(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()))
        .unwrap_or_else(|| folder.display().to_string())
}
