//! The rows of a list that was checked: to be sent, and as they were given.

use std::path::Path;

use jiff::Timestamp;

use super::cell::id_text;
use super::data_rows::Rows;
use super::list::{Checked, Found};
use super::records::Gathered;
use crate::error::Error;
use crate::model::{Item, Outcome, Reason, Record, Row, Text, sanitize, stamp, strip_formula_guard};

/// Longest id cell shown, in characters.
const SHOWN: usize = 256;
/// How the names of the columns begin that `failed.csv` adds, and replaces when it is fed back.
const ADDED: &str = "reprovision_";

/// The original cells of a data row, for `failed.csv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRow {
    /// Number of the data row, from 1.
    pub number: u64,
    /// Cells as given, the id without what was trimmed off it. Of a broken row the raw line in one cell,
    /// which is not that of the id where the list has another.
    pub cells: Vec<String>,
}

/// A data row as its record will show it: number, physical line, id.
type Shown = (u64, u64, Text);

impl Checked {
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
            // Invisible characters would be written as escapes, and the result would not be an id.
            for (at, cell) in cells.iter_mut().enumerate() {
                *cell = match ours {
                    _ if at == column => id_text(cell).0.to_owned(),
                    true => strip_formula_guard(cell).to_owned(),
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
        let shown = if id.is_guid() { Text::from(given) } else { sanitize(given, SHOWN).into() };
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
