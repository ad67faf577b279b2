//! Lines below the header that are a header again: lists that were put into one file.

use super::cell::trim;
use super::names::has_known_name;
use super::records::Gathered;
use crate::model::UserId;

const OTHER_ORDER: &str = "the names of the header stand here again, in another order. Put the lines from here on into a file of their own, \
     and give each file by itself";
const OTHER_LIST: &str = "this looks like the header of another list. Put the lines from here on into a file of their own, and give each \
     file by itself";

/// The names of a header as they are compared.
#[derive(Clone, Debug)]
pub(super) struct Names(Vec<String>);

fn comparable(name: &str) -> String {
    trim(name).to_lowercase()
}

impl Names {
    /// Reads the cells of a header.
    pub(super) fn new(header: &[String]) -> Self {
        Self(header.iter().map(|name| comparable(name)).collect())
    }

    /// Whether a row has the same names in the same order. `column` is that of the ids.
    pub(super) fn are_repeated_by(&self, cells: &[String], column: usize) -> bool {
        // The id cell alone distinguishes nearly all rows from the header.
        let name = |at: usize| self.0.get(at).map_or("", String::as_str);
        let same = |at: usize| cells.get(at).map_or("", |cell| trim(cell)).to_lowercase() == name(at);
        let alike = cells.get(column).is_some_and(|cell| trim(cell).eq_ignore_ascii_case(name(column)));
        alike && (0..self.0.len().max(cells.len())).all(same)
    }

    /// Whether the last of `parts` are these names in another order. The first of them may be grown together
    /// with the cell before, where the file before had no line end of its own.
    fn are_shuffled_in(&self, parts: &[String]) -> bool {
        let Some(tail) = parts.len().checked_sub(self.0.len()).map(|from| &parts[from..]) else {
            return false;
        };
        let Some((first, rest)) = tail.split_first() else { return false };
        let mut rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        rest.sort_unstable();
        !self.end(parts)
            && (0..self.0.len()).any(|at| {
                let mut others: Vec<&str> = self.0.iter().map(String::as_str).collect();
                let name = others.remove(at);
                others.sort_unstable();
                !name.is_empty() && first.ends_with(name) && rest == others
            })
    }

    /// Whether `parts` end with these names in their order.
    fn end(&self, parts: &[String]) -> bool {
        let tail = parts.iter().rev().zip(self.0.iter().rev());
        let (whole, last) = (self.0.len() - 1, parts.len() >= self.0.len());
        last && tail.enumerate().all(|(at, (part, name))| part == name || at == whole && part.ends_with(name))
    }
}

/// Lines that may be the header of another list.
#[derive(Debug)]
pub(super) struct OtherHeaders {
    names: Option<Names>,
    delimiter: u8,
    /// The first line that may be one: its number and its cells.
    maybe: Option<(u64, Vec<String>)>,
}

impl OtherHeaders {
    /// Begins below the header with these names.
    pub(super) fn new(names: Option<Names>, delimiter: u8) -> Self {
        Self { names, delimiter, maybe: None }
    }

    /// Looks at a row. Returns the line of a header below which the ids may be those of others, and what to
    /// do.
    pub(super) fn look(&mut self, gathered: &Gathered, has_id: bool) -> Option<(u64, &'static str)> {
        let width = self.names.as_ref().map_or(usize::MAX, |names| names.0.len());
        let wider = gathered.cells.as_ref().is_ok_and(|cells| cells.len() > width);
        if has_id && !wider && self.maybe.is_none() {
            return None;
        }
        let parts = self.parts(gathered);
        if width > 1 && parts.len() > 1 && (!has_id || wider) {
            if self.names.as_ref().is_some_and(|names| names.are_shuffled_in(&parts)) {
                return Some((gathered.line, OTHER_ORDER));
            }
            if self.maybe.is_none() && self.is_another(&parts, width) {
                self.maybe = Some((gathered.line, parts));
                return None;
            }
        }
        // Without an id below, no harm is done. A word that stands in a row with an id as well is a word.
        let (line, header) = self.maybe.as_ref().filter(|_| has_id)?;
        let line = *line;
        if header
            .iter()
            .zip(self.parts(gathered))
            .any(|(name, cell)| *name == cell && has_known_name(&[cell]))
        {
            self.maybe = None;
            return None;
        }
        Some((line, OTHER_LIST))
    }

