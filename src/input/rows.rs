//! The rows of a list that was checked: to be sent, and as they were given.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::cell::id_text;
use super::check::Checked;
use super::encoding::Utf8Reader;
use super::lead_in::is_example;
use super::records::{Broken, Gathered, Records};
use super::repeats::Names;
use super::width::{Before, Widths};
use crate::error::Error;
use crate::model::{BadId, Item, Outcome, Reason, Record, Row, Text, UserId, neutral, plain, stamp};

/// Longest id cell shown, in characters.
const SHOWN: usize = 256;
/// How the names of the columns begin that `failed.csv` adds, and replaces when it is fed back.
const ADDED: &str = "reprovision_";

/// The original cells of a data row, for `failed.csv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRow {
    /// Number of the data row, from 1.
    pub number: u64,
    /// Cells as given, the id without what was trimmed off it. Of a broken row the raw line in one cell, which is not that
    /// of the id where the list has another.
    pub cells: Vec<String>,
}

/// What an id cell holds.
pub(super) struct Found<'a> {
    pub(super) id: UserId,
    /// As it was written, without what stood around it.
    pub(super) given: &'a str,
    /// Whether anything stood around it.
    pub(super) around: bool,
}

/// A data row as its record will show it: number, physical line, id.
type Shown = (u64, u64, Text);

impl Checked {
    /// Whether a row belongs to this shard: by its id where it has one.
    pub(super) fn is_ours(&self, id: Result<&UserId, ()>, number: u64) -> bool {
        self.shard.is_none_or(|shard| match id {
            Ok(id) => shard.holds(id.as_str()),
            Err(()) => shard.holds_row(number),
        })
    }

    fn is_our_row(&self, number: u64, gathered: &Gathered) -> bool {
        self.shard.is_none() || {
            let id = self.id(gathered);
            self.is_ours(id.as_ref().map(|found| &found.id).map_err(drop), number)
        }
    }

    /// The rows of this shard without those that `skip` knows to be done, in the order of the input.
    ///
    /// # Errors
    /// Where the copy cannot be opened.
    pub fn items(self, copy: &Path, skip: impl Fn(u64) -> bool + Send + 'static) -> Result<Items, Error> {
        let rows = self.read(copy)?;
        Ok(Items { checked: self, rows, skip: Box::new(skip) })
    }

    /// The original cells of every data row.
    ///
    /// # Errors
    /// Where the copy cannot be opened.
    pub fn raw_rows(
        &self,
        copy: &Path,
    ) -> Result<impl Iterator<Item = Result<RawRow, Error>> + use<>, Error> {
        let (column, ours) = (self.layout.column, self.ours);
        // Filled up to the width of the header, a row that is too short would look whole when it is fed back.
        let is_free = |(at, name): &(usize, String)| *at != column && !name.starts_with(ADDED);
        let free = self.names().into_iter().enumerate().find(is_free).map_or(column, |(at, _)| at);
        Ok(self.read(copy)?.map(move |row| {
            let (number, gathered) = row?;
            let mut cells = match gathered.cells {
                Ok(cells) => cells,
                Err(broken) => {
                    let mut cells = vec![String::new(); free];
                    cells.push(broken.raw);
                    return Ok(RawRow { number, cells });
                }
            };
            // What is invisible would be written as an escape, and that is no id any more.
            for (at, cell) in cells.iter_mut().enumerate() {
                *cell = match ours {
                    _ if at == column => id_text(cell).0.to_owned(),
                    true => plain(cell).to_owned(),
                    false => continue,
                };
            }
            Ok(RawRow { number, cells })
        }))
    }

