//! Writes `report.html` of a run's folder.

use std::path::Path;

use super::figures::Figures;
use super::html::{Redact, ReportPage};
use super::part::{Part, load, name};
use super::summary::Summary;
use super::verified::Verified;
use crate::error::Error;
use crate::rundir::write_page;

/// Adds what the records tell to the account of a call that ends, and writes `report.html`.
///
/// # Errors
/// `Error::File`; as `each_record`.
pub fn complete(folder: &Path, summary: &mut Summary, figures: &Figures) -> Result<(), Error> {
    summary.tell(figures);
    // The account is needed again afterwards, and a part owns its own.
    let part = Part { name: name(folder), summary: summary.clone(), verified: Verified::read(folder)? };
    let page = ReportPage { parts: &[part], figures, groups: &[], redact: Redact::Nothing }.render();
    write_page(folder, &page)
}

/// Writes `report.html` again from what the folder holds now, for example after a verification.
///
/// # Errors
/// As [`load`] and [`complete`].
pub fn rewrite(folder: &Path) -> Result<(), Error> {
    let part = load(folder)?;
    let figures = Figures::of(folder, part.summary.run.rows)?;
    let page =
        ReportPage { parts: &[part], figures: &figures, groups: &[], redact: Redact::Nothing }.render();
    write_page(folder, &page)
}
