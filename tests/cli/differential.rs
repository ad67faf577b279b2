//! Lists of many forms against the `csv` crate: well-formed ones give the same ids in the same rows, and damaged ones never
//! an id of another column.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use reprovision::input::{Options, check};
use reprovision::model::{Item, Reason};

/// Lists of each kind tried in one run. `LISTS=200000` tries more.
const LISTS: u32 = 2_000;

fn config() -> ProptestConfig {
    let lists = std::env::var("LISTS").ok().and_then(|lists| lists.parse().ok()).unwrap_or(LISTS);
    ProptestConfig { cases: lists, failure_persistence: None, ..ProptestConfig::default() }
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    /// The id that is to be sent: a GUID that begins with 1.
    Id,
    /// Somebody else's: a GUID that begins with 2.
    Manager,
    /// Somebody else's, under a name that does not say so: a GUID that begins with 3.
    Opaque,
    /// The address of somebody else.
    Mail,
    Text,
    /// Delimiters, quotes and line breaks.
    Notes,
    /// Filled only in some rows.
    Rare,
}

impl Column {
    fn name(self, at: usize) -> String {
        match self {
            Self::Id => "Id".to_owned(),
            Self::Manager => "managerId".to_owned(),
            Self::Opaque => format!("x{at}"),
            Self::Mail => "mail".to_owned(),
            Self::Text => format!("name {at}"),
            Self::Notes => format!("notes {at}"),
            Self::Rare => format!("city {at}"),
        }
    }

    fn cell(self, row: usize, dice: u8, notes: &str, filled: u8) -> String {
        let guid = |kind: u8| format!("{kind}{row:07x}-0000-4000-8000-{dice:012x}");
        match self {
            Self::Id => guid(1),
            _ if self != Self::Text && dice % 10 >= filled => String::new(),
            Self::Manager => guid(2),
            Self::Opaque => guid(3),
            Self::Mail => format!("m{row}.{dice}@contoso.com"),
            Self::Text => format!("Ren\u{e9} {dice}"),
            Self::Notes => notes.to_owned(),
            Self::Rare => format!("t{dice}"),
        }
    }
}

#[derive(Clone, Debug)]
struct List {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    has_header: bool,
    delimiter: u8,
    always_quoted: bool,
    /// Saved by Excel, which leaves out the empty cells at the end of 16 rows where none of them has any.
    excel: bool,
    line_end: &'static str,
    encoding: usize,
}

const ENCODINGS: [&str; 5] = ["UTF-8", "UTF-8 with mark", "UTF-16LE", "UTF-16BE", "windows-1252"];

fn column() -> impl Strategy<Value = Column> {
    prop::sample::select(vec![
        Column::Manager,
        Column::Manager,
        Column::Opaque,
        Column::Mail,
        Column::Text,
        Column::Text,
        Column::Notes,
        Column::Rare,
    ])
}

fn list() -> impl Strategy<Value = List> {
    let columns = (prop::collection::vec(column(), 1..6), any::<prop::sample::Index>());
    let rows = prop_oneof![3 => 1_usize..12, 1 => 12_usize..60];
    let cells = rows.prop_flat_map(|rows| {
        prop::collection::vec((any::<u8>(), "[a-z ,;\t|\"\n\u{e9}]{0,10}", any::<u8>()), rows)
    });
    let form = (
        prop::sample::select(vec![b',', b';', b'\t', b'|']),
        any::<bool>(),
        prop::sample::select(vec!["\n", "\r\n"]),
        0..ENCODINGS.len(),
        prop::bool::weighted(0.9),
        (prop_oneof![3 => Just(10_u8), 1 => Just(5), 1 => Just(1)], prop::bool::weighted(0.2)),
    );
    (columns, cells, form).prop_map(|((mut columns, place), cells, form)| {
        let (delimiter, always_quoted, line_end, encoding, has_header, (filled, excel)) = form;
        columns.dedup_by(|a, b| a == b && matches!(a, Column::Manager | Column::Mail));
        let mut seen = HashSet::new();
        columns.retain(|column| {
            !matches!(column, Column::Manager | Column::Mail) || seen.insert(column.name(0))
        });
        columns.insert(place.index(columns.len() + 1), Column::Id);
        let rows = cells
            .iter()
            .enumerate()
            .map(|(row, (dice, notes, shift))| {
                let cell = |(at, column): (usize, &Column)| {
                    let dice = dice.wrapping_add(shift.wrapping_mul(u8::try_from(at).unwrap_or(0)));
                    column.cell(row, dice, notes, filled)
                };
                columns.iter().enumerate().map(cell).collect()
            })
            .collect();
        // One row without a header has nothing that it could be compared with.
        let has_header = has_header || cells.len() == 1;
        let excel = excel && has_header;
        List { columns, rows, has_header, delimiter, always_quoted, excel, line_end, encoding }
    })
}

impl List {
    fn id_column(&self) -> usize {
        self.columns.iter().position(|column| *column == Column::Id).expect("an id column")
    }

