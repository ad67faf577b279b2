//! One line of `results.csv`: written, and read only where it is byte for byte what would be written.

use std::borrow::Cow;
use std::ops::Deref;

use memchr::{Memchr, memchr_iter};

use crate::model::{HEADER, Outcome, Reason, Record};

/// A record whose texts stand in the line that it was read from.
pub type Written<'a> = Record<Cow<'a, str>>;

/// Appends the line of a record: RFC 4180, quotes only where they must be, LF.
pub(super) fn write<T: Deref<Target = str>>(record: &Record<T>, to: &mut Vec<u8>) {
    number(record.row, b',', to);
    cell(&record.id, b',', to);
    cell(record.outcome.as_str(), b',', to);
    cell(record.reason.map_or("", Reason::as_str), b',', to);
    optional(record.http_status.map(u64::from), to);
    cell(&record.error_code, b',', to);
    cell(&record.message, b',', to);
    number(record.attempts.into(), b',', to);
    number(record.throttled.into(), b',', to);
    cell(&record.first_sent_at, b',', to);
    cell(&record.finished_at, b',', to);
    optional(record.duration_ms, to);
    cell(&record.client_request_id, b',', to);
    cell(&record.request_id, b',', to);
    number(record.line, b'\n', to);
}

/// Appends the line of a record with the columns that a file has: those that are missing there are left out, those of a
/// later version are empty.
pub(super) fn write_as<T: Deref<Target = str>>(record: &Record<T>, columns: Columns, to: &mut Vec<u8>) {
    let from = to.len();
    write(record, to);
    if columns == Columns::default() {
        return;
    }
    let end = to.pop();
    to.extend(std::iter::repeat_n(b',', columns.0.saturating_sub(Columns::default().0)));
    let next = {
        let text = String::from_utf8_lossy(&to[from..]);
        let mut cells = Cells::of(&text);
        (0..columns.0).for_each(|_| drop(cells.next()));
        cells.from
    };
    if let Some(next) = next {
        to.truncate(from + next - 1);
    }
    to.extend(end);
}

/// How many columns a `results.csv` has: the first of ours, which an earlier version wrote, or ours and others at the end,
/// as a later one may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns(usize);

impl Default for Columns {
    fn default() -> Self {
        Self(HEADER.split(',').count())
    }
}

impl Columns {
    /// Without `row`, `id`, `outcome` and `reason` nothing is known of a row.
    const LEAST: usize = 4;

    /// Those of a header without its line end; `None` where no version writes that header.
    pub(super) fn of(header: &[u8]) -> Option<Self> {
        let names: Vec<_> = std::str::from_utf8(header).ok()?.split(',').collect();
        let is_name = |name: &&str| {
            !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        };
        let is_ours = HEADER.split(',').zip(&names).all(|(ours, name)| ours == *name);
        (is_ours && names.len() >= Self::LEAST && names.iter().all(is_name)).then_some(Self(names.len()))
    }

    /// Whether the line of the input stands in a record.
    pub(super) fn have_line(self) -> bool {
        self.0 >= Self::default().0
    }
}

/// The record of a line with its LF; nothing where [`write_as`] would give other bytes for its columns that are ours.
/// Columns that are missing are empty, or 0.
pub(super) fn read(line: &[u8], columns: Columns) -> Option<Written<'_>> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (mut cells, mut left) = (Cells::of(text), columns.0);
    let mut cell = |missing: &'static str| match left {
        0 => Some(Cow::Borrowed(missing)),
        _ => {
            left -= 1;
            cells.next()
        }
    };
    let record = Record {
        row: digits(&cell("")?)?,
        id: cell("")?,
        outcome: Outcome::from_name(&cell("")?)?,
        reason: filled(&cell("")?, Reason::from_name)?,
        http_status: filled(&cell("")?, digits)?,
        error_code: cell("")?,
        message: cell("")?,
        attempts: digits(&cell("0")?)?,
        throttled: digits(&cell("0")?)?,
        first_sent_at: cell("")?,
        finished_at: cell("")?,
        duration_ms: filled(&cell("")?, digits)?,
        client_request_id: cell("")?,
        request_id: cell("")?,
        line: digits(&cell("0")?)?,
    };
    for _ in 0..left {
        cells.next()?;
    }
    cells.from.is_none().then_some(record)
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

