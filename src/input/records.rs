//! Physical lines → records. A broken quote costs one row, never the rest of the file.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use memchr::memchr2;

use crate::model::is_invisible;

/// Maximum number of physical lines of a record.
const MAX_LINES: usize = 100;
/// The same in bytes; also the longest physical line that is kept.
const MAX_BYTES: usize = 64 * 1024;

/// A byte order mark, and what is left of one where UTF-8 was read as Windows-1252.
const MARKS: [&str; 2] = ["\u{feff}", "\u{ef}\u{bb}\u{bf}"];

/// One record of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gathered {
    /// Physical line where it begins, from 1.
    pub(super) line: u64,
    /// Number of the record from 0, blank records counted: its row in the sheet that a spreadsheet saved.
    pub(super) sheet_row: u64,
    /// Its cells, or why it has none.
    pub(super) cells: Result<Vec<String>, Broken>,
    /// Whether a cell without quotes around it holds a quote.
    pub(super) stray: bool,
    /// Whether it is a single cell with quotes around it.
    pub(super) quoted: bool,
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

    fn after_broken(raw: String) -> Self {
        Self {
            raw,
            why: "the quotes of an earlier line do not balance, and this line may be the rest of a cell of it",
        }
    }

    fn long(raw: String) -> Self {
        Self { raw, why: "the line is longer than 64 KiB" }
    }
}

/// Reads records off a UTF-8 stream in memory bounded by the limits above.
///
/// After a record that cannot be split, the next lines may be the rest of one of its cells. They count again
/// from the first record without stray quotes that has as many cells as a whole row, or as the row before the
/// broken one.
pub(super) struct Records<R> {
    reader: R,
    delimiter: u8,
    /// Cells of a whole row; 0 where that is not known.
    width: usize,
    /// Cells of the last record that was split, where it has no more than a whole row.
    last_width: usize,
    /// No record has counted again since one that cannot be split.
    after_broken: bool,
    /// Physical lines read ahead, with their cut-off mark.
    ahead: VecDeque<(String, bool)>,
    line: u64,
    sheet_row: u64,
}

impl<R: BufRead> Records<R> {
    /// Reads records of any width. [`Records::of_width`] sets the number of cells of a complete row.
    pub(super) fn new(reader: R, delimiter: u8) -> Self {
        let ahead = VecDeque::new();
        Self { reader, delimiter, width: 0, last_width: 0, after_broken: false, ahead, line: 0, sheet_row: 0 }
    }

    /// Sets the number of cells of a whole row.
    pub(super) fn of_width(self, width: usize) -> Self {
        Self { width, ..self }
    }

    /// The next record; lines whose cells are all blank are passed over.
    pub(super) fn next(&mut self) -> io::Result<Option<Gathered>> {
        loop {
            let Some((first, cut)) = self.take()? else { return Ok(None) };
            let (line, sheet_row) = (self.line, self.sheet_row);
            self.sheet_row += 1;
            let quoted = first.starts_with('"');
            let gathered = if cut { Err(Broken::long(first)) } else { self.gather(first)? };
            match gathered {
                Ok((cells, _)) if cells.iter().all(|cell| cell.trim().is_empty()) => {}
                Ok((cells, stray)) => {
                    self.after_broken = false;
                    if cells.len() <= self.width {
                        self.last_width = cells.len();
                    }
                    let quoted = quoted && cells.len() == 1;
                    return Ok(Some(Gathered { line, sheet_row, cells: Ok(cells), stray, quoted }));
                }
                Err(broken) => {
                    self.after_broken = true;
                    let cells = Err(broken);
                    return Ok(Some(Gathered { line, sheet_row, cells, stray: false, quoted: false }));
                }
            }
        }
    }

