//! `report`: renders summary and page of a run again, or of several together.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Exit};
use crate::jobs::chosen_run::RunChoice;
use crate::jobs::files::is_file;
use crate::jobs::next_commands;
use crate::report::{Figures, Merged, Redact, ReportPage, load};
use crate::sys;
use crate::terminal::Console;

/// Which reports are written, and where.
#[derive(Clone, Debug)]
pub(crate) struct ReportPlan {
    /// Runs, each by its folder or a unique part of its name; empty: the newest.
    pub(crate) runs: Vec<PathBuf>,
    /// Tenant whose newest run is meant if no run is named.
    pub(crate) tenant: Option<String>,
    /// One report for all runs.
    pub(crate) merge: bool,
    pub(crate) redact: Redact,
    /// File of the report, instead of the usual one.
    pub(crate) out: Option<PathBuf>,
    /// The file may be replaced.
    pub(crate) force: bool,
}

/// Writes the reports of a plan.
///
/// # Errors
/// `Error::Usage` for runs that cannot be found or files that are in the way; `Error::File`, `Error::Damaged`.
pub(crate) fn report(plan: &ReportPlan, console: &Console) -> Result<Exit, Error> {
    let choice = |run| RunChoice { run, tenant: plan.tenant.clone(), scenario: None };
    let mut folders = Vec::new();
    if plan.runs.is_empty() {
        let newest = choice(None).find()?;
        console.status(&format!("Run       {}{}", newest.folder.display(), newest.reason()));
        folders.push(newest.folder);
    }
    for run in &plan.runs {
        folders.push(choice(Some(run.clone())).find()?.folder);
    }
    if plan.merge {
        return merge(plan, &folders, console);
    }
    if plan.out.is_some() && folders.len() > 1 {
        return Err(Error::Usage(
            "--out names one file, and several runs were given: add --merge".to_owned(),
        ));
    }
    for folder in &folders {
        single(plan, folder, console)?;
    }
    Ok(Exit::Done)
}

fn single(plan: &ReportPlan, folder: &Path, console: &Console) -> Result<(), Error> {
    let mut part = load(folder)?;
    let figures = Figures::of(folder, part.summary.run.rows)?;
    part.summary.tell(&figures);
    let told = part.summary.text(folder, &next_commands::of_run(&part.summary.run, folder));
    let page = ReportPage { parts: &[part], figures: &figures, groups: &[], redact: plan.redact }.render();
    let path = match &plan.out {
        Some(out) => {
            write_out(out, page.as_bytes(), plan.force)?;
            out.clone()
        }
        None => {
            let name = if plan.redact == Redact::Nothing { "report.html" } else { "report-redacted.html" };
            let path = folder.join(name);
            sys::replace(&path, page.as_bytes()).map_err(|source| Error::file("replace", &path, source))?;
            path
        }
    };
    console.result(&format!("{told}\nReport    {}", path.display()));
    Ok(())
}

fn merge(plan: &ReportPlan, folders: &[PathBuf], console: &Console) -> Result<Exit, Error> {
    let merged = Merged::read(folders)?;
    let page = ReportPage {
        parts: &merged.parts,
        figures: &merged.figures,
        groups: &merged.groups,
        redact: plan.redact,
    }
    .render();
    let summary = merged.summary();
    let json = serde_json::to_vec_pretty(&summary).map_err(|error| Error::Internal(error.to_string()))?;
    let path = plan.out.clone().unwrap_or_else(|| PathBuf::from("merged.html"));
    write_out(&path, page.as_bytes(), plan.force)?;
    write_out(&path.with_extension("json"), &json, plan.force)?;
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
