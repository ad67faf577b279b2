//! The data rows of a list: without lead-in, header, its repeats and example; a row that may have shifted is
//! broken.

use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;

use super::encoding::Utf8Reader;
use super::lead_in::is_example;
use super::records::{Broken, Gathered, Records};
use super::repeats::Names;
use super::width::{Before, Widths};
use crate::error::Error;

/// Data rows with their numbers; lead-in, header, its repeats and example left out. A row whose cells do not
/// surely stand under their names is broken.
pub(super) struct Rows {
    pub(super) records: Records<BufReader<Utf8Reader>>,
    pub(super) delimiter: u8,
    pub(super) copy: PathBuf,
    /// Physical line at which the last record above the rows begins.
    pub(super) skipped: u64,
    pub(super) names: Option<Names>,
    pub(super) column: usize,
    /// `None` while the rows are counted, or where all are alike.
    pub(super) widths: Option<Arc<Widths>>,
    pub(super) before: Option<Before>,
    /// Lines that repeat the header.
    pub(super) repeats: u64,
    pub(super) number: u64,
    /// Whether an example before the first row is a template's. In a `failed.csv` it was a row.
    pub(super) templates: bool,
    pub(super) examples: u64,
}

impl Iterator for Rows {
    type Item = Result<(u64, Gathered), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut gathered = match self.records.next() {
                Ok(gathered) => gathered?,
                Err(source) => return Some(Err(Error::file("read", &self.copy, source))),
            };
            if gathered.line <= self.skipped {
                continue;
            }
            if let Ok(cells) = &gathered.cells {
                if self.number == 0 && self.templates && is_example(cells) {
                    self.examples += 1;
                    continue;
                }
                if self.names.as_ref().is_some_and(|names| names.are_repeated_by(cells, self.column)) {
                    self.repeats += 1;
                    continue;
                }
                if let Some(widths) = &self.widths {
                    let fault = widths.fault(&gathered, self.before.replace(Before::new(cells, self.column)));
                    if let Some(why) = fault {
                        let raw = cells.join(char::from(self.delimiter).encode_utf8(&mut [0; 4]));
                        gathered.cells = Err(Broken { raw, why });
                    }
                }
            } else {
                self.before = None;
            }
            self.number += 1;
            return Some(Ok((self.number, gathered)));
        }
    }
}
