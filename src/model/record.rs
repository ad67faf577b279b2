//! A record, which is one line of `results.csv`: its columns are defined here and nowhere else.

use std::borrow::Cow;
use std::ops::Deref;

use jiff::Timestamp;

use super::{Outcome, Reason, Text, strip_formula_guard};

/// The type of a column: how its cells are written to `results.csv` and read from it.
pub trait Cell<'a>: Sized {
    /// Appends the cell, with quotes if it needs them, without a delimiter.
    fn write(&self, to: &mut Vec<u8>);

    /// Reads a cell whose quotes were removed. `None` if [`Cell::write`] would write another text for the value.
    fn read(text: Cow<'a, str>) -> Option<Self>;

    /// The value of a column that an earlier version did not write. `None` if a record cannot exist without the column.
    fn missing() -> Option<Self>;
}

/// Makes [`Record`], the header, and the way to and from the cells of a line from one list of columns.
macro_rules! columns {
    ($(#[$first_doc:meta])* $first:ident: $first_type:ty,
     $($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        /// The names of the columns, in their order.
        pub const COLUMNS: &[&str] = &[stringify!($first), $(stringify!($name)),*];

        /// The header of `results.csv`, byte for byte, without the line end.
        pub const HEADER: &str = concat!(stringify!($first), $(",", stringify!($name)),*);

        /// The result of one row. The texts are its own, or those of the line that it was read from.
        #[derive(Clone, Debug, PartialEq, Eq)]
        // The form of a line is compared with that of the `csv` crate.
        #[cfg_attr(test, derive(serde::Serialize, serde::Deserialize))]
        pub struct Record<T = Text> {
            $(#[$first_doc])* pub $first: $first_type,
            $($(#[$doc])* pub $name: $type,)*
        }

        impl<T> Record<T> {
            /// Appends the first `columns` cells as a line with its LF. Columns that this version does not know are empty.
            pub fn write_line<'a>(&self, columns: usize, to: &mut Vec<u8>)
            where
                T: Cell<'a>,
            {
                self.$first.write(to);
                let mut left = columns.saturating_sub(1);
                $(if left > 0 {
                    to.push(b',');
                    self.$name.write(to);
                    left -= 1;
                })*
                to.extend(std::iter::repeat_n(b',', left));
                to.push(b'\n');
            }

            /// Makes a record from the `columns` cells that `next` returns. `None` if one of them cannot be read.
            pub fn from_cells<'a>(
                columns: usize,
                mut next: impl FnMut() -> Option<Cow<'a, str>>,
            ) -> Option<Self>
            where
                T: Cell<'a>,
            {
                let $first = Cell::read(next()?)?;
                let mut left = columns.saturating_sub(1);
                $(let $name = match left {
                    0 => Cell::missing()?,
                    _ => {
                        left -= 1;
                        Cell::read(next()?)?
                    }
                };)*
                for _ in 0..left {
                    next()?;
                }
                Some(Self { $first, $($name),* })
            }
        }
    };
}

// A new column goes to the end, so that earlier versions can read the file. `Record::unsent` gives it a value.
columns! {
    /// Number of the data row in the input, from 1.
    row: u64,
    /// The id cell, trimmed, and safe for spreadsheets; of an invalid row escaped and cut at 256 characters.
    id: T,
    /// The final state of the row.
    outcome: Outcome,
    /// Why the row was not accepted; `None` for `accepted`.
    reason: Option<Reason>,
    /// HTTP status of the last response.
    http_status: Option<u16>,
    /// Graph's error code in the last response.
    error_code: T,
    /// Human-readable; no control characters.
    message: T,
    /// Requests sent for this user, throttled ones included.
    attempts: u32,
    /// How many of `attempts` were throttled.
    throttled: u32,
    /// UTC, RFC 3339, milliseconds; empty if nothing was sent.
    first_sent_at: T,
    /// UTC, RFC 3339, milliseconds.
    finished_at: T,
    /// Milliseconds from the first request to the end, pauses included; `None` if nothing was sent.
    duration_ms: Option<u64>,
    /// Of the last attempt.
    client_request_id: T,
    /// Of the last response: what Microsoft support asks for.
    request_id: T,
    /// Physical line of the input where the row begins, from 1.
    line: u64,
}

impl Record {
    /// The record of a row for which nothing was sent. `line` is where the row begins. All other columns are empty.
    pub fn unsent(row: u64, line: u64, id: Text, outcome: Outcome, reason: Option<Reason>) -> Self {
        Self {
            row,
            id,
            outcome,
            reason,
            http_status: None,
            error_code: "".into(),
            message: "".into(),
            attempts: 0,
            throttled: 0,
            first_sent_at: "".into(),
            finished_at: "".into(),
            duration_ms: None,
            client_request_id: "".into(),
            request_id: "".into(),
            line,
        }
    }
}

impl<T: Deref<Target = str>> Record<T> {
    /// When the request that settled the row was sent, by the clock of this machine. If there were several attempts, the
    /// time of the last response, because a record does not hold more. `None` if nothing was sent.
    pub fn settled_at(&self) -> Option<Timestamp> {
        let text = if self.attempts > 1 { &self.finished_at } else { &self.first_sent_at };
        text.parse().ok()
    }

    /// The id as it was sent: without the apostrophe that a value gets in `results.csv` if a spreadsheet would read it as a
    /// formula, and a GUID without braces.
    pub fn sent_id(&self) -> &str {
        let id = strip_formula_guard(&self.id);
        id.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settled_time_is_that_of_the_accepted_request() {
        let line = |attempts: u32, first: &str| {
            let text = format!(
                "{HEADER}\n1,a@b,accepted,,204,,,{attempts},0,{first},2026-11-23T02:10:00.500Z,1,c,r,2\n"
            );
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let record: Record = reader.deserialize().next().expect("a line").expect("a record");
            record.settled_at().map(|at| at.to_string())
        };
        let first = "2026-11-23T02:00:00Z";
        assert_eq!(line(1, first).as_deref(), Some(first));
        // Throttled at first: an error published in the ten minutes between is older than the acceptance.
        assert_eq!(line(2, first).as_deref(), Some("2026-11-23T02:10:00.5Z"));
        assert_eq!(line(0, ""), None);
    }
}
