//! `report`: renders summary and page of a run again, or of several together.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::newest::the_newest;
use crate::cli::{RedactKind, Report};
use crate::error::{Error, Exit};
use crate::jobs::files::is_file;
use crate::jobs::next_commands;
use crate::report::{Figures, Merged, Redact, ReportPage, load};
use crate::rundir::{RUNS, find_run, newest_of};
use crate::sys;
use crate::terminal::Console;

/// Writes the reports asked for.
///
/// # Errors
/// `Error::Usage` for runs that cannot be found or files that are in the way; `Error::File`, `Error::Damaged`.
pub(super) fn report(asked: &Report, console: &Console) -> Result<Exit, Error> {
    let parent = Path::new(RUNS);
    let mut folders = Vec::new();
    if asked.runs.is_empty() {
        let tenant = asked.tenant.as_deref();
        let (newest, _) = newest_of(parent, tenant)?;
        console.status(&format!("Run       {} ({})", newest.display(), the_newest(tenant)));
        folders.push(newest);
    }
    for run in &asked.runs {
        folders.push(find_run(parent, run)?);
    }
    let redact = match asked.redact {
        Some(RedactKind::Upn) => Redact::Upn,
        None => Redact::Nothing,
    };
    if asked.merge {
        return merge(asked, &folders, redact, console);
    }
    if asked.out.is_some() && folders.len() > 1 {
        return Err(Error::Usage(
            "--out names one file, and several runs were given: add --merge".to_owned(),
        ));
    }
    for folder in &folders {
        single(asked, folder, redact, console)?;
    }
    Ok(Exit::Done)
}

fn single(asked: &Report, folder: &Path, redact: Redact, console: &Console) -> Result<(), Error> {
    let mut part = load(folder)?;
    let figures = Figures::of(folder, part.summary.run.rows)?;
    part.summary.tell(&figures);
    let told = part.summary.text(folder, &next_commands::of_run(&part.summary.run, folder));
    let page = ReportPage { parts: &[part], figures: &figures, groups: &[], redact }.render();
    let path = match &asked.out {
        Some(out) => {
            write_out(out, page.as_bytes(), asked.force)?;
            out.clone()
        }
        None => {
            let name = if redact == Redact::Nothing { "report.html" } else { "report-redacted.html" };
            let path = folder.join(name);
            sys::replace(&path, page.as_bytes()).map_err(|source| Error::file("replace", &path, source))?;
            path
        }
    };
    console.result(&format!("{told}\nReport    {}", path.display()));
    Ok(())
}

fn merge(asked: &Report, folders: &[PathBuf], redact: Redact, console: &Console) -> Result<Exit, Error> {
    let merged = Merged::read(folders)?;
    let page = ReportPage { parts: &merged.parts, figures: &merged.figures, groups: &merged.groups, redact }
        .render();
    let summary = merged.summary();
    let json = serde_json::to_vec_pretty(&summary).map_err(|error| Error::Internal(error.to_string()))?;
    let path = asked.out.clone().unwrap_or_else(|| PathBuf::from("merged.html"));
    write_out(&path, page.as_bytes(), asked.force)?;
    write_out(&path.with_extension("json"), &json, asked.force)?;
    for group in &merged.groups {
        console.result(&group.sentence());
    }
    for (name, count) in &summary.totals {
        console.result(&format!("  {} {name}", crate::report::thousands(*count)));
    }
    console.result(&format!("Report    {} and {}", path.display(), path.with_extension("json").display()));
    Ok(if summary.complete { Exit::Done } else { Exit::Stopped })
}

/// A file of the user's choice: never through a link, into a pipe, or over something else.
fn write_out(path: &Path, bytes: &[u8], force: bool) -> Result<(), Error> {
    match (is_file(path)?, force) {
        (true, false) => {
            Err(Error::Usage(format!("{} exists: --force replaces it; nothing was written", path.display())))
        }
        // A new file takes the name: what else is linked to the old one stays as it is.
        (true, true) => sys::replace(path, bytes).map_err(|source| Error::file("replace", path, source)),
        (false, _) => {
            let written = sys::open_private(path, OpenOptions::new().write(true).create_new(true))
                .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
            written.map_err(|source| Error::file("create", path, source))
        }
    }
}
