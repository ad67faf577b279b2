//! Makes text from other programs harmless for CSV cells and terminals.

/// Longest message in a cell or on a terminal, in characters.
pub const MAX_MESSAGE: usize = 300;
/// First characters of a text that a spreadsheet reads as a formula.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// Escapes control and invisible characters, cuts the text at `max_chars`, and puts `'` before a text that a
/// spreadsheet would read as a formula. A text that already begins with `'` gets another one, so that
/// [`strip_formula_guard`] removes only this one.
pub fn sanitize(text: &str, max_chars: usize) -> String {
    // Nearly all texts end here. The fold has no early exit, so that the compiler can vectorize it.
    let harmless = text.bytes().fold(true, |all, byte| all & (b' '..=b'~').contains(&byte));
    if harmless && text.len() <= max_chars && !begins_formula(text) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len().min(max_chars) + 1);
    if text.starts_with(['\t', '\r']) || begins_formula(text) {
        out.push('\'');
    }
    for (at, c) in text.chars().enumerate() {
        if at == max_chars {
            out.push('…');
            break;
        }
        if c == '\n' || c == '\r' || c == '\t' {
            out.push(' ');
        } else if c.is_control() || is_invisible(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Removes the `'` that [`sanitize`] put before a formula. Escaped or cut text stays as it is.
pub fn strip_formula_guard(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| begins_formula(rest)).unwrap_or(cell)
}

fn begins_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(FORMULA)
}

/// Zero-width, direction-changing and other characters that show nothing.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_escapes_and_line_breaks_are_harmless() {
        assert_eq!(sanitize("=1+1", 10), "'=1+1");
        assert_eq!(sanitize("a\u{1b}[31mb\nc", 20), "a\\u{1b}[31mb c");
        assert_eq!(sanitize("a\u{202e}b", 20), "a\\u{202e}b");
        assert_eq!(sanitize("abcdef", 3), "abc…");
    }

    #[test]
    fn a_harmless_text_stays_as_it_is_up_to_its_longest() {
        assert_eq!((&*sanitize("a b~", 4), &*sanitize("a b~", 3)), ("a b~", "a b…"));
        assert_eq!(sanitize("a\u{7f}", 4), "a\\u{7f}");
    }

    #[test]
    fn the_apostrophe_that_we_put_is_the_one_that_goes() {
        for given in ["a@b", "=1@x", "'-a@b", "''＝1", "'a@b", "o'brien@c", "'", ""] {
            assert_eq!(strip_formula_guard(&sanitize(given, 20)), given);
        }
    }
}