fn cell(text: &str, end: u8, to: &mut Vec<u8>) {
    if text.is_empty() {
        to.push(end);
        return;
    }
    if is_special(text.as_bytes(), true) {
        to.push(b'"');
        for (at, part) in text.split('"').enumerate() {
            if at > 0 {
                to.extend_from_slice(b"\"\"");
            }
            to.extend_from_slice(part.as_bytes());
        }
        to.push(b'"');
    } else {
        to.extend_from_slice(text.as_bytes());
    }
    to.push(end);
}

fn optional(value: Option<u64>, to: &mut Vec<u8>) {
    match value {
        Some(value) => number(value, b',', to),
        None => to.push(b','),
    }
}

fn number(mut value: u64, end: u8, to: &mut Vec<u8>) {
    if value < 10 {
        to.extend_from_slice(&[b'0' + value as u8, end]);
        return;
    }
    let mut text = [0; 20];
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
    to.push(end);
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
    use crate::model::Text;

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

    fn owned(record: Written<'_>) -> Record {
        let own = |text: Cow<'_, str>| Text::from(&*text);
        Record {
            row: record.row,
            id: own(record.id),
            outcome: record.outcome,
            reason: record.reason,
            http_status: record.http_status,
            error_code: own(record.error_code),
            message: own(record.message),
            attempts: record.attempts,
            throttled: record.throttled,
            first_sent_at: own(record.first_sent_at),
            finished_at: own(record.finished_at),
            duration_ms: record.duration_ms,
            client_request_id: own(record.client_request_id),
            request_id: own(record.request_id),
            line: record.line,
        }
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
    fn headers_of_earlier_and_later_versions_are_read_and_others_are_not() {
        let of = |header: &str| Columns::of(header.as_bytes()).map(|columns| columns.0);
        assert_eq!(of(HEADER), Some(15));
        assert_eq!(of(&format!("{HEADER},new_column,another2")), Some(17));
        assert_eq!(of("row,id,outcome,reason"), Some(4));
        let earlier = HEADER.strip_suffix(",line").expect("the last column");
        assert_eq!(of(earlier), Some(14));
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
        fn a_line_of_any_version_is_read_as_far_as_its_columns_go(record in records(), columns in 4..20_usize) {
            let mut line = Vec::new();
            write_as(&record, Columns(columns), &mut line);
            let width = csv::ReaderBuilder::new().has_headers(false).from_reader(&line[..]).records().next();
            prop_assert_eq!(width.expect("a line").expect("well-formed").len(), columns);
            let read = read(&line, Columns(columns)).map(owned).expect("a record");
            prop_assert_eq!((read.row, &read.id, read.reason), (record.row, &record.id, record.reason));
            let mut again = Vec::new();
            write_as(&read, Columns(columns), &mut again);
            prop_assert_eq!(&again, &line);
            if columns >= 15 {
                prop_assert_eq!(read, record);
            }
            prop_assert!(super::read(&line, Columns(columns + 1)).is_none(), "a cell is missing");
        }

        #[test]
        fn a_line_is_written_as_the_csv_crate_does_and_read_as_it_was(record in records()) {
            let mut line = Vec::new();
            write(&record, &mut line);
            prop_assert_eq!(&line, &by_csv(&record), "{}", String::from_utf8_lossy(&line));
            prop_assert_eq!(read(&line, Columns::default()).map(owned), Some(record));
        }

        #[test]
        fn what_is_not_as_we_write_it_is_no_record(
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
                prop_assert_eq!(read(&line, Columns::default()).map(owned), read_by_csv(&line), "{}", String::from_utf8_lossy(&line));
            }
        }
    }
}
