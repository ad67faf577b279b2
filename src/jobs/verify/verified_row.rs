//! Rows of `verified.csv`.

use jiff::Timestamp;

use crate::jobs::find::{LONGEST_NAME, since};
use crate::model::{Verdict, sanitize};
use crate::scan::{Object, Problem};

/// The header of `verified.csv`; new columns only at the end.
pub(crate) const VERIFIED_HEADER: [&str; 11] = [
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

/// The observed state of an accepted row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VerifiedRow<'a> {
    /// Number of the row.
    pub(crate) row: u64,
    /// The id as it was sent.
    pub(crate) id: &'a str,
    /// The object, if it is there.
    pub(crate) object: Option<&'a Object>,
    /// The verdict.
    pub(crate) verdict: Verdict,
    /// The error that decided.
    pub(crate) problem: Option<&'a Problem>,
    /// Why it could not be read.
    pub(crate) unread: &'a str,
    /// The service's time of the answer.
    pub(crate) at: Timestamp,
    /// The advice.
    pub(crate) next_step: &'a str,
}

/// One line of `verified.csv`.
pub(crate) fn verified_row(row: VerifiedRow<'_>) -> [String; 11] {
    let name = |text: Option<&String>| text.map_or_else(String::new, |text| sanitize(text, LONGEST_NAME));
    let of = |part: fn(&Problem) -> String| row.problem.map_or_else(String::new, part);
    let text = if row.unread.is_empty() { of(|problem| problem.text.clone()) } else { row.unread.to_owned() };
    [
        row.row.to_string(),
        sanitize(row.id, LONGEST_NAME),
        name(row.object.map(|object| &object.name)),
        name(row.object.map(|object| &object.shown)),
        row.verdict.as_str().to_owned(),
        of(|problem| problem.service.clone()),
        of(|problem| problem.code.clone()),
        text,
        of(|problem| since(problem.since)),
        since(Some(row.at)),
        row.next_step.to_owned(),
    ]
}
