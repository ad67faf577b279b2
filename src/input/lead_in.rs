//! Lines that programs put before the header, the example rows of templates, and the delimiter.

/// Delimiters that are recognised by themselves.
pub(super) const DELIMITERS: [u8; 4] = *b",;\t|";

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

/// The delimiters that stand most often outside quotes in the header line, which may be several; a comma if
/// none does.
pub(super) fn delimiters_of(line: &str) -> Vec<u8> {
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
    let found = DELIMITERS.into_iter().zip(counts).filter(|(_, count)| *count == most);
    if most == 0 { vec![b','] } else { found.map(|(delimiter, _)| delimiter).collect() }
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
        for (line, delimiters) in [
            ("id", &b","[..]),
            ("a;b;c,d", b";"),
            ("a\tb", b"\t"),
            ("a|b|c;d", b"|"),
            ("\"a;b;c\",d", b","),
            ("\"a\";\"b,c,d\";e", b";"),
            ("a;b,c", b",;"),
        ] {
            assert_eq!(delimiters_of(line), delimiters, "{line}");
        }
    }
}
