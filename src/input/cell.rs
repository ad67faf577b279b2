//! What an id cell says, without what programs put around it.

use crate::model::is_invisible;

/// Blanks of any kind and invisible characters at the ends are no part of an id, nor are quotes around it, which stay where
/// a blank stands between delimiter and quote: `Ann, "ann@contoso.com"`.
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
