//! Text from elsewhere made harmless for cells and terminals.

/// Longest message in a cell or on a terminal, in characters.
pub const MAX_MESSAGE: usize = 300;
/// What a spreadsheet takes for the start of a formula.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// Escapes control and invisible characters, cuts at `max_chars`, and puts `'` before what a spreadsheet would take
/// for a formula. Apostrophes that stand there already get one more, so that [`plain`] knows which is ours.
pub fn neutral(text: &str, max_chars: usize) -> String {
    // Nearly every text: no early end, so that the compiler looks at many bytes at once.
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

/// The cell as it was before [`neutral`] put its `'` there; what was escaped or cut stays so.
pub fn plain(cell: &str) -> &str {
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
        assert_eq!(neutral("=1+1", 10), "'=1+1");
        assert_eq!(neutral("a\u{1b}[31mb\nc", 20), "a\\u{1b}[31mb c");
        assert_eq!(neutral("a\u{202e}b", 20), "a\\u{202e}b");
        assert_eq!(neutral("abcdef", 3), "abc…");
    }

    #[test]
    fn a_harmless_text_stays_as_it_is_up_to_its_longest() {
        assert_eq!((&*neutral("a b~", 4), &*neutral("a b~", 3)), ("a b~", "a b…"));
        assert_eq!(neutral("a\u{7f}", 4), "a\\u{7f}");
    }

    #[test]
    fn the_apostrophe_that_we_put_is_the_one_that_goes() {
        for given in ["a@b", "=1@x", "'-a@b", "''＝1", "'a@b", "o'brien@c", "'", ""] {
            assert_eq!(plain(&neutral(given, 20)), given);
        }
    }
}
