//! Lines of `find`'s CSV, which `run` accepts as it is.

use jiff::Timestamp;

use super::object::{Object, Problem, told};
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

/// UTC, RFC 3339, seconds; empty where it is not known.
pub(super) fn since(at: Option<Timestamp>) -> String {
    at.map_or_else(String::new, |at| format!("{at:.0}"))
}
