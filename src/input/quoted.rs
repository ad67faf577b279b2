//! Lists in which quotes stand around whole rows instead of around cells.

use super::cell::id_text;
use super::lead_in::DELIMITERS;
use super::names::has_known_name;
use super::records::Gathered;
use crate::model::UserId;

/// What to do with such a list.
pub(super) const QUOTED_ROWS: &str = "each row of this file stands in one pair of quotes as a whole, so that the file has a single column. Export it \
     again; or take the first and last quote off each line and put one quote where two stand side by side";

/// Whether a record is a single cell with quotes around it that holds a whole row, with an id or the name of
/// an id column.
pub(super) fn is_quoted_row(gathered: &Gathered, delimiter: u8) -> bool {
    let (true, Ok([only])) = (gathered.quoted, gathered.cells.as_deref()) else { return false };
    DELIMITERS.iter().chain([&delimiter]).map(|by| char::from(*by)).any(|by| {
        let parts: Vec<_> = only.split(by).map(|part| part.trim().trim_matches('"').to_owned()).collect();
        parts.len() > 1
            && (has_known_name(&parts) || parts.iter().any(|part| UserId::parse(id_text(part).0).is_ok()))
    })
}
