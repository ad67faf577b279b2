//! `report.html` in a run's folder, replaced as a whole.

use std::path::Path;

use crate::error::Error;
use crate::sys;

/// Writes it: a reader sees the old or the new one.
///
/// # Errors
/// `Error::File`.
pub fn write_page(folder: &Path, page: &str) -> Result<(), Error> {
    let path = folder.join("report.html");
    sys::replace(&path, page.as_bytes()).map_err(|source| Error::file("replace", path, source))
}
