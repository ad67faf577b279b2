//! How a list was split into cells, so that its copy is split in the same way when it is read again.

use serde::{Deserialize, Serialize};

/// What flags and the first look at the list decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvLayout {
    /// Cell delimiter.
    pub delimiter: char,
    /// Column of the ids, from 1.
    pub column: usize,
    /// Whether the first line is a header.
    pub header: bool,
    /// Physical line at which the last record above the rows begins: the header, or a line before the first row; 0 where there is none.
    pub skipped: u64,
}
