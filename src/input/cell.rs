//! Reads an id cell without the characters that programs put around an id.

use crate::model::{is_invisible, strip_formula_guard};

/// Removes blanks and invisible characters at the ends, and quotes around the text. Quotes remain in a cell
/// if a blank precedes them: `Ann, "ann@contoso.com"`.
pub(super) fn trim(cell: &str) -> &str {
    if let [first, .., last] = cell.as_bytes()
        && first.is_ascii_graphic()
        && *first != b'"'
        && last.is_ascii_graphic()
    {
        return cell;
    }
    let blank = |c: char| c.is_whitespace() || is_invisible(c);
    let bare = cell.trim_matches(blank);
    let inside = bare.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inside.map_or(bare, |inside| inside.trim_matches(blank))
}

/// An id cell as it was written, and whether anything stood around it. An apostrophe that keeps a spreadsheet
/// from reading a formula goes in every list: no id begins so, and our own lists may have lost the columns by
/// which they are known.
pub(super) fn id_text(cell: &str) -> (&str, bool) {
    let bare = trim(cell);
    let text = strip_formula_guard(bare);
    // No sign-in name ends with an apostrophe.
    let quoted = || text.strip_prefix('\'')?.strip_suffix('\'');
    match text_formula(text).or_else(quoted).map(trim) {
        Some(inside) => (inside, true),
        None => (text, bare.len() != cell.len()),
    }
}

/// The text in `="…"`, by which programs keep Excel from reading a text as a number. No other formula is
/// worked out.
fn text_formula(text: &str) -> Option<&str> {
    text.strip_prefix("=\"")?.strip_suffix('"').filter(|inside| !inside.contains('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_put_around_an_id_is_taken_away_and_nothing_else() {
        for (cell, text, around) in [
            ("a@b.c", "a@b.c", false),
            (" \"a@b.c\"\u{a0}", "a@b.c", true),
            ("\"a@b.c\"", "a@b.c", true),
            ("\"a@b.c", "\"a@b.c", false),
            ("=\"a@b.c\"", "a@b.c", true),
            (" =\" a@b.c \" ", "a@b.c", true),
            ("=\"\"", "", true),
            ("=\"", "=\"", false),
            ("=a@b.c", "=a@b.c", false),
            ("=\"a@\"&\"b.c\"", "=\"a@\"&\"b.c\"", false),
            ("= \"a@b.c\"", "= \"a@b.c\"", false),
            ("'=\"a@b.c\"", "a@b.c", true),
            ("'+a@b.c", "+a@b.c", false),
            ("''+a@b.c", "'+a@b.c", false),
            ("'a@b.c", "'a@b.c", false),
            ("'a@b.c'", "a@b.c", true),
            ("'", "'", false),
        ] {
            assert_eq!(id_text(cell), (text, around), "{cell}");
        }
    }
}
