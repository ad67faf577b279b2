//! Two columns that should mean the same user: found out where they do not.

use std::collections::HashMap;

use super::cell::id_text;
use super::refusal::{Advice, Refusal};
use crate::model::{UserId, sanitize};

/// Longest id shown, in characters.
const SHOWN: usize = 40;
/// Rows that are compared. What is another thing's id repeats within a few rows; more would cost memory for
/// each.
const COMPARED: u64 = 1_000;
/// One row in this many may contradict, for example a user who was renamed between two exports.
const TOLERATED: u64 = 20;

/// The ids of the first rows in the chosen column and in another one with a known name.
#[derive(Debug)]
pub(super) struct Agreement {
    columns: [usize; 2],
    /// By id in one column: the other id, and the line.
    seen: [HashMap<String, (String, u64)>; 2],
    compared: u64,
    contradictions: u64,
    /// The first one: its two lines, the id that is the same, and its column.
    first: Option<([u64; 2], String, usize)>,
}

impl Agreement {
    pub(super) fn new(chosen: usize, other: usize) -> Self {
        Self {
            columns: [chosen, other],
            seen: Default::default(),
            compared: 0,
            contradictions: 0,
            first: None,
        }
    }

    /// Compares one row with those before it.
    pub(super) fn look(&mut self, line: u64, cells: &[String]) {
        if self.compared == COMPARED {
            return;
        }
        let id = |at: usize| {
            let id = UserId::parse(id_text(cells.get(at)?).0).ok()?;
            Some(id.as_str().to_ascii_lowercase())
        };
        let (Some(one), Some(other)) = (id(self.columns[0]), id(self.columns[1])) else { return };
        self.compared += 1;
        let mut contradicts = false;
        for (at, (key, value)) in [(&one, &other), (&other, &one)].into_iter().enumerate() {
            let (before, above) = self.seen[at].entry(key.clone()).or_insert_with(|| (value.clone(), line));
            if before != value {
                contradicts = true;
                self.first.get_or_insert_with(|| ([*above, line], key.clone(), self.columns[at]));
            }
        }
        self.contradictions += u64::from(contradicts);
    }

    /// Refuses the list if one id often occurs with several others. The chosen column then names something
    /// that many users share, or of which one user has several: a group, a license, a device.
    pub(super) fn refusal(self) -> Option<Refusal> {
        let (lines, id, column) = self.first?;
        if self.contradictions * TOLERATED <= self.compared {
            return None;
        }
        let [chosen, other] = self.columns.map(|at| at + 1);
        let mut refusal = Refusal::new(format!(
            "columns {chosen} and {other} do not mean the same user: lines {} and {} have the same id in column {} \
             ({:?}) and different ids in the other",
            lines[0],
            lines[1],
            column + 1,
            sanitize(&id, SHOWN)
        ))
        .at(lines[1])
        .listing();
        refusal.advice = vec![Advice::Column(self.columns[1])];
        refusal.lead = "If {what} are meant, use {flag}";
        Some(refusal)
    }
}
