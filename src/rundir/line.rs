//! One line of `results.csv`: written, and read only where it is byte for byte what would be written.

use std::borrow::Cow;

use memchr::{Memchr, memchr_iter};

use crate::model::{COLUMNS, Cell, Outcome, Reason, Record, Text};

/// A record whose texts are those of the line that it was read from.
pub type Written<'a> = Record<Cow<'a, str>>;

/// How many columns a `results.csv` has: the first of [`COLUMNS`], if an earlier version began the file, or all of them and
/// more at the end, if a later version began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns(usize);

impl Default for Columns {
    fn default() -> Self {
        Self(COLUMNS.len())
    }
}

impl Columns {
    /// Without `row`, `id`, `outcome` and `reason` nothing is known of a row.
    const LEAST: usize = 4;

    /// Reads a header without its line end; `None` if no version writes that header.
    pub(super) fn of(header: &[u8]) -> Option<Self> {
        let names: Vec<_> = std::str::from_utf8(header).ok()?.split(',').collect();
        let is_name = |name: &&str| {
            !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        };
        let is_ours = COLUMNS.iter().zip(&names).all(|(ours, name)| ours == name);
        (is_ours && names.len() >= Self::LEAST && names.iter().all(is_name)).then_some(Self(names.len()))
    }

    /// Returns whether the file has the column `name`.
    pub(super) fn have(self, name: &str) -> bool {
        COLUMNS.iter().take(self.0).any(|own| *own == name)
    }
}

/// Appends the line of a record with the columns that the file has: RFC 4180, quotes only where they must be, LF.
pub(super) fn write<'a, T: Cell<'a>>(record: &Record<T>, columns: Columns, to: &mut Vec<u8>) {
    record.write_line(columns.0, to);
}

/// Reads the record of a line with its LF. `None` where the writer would write other bytes for the columns that this version
/// knows.
pub(super) fn read(line: &[u8], columns: Columns) -> Option<Written<'_>> {
    let mut cells = Cells::of(std::str::from_utf8(line).ok()?.strip_suffix('\n')?);
    let record = Record::from_cells(columns.0, || cells.next())?;
    cells.from.is_none().then_some(record)
}

/// Implements [`Cell`] for column types by `write` (value to bytes), `read` (text to value) and the value if missing.
macro_rules! cells {
    ($($type:ty: $write:expr, $read:expr, $missing:expr;)*) => {$(
        impl<'a> Cell<'a> for $type {
            fn write(&self, to: &mut Vec<u8>) {
                let write: fn(&Self, &mut Vec<u8>) = $write;
                write(self, to);
            }

            fn read(text: Cow<'a, str>) -> Option<Self> {
                let read: fn(Cow<'a, str>) -> Option<Self> = $read;
                read(text)
            }

            fn missing() -> Option<Self> {
                $missing
            }
        }
    )*};
}

cells! {
    u64: |value, to| number(*value, to), |text| digits(&text), Some(0);
    u32: |value, to| number(u64::from(*value), to), |text| digits(&text), Some(0);
    Option<u64>: |value, to| optional(*value, to), |text| filled(&text, digits), Some(None);
    Option<u16>: |value, to| optional(value.map(u64::from), to), |text| filled(&text, digits), Some(None);
    Outcome: |value, to| quoted(value.as_str(), to), |text| Outcome::from_name(&text), None;
    Option<Reason>: |value, to| quoted(value.map_or("", Reason::as_str), to), |text| filled(&text, Reason::from_name), Some(None);
    Cow<'a, str>: |value, to| quoted(value, to), Some, Some(Cow::Borrowed(""));
    Text: |value, to| quoted(value, to), |text| Some(Text::from(&*text)), Some(Text::new());
}

/// What makes a cell need quotes; the comma only where cells are not split yet.
fn is_special(text: &[u8], comma: bool) -> bool {
    // Without an early end: so the compiler looks at many bytes at once.
    text.iter()
        .fold(false, |found, byte| found | matches!(byte, b'"' | b'\r' | b'\n') | (comma & (*byte == b',')))
}

/// A line without its end, cell by cell.
struct Cells<'a> {
    text: &'a str,
    /// Where the next cell begins; nowhere after the last.
    from: Option<usize>,
    commas: Memchr<'a>,
    /// Whether a cell may be quoted: then not every comma ends one.
    quotes: bool,
}

