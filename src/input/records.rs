//! Physical lines → records. A broken quote costs one row, never the rest of the file.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use memchr::memchr2;

/// A record that has not ended after so many physical lines never will.
const MAX_LINES: usize = 100;
/// The same in bytes; also the longest physical line that is kept.
const MAX_BYTES: usize = 64 * 1024;

/// One record of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gathered {
    /// Physical line where it begins, from 1.
    pub(super) line: u64,
    /// Its cells, or why it has none.
    pub(super) cells: Result<Vec<String>, Broken>,
}

/// A line that cannot be split.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// As it stands, up to the bound.
    pub(super) raw: String,
    /// For people.
    pub(super) why: &'static str,
}

impl Broken {
    fn quotes(raw: String) -> Self {
        Self { raw, why: "the quotes of this line do not balance" }
    }

    fn ambiguous(raw: String) -> Self {
        Self {
            raw,
            why: "programs split this line differently: a quoted cell with a blank before it holds the delimiter",
        }
    }

    fn long(raw: String) -> Self {
        Self { raw, why: "the line is longer than 64 KiB" }
    }
}

/// Reads records off a UTF-8 stream in memory bounded by the limits above.
pub(super) struct Records<R> {
    reader: R,
    delimiter: u8,
    /// Physical lines read ahead, with their cut-off mark.
    ahead: VecDeque<(String, bool)>,
    line: u64,
}

impl<R: BufRead> Records<R> {
    pub(super) fn new(reader: R, delimiter: u8) -> Self {
        Self { reader, delimiter, ahead: VecDeque::new(), line: 0 }
    }

    /// The next record; lines whose cells are all blank are passed over.
    pub(super) fn next(&mut self) -> io::Result<Option<Gathered>> {
        loop {
            let Some((first, cut)) = self.take()? else { return Ok(None) };
            let line = self.line;
            if cut {
                return Ok(Some(Gathered { line, cells: Err(Broken::long(first)) }));
            }
            let cells = self.gather(first)?;
            if cells.as_ref().is_ok_and(|cells| cells.iter().all(|cell| cell.trim().is_empty())) {
                continue;
            }
            return Ok(Some(Gathered { line, cells }));
        }
    }

    fn gather(&mut self, first: String) -> io::Result<Result<Vec<String>, Broken>> {
        match split(&first, self.delimiter) {
            Split::Cells(cells) => return Ok(Ok(cells)),
            Split::Broken => return Ok(Err(Broken::quotes(first))),
            Split::Ambiguous => return Ok(Err(Broken::ambiguous(first))),
            Split::Open => {}
        }
        let mut text = first.clone();
        let mut used = 0;
        // Only a line with a quote can close what is open.
        let mut looked = true;
        loop {
            match if looked { Split::Open } else { split(&text, self.delimiter) } {
                Split::Cells(cells) => {
                    for _ in 0..used {
                        self.ahead.pop_front();
                        self.line += 1;
                    }
                    return Ok(Ok(cells));
                }
                Split::Broken => return Ok(Err(Broken::quotes(first))),
                Split::Ambiguous => return Ok(Err(Broken::ambiguous(first))),
                Split::Open => {}
            }
            if used + 1 >= MAX_LINES {
                return Ok(Err(Broken::quotes(first)));
            }
            if self.ahead.len() == used {
                match self.read_line()? {
                    Some(line) => self.ahead.push_back(line),
                    None => return Ok(Err(Broken::quotes(first))),
                }
            }
            let (next, cut) = &self.ahead[used];
            if *cut || text.len() + next.len() > MAX_BYTES {
                return Ok(Err(Broken::quotes(first)));
            }
            looked = !next.contains('"');
            text.push('\n');
            text.push_str(next);
            used += 1;
        }
    }

    fn take(&mut self) -> io::Result<Option<(String, bool)>> {
        let next = match self.ahead.pop_front() {
            Some(line) => Some(line),
            None => self.read_line()?,
        };
        self.line += u64::from(next.is_some());
        Ok(next)
    }