    fn text(&self) -> String {
        let crlf = csv::Terminator::CRLF;
        let mut writer = csv::WriterBuilder::new()
            .delimiter(self.delimiter)
            .quote_style(if self.always_quoted {
                csv::QuoteStyle::Always
            } else {
                csv::QuoteStyle::Necessary
            })
            .flexible(true)
            .terminator(if self.line_end == "\n" { csv::Terminator::Any(b'\n') } else { crlf })
            .from_writer(Vec::new());
        let names = self.columns.iter().enumerate().map(|(at, column)| column.name(at)).collect();
        let records: Vec<Vec<String>> =
            self.has_header.then_some(names).into_iter().chain(self.rows.clone()).collect();
        let used =
            |row: &Vec<String>| row.iter().rposition(|cell| !cell.is_empty()).map_or(1, |last| last + 1);
        for block in records.chunks(16) {
            let width = block.iter().map(used).max().filter(|_| self.excel).unwrap_or(self.columns.len());
            for record in block {
                writer.write_record(&record[..width]).expect("memory");
            }
        }
        String::from_utf8(writer.into_inner().expect("memory")).expect("UTF-8")
    }

    fn encode(&self, text: &str) -> Vec<u8> {
        let units = || text.encode_utf16();
        match ENCODINGS[self.encoding] {
            "UTF-8" => text.as_bytes().to_vec(),
            "UTF-8 with mark" => [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            "UTF-16LE" => [0xff, 0xfe].into_iter().chain(units().flat_map(u16::to_le_bytes)).collect(),
            "UTF-16BE" => [0xfe, 0xff].into_iter().chain(units().flat_map(u16::to_be_bytes)).collect(),
            // A mark stays the three bytes that it is in UTF-8.
            _ => text
                .chars()
                .flat_map(|c| match u8::try_from(u32::from(c)) {
                    Ok(byte) => vec![byte],
                    Err(_) => c.to_string().into_bytes(),
                })
                .collect(),
        }
    }

    /// The rows as the program reads them: the id of each that is sent, else the reason.
    fn read(&self, text: &str) -> Result<Vec<Result<String, Reason>>, String> {
        thread_local! {
            static DESK: tempfile::TempDir = tempfile::tempdir().expect("a folder");
        }
        let (input, copy): (PathBuf, PathBuf) =
            DESK.with(|desk| (desk.path().join("given.csv"), desk.path().join("input.csv")));
        fs::write(&input, self.encode(text)).expect("written");
        let column = (!self.has_header).then(|| (self.id_column() + 1).to_string());
        let delimiter = (!self.has_header).then_some(self.delimiter);
        let options = Options { column, delimiter, ..Options::default() };
        let checked = check(&input, &copy, &options).map_err(|error| error.chain())?;
        let items = checked.items(&copy, |_| false).expect("the copy");
        Ok(items
            .map(|item| match item.expect("a row") {
                Item::Send(row) => Ok(row.id.as_str().to_owned()),
                Item::Settled(record) => Err(record.reason.expect("a reason")),
            })
            .collect())
    }
}

/// The list as another program reads it.
fn other_reader(list: &List, text: &str) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(list.delimiter)
        .has_headers(list.has_header)
        .flexible(true)
        .from_reader(text.as_bytes());
    let record =
        |record: csv::Result<csv::StringRecord>| record.expect("well-formed")[list.id_column()].to_owned();
    reader.records().map(record).collect()
}

/// One thing too many or too few.
#[derive(Clone, Debug)]
struct Damage {
    what: usize,
    insert: bool,
    place: prop::sample::Index,
}