    /// The cells of the record that begins with `first` and whether one has a stray quote. Of a broken record
    /// `first` alone is consumed, so that each of its lines is a record.
    fn gather(&mut self, first: String) -> io::Result<Result<(Vec<String>, bool), Broken>> {
        let mut text = String::new();
        let mut used = 0;
        // Only a line with a quote can close what is open.
        let mut looked = false;
        loop {
            let so_far = if used == 0 { &first } else { &text };
            match if looked { Split::Open } else { split(so_far, self.delimiter) } {
                Split::Cells(cells, stray) => {
                    let blank = || cells.iter().all(|cell| cell.trim().is_empty());
                    let whole = cells.len() == self.width || cells.len() == self.last_width;
                    if used > 0 && stray {
                        return Ok(Err(Broken::quotes(first)));
                    }
                    if self.after_broken && self.width > 0 && (stray || !whole) && !blank() {
                        return Ok(Err(Broken::after_broken(first)));
                    }
                    for _ in 0..used {
                        self.ahead.pop_front();
                        self.line += 1;
                    }
                    return Ok(Ok((cells, stray)));
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
            let length = if used == 0 { first.len() } else { text.len() };
            if *cut || length + next.len() > MAX_BYTES {
                return Ok(Err(Broken::quotes(first)));
            }
            if used == 0 {
                text.push_str(&first);
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

    /// Reads one physical line without its end (LF, CRLF or CR). Bytes beyond the limit are dropped and
    /// reported.
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
        let mut text = String::from_utf8(line)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        // Files that were put together have the mark of each before its first line.
        while let Some(mark) = MARKS.iter().find(|mark| text.starts_with(**mark)) {
            text.drain(..mark.len());
        }
        Ok(any.then_some((text, cut)))
    }
}

enum Split {
    /// The cells, and whether one without quotes around it holds a quote.
    Cells(Vec<String>, bool),
    /// A quoted cell has not ended.
    Open,
    /// Something else than blanks and a delimiter or the end follows a closing quote.
    Broken,
    /// See [`Stray`].
    Ambiguous,
}

/// Quotes in cells that do not begin with one. They are letters, but may be what is left of a cell that
/// others split elsewhere, and then an id would be looked for in the wrong column.
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
        // An invisible character before a quote makes it a part of the cell, as a blank does.
        let bare = cell.trim_matches(|c: char| c.is_whitespace() || is_invisible(c));
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
            Self { alone, .. } => Split::Cells(cells, alone),
        }
    }
}

/// RFC 4180: a quote is syntax only at the start of a cell; inside, two make one. Blanks between a closing
/// quote and what ends the cell are no part of it: Excel, PowerShell and Python end it there as well.
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
        of_width(0, text)
    }

    fn of_width(width: usize, text: &str) -> Vec<(u64, Result<Vec<String>, Broken>)> {
        let mut records = Records::new(text.as_bytes(), b',').of_width(width);
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
        let rows = of_width(1, "u1\n\"u2\nu3\nu4\n\"x\"y,z\nu5");
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
    fn lines_after_broken_quotes_count_again_from_the_next_whole_row() {
        for (text, whole) in [
            ("a,b,c\na,\"x \"y\"\nz\",b,c\na,b,c\n", &[1, 4][..]),
            ("a,b,c\na,\"x \"y\"\nz,b\n\nw\",c\n\"a\",\"b,\nb\",c\n", &[1, 6]),
            // The mark of a record that goes on is a quote that does not begin a cell.
            ("a,b,c\na,\"x \"y\"\nz\",b,c\"\na,b,c\n", &[1, 4]),
            // One quote too many may open a cell that holds the next rows.
            ("a,b,c\na,\"b,c\na,b,c\na,b,c\n", &[1, 3, 4]),
            // As wide as the rows before, where they are short.
            ("a,b,c\na,b\na,\"b\nc,d\na,b\n", &[1, 2, 4, 5]),
            ("a,b,c\na,b,c\na,\"b\nc,d\na,b,c\n", &[1, 2, 5]),
            // Quotes inside a cell do not go over a line.
            ("a,b,c\na,x\"y,\"z\nz\"\na,b,c\n", &[1, 4]),
        ] {
            let rows = of_width(3, text);
            let found: Vec<_> =
                rows.iter().filter(|(_, cells)| cells.is_ok()).map(|(line, _)| *line).collect();
            assert_eq!(found, whole, "{text}");
        }
    }

    #[test]
    fn byte_order_mark_of_any_line_is_no_part_of_a_cell() {
        for mark in ["\u{feff}", "\u{feff}\u{feff}", "\u{ef}\u{bb}\u{bf}"] {
            let rows = all(&format!("{mark}\"a,b\",c\n{mark}\"d\ne\",f\n{mark}\n{mark}g,h"));
            let cells: Vec<_> = rows.into_iter().map(|(_, cells)| cells.expect("cells")).collect();
            assert_eq!(cells, [["a,b", "c"], ["d\ne", "f"], ["g", "h"]], "{mark:?}");
        }
        assert!(all("x,\u{feff}\"Berg, Ann\",y")[0].1.is_err(), "programs split it differently");
    }

    #[test]
    fn a_record_of_many_lines_is_bounded_to_the_line_and_the_byte() {
        for (lines, whole) in [(MAX_LINES, true), (MAX_LINES + 1, false)] {
            let rows = of_width(2, &format!("\"a{}\",b\nc,d\n", "\nx".repeat(lines - 1)));
            let next = lines as u64 + 1;
            let ok: Vec<_> = rows.iter().map(|(line, cells)| (*line, cells.is_ok())).collect();
            if whole {
                assert_eq!(ok, [(1, true), (next, true)]);
            } else {
                // Each of its lines is broken, and the next one is not.
                assert_eq!(ok, (1..=next).map(|line| (line, line == next)).collect::<Vec<_>>());
            }
        }
        for (bytes, whole) in [(MAX_BYTES, true), (MAX_BYTES + 1, false)] {
            let half = MAX_BYTES / 2;
            let text = format!("\"{}\n{}\"\nc\n", "a".repeat(half - 1), "b".repeat(bytes - half - 1));
            let rows = of_width(1, &text);
            let ok: Vec<_> = rows.iter().map(|(line, cells)| (*line, cells.is_ok())).collect();
            assert_eq!(
                ok,
                if whole { vec![(1, true), (3, true)] } else { vec![(1, false), (2, false), (3, true)] }
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