    /// One physical line without its end (LF, CRLF or CR); what is over the bound is dropped, and said.
    fn read_line(&mut self) -> io::Result<Option<(String, bool)>> {
        let mut line = Vec::new();
        let mut cut = false;
        let mut any = false;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            any = true;
            let end = memchr2(b'\n', b'\r', buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let room = MAX_BYTES - line.len();
            cut |= part.len() > room;
            line.extend_from_slice(&part[..part.len().min(room)]);
            let consumed = part.len() + usize::from(end.is_some());
            let carriage = end.is_some_and(|at| buffer[at] == b'\r');
            self.reader.consume(consumed);
            if end.is_some() {
                if carriage && self.reader.fill_buf()?.first() == Some(&b'\n') {
                    self.reader.consume(1);
                }
                break;
            }
        }
        // Only a cut can have left half a character.
        let text = String::from_utf8(line)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Ok(any.then_some((text, cut)))
    }
}

enum Split {
    Cells(Vec<String>),
    /// A quoted cell has not ended.
    Open,
    /// Something else than blanks and a delimiter or the end follows a closing quote.
    Broken,
    /// See [`Stray`].
    Ambiguous,
}

/// Quotes in cells that do not begin with one. They are letters, but may be what is left of a cell that others split
/// elsewhere, and then an id would be looked for in the wrong column.
#[derive(Default)]
struct Stray {
    /// A blank stood between a closing quote and what ends the cell.
    blank: bool,
    /// A cell has a quote that is not one of a pair around it.
    alone: bool,
    /// A cell begins with a blank and a quote that ends in none of its letters …
    opened: bool,
    /// … and a later one has its end: one cell for PowerShell, which skips the blank, and several for Excel.
    closed: bool,
}

impl Stray {
    fn meets(&mut self, cell: &str) {
        if !cell.contains('"') {
            return;
        }
        let bare = cell.trim();
        let (begins, ends) = (bare.starts_with('"'), bare.ends_with('"'));
        if begins && ends && bare.len() > 1 {
            return;
        }
        self.alone = true;
        self.closed |= self.opened && ends;
        self.opened |= begins;
    }

    fn judge(self, cells: Vec<String>) -> Split {
        match self {
            Self { closed: true, .. } => Split::Ambiguous,
            Self { blank: true, alone: true, .. } => Split::Broken,
            _ => Split::Cells(cells),
        }
    }
}

