//! A list that was checked: its form, its counts, and the id of a row.

use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use encoding_rs::Encoding;

use super::cell::{id_text, trim};
use super::data_rows::Rows;
use super::encoding::Utf8Reader;
use super::first::Start;
use super::header::Layout;
use super::lost::Lost;
use super::records::{Broken, Gathered, Records};
use super::repeats::Names;
use super::width::Widths;
use crate::error::Error;
use crate::model::{BadId, CsvLayout, ObjectKind, Reason, Shard, UserId, count, sanitize};

/// Longest id cell shown, in characters.
const SHOWN: usize = 256;

/// A checked list: its form and its counts.
#[derive(Debug)]
pub struct Checked {
    /// Of the bytes as given, in hex; empty where a copy was opened again.
    pub sha256: String,
    /// Size of the bytes as given.
    pub bytes: u64,
    /// The encoding of the list.
    pub encoding: &'static Encoding,
    /// Cell delimiter.
    pub delimiter: u8,
    /// Header cells, if there is a header.
    pub header: Option<Vec<String>>,
    /// Name of the id column.
    pub column_name: String,
    /// Data rows.
    pub rows: u64,
    /// Those of this shard, which all other counts are about; all where there is none.
    pub selected: u64,
    /// Rows to send.
    pub users: u64,
    /// Rows with the id of an earlier row.
    pub duplicates: u64,
    /// Rows without a usable id.
    pub invalid: u64,
    /// The first unusable rows: line, and what is wrong with which cell.
    pub unusable: Vec<(u64, String)>,
    /// Ids that had blanks or invisible characters at their ends.
    pub trimmed: u64,
    /// Lines before the header that are no data: a type line, a version line.
    pub lead_ins: u64,
    /// Example rows of a template, left out.
    pub examples: u64,
    /// Lines that repeat the header, left out.
    pub repeats: u64,
    /// Rows to send with fewer cells than the header.
    pub short: u64,
    /// Rows with characters that could not be read.
    pub(super) lost: Lost,
    pub(super) shard: Option<Shard>,
    pub(super) layout: Layout,
    pub(super) start: Start,
    /// How wide rows are; `None` where all are as wide as the first record.
    pub(super) widths: Option<Arc<Widths>>,
    pub(super) object: ObjectKind,
    pub(super) ours: bool,
    /// Later rows with the id of an earlier one, by row: eight bytes for each of them.
    pub(super) same: Vec<(u32, u32)>,
}

/// The content of an id cell.
pub(super) struct Found<'a> {
    pub(super) id: UserId,
    /// As it was written, without what stood around it.
    pub(super) given: &'a str,
    /// Whether anything stood around it.
    pub(super) around: bool,
}

impl Checked {
    /// Whether a row belongs to this shard: by its id where it has one.
    pub(super) fn is_ours(&self, id: Result<&UserId, ()>, number: u64) -> bool {
        self.shard.is_none_or(|shard| match id {
            Ok(id) => shard.holds(id.as_str()),
            Err(()) => shard.holds_row(number),
        })
    }

    pub(super) fn read(&self, copy: &Path) -> Result<Rows, Error> {
        let open =
            Utf8Reader::open(copy, self.encoding).map_err(|source| Error::file("read", copy, source))?;
        let width = self.widths.as_ref().map_or(self.start.first.len(), |widths| widths.whole());
        let text = BufReader::with_capacity(1 << 16, open);
        Ok(Rows {
            records: Records::new(text, self.delimiter).of_width(width),
            delimiter: self.delimiter,
            copy: copy.to_owned(),
            skipped: self.start.skipped,
            names: self.header.as_deref().map(Names::new),
            column: self.layout.column,
            widths: self.widths.clone(),
            before: None,
            repeats: 0,
            number: 0,
            templates: !self.ours,
            examples: 0,
        })
    }

    pub(super) fn id<'a>(&self, gathered: &'a Gathered) -> Result<Found<'a>, (Reason, String, String)> {
        let broken = |raw: &str, what: &str| (Reason::BrokenRow, what.to_owned(), sanitize(raw, SHOWN));
        let cells = match &gathered.cells {
            Ok(cells) => cells,
            Err(Broken { raw, why }) => return Err(broken(raw, why)),
        };
        let Some(cell) = cells.get(self.layout.column) else {
            return Err(broken(&cells.join(" "), "the row has no id cell"));
        };
        let (given, around) = id_text(cell);
        match UserId::parse(given) {
            Ok(id) => Ok(Found { id, given, around }),
            Err(why) => {
                let reason = if why == BadId::Empty { Reason::EmptyId } else { Reason::BadId };
                Err((reason, why.to_string(), sanitize(given, SHOWN)))
            }
        }
    }

    /// The name of the encoding for messages.
    pub fn encoding_name(&self) -> &'static str {
        if self.encoding == encoding_rs::WINDOWS_1252 { "Windows-1252" } else { self.encoding.name() }
    }

    /// How the list was split into cells.
    pub fn reading(&self) -> CsvLayout {
        CsvLayout {
            delimiter: char::from(self.delimiter),
            column: self.layout.column + 1,
            header: self.start.has_header,
            skipped: self.start.skipped,
        }
    }

    /// Names of the columns: those of the header, or where there is none such that the ids are found again.
    pub fn names(&self) -> Vec<String> {
        // Invisible characters would be written as escapes, and the column would not be found again.
        let bare = |header: &Vec<String>| header.iter().map(|name| trim(name).to_owned()).collect();
        self.header.as_ref().map(bare).unwrap_or_else(|| {
            let name = |at| match at == self.layout.column {
                true => "id".to_owned(),
                false => format!("column {}", at + 1),
            };
            (0..self.start.first.len()).map(name).collect()
        })
    }

    /// The assumptions about the input, one sentence each.
    pub fn assumed(&self) -> Vec<String> {
        let mut said = Vec::new();
        if self.encoding == encoding_rs::WINDOWS_1252 {
            said.push("not valid UTF-8, so read as Windows-1252".to_owned());
        }
        said.extend(self.lost.sentence());
        if self.header.is_none() {
            said.push("no header: the first line is a row".to_owned());
        }
        if self.lead_ins > 0 {
            said.push(format!("{} before the header left out", count(self.lead_ins, "lines")));
        }
        if self.start.titles > 0 {
            said.push(format!(
                "{} above the header in line {} left out, beginning with {:?}",
                count(self.start.titles, "title lines"),
                self.start.first_line,
                self.start.title
            ));
        }
        if self.examples > 0 {
            said.push(format!("{} of the template left out", count(self.examples, "example lines")));
        }
        if self.repeats > 0 {
            said.push(format!("{} left out", count(self.repeats, "repeated header lines")));
        }
        if self.short > 0 {
            let rows = count(self.short, "rows");
            said.push(format!(
                "{rows} with fewer cells than the header, read as if the last cells were empty"
            ));
        }
        if self.trimmed > 0 {
            let ids = count(self.trimmed, "ids");
            said.push(format!("blanks, quotes or invisible characters around {ids} removed"));
        }
        said
    }
}
