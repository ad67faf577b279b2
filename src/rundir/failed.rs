//! `failed.csv`: failed and invalid rows with their original columns, to be fed back to `run`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::line::Written;
use crate::error::Error;
use crate::model::{Outcome, Reason, sanitize};
use crate::sys;

/// Our columns start so, and are replaced when the file is fed back.
const OURS: &str = "reprovision_";
/// Longest cell kept, in characters.
const LONGEST_CELL: usize = 32_000;

/// The rows that `failed.csv` repeats, gathered from their records.
#[derive(Clone, Debug, Default)]
pub struct Failed(BTreeMap<u64, (Outcome, Reason)>);

impl Failed {
    /// Keeps the row of a record that failed or is invalid.
    pub fn add(&mut self, record: &Written<'_>) {
        if let (Outcome::Failed | Outcome::Invalid, Some(reason)) = (record.outcome, record.reason) {
            self.0.insert(record.row, (record.outcome, reason));
        }
    }

    /// Writes `failed.csv` beside `results.csv`. `raw` gives every data row from the first, and is read as far as the
    /// last one kept.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn write(
        mut self,
        folder: &Path,
        original: Original<'_>,
        raw: impl Iterator<Item = Result<(u64, Vec<String>), Error>>,
        next_step: impl Fn(Reason) -> &'static str,
    ) -> Result<(), Error> {
        // Where all were accepted the input is not read again.
        let last = self.0.last_key_value().map_or(0, |(row, _)| *row);
        let raw = raw.take(usize::try_from(last).unwrap_or(usize::MAX));
        write_original(&folder.join("failed.csv"), folder, original, raw, |row| {
            let (outcome, reason) = self.0.remove(&row)?;
            Some([outcome.as_str(), reason.as_str(), next_step(reason)].map(str::to_owned))
        })
    }
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
        .write_record(kept.iter().map(|at| sanitize(&names[*at], LONGEST_CELL)).chain(ours))
        .map_err(written)?;
    let run = sanitize(&folder.file_name().unwrap_or_default().to_string_lossy(), LONGEST_CELL);
    for row in raw {
        let (number, cells) = row?;
        let Some(picked) = pick(number) else { continue };
        let mut line: Vec<String> = kept
            .iter()
            .map(|at| cells.get(*at).map_or_else(String::new, |cell| sanitize(cell, LONGEST_CELL)))
            .collect();
        line.extend([run.clone(), number.to_string()]);
        line.extend(picked);
        // What is beyond the header stays beyond it: no name is above it, now or when the file is fed back.
        line.extend(cells.iter().skip(names.len()).map(|cell| sanitize(cell, LONGEST_CELL)));
        writer.write_record(&line).map_err(written)?;
    }
    let file = writer.into_inner().map_err(|error| fail(error.into_error()))?;
    file.commit().map_err(fail)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::line;
    use super::super::read_back::tests::record;
    use super::*;

    #[test]
    fn rows_keep_their_cells_and_added_columns_are_replaced() {
        let parent = tempfile::tempdir().expect("a folder");
        let names = ["reprovision_row", "id", "reprovision_outcome", "a;b", "my_reprovision_run"];
        let names = names.map(str::to_owned);
        let original = Original { names: &names, delimiter: b';' };
        let rows = [
            (1, vec!["7", "a@b", "failed", "x;y", "kept"]),
            (2, vec!["8", "c@d"]),
            (3, vec!["9", "=1+1", "failed", "\u{1b}[31m", "", "beyond"]),
        ];
        let raw =
            rows.into_iter().map(|(row, cells)| Ok((row, cells.into_iter().map(str::to_owned).collect())));
        let folder = Path::new("reprovision-runs/a-run");
        let path = parent.path().join("failed.csv");
        let picked = |row| (row != 2).then(|| ["failed", "not_found", "look; then ask"].map(str::to_owned));
        write_original(&path, folder, original, raw, picked).expect("written");
        let ours =
            "reprovision_run;reprovision_row;reprovision_outcome;reprovision_reason;reprovision_next_step";
        let expected = format!(
            "\u{feff}id;\"a;b\";my_reprovision_run;{ours}\n\
             a@b;\"x;y\";kept;a-run;1;failed;not_found;\"look; then ask\"\n\
             '=1+1;\\u{{1b}}[31m;;a-run;3;failed;not_found;\"look; then ask\";beyond\n"
        );
        assert_eq!(std::fs::read_to_string(path).expect("read"), expected);
    }

    #[test]
    fn the_input_is_read_as_far_as_the_last_row_that_failed() {
        for failing in [&[][..], &[2, 5]] {
            let parent = tempfile::tempdir().expect("a folder");
            let mut failed = Failed::default();
            for row in 1..=9 {
                let outcome = if failing.contains(&row) { Outcome::Failed } else { Outcome::Accepted };
                let mut text = Vec::new();
                line::write(&record(row, outcome), Default::default(), &mut text);
                failed.add(&line::read(&text, Default::default()).expect("ours"));
            }
            let read = Cell::new(0);
            let raw = (1..=9_u64).map(|row| {
                read.set(row);
                Ok((row, vec![format!("cell {row}")]))
            });
            let names = ["id".to_owned()];
            let original = Original { names: &names, delimiter: b',' };
            failed.write(parent.path(), original, raw, |_| "look").expect("written");
            assert_eq!(read.get(), failing.last().copied().unwrap_or(0));
            let text = std::fs::read_to_string(parent.path().join("failed.csv")).expect("read");
            let cells: Vec<_> = text.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
            assert_eq!(cells, failing.iter().map(|row| format!("cell {row}")).collect::<Vec<_>>());
        }
    }
}