/// RFC 4180: a quote is syntax only at the start of a cell; inside, two make one. Blanks between a closing quote and what
/// ends the cell are no part of it: Excel, PowerShell and Python end it there as well.
fn split(text: &str, delimiter: u8) -> Split {
    let delimiter = char::from(delimiter);
    let blank = |c: char| matches!(c, ' ' | '\t') && c != delimiter;
    let mut stray = Stray::default();
    let mut cells = Vec::new();
    let mut rest = text;
    loop {
        if let Some(mut quoted) = rest.strip_prefix('"') {
            let mut cell = String::new();
            let after = loop {
                let Some(at) = quoted.find('"') else { return Split::Open };
                cell.push_str(&quoted[..at]);
                quoted = &quoted[at + 1..];
                match quoted.strip_prefix('"') {
                    Some(more) => {
                        cell.push('"');
                        quoted = more;
                    }
                    None => break quoted,
                }
            };
            cells.push(cell);
            let end = after.trim_start_matches(blank);
            stray.blank |= end.len() < after.len();
            match end.strip_prefix(delimiter) {
                Some(more) => rest = more,
                None if end.is_empty() => return stray.judge(cells),
                None => return Split::Broken,
            }
        } else {
            match rest.split_once(delimiter) {
                Some((cell, more)) => {
                    stray.meets(cell);
                    cells.push(cell.to_owned());
                    rest = more;
                }
                None => {
                    stray.meets(rest);
                    cells.push(rest.to_owned());
                    return stray.judge(cells);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(u64, Result<Vec<String>, Broken>)> {
        let mut records = Records::new(text.as_bytes(), b',');
        std::iter::from_fn(|| records.next().expect("memory")).map(|r| (r.line, r.cells)).collect()
    }

    #[test]
    fn quoted_line_breaks_belong_to_the_cell_and_lines_are_counted() {
        let rows = all("a,\"b\r\nc\"\r\n\r\n,,\r\nd,\"e\"\"f\"\n");
        let cells = |list: &[&str]| Ok(list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(rows, [(1, cells(&["a", "b\nc"])), (5, cells(&["d", "e\"f"]))]);
    }

    #[test]
    fn every_kind_of_line_end_is_one_line() {
        let lines: Vec<_> = all("a\n\nb\r\nc\rd\r\re\n\rf\r\ng").into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 3, 4, 5, 7, 9, 10]);
    }

    #[test]
    fn a_broken_quote_costs_one_row() {
        let rows = all("u1\n\"u2\nu3\nu4\n\"x\"y,z\nu5");
        let firsts: Vec<_> = rows.iter().map(|(line, cells)| (*line, cells.is_ok())).collect();
        assert_eq!(firsts, [(1, true), (2, false), (3, true), (4, true), (5, false), (6, true)]);
    }

    #[test]
    fn a_blank_behind_a_closing_quote_ends_the_cell_unless_a_quote_is_left_over() {
        for (line, cells) in [
            ("\"a,b\" ,c", Some(&["a,b", "c"][..])),
            ("\"a\"\t ,\"b\" ", Some(&["a", "b"])),
            ("\"a\nb\" ,c", Some(&["a\nb", "c"])),
            ("\"a\" , \"b\" ,c", Some(&["a", " \"b\" ", "c"])),
            ("\"a\" b,c", None),
            ("\"a\" \"b\",c", None),
            // A quote too few, or too many, inside a cell: what follows may stand in the wrong column.
            ("\"a \" , b\",c", None),
            ("\"a\" ,5\" disk,c", None),
            // Without the blank a quote behind a letter is a letter.
            ("\"a\",5\" disk,c", Some(&["a", "5\" disk", "c"])),
        ] {
            let found = all(line).into_iter().next().expect("a record").1;
            assert_eq!(
                found.as_ref().ok().map(Vec::as_slice),
                cells.map(|cells| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>()).as_deref(),
                "{line}"
            );
        }
        let mut tabs = Records::new(&b"\"a\"\t\"b\" \tc"[..], b'\t');
        assert_eq!(
            tabs.next().expect("read").expect("one").cells,
            Ok(["a", "b", "c"].map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn a_line_that_programs_split_differently_is_not_split() {
        for (line, ok) in [
            ("1, \"Berg, Ann\", \"boss@b.c\", \"ann@b.c\"", false),
            ("1,\t\"Berg, Ann\" ,ann@b.c", false),
            ("1, \"Ann\", \"ann@b.c\"", true),
            ("1, \"Ann,ann@b.c", true),
            ("1,5\" or 6\",ann@b.c", true),
        ] {
            let found = all(line).into_iter().next().expect("a record").1;
            assert_eq!(found.is_ok(), ok, "{line}: {found:?}");
        }
    }

    #[test]
    fn a_record_of_many_lines_is_bounded_to_the_line_and_the_byte() {
        for (lines, whole) in [(MAX_LINES, true), (MAX_LINES + 1, false)] {
            let rows = all(&format!("\"a{}\",b\nc,d\n", "\nx".repeat(lines - 1)));
            let next = lines as u64 + 1;
            let ok: Vec<_> = rows.iter().map(|(line, cells)| (*line, cells.is_ok())).collect();
            if whole {
                assert_eq!(ok, [(1, true), (next, true)]);
            } else {
                // Only its first line is lost. The last has a quote behind a letter, which is an ordinary one.
                assert_eq!(ok, (1..=next).map(|line| (line, line > 1)).collect::<Vec<_>>());
            }
        }
        for (bytes, whole) in [(MAX_BYTES, true), (MAX_BYTES + 1, false)] {
            let half = MAX_BYTES / 2;
            let rows = all(&format!("\"{}\n{}\"\nc\n", "a".repeat(half - 1), "b".repeat(bytes - half - 1)));
            let ok: Vec<_> = rows.iter().map(|(line, cells)| (*line, cells.is_ok())).collect();
            assert_eq!(
                ok,
                if whole { vec![(1, true), (3, true)] } else { vec![(1, false), (2, true), (3, true)] }
            );
        }
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut records =
            Records::new(io::BufReader::new(io::Read::take(io::repeat(b'a'), 10_000_000)), b',');
        let record = records.next().expect("read").expect("one");
        let broken = record.cells.expect_err("broken");
        assert_eq!((broken.raw.len(), broken.why), (MAX_BYTES, "the line is longer than 64 KiB"));
        assert!(records.next().expect("read").is_none());
    }
}
