//! The options for reading the input.

use crate::model::{CsvLayout, ObjectKind, Shard};

/// The options for reading the input.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--column`: name or number from 1.
    pub column: Option<String>,
    /// `--delimiter`.
    pub delimiter: Option<u8>,
    /// `--object`: what the ids name.
    pub object: ObjectKind,
    /// How the list was split before.
    pub reading: Option<CsvLayout>,
    /// `--shard`: the rows of this invocation.
    pub shard: Option<Shard>,
}

impl From<CsvLayout> for Options {
    /// To split a list as it was split before.
    fn from(reading: CsvLayout) -> Self {
        Self {
            column: Some(reading.column.to_string()),
            delimiter: u8::try_from(reading.delimiter).ok(),
            reading: Some(reading),
            ..Self::default()
        }
    }
}