    fn parts(&self, gathered: &Gathered) -> Vec<String> {
        match &gathered.cells {
            Ok(cells) => cells.iter().map(|cell| comparable(cell)).collect(),
            Err(broken) => {
                let bare = |part: &str| comparable(trim(part).trim_matches('"'));
                broken.raw.split(char::from(self.delimiter)).map(bare).collect()
            }
        }
    }

    /// Whether a line has a known name and nothing that speaks for a row. Headers have a name for each
    /// column. The cells of a row may stand before it in a line with more cells than a row has.
    fn is_another(&self, parts: &[String], width: usize) -> bool {
        let end = parts.iter().rposition(|part| !part.is_empty()).map_or(0, |last| last + 1);
        let ids = parts.iter().rposition(|part| UserId::parse(part).is_ok()).map_or(0, |last| last + 1);
        let names = &parts[ids.min(end)..end];
        has_known_name(names)
            && end > 1
            && names.iter().all(|part| !part.is_empty())
            && (parts.len() > width || ids == 0)
            && !self.names.as_ref().is_some_and(|names| names.end(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(line: &str) -> Vec<String> {
        line.split(',').map(str::to_owned).collect()
    }

    fn found(header: Option<&str>, line: &str) -> Option<&'static str> {
        let mut others = OtherHeaders::new(header.map(|header| Names::new(&cells(header))), b',');
        let row = |line: u64, text: &str| Gathered {
            line,
            sheet_row: line - 1,
            cells: Ok(cells(text)),
            stray: false,
            quoted: false,
        };
        let found = others.look(&row(9, line), false).or_else(|| others.look(&row(10, "Kim,2,1"), true));
        found.map(|(line, why)| {
            assert_eq!(line, 9);
            why
        })
    }

    #[test]
    fn header_is_repeated_without_case_blanks_and_marks() {
        let names = Names::new(&cells("\u{feff}DisplayName, Id ,ManagerId"));
        for (line, same) in [
            ("displayname,ID,managerId", true),
            ("displayName , id,managerid,", true),
            ("displayName,managerId,id", false),
            ("displayName,id", false),
            ("Ann,id,managerId", false),
        ] {
            assert_eq!(names.are_repeated_by(&cells(line), 1), same, "{line}");
        }
    }

    #[test]
    fn other_order_and_other_list_are_found_also_behind_a_last_row() {
        const HEADER: Option<&str> = Some("Name,ManagerId,Id");
        for (header, line, expected) in [
            (HEADER, "name,id,managerid", Some(OTHER_ORDER)),
            (HEADER, "Ann,1,2Name,Id,ManagerId", Some(OTHER_ORDER)),
            (HEADER, "Ann,1,2Id,Name,ManagerId", Some(OTHER_ORDER)),
            (HEADER, "Ann,1,2Name,ManagerId,Id", None),
            (HEADER, "Mail,Object Id,Department", Some(OTHER_LIST)),
            (HEADER, "Ann,1,2Mail,Object Id", Some(OTHER_LIST)),
            (HEADER, "Id,,", None),
            (HEADER, "Ann,,", None),
            (HEADER, "id,a@b.c,x", None),
            (HEADER, "Bo,,UPN", None),
            (None, "name,id,managerid", Some(OTHER_LIST)),
            (None, "a@b.c,id,x", None),
            (HEADER, "Ann, A,a@b.c,id", Some(OTHER_LIST)),
            (HEADER, "id, A,a@b.c,x", None),
            (Some("id"), "userPrincipalName", None),
        ] {
            assert_eq!(found(header, line), expected, "{line}");
        }
    }
}