impl<'a> Cells<'a> {
    fn of(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        Self { text, from: Some(0), commas: memchr_iter(b',', bytes), quotes: is_special(bytes, false) }
    }

    fn next(&mut self) -> Option<Cow<'a, str>> {
        let from = self.from?;
        if self.quotes {
            return self.perhaps_quoted(&self.text[from..]);
        }
        let end = self.commas.next();
        self.from = end.map(|end| end + 1);
        self.text.get(from..end.unwrap_or(self.text.len())).map(Cow::Borrowed)
    }

    /// `rest` begins with the cell.
    fn perhaps_quoted(&mut self, rest: &'a str) -> Option<Cow<'a, str>> {
        let Some(mut quoted) = rest.strip_prefix('"') else {
            let (cell, after) =
                rest.split_once(',').map_or((rest, None), |(cell, after)| (cell, Some(after)));
            self.goes_on_with(after);
            return (!is_special(cell.as_bytes(), false)).then_some(Cow::Borrowed(cell));
        };
        let mut cell = String::new();
        loop {
            let (part, after) = quoted.split_once('"')?;
            cell.push_str(part);
            match after.as_bytes().first() {
                Some(b'"') => {
                    cell.push('"');
                    quoted = &after[1..];
                    continue;
                }
                Some(b',') => self.goes_on_with(Some(&after[1..])),
                Some(_) => return None,
                None => self.goes_on_with(None),
            }
            // Quotes that need not be there are not ours.
            return is_special(cell.as_bytes(), true).then_some(Cow::Owned(cell));
        }
    }

    fn goes_on_with(&mut self, rest: Option<&str>) {
        self.from = rest.map(|rest| self.text.len() - rest.len());
    }
}

/// Appends a text, with quotes if it needs them.
fn quoted(text: &str, to: &mut Vec<u8>) {
    if !is_special(text.as_bytes(), true) {
        return to.extend_from_slice(text.as_bytes());
    }
    to.push(b'"');
    for (at, part) in text.split('"').enumerate() {
        if at > 0 {
            to.extend_from_slice(b"\"\"");
        }
        to.extend_from_slice(part.as_bytes());
    }
    to.push(b'"');
}

fn optional(value: Option<u64>, to: &mut Vec<u8>) {
    if let Some(value) = value {
        number(value, to);
    }
}

