//! One line of `results.csv`: written once the fate of a row is known, read back on resume by the same struct.

use serde::{Deserialize, Serialize};

use super::{Outcome, Reason};

/// The header of `results.csv`, byte for byte, without the line end. New columns only at the end.
pub const HEADER: &str = "row,id,outcome,reason,http_status,error_code,message,attempts,throttled,\
first_sent_at,finished_at,duration_ms,client_request_id,request_id,line";

/// The account of one row. Field order is column order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Number of the data row in the input, from 1.
    pub row: u64,
    /// The id cell, trimmed; neutralised for spreadsheets; of an invalid row escaped and cut at 256 characters.
    pub id: Box<str>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why; empty for `accepted`.
    pub reason: Option<Reason>,
    /// Status of the last answer.
    pub http_status: Option<u16>,
    /// Graph's error code in the last answer.
    pub error_code: Box<str>,
    /// For people; no control characters.
    pub message: Box<str>,
    /// Requests sent for this user, throttled ones included.
    pub attempts: u32,
    /// How many of them were throttled.
    pub throttled: u32,
    /// UTC, RFC 3339, milliseconds; empty where nothing was sent.
    pub first_sent_at: Box<str>,
    /// UTC, RFC 3339, milliseconds.
    pub finished_at: Box<str>,
    /// From first sending to the end, waits included; empty where nothing was sent.
    pub duration_ms: Option<u64>,
    /// Of the last attempt.
    pub client_request_id: Box<str>,
    /// Of the last answer: what Microsoft support asks for.
    pub request_id: Box<str>,
    /// Physical line of the input where the row begins.
    pub line: u64,
}
