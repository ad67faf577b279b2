//! Lines below the header that are a header again: lists that were put into one file.

use super::cell::trim;
use super::header::has_known_name;
use super::records::Gathered;
use crate::model::UserId;

pub(super) const OTHER_ORDER: &str = "the names of the header stand here again, in another order. Put the lines from here on into a file of their own, \
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
        // The id cell alone tells nearly all rows from the header.
        let name = |at: usize| self.0.get(at).map_or("", String::as_str);
        let same = |at: usize| cells.get(at).map_or("", |cell| trim(cell)).to_lowercase() == name(at);
        let alike = cells.get(column).is_some_and(|cell| trim(cell).eq_ignore_ascii_case(name(column)));
        alike && (0..self.0.len().max(cells.len())).all(same)
    }

    /// Whether the last of `parts` are these names in another order. The first of them may be grown together with the
    /// cell before, where the file before had no line end of its own.
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

/// Why a line that has no usable id, or more cells than it may have, is the header of another list.
pub(super) fn other_header(
    names: Option<&Names>,
    gathered: &Gathered,
    delimiter: u8,
) -> Option<&'static str> {
    let parts: Vec<String> = match &gathered.cells {
        Ok(cells) => cells.iter().map(|cell| comparable(cell)).collect(),
        Err(broken) => {
            let bare = |part: &str| comparable(trim(part).trim_matches('"'));
            broken.raw.split(char::from(delimiter)).map(bare).collect()
        }
    };
    let width = names.map_or(2, |names| names.0.len());
    if width < 2 || parts.len() < 2 {
        return None;
    }
    if names.is_some_and(|names| names.are_shuffled_in(&parts)) {
        return Some(OTHER_ORDER);
    }
    let holds_no_id = parts.len() > width || !parts.iter().any(|part| UserId::parse(part).is_ok());
    let filled = parts.iter().filter(|part| !part.is_empty()).count();
    let known = has_known_name(&parts) && filled > 1 && holds_no_id;
    (known && !names.is_some_and(|names| names.end(&parts))).then_some(OTHER_LIST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(line: &str) -> Vec<String> {
        line.split(',').map(str::to_owned).collect()
    }

    fn found(header: Option<&str>, line: &str) -> Option<&'static str> {
        let names = header.map(|header| Names::new(&cells(header)));
        let gathered =
            Gathered { line: 9, sheet_row: 8, cells: Ok(cells(line)), stray: false, quoted: false };
        other_header(names.as_ref(), &gathered, b',')
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
            (None, "name,id,managerid", Some(OTHER_LIST)),
            (Some("id"), "userPrincipalName", None),
        ] {
            assert_eq!(found(header, line), expected, "{line}");
        }
    }
}