fn number(mut value: u64, to: &mut Vec<u8>) {
    /// Digits of the largest number.
    const LONGEST: usize = 20;
    let mut text = [0; LONGEST];
    let mut from = text.len();
    loop {
        from -= 1;
        // A remainder by ten is one digit.
        text[from] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    to.extend_from_slice(&text[from..]);
}

/// A number as [`number`] writes it: no sign, no leading zero.
fn digits<N: TryFrom<u64>>(text: &str) -> Option<N> {
    let is_plain = match text.as_bytes() {
        [b'0', rest @ ..] => rest.is_empty(),
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    let value: u64 = text.parse().ok().filter(|_| is_plain)?;
    value.try_into().ok()
}

/// An empty cell is nothing; any other must be readable.
fn filled<V>(text: &str, read: impl FnOnce(&str) -> Option<V>) -> Option<Option<V>> {
    if text.is_empty() { Some(None) } else { read(text).map(Some) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::HEADER;

    /// The same by the `csv` crate, slowly: what a line must be written as.
    fn by_csv(record: &Record) -> Vec<u8> {
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        writer.serialize(record).expect("written");
        writer.into_inner().expect("flushed")
    }

    /// Read by the `csv` crate, and only if that writes the same bytes again.
    fn read_by_csv(line: &[u8]) -> Option<Record> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line);
        let mut records = reader.deserialize::<Record>();
        let record = records.next()?.ok()?;
        (records.next().is_none() && by_csv(&record) == line).then_some(record)
    }

    fn read_owned(line: &[u8], columns: Columns) -> Option<Record> {
        let read = read(line, columns)?;
        let mut again = Vec::new();
        write(&read, columns, &mut again);
        let mut cells = Cells::of(std::str::from_utf8(&again).ok()?.strip_suffix('\n')?);
        Record::from_cells(columns.0, || cells.next())
    }

    fn text() -> impl Strategy<Value = Text> {
        prop_oneof![Just(String::new()), "[a-z0-9@.'-]{1,50}", "[ -~\"\",é]{1,50}"].prop_map(Into::into)
    }

    prop_compose! {
        fn records()(
            numbers in (any::<u64>(), 0..2_000_u64, any::<u32>(), 0..3_u32),
            outcome in prop::sample::select(&[Outcome::Accepted, Outcome::Failed, Outcome::Invalid, Outcome::Duplicate][..]),
            reason in prop::option::of(prop::sample::select(&Reason::ALL[..])),
            http_status in any::<Option<u16>>(),
            duration_ms in any::<Option<u64>>(),
            texts in prop::array::uniform7(text()),
        ) -> Record {
            let [id, error_code, message, first_sent_at, finished_at, client_request_id, request_id] = texts;
            let (row, line, attempts, throttled) = numbers;
            Record {
                row, id, outcome, reason, http_status, error_code, message, attempts, throttled, first_sent_at,
                finished_at, duration_ms, client_request_id, request_id, line,
            }
        }
    }

    #[test]
    fn only_headers_of_earlier_and_later_versions_are_read() {
        let of = |header: &str| Columns::of(header.as_bytes()).map(|columns| columns.0);
        assert_eq!(of(HEADER), Some(COLUMNS.len()));
        assert_eq!(of(&format!("{HEADER},new_column,another2")), Some(COLUMNS.len() + 2));
        assert_eq!(of("row,id,outcome,reason"), Some(4));
        let earlier = COLUMNS[..COLUMNS.len() - 1].join(",");
        assert_eq!(of(&earlier), Some(COLUMNS.len() - 1));
        for other in [
            "".to_owned(),
            "row".to_owned(),
            "row,id,outcome".to_owned(),
            "row,id,outcome,reaso".to_owned(),
            "id,row,outcome,reason".to_owned(),
            HEADER.replace(',', ";"),
            format!("{HEADER},"),
            format!("{HEADER},\"a\""),
            format!("{HEADER},A b"),
            format!("{HEADER}\r"),
        ] {
            assert_eq!(of(&other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn line_of_any_version_is_read_up_to_its_columns(record in records(), columns in 4..COLUMNS.len() + 5) {
            let mut line = Vec::new();
            write(&record, Columns(columns), &mut line);
            let width = csv::ReaderBuilder::new().has_headers(false).from_reader(&line[..]).records().next();
            prop_assert_eq!(width.expect("a line").expect("well-formed").len(), columns);
            let read = read_owned(&line, Columns(columns)).expect("a record");
            prop_assert_eq!((read.row, &read.id, read.reason), (record.row, &record.id, record.reason));
            let mut again = Vec::new();
            write(&read, Columns(columns), &mut again);
            prop_assert_eq!(&again, &line);
            if columns >= COLUMNS.len() {
                prop_assert_eq!(read, record);
            }
            prop_assert!(super::read(&line, Columns(columns + 1)).is_none(), "a cell is missing");
        }

        #[test]
        fn line_is_written_as_by_the_csv_crate_and_read_back(record in records()) {
            let mut line = Vec::new();
            write(&record, Columns::default(), &mut line);
            prop_assert_eq!(&line, &by_csv(&record), "{}", String::from_utf8_lossy(&line));
            prop_assert_eq!(read_owned(&line, Columns::default()), Some(record));
        }

        #[test]
        fn line_in_another_form_is_not_a_record(
            record in records(),
            at in any::<prop::sample::Index>(),
            cut in 0..4_usize,
            put in prop_oneof![
                "[\",0-9+ -]{0,3}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..3),
            ],
        ) {
            let mut line = by_csv(&record);
            let at = at.index(line.len());
            line.splice(at..line.len().min(at + cut), put);
            // A line ends at its first LF.
            if line.iter().position(|byte| *byte == b'\n') == Some(line.len().wrapping_sub(1)) {
                prop_assert_eq!(read_owned(&line, Columns::default()), read_by_csv(&line), "{}", String::from_utf8_lossy(&line));
            }
        }
    }
}
