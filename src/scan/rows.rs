//! Lines of `find`'s CSV, which `run` accepts as it is, and of `verified.csv`.

use jiff::Timestamp;

use super::object::{Object, Problem, told};
use super::verdict::Verdict;
use crate::model::neutral;

/// The header.
pub const FOUND_HEADER: [&str; 7] =
    ["id", "userPrincipalName", "displayName", "service", "error_code", "error_since", "error_text"];
/// Longest name in a cell, in characters.
const LONGEST_NAME: usize = 256;

/// One object with the error that was found and how many fit.
pub fn found_row(object: &Object, problem: &Problem, count: usize) -> [String; 7] {
    [
        object.id.clone(),
        neutral(&object.name, LONGEST_NAME),
        neutral(&object.shown, LONGEST_NAME),
        problem.service.clone(),
        problem.code.clone(),
        since(problem.since),
        told(problem, count),
    ]
}

/// The header of `verified.csv`; new columns only at the end.
pub const VERIFIED_HEADER: [&str; 11] = [
    "row",
    "id",
    "userPrincipalName",
    "displayName",
    "verdict",
    "service",
    "error_code",
    "error_text",
    "error_since",
    "checked_at",
    "next_step",
];

/// What was seen of an accepted row.
#[derive(Clone, Copy, Debug)]
pub struct Looked<'a> {
    /// Number of the row.
    pub row: u64,
    /// The id as it was sent.
    pub id: &'a str,
    /// The object, if it is there.
    pub object: Option<&'a Object>,
    /// What became of it.
    pub verdict: Verdict,
    /// The error that decided.
    pub problem: Option<&'a Problem>,
    /// Why it could not be read.
    pub unread: &'a str,
    /// The service's time of the answer.
    pub at: Timestamp,
    /// What to do.
    pub next_step: &'a str,
}

/// One line of `verified.csv`.
pub fn verified_row(looked: Looked<'_>) -> [String; 11] {
    let name = |text: Option<&String>| text.map_or_else(String::new, |text| neutral(text, LONGEST_NAME));
    let of = |part: fn(&Problem) -> String| looked.problem.map_or_else(String::new, part);
    let text =
        if looked.unread.is_empty() { of(|problem| problem.text.clone()) } else { looked.unread.to_owned() };
    [
        looked.row.to_string(),
        neutral(looked.id, LONGEST_NAME),
        name(looked.object.map(|object| &object.name)),
        name(looked.object.map(|object| &object.shown)),
        looked.verdict.as_str().to_owned(),
        of(|problem| problem.service.clone()),
        of(|problem| problem.code.clone()),
        text,
        of(|problem| since(problem.since)),
        since(Some(looked.at)),
        looked.next_step.to_owned(),
    ]
}

/// UTC, RFC 3339, seconds; empty where it is not known.
pub(super) fn since(at: Option<Timestamp>) -> String {
    at.map_or_else(String::new, |at| format!("{at:.0}"))
}
