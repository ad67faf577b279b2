//! Lead-in lines, the delimiter, and which column holds the ids.

use super::cell::id_text;
use crate::model::{UserId, count, neutral};

/// Column names by rank, without case, blanks, `_` and `-`; object ids before sign-in names.
const RANKS: [&[&str]; 3] = [
    &["id", "objectid", "userid", "azureadobjectid", "externaldirectoryobjectid", "groupid", "contactid"],
    &["memberobjectidorupn", "memberobjectidoruserprincipalname"],
    &["userprincipalname", "upn", "username", "signinname"],
];

/// Delimiters that are recognised by themselves.
pub(super) const DELIMITERS: [u8; 4] = *b",;\t|";

/// Columns named in a message; exports have up to fifty.
pub(super) const LISTED: usize = 60;
/// Longest column name shown, in characters.
const SHOWN: usize = 80;

/// PowerShell's type line, the version line of an Entra template, or Excel's separator line.
pub(super) fn is_lead_in(line: &str) -> bool {
    let line = line.trim_start_matches('"').to_ascii_lowercase();
    line.starts_with("#type ") || line.starts_with("version:v") || line.starts_with("sep=")
}

/// The delimiter that Excel's separator line names.
pub(super) fn separator(line: &str) -> Option<u8> {
    let line = line.trim_start_matches('"');
    let named = line.get(..4).filter(|key| key.eq_ignore_ascii_case("sep=")).and(line.as_bytes().get(4));
    named.copied().filter(|byte| (byte.is_ascii_graphic() || *byte == b'\t') && *byte != b'"')
}

/// The example row that Entra's templates come with.
pub(super) fn is_example(cells: &[String]) -> bool {
    cells
        .iter()
        .find(|cell| !cell.trim().is_empty())
        .is_some_and(|cell| cell.trim_start().starts_with("Example:"))
}

/// The delimiter that stands most often outside quotes in the header line; a comma if none does.
pub(super) fn delimiter_of(line: &str) -> u8 {
    let mut quoted = false;
    let mut counts = [0_u32; 4];
    for byte in line.bytes() {
        if byte == b'"' {
            quoted = !quoted;
        } else if !quoted && let Some(at) = DELIMITERS.iter().position(|delimiter| *delimiter == byte) {
            counts[at] += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    let at = counts.iter().position(|count| *count == most && most > 0).unwrap_or(0);
    DELIMITERS[at]
}

fn normal(name: &str) -> String {
    let name = match (name.find('['), name.find(']')) {
        (Some(open), Some(close)) if open < close => &name[open + 1..close],
        _ => name,
    };
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Where the ids stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) has_header: bool,
    pub(super) column: usize,
    pub(super) name: String,
}

/// Chooses the column from the first record.
///
/// # Errors
/// Says which columns there are and which flag would fit.
pub(super) fn layout(first: &[String], wanted: Option<&str>) -> Result<Layout, String> {
    let names = || {
        let shown = first.iter().take(LISTED).map(|name| neutral(name.trim(), SHOWN));
        let more = if first.len() > LISTED { ", …" } else { "" };
        format!("{}{more}", shown.collect::<Vec<_>>().join(", "))
    };
    let is_id = |cell: &String| UserId::parse(id_text(cell, false).0).is_ok();
    let is_row = first.iter().any(is_id);
    if let Some(wanted) = wanted {
        if let Ok(number) = wanted.parse::<usize>() {
            return match first.get(number.wrapping_sub(1)) {
                Some(name) => {
                    let name = if is_row { wanted } else { name.trim() }.to_owned();
                    Ok(Layout { has_header: !is_row, column: number - 1, name })
                }
                None => Err(format!(
                    "--column {number}: the list has {}: {}",
                    count(first.len() as u64, "columns"),
                    names()
                )),
            };
        }
        let found: Vec<_> = (0..first.len()).filter(|at| normal(&first[*at]) == normal(wanted)).collect();
        return match found[..] {
            [column] => Ok(Layout { has_header: true, column, name: first[column].trim().to_owned() }),
            [] => Err(format!("no column {wanted:?}; the columns are: {}", names())),
            _ => {
                Err(format!("{} columns are called {wanted:?}: give --column by number, from 1", found.len()))
            }
        };
    }
    for rank in RANKS {
        let found: Vec<_> =
            (0..first.len()).filter(|at| rank.contains(&normal(&first[*at]).as_str())).collect();
        match found[..] {
            [] => {}
            [column] => {
                return Ok(Layout { has_header: true, column, name: first[column].trim().to_owned() });
            }
            [a, b, ..] => {
                return Err(format!(
                    "two columns could hold the ids: {:?} (column {}) and {:?} (column {}); choose with --column",
                    first[a].trim(),
                    a + 1,
                    first[b].trim(),
                    b + 1
                ));
            }
        }
    }
    if let [only] = first {
        // No column is called so: it is a sign-in name with a slip, and its row is not to be lost.
        let is_row = is_row || only.contains('@');
        return Ok(Layout {
            has_header: !is_row,
            column: 0,
            name: if is_row { "1" } else { only.trim() }.to_owned(),
        });
    }
    if is_row {
        let at = first.iter().position(is_id).unwrap_or(0) + 1;
        return Err(format!(
            "the first line looks like data, not like a header; if it is, choose the id column by number: --column {at}"
        ));
    }
    Err(format!("no column is known to hold ids; choose one with --column: {}", names()))
}