impl Damage {
    fn apply(&self, text: &str, delimiter: u8) -> String {
        let what = ['"', char::from(delimiter), '\n', '\u{feff}'][self.what];
        let mut chars: Vec<char> = text.chars().collect();
        if self.insert || what == '\u{feff}' {
            chars.insert(self.place.index(chars.len() + 1), what);
        } else {
            let places: Vec<_> = (0..chars.len()).filter(|at| chars[*at] == what).collect();
            if !places.is_empty() {
                let at = places[self.place.index(places.len())];
                chars.remove(at);
                // A line break is CRLF or LF.
                if what == '\n' && at > 0 && chars[at - 1] == '\r' {
                    chars.remove(at - 1);
                }
            }
        }
        chars.into_iter().collect()
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    (0_usize..4, any::<bool>(), any::<prop::sample::Index>()).prop_map(|(what, insert, place)| Damage {
        what,
        insert,
        place,
    })
}

/// How one row of a list may slip to other columns and keep its number of cells.
#[derive(Clone, Copy, Debug)]
enum Slip {
    /// A text in two cells, and the last cell cut off.
    SplitAndCut,
    /// Two cells in one, and an empty cell at the end.
    MergeAndPad,
    /// A text cut by a line break, and both parts filled up with empty cells.
    TearAndPad,
}

impl Slip {
    /// The row as it slipped at a place. Only a text is split or cut, because a part of an id is not an id.
    fn apply(self, row: &[String], at: usize, is_text: bool) -> Vec<Vec<String>> {
        let width = row.len();
        let middle = row[at].char_indices().nth(row[at].chars().count() / 2).map_or(0, |(byte, _)| byte);
        let (head, tail) = row[at].split_at(middle);
        let parts = |head: &str, tail: &str| {
            let first = row[..at].iter().cloned().chain([head.to_owned()]).collect::<Vec<_>>();
            (first, [tail.to_owned()].into_iter().chain(row[at + 1..].iter().cloned()).collect::<Vec<_>>())
        };
        let (mut first, mut second) = parts(head, tail);
        match self {
            Self::SplitAndCut if is_text => {
                first.append(&mut second);
                first.truncate(width);
                vec![first]
            }
            Self::TearAndPad if is_text => {
                first.resize(width, String::new());
                second.resize(width, String::new());
                vec![first, second]
            }
            Self::MergeAndPad if at + 1 < width => {
                let mut merged = row.to_vec();
                let next = merged.remove(at + 1);
                merged[at].push_str(&next);
                merged.push(String::new());
                vec![merged]
            }
            _ => vec![row.to_vec()],
        }
    }
}

/// Lists whose cells are all filled: of empty ones nobody can tell whether they were always empty.
fn filled_list() -> impl Strategy<Value = List> {
    list().prop_map(|mut list| {
        list.columns.iter_mut().for_each(|column| {
            if matches!(column, Column::Rare | Column::Notes) {
                *column = Column::Text;
            }
        });
        let columns = list.columns.clone();
        for (number, row) in list.rows.iter_mut().enumerate() {
            let cell =
                |column: &Column| column.cell(number, u8::try_from(number % 256).unwrap_or(0), "", u8::MAX);
            *row = columns.iter().map(cell).collect();
        }
        List { has_header: true, excel: false, ..list }
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rows_that_slipped_alike_give_no_id_of_another_column(
        list in filled_list().prop_filter("enough rows to compare with", |list| list.rows.len() > 8),
        slip in prop::sample::select(vec![Slip::SplitAndCut, Slip::MergeAndPad, Slip::TearAndPad]),
        at in any::<prop::sample::Index>(),
        rows in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let at = at.index(list.columns.len());
        let slipped: HashSet<_> = rows.iter().map(|row| row.index(list.rows.len())).collect();
        let is_text = list.columns[at] == Column::Text;
        // Of rows in sequence that are cut in the middle nobody can tell whether they are users with the same empty cells.
        let follows = |row: &usize| row.checked_sub(1).is_some_and(|before| slipped.contains(&before));
        prop_assume!(!matches!(slip, Slip::TearAndPad) || !slipped.iter().any(follows));
        let rows = list.rows.iter().enumerate().flat_map(|(number, row)| {
            if slipped.contains(&number) { slip.apply(row, at, is_text) } else { vec![row.clone()] }
        });
        let damaged = List { rows: rows.collect(), ..list.clone() };
        let text = damaged.text();
        let ids: HashSet<_> = list.rows.iter().map(|row| row[list.id_column()].as_str()).collect();
        let found = damaged.read(&text).map_err(TestCaseError::fail)?;
        for id in found.iter().flatten() {
            prop_assert!(ids.contains(id.as_str()), "{id} of\n{text}");
        }
        // The rows that did not slip are sent.
        prop_assert!(found.iter().flatten().count() >= list.rows.len() - slipped.len(), "{found:?} of\n{text}");
    }

    #[test]
    fn well_formed_list_gives_the_ids_that_another_reader_finds(list in list()) {
        let text = list.text();
        let expected = other_reader(&list, &text);
        let found = list.read(&text).map_err(TestCaseError::fail)?;
        prop_assert_eq!(found.len(), expected.len(), "{}", text);
        // Of one or two short rows at the end of a sheet nobody knows whether they are one that was torn.
        let block = expected.len() / 16 * 16;
        let unsure = |row: usize| list.excel && block > 0 && expected.len() - block < 2 && row + 1 >= block;
        // Nor of two rows of which each lacks what the other has whether they are one that was torn.
        let end = |row: usize| list.rows[row].iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
        let torn = |row: usize| row > 0 && end(row - 1) + end(row) == list.columns.len() + 1;
        for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let broken = (unsure(row) || torn(row)) && *found == Err(Reason::BrokenRow);
            prop_assert!(broken || found.as_ref() == Ok(expected), "row {row}, {found:?}: {text}");
        }
    }

    #[test]
    fn damaged_list_gives_no_id_of_another_column(list in list(), damage in damage()) {
        let text = damage.apply(&list.text(), list.delimiter);
        let ids: HashSet<_> = list.rows.iter().map(|row| row[list.id_column()].as_str()).collect();
        for id in list.read(&text).into_iter().flatten().flatten() {
            prop_assert!(ids.contains(id.as_str()), "{id} of\n{text}");
        }
    }
}
