//! `failed.csv`: failed and invalid rows with their original columns, to be fed back to `run`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use super::read_back::{ReadBack, each_record};
use crate::error::Error;
use crate::model::{Outcome, Reason, neutral};
use crate::sys;

/// Our columns start so, and are replaced when the file is fed back.
const OURS: &str = "reprovision_";
/// Longest cell kept, in characters.
const LONGEST_CELL: usize = 32_000;

/// Writes `failed.csv` beside `results.csv` and returns what was read back: the final account.
///
/// # Errors
/// `Error::File`, also where `results.csv` has vanished; `Error::Damaged`.
pub fn write_failed(
    folder: &Path,
    rows: u64,
    original: Original<'_>,
    raw: impl Iterator<Item = Result<(u64, Vec<String>), Error>>,
    next_step: impl Fn(Reason) -> &'static str,
) -> Result<ReadBack, Error> {
    let results = folder.join("results.csv");
    if !fs::exists(&results).unwrap_or(false) {
        let gone = std::io::Error::new(
            std::io::ErrorKind::NotFound,
            "it is gone, and with it the account of this run",
        );
        return Err(Error::file("read", results, gone));
    }
    let mut wanted: BTreeMap<u64, (Outcome, Reason)> = BTreeMap::new();
    let read = each_record(folder, rows, |record| {
        if let (Outcome::Failed | Outcome::Invalid, Some(reason)) = (record.outcome, record.reason) {
            wanted.insert(record.row, (record.outcome, reason));
        }
    })?;
    write_original(&folder.join("failed.csv"), folder, original, raw, |row| {
        let (outcome, reason) = wanted.remove(&row)?;
        Some([outcome.as_str(), reason.as_str(), next_step(reason)].map(str::to_owned))
    })?;
    Ok(read)
}

/// How the input was written.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    /// Names of its columns.
    pub names: &'a [String],
    /// Its delimiter.
    pub delimiter: u8,
}

/// Writes a file of the run's rows that `pick` wants, with their original columns and ours: outcome, reason, next step.
/// Whatever stood in our columns before is replaced.
///
/// # Errors
/// `Error::File`.
pub fn write_original(
    path: &Path,
    folder: &Path,
    original: Original<'_>,
    raw: impl Iterator<Item = Result<(u64, Vec<String>), Error>>,
    mut pick: impl FnMut(u64) -> Option<[String; 3]>,
) -> Result<(), Error> {
    let fail = |source| Error::file("write", path, source);
    let mut file = sys::Replacement::begin(path).map_err(fail)?;
    file.write_all("\u{feff}".as_bytes()).map_err(fail)?;
    let mut writer = csv::WriterBuilder::new().delimiter(original.delimiter).flexible(true).from_writer(file);
    let written = |error: csv::Error| Error::file("write", path, std::io::Error::other(error));
    let names = original.names;
    let kept: Vec<usize> = (0..names.len()).filter(|at| !names[*at].starts_with(OURS)).collect();
    let ours = ["run", "row", "outcome", "reason", "next_step"].map(|name| format!("{OURS}{name}"));
    writer
        .write_record(kept.iter().map(|at| neutral(&names[*at], LONGEST_CELL)).chain(ours))
        .map_err(written)?;
    let run = neutral(&folder.file_name().unwrap_or_default().to_string_lossy(), LONGEST_CELL);
    for row in raw {
        let (number, cells) = row?;
        let Some(picked) = pick(number) else { continue };
        let mut line: Vec<String> = kept
            .iter()
            .map(|at| cells.get(*at).map_or_else(String::new, |cell| neutral(cell, LONGEST_CELL)))
            .collect();
        line.extend([run.clone(), number.to_string()]);
        line.extend(picked);
        writer.write_record(&line).map_err(written)?;
    }
    let file = writer.into_inner().map_err(|error| fail(error.into_error()))?;
    file.commit().map_err(fail)
}
