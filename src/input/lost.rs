//! Counts the characters of the input that could not be read, and keeps the first line.

use super::records::Gathered;
use crate::model::count;

/// The character for bytes that could not be read, here or in the program that wrote the list.
const LOST: char = char::REPLACEMENT_CHARACTER;

/// Rows that hold one.
#[derive(Debug, Default)]
pub(super) struct Lost {
    rows: u64,
    /// Physical line and column of the first; no column where the line could not be split.
    first: Option<(u64, Option<usize>)>,
}

impl Lost {
    /// Counts the characters of one row.
    pub(super) fn look(&mut self, gathered: &Gathered) {
        let breaks = |text: &str| text.matches('\n').count() as u64;
        let found = match &gathered.cells {
            Ok(cells) => cells.iter().position(|cell| cell.contains(LOST)).map(|column| {
                let before = cells[column].split(LOST).next().unwrap_or_default();
                let above: u64 = cells[..column].iter().map(|cell| breaks(cell)).sum();
                (gathered.line + above + breaks(before), Some(column + 1))
            }),
            Err(broken) => broken.raw.contains(LOST).then_some((gathered.line, None)),
        };
        if let Some(place) = found {
            self.rows += 1;
            self.first.get_or_insert(place);
        }
    }

    /// For people; `None` where nothing was lost.
    pub(super) fn sentence(&self) -> Option<String> {
        let (line, column) = self.first?;
        let column = column.map_or_else(String::new, |column| format!(", column {column}"));
        let rows = count(self.rows, "rows");
        Some(format!(
            "characters that cannot be read (shown as {LOST}) in {rows}, the first in line {line}{column}; \
             no id with one is sent. Save the list as UTF-8 where it comes from"
        ))
    }
}
