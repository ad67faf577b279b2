//! Rows of the list that `find` writes and `run` reads.

use jiff::Timestamp;

use crate::model::sanitize;
use crate::scan::{Object, Problem, told};

/// The header of the list.
pub(crate) const FOUND_HEADER: [&str; 7] =
    ["id", "userPrincipalName", "displayName", "service", "error_code", "error_since", "error_text"];
/// Longest name in a cell, in characters.
pub(crate) const LONGEST_NAME: usize = 256;

/// One object with the error that was found and how many fit.
pub(crate) fn found_row(object: &Object, problem: &Problem, count: usize) -> [String; 7] {
    [
        object.id.clone(),
        sanitize(&object.name, LONGEST_NAME),
        sanitize(&object.shown, LONGEST_NAME),
        problem.service.clone(),
        problem.code.clone(),
        since(problem.since),
        told(problem, count),
    ]
}

/// UTC, RFC 3339, seconds; empty where it is not known.
pub(crate) fn since(at: Option<Timestamp>) -> String {
    at.map_or_else(String::new, |at| format!("{at:.0}"))
}
