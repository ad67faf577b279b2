//! Lead-in lines, the delimiter, and which column holds the ids.

use super::cell::{id_text, trim};
use crate::model::{UserId, count, neutral};

/// Column names by rank, without case, blanks, `_` and `-`; object ids before sign-in names.
const RANKS: [&[&str]; 3] = [
    &["id", "objectid", "userid", "azureadobjectid", "externaldirectoryobjectid", "groupid", "contactid"],
    &["memberobjectidorupn", "memberobjectidoruserprincipalname"],
    &["userprincipalname", "upn", "username", "signinname"],
];

/// How the accounts of a run begin, what they are called, and the list that is meant where one is given as a list: with an
/// `id` like any other, they would have everybody sent again.
const ACCOUNTS: [(&[&str], &str, &str); 2] = [
    (&["row", "id", "outcome", "reason"], "results.csv", "failed.csv"),
    (&["row", "id", "userPrincipalName", "displayName", "verdict"], "verified.csv", "still-failing.csv"),
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
                    let name = if is_row { wanted } else { trim(name) }.to_owned();
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
            [column] => Ok(Layout { has_header: true, column, name: trim(&first[column]).to_owned() }),
            [] => Err(format!("no column {wanted:?}; the columns are: {}", names())),
            _ => {
                Err(format!("{} columns are called {wanted:?}: give --column by number, from 1", found.len()))
            }
        };
    }
    if let Some((_, own, instead)) = ACCOUNTS.iter().find(|(begins, ..)| {
        begins.len() <= first.len() && begins.iter().zip(first).all(|(name, cell)| *name == cell.trim())
    }) {
        return Err(format!(
            "this is the {own} of a run, and not a list: it names also who was accepted. To try the others again give {instead} \
             beside it; to send all of them once more, add --column id"
        ));
    }
    for rank in RANKS {
        let found: Vec<_> =
            (0..first.len()).filter(|at| rank.contains(&normal(&first[*at]).as_str())).collect();
        match found[..] {
            [] => {}
            [column] => {
                return Ok(Layout { has_header: true, column, name: trim(&first[column]).to_owned() });
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
            name: if is_row { "1" } else { trim(only) }.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(line: &str) -> Vec<String> {
        line.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn a_line_that_programs_put_before_the_header_is_known_by_its_beginning() {
        for line in
            ["#TYPE Microsoft.Open.AzureAD", "\"#type x", "Version:v1.0", "\"version:v1.0", "sep=;", "SEP=,"]
        {
            assert!(is_lead_in(line), "{line}");
        }
        for line in ["#TYPEX", "#TYPE", "version", "version:1", "separator", "id", "", " sep=;"] {
            assert!(!is_lead_in(line), "{line}");
        }
    }

    #[test]
    fn the_separator_is_the_byte_after_its_key() {
        for (line, named) in [
            ("sep=;", Some(b';')),
            ("\"SEP=|", Some(b'|')),
            ("sep=\t", Some(b'\t')),
            ("sep=", None),
            ("sep= ", None),
            ("sep=\"", None),
            ("sep=\u{e9}", None),
            ("se\u{e9}=;", None),
            ("step=;", None),
        ] {
            assert_eq!(separator(line), named, "{line:?}");
        }
    }

    #[test]
    fn an_example_is_told_by_its_first_cell_that_holds_anything() {
        for (line, example) in [
            ("Example: chris@contoso.com,x", true),
            (" , Example: x", true),
            ("x,Example: y", false),
            ("Example,y", false),
            (" , ", false),
        ] {
            assert_eq!(is_example(&cells(line)), example, "{line}");
        }
    }

    #[test]
    fn the_delimiter_is_the_most_frequent_outside_quotes() {
        for (line, delimiter) in [
            ("id", b','),
            ("a;b;c,d", b';'),
            ("a\tb", b'\t'),
            ("a|b|c;d", b'|'),
            ("\"a;b;c\",d", b','),
            ("\"a\";\"b,c,d\";e", b';'),
            ("a;b,c", b','),
        ] {
            assert_eq!(delimiter_of(line), delimiter, "{line}");
        }
    }

    #[test]
    fn a_name_is_compared_without_its_trimmings() {
        for (name, same) in [
            ("Object Id", "objectid"),
            ("User name [userPrincipalName] Required", "userprincipalname"),
            ("]a[", "a"),
            ("a]", "a"),
            ("External_Directory-ObjectId", "externaldirectoryobjectid"),
        ] {
            assert_eq!(normal(name), same, "{name}");
        }
    }

    fn chosen(line: &str, wanted: Option<&str>) -> Result<(bool, usize, String), String> {
        layout(&cells(line), wanted).map(|found| (found.has_header, found.column, found.name))
    }

    #[test]
    fn the_column_is_the_one_asked_for_else_the_best_known_name() {
        let is = |has_header, column, name: &str| Ok((has_header, column, name.to_owned()));
        assert_eq!(chosen("name, mail ", Some("2")), is(true, 1, "mail"));
        assert_eq!(chosen("Ann,ann@contoso.com", Some("2")), is(false, 1, "2"));
        assert_eq!(chosen("name,E_Mail", Some("e mail")), is(true, 1, "E_Mail"));
        assert_eq!(chosen("upn,Object Id ", None), is(true, 1, "Object Id"));
        assert_eq!(chosen("mail,UPN", None), is(true, 1, "UPN"));
        assert_eq!(chosen(" mails ", None), is(true, 0, "mails"));
        assert_eq!(chosen("ann@contoso.com", None), is(false, 0, "1"));
        assert_eq!(chosen("ann@@contoso.com", None), is(false, 0, "1"));
    }

    #[test]
    fn what_cannot_be_chosen_says_what_would_fit() {
        for (line, wanted, said) in [
            ("a,b", Some("0"), "--column 0: the list has 2 columns: a, b"),
            ("a,b", Some("3"), "--column 3: the list has 2 columns: a, b"),
            ("a,b", Some("c"), "no column \"c\"; the columns are: a, b"),
            ("a,A,b", Some("a"), "2 columns are called \"a\": give --column by number, from 1"),
            (
                "id,x,Object Id",
                None,
                "two columns could hold the ids: \"id\" (column 1) and \"Object Id\" (column 3); choose with --column",
            ),
            (
                "Ann,ann@contoso.com",
                None,
                "the first line looks like data, not like a header; if it is, choose the id column by number: --column 2",
            ),
            ("a,b", None, "no column is known to hold ids; choose one with --column: a, b"),
        ] {
            assert_eq!(chosen(line, wanted), Err(said.to_owned()), "{line} {wanted:?}");
        }
        let wide = |columns| chosen(&vec!["x"; columns].join(","), None).expect_err("none is known");
        assert!(!wide(LISTED).contains('…') && wide(LISTED + 1).ends_with("x, …"));
    }
}