    /// Number, line and shown id of every data row of this shard, as its record will have them.
    ///
    /// # Errors
    /// Where the copy cannot be opened.
    pub fn ids(&self, copy: &Path) -> Result<impl Iterator<Item = Result<Shown, Error>> + use<'_>, Error> {
        Ok(self.read(copy)?.filter_map(|row| {
            let (number, gathered) = match row {
                Ok((number, gathered)) if self.is_our_row(number, &gathered) => (number, gathered),
                Ok(_) => return None,
                Err(error) => return Some(Err(error)),
            };
            let id = match self.item(number, &gathered) {
                Item::Send(row) => row.shown,
                Item::Settled(record) => record.id,
            };
            Some(Ok((number, gathered.line, id)))
        }))
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
        let broken = |raw: &str, what: &str| (Reason::BrokenRow, what.to_owned(), neutral(raw, SHOWN));
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
                Err((reason, why.to_string(), neutral(given, SHOWN)))
            }
        }
    }

    fn item(&self, number: u64, gathered: &Gathered) -> Item {
        let settled = |id: Text, outcome, reason, message: String| {
            Item::Settled(Box::new(Record {
                message: message.into(),
                finished_at: stamp(Timestamp::now()),
                ..Record::unsent(number, gathered.line, id, outcome, Some(reason))
            }))
        };
        let Found { id, given, .. } = match self.id(gathered) {
            Ok(found) => found,
            Err((reason, message, shown)) => return settled(shown.into(), Outcome::Invalid, reason, message),
        };
        // An object id is harmless as it stands.
        let shown = if id.is_guid() { Text::from(given) } else { neutral(given, SHOWN).into() };
        match self.same.binary_search_by_key(&number, |(row, _)| u64::from(*row)) {
            Ok(at) => {
                settled(shown, Outcome::Duplicate, Reason::SameId, format!("same as row {}", self.same[at].1))
            }
            Err(_) => Item::Send(Row { number, line: gathered.line, shown, id }),
        }
    }
}

/// The stream of rows to do.
pub struct Items {
    checked: Checked,
    rows: Rows,
    skip: Box<dyn Fn(u64) -> bool + Send>,
}

impl Iterator for Items {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.rows.next()? {
                Err(error) => return Some(Err(error)),
                Ok((number, _)) if (self.skip)(number) => {}
                Ok((number, gathered)) if !self.checked.is_our_row(number, &gathered) => {}
                Ok((number, gathered)) => return Some(Ok(self.checked.item(number, &gathered))),
            }
        }
    }
}

/// Data rows with their numbers; lead-in, header, its repeats and example left out. A row whose cells do not surely stand
/// under their names is broken.
pub(super) struct Rows {
    records: Records<BufReader<Utf8Reader>>,
    delimiter: u8,
    copy: PathBuf,
    /// Physical line at which the last record above the rows begins.
    skipped: u64,
    pub(super) names: Option<Names>,
    column: usize,
    /// `None` while the rows are counted, or where all are alike.
    widths: Option<Arc<Widths>>,
    before: Option<Before>,
    /// Lines that repeat the header.
    pub(super) repeats: u64,
    number: u64,
    /// Whether an example before the first row is a template's. In a `failed.csv` it was a row.
    templates: bool,
    pub(super) examples: u64,
}

impl Iterator for Rows {
    type Item = Result<(u64, Gathered), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut gathered = match self.records.next() {
                Ok(gathered) => gathered?,
                Err(source) => return Some(Err(Error::file("read", &self.copy, source))),
            };
            if gathered.line <= self.skipped {
                continue;
            }
            if let Ok(cells) = &gathered.cells {
                if self.number == 0 && self.templates && is_example(cells) {
                    self.examples += 1;
                    continue;
                }
                if self.names.as_ref().is_some_and(|names| names.are_repeated_by(cells, self.column)) {
                    self.repeats += 1;
                    continue;
                }
                if let Some(widths) = &self.widths {
                    let fault = widths.fault(&gathered, self.before.replace(Before::new(cells, self.column)));
                    if let Some(why) = fault {
                        let raw = cells.join(char::from(self.delimiter).encode_utf8(&mut [0; 4]));
                        gathered.cells = Err(Broken { raw, why });
                    }
                }
            } else {
                self.before = None;
            }
            self.number += 1;
            return Some(Ok((self.number, gathered)));
        }
    }
}
