//! A data row of the input, on its way into the pool or already settled without sending.

use super::{Record, Text, UserId};

/// One data row that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Number of the data row, from 1. Rows whose cells are all blank have no number.
    pub number: u64,
    /// Physical line in the input where the row begins, from 1.
    pub line: u64,
    /// The id cell as given, trimmed and neutralised for spreadsheets: what `results.csv` shows.
    pub shown: Text,
    /// The id that is sent.
    pub id: UserId,
}

/// What the input stream yields for each data row that has no record yet.
#[derive(Debug)]
pub enum Item {
    /// Goes to the pool.
    Send(Row),
    /// Invalid or duplicate: settled by reading alone, nothing is sent.
    Settled(Box<Record>),
}
