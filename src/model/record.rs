//! One line of `results.csv`: written once the fate of a row is known, read back on resume by the same struct.

use std::ops::Deref;

use jiff::Timestamp;

use super::{Outcome, Reason, Text, plain};

/// The header of `results.csv`, byte for byte, without the line end. New columns only at the end.
pub const HEADER: &str = "row,id,outcome,reason,http_status,error_code,message,attempts,throttled,\
first_sent_at,finished_at,duration_ms,client_request_id,request_id,line";

/// The account of one row. Field order is column order. Texts are its own, or stand in the line it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
// The form of a line is held against the `csv` crate.
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize))]
pub struct Record<T = Text> {
    /// Number of the data row in the input, from 1.
    pub row: u64,
    /// The id cell, trimmed; neutralised for spreadsheets; of an invalid row escaped and cut at 256 characters.
    pub id: T,
    /// What became of it.
    pub outcome: Outcome,
    /// Why; empty for `accepted`.
    pub reason: Option<Reason>,
    /// Status of the last answer.
    pub http_status: Option<u16>,
    /// Graph's error code in the last answer.
    pub error_code: T,
    /// For people; no control characters.
    pub message: T,
    /// Requests sent for this user, throttled ones included.
    pub attempts: u32,
    /// How many of them were throttled.
    pub throttled: u32,
    /// UTC, RFC 3339, milliseconds; empty where nothing was sent.
    pub first_sent_at: T,
    /// UTC, RFC 3339, milliseconds.
    pub finished_at: T,
    /// From first sending to the end, waits included; empty where nothing was sent.
    pub duration_ms: Option<u64>,
    /// Of the last attempt.
    pub client_request_id: T,
    /// Of the last answer: what Microsoft support asks for.
    pub request_id: T,
    /// Physical line of the input where the row begins.
    pub line: u64,
}

impl Record {
    /// Of a row for which nothing was sent, with nothing said of it. `line` is where it begins.
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
    /// When the request that settled the row left, by our clock, as near as a record tells it: exactly where there was one
    /// request, else the moment of its answer. `None` where nothing was sent.
    pub fn settled_at(&self) -> Option<Timestamp> {
        let text = if self.attempts > 1 { &self.finished_at } else { &self.first_sent_at };
        text.parse().ok()
    }

    /// The id as it was sent: without the apostrophe that a value gets in `results.csv` if a spreadsheet would read it as a
    /// formula, and a GUID without braces.
    pub fn sent_id(&self) -> &str {
        let id = plain(&self.id);
        id.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_the_request_that_was_taken_and_not_an_earlier_one() {
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
        // Refused by a limit at first: an error published in the ten minutes between is older than the acceptance.
        assert_eq!(line(2, first).as_deref(), Some("2026-11-23T02:10:00.5Z"));
        assert_eq!(line(0, ""), None);
    }
}
