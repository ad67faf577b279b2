//! Whether the cells of a row surely stand under their headings: a shifted row could name another person.

use std::collections::BTreeMap;

use super::cell::id_text;
use super::names::{has_known_name, is_of_another_person, normal};
use super::quoted::is_quoted_row;
use super::records::Gathered;
use super::shift::{ColumnKinds, FilledPart, Kind, holds_guid, is_guid};
use crate::model::UserId;

/// Rows of one width that a spreadsheet saves together: Excel leaves out the last empty cells of 16 rows at a
/// time.
const BLOCK: u64 = 16;
/// Fewest rows of a short block. One misplaced line break makes two short rows of one.
const SHORT_ROWS: u64 = 3;
/// Parts of names of columns that hold ids, also where the cells are empty.
const ID_NAMES: [&str; 4] = ["upn", "principal", "mail", "objectid"];
/// Parts of names of columns that may hold ids.
const MAYBE_ID_NAMES: [&str; 4] = ["id", "user", "login", "account"];

const FEWER: &str = "the row has too few cells, so its id may be that of another column";
const MORE: &str = "the row has too many cells, so its id may be that of another column";
const STRAY: &str = "a quote stands inside a cell of this line, so its id may be that of another column";
const SWALLOWED: &str = "the lines of this row look like rows of their own, as if a quote were missing";
/// The record before a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    width: usize,
    has_id: bool,
    ends_blank: bool,
    part: FilledPart,
}

impl Before {
    /// Looks at a record that was split.
    pub(super) fn new(cells: &[String], column: usize) -> Self {
        Self {
            width: cells.len(),
            has_id: cells.get(column).is_some_and(|cell| is_id(cell)),
            ends_blank: cells.last().is_some_and(|cell| Kind::of(cell) == Kind::Blank),
            part: FilledPart::of(cells),
        }
    }
}

/// How many cells the rows of a list have, gathered row by row.
#[derive(Debug)]
pub(super) struct Survey {
    column: usize,
    delimiter: u8,
    /// Cells of the header; of the first row of a list without header.
    width: usize,
    has_header: bool,
    has_titles: bool,
    /// The id column has a known name.
    named: bool,
    /// Block of the header, whose rows a spreadsheet saves as wide as the header.
    header_block: u64,
    rows: BTreeMap<usize, u64>,
    /// Another column holds an id, or is called as if it did.
    ids_elsewhere: bool,
    /// Names of the columns after the id column that would not hold an id in a list that is not shifted.
    names: Vec<String>,
    kinds: ColumnKinds,
    stray: bool,
    /// A row has text beyond the last column of the header.
    filled_beyond: bool,
    /// Rows of a single cell that looks like a whole row.
    quoted_rows: u64,
    block: Option<Block>,
    header_block_is_whole: bool,
    short_blocks: Vec<(u64, u64)>,
    /// Cells of the rows of the last of them.
    short_width: usize,
    /// A record holds several lines each of which could be a row of its own.
    swallowed: bool,
}

#[derive(Debug)]
struct Block {
    number: u64,
    rows: u64,
    /// `None` where its rows differ.
    width: Option<usize>,
}

impl Survey {
    /// Begins with the first record of a list, the header or a row, and its number among the records. A line
    /// above the header may be the first part of it.
    pub(super) fn new(
        first: &[String],
        sheet_row: u64,
        has_titles: bool,
        has_header: bool,
        column: usize,
        delimiter: u8,
    ) -> Self {
        let names: Vec<String> = first.iter().filter(|_| has_header).map(|name| normal(name)).collect();
        let of_others = |(at, name): (usize, &String)| at != column && names_ids(name);
        Self {
            column,
            delimiter,
            width: first.len(),
            has_header,
            has_titles,
            named: first.get(column).is_some_and(|name| has_known_name(std::slice::from_ref(name))),
            header_block: sheet_row / BLOCK,
            rows: BTreeMap::new(),
            ids_elsewhere: names.iter().enumerate().any(of_others),
            kinds: ColumnKinds::new(column, first.len(), names.iter().map(|name| names_ids(name)).collect()),
            names,
            stray: false,
            filled_beyond: false,
            quoted_rows: 0,
            block: None,
            header_block_is_whole: false,
            short_blocks: Vec::new(),
            short_width: 0,
            swallowed: false,
        }
    }

    /// Adds a data row.
    pub(super) fn add(&mut self, gathered: &Gathered) {
        let width = gathered.cells.as_ref().map_or(0, Vec::len);
        self.add_to_block(gathered.sheet_row / BLOCK, width);
        let cells = match &gathered.cells {
            Ok(cells) => cells,
            Err(broken) => {
                // One of two ids that stand in a line stands in another column.
                let ids =
                    broken.raw.split(char::from(self.delimiter)).filter(|part| is_id(part.trim_matches('"')));
                self.ids_elsewhere |= ids.count() > 1;
                return;
            }
        };
        self.quoted_rows += u64::from(is_quoted_row(gathered, self.delimiter));
        *self.rows.entry(width).or_default() += 1;
        self.stray |= gathered.stray;
        self.swallowed |= holds_rows(cells, self.width, self.column, self.delimiter);
        self.kinds.add(cells);
        for (at, cell) in cells.iter().enumerate() {
            let kind = Kind::of(cell);
            self.filled_beyond |= at >= self.width && kind != Kind::Blank;
            if at != self.column && !self.ids_elsewhere {
                self.ids_elsewhere = kind == Kind::Guid || kind == Kind::Address && is_id(cell);
            }
        }
    }

    fn add_to_block(&mut self, number: u64, width: usize) {
        match &mut self.block {
            Some(block) if block.number == number => {
                block.rows += 1;
                block.width = block.width.filter(|before| *before == width);
            }
            _ => {
                self.end_block();
                self.block = Some(Block { number, rows: 1, width: Some(width) });
            }
        }
    }

    fn end_block(&mut self) {
        let Some(Block { number, rows, width: Some(width) }) = self.block.take() else { return };
        if number == self.header_block {
            self.header_block_is_whole = width == self.width;
        } else if width > 0 && width < self.width {
            match self.short_blocks.last_mut() {
                // The last block may have a single row.
                Some((_, last))
                    if *last + 1 == number && (rows >= SHORT_ROWS || width == self.short_width) =>
                {
                    *last = number;
                }
                _ if rows >= SHORT_ROWS => self.short_blocks.push((number, number)),
                _ => {}
            }
            self.short_width = width;
        }
    }

    /// Whether most rows are a single cell with a whole row in it.
    pub(super) fn is_of_quoted_rows(&self) -> bool {
        self.quoted_rows * 2 > self.rows.values().sum()
    }

    /// Whether all rows are as wide as the first record and none looks shifted, so that no row need be
    /// judged.
    pub(super) fn is_regular(&self) -> bool {
        let shifted = self.ids_elsewhere && (self.stray || !self.kinds.is_uniform());
        self.rows.keys().all(|width| *width == self.width) && !shifted && !self.swallowed
    }

    /// What is known after the last row. `ours`: the list was written by reprovision.
    pub(super) fn end(mut self, ours: bool) -> Widths {
        self.end_block();
        let total: u64 = self.rows.values().sum();
        // Without a header the first row says no more than any other.
        let most = self.rows.iter().find(|(_, rows)| **rows * 2 > total).map(|(width, _)| *width);
        let width = if self.has_header { Some(self.width) } else { most };
        let only = self.rows.keys().next().filter(|_| self.rows.len() == 1 && total > 1);
        // A header that lost a delimiter looks the same, but then an id stands under a name that has none.
        let named = self
            .names
            .iter()
            .zip(self.kinds.all())
            .all(|(name, kinds)| kinds.ids() == 0 || may_hold_ids(name));
        let surplus = only
            .filter(|_| self.has_header && !self.has_titles && !self.filled_beyond && named)
            .and_then(|only| only.checked_sub(self.width));
        // A column without a known name may have been chosen by its number, and the first line may be a part
        // of a row.
        let whole = self.width + surplus.unwrap_or(0);
        let sure = self.header_block_is_whole || self.named || most == Some(whole);
        let width = width.filter(|_| !self.has_header || !self.ids_elsewhere || sure);
        Widths {
            column: self.column,
            delimiter: self.delimiter,
            short: self.rows.range(..width.unwrap_or(0)).map(|(_, rows)| rows).sum(),
            width,
            has_header: self.has_header,
            strict: self.ids_elsewhere,
            surplus: surplus.unwrap_or(0),
            short_blocks: if self.header_block_is_whole { self.short_blocks } else { Vec::new() },
            kinds: self.kinds,
            ours,
        }
    }
}

/// How many cells a row must have for its id to count.
#[derive(Debug)]
pub(super) struct Widths {
    column: usize,
    delimiter: u8,
    /// Cells of a whole row; `None` in a list without header whose rows differ too much to say.
    width: Option<usize>,
    /// Rows with fewer cells.
    short: u64,
    has_header: bool,
    /// Another column holds ids: a shifted row could name another person.
    strict: bool,
    /// Empty cells that every row has beyond the header.
    surplus: usize,
    /// First and last number of blocks of short rows, as a spreadsheet saves them.
    short_blocks: Vec<(u64, u64)>,
    kinds: ColumnKinds,
    /// The list was written by reprovision, which judged its rows then.
    ours: bool,
}

impl Widths {
    /// Cells of a whole row, those beyond the header included.
    pub(super) fn whole(&self) -> usize {
        self.width.unwrap_or(0) + self.surplus
    }

    /// Whether a row that counts has fewer cells than the header.
    pub(super) fn has_fewer(&self, gathered: &Gathered) -> bool {
        let fewer = |cells: &Vec<String>| self.width.is_some_and(|width| cells.len() < width);
        self.has_header && gathered.cells.as_ref().is_ok_and(fewer)
    }

    /// Why the id of a row does not surely stand under the name of its column.
    pub(super) fn fault(&self, gathered: &Gathered, before: Option<Before>) -> Option<&'static str> {
        let cells = gathered.cells.as_ref().ok()?;
        let stray = gathered.stray;
        let count = cells.len();
        let Some(width) = self.width else { return self.strict.then_some(FEWER) };
        if self.has_header && cells.iter().skip(width).any(|cell| Kind::of(cell) != Kind::Blank) {
            return Some(MORE);
        }
        if holds_rows(cells, width, self.column, self.delimiter) {
            return Some(SWALLOWED);
        }
        if !self.strict {
            // A list of ids and delimiters has nothing that could be shifted.
            if self.kinds.others().all(|kinds| kinds.filled() == 0) {
                return None;
            }
            // Where a delimiter was lost, two cells are one, and what follows is shifted.
            let is_merged = |(at, cell): (usize, &String)| match at == self.column {
                true => holds_guid(cell) && !is_guid(cell),
                false => matches!(Kind::of(cell), Kind::Guid | Kind::Address),
            };
            let shifted = count < width
                && (stray
                    || before.is_some_and(|before| self.is_torn(before, count))
                    || cells.iter().enumerate().any(is_merged));
            return shifted.then_some(FEWER);
        }
        if stray {
            return Some(STRAY);
        }
        if count > width + self.surplus {
            return Some(MORE);
        }
        if count < width + self.surplus {
            let block = gathered.sheet_row / BLOCK;
            let after = self.short_blocks.partition_point(|(first, _)| *first <= block);
            let saved = after > 0 && block <= self.short_blocks[after - 1].1;
            if !saved {
                return Some(FEWER);
            }
        }
        if self.ours { None } else { self.kinds.fault(cells, before.map(|before| before.part)) }
    }

    /// Whether a short row of `count` cells may be the second part of a row with a line break inside, whose
    /// first part is the record before. A list whose other rows are whole does not leave out cells.
    fn is_torn(&self, before: Before, count: usize) -> bool {
        let width = self.width.unwrap_or(0);
        let alone = self.short == 1 + u64::from(before.width < width);
        let cut_before_id = before.width < width && !before.has_id;
        // The second part begins with what is left of a cell: only behind the first column may an id follow.
        let may_hold_id = self.column > 0 || before.ends_blank;
        before.width + count == width + 1 && (cut_before_id || may_hold_id && alone)
    }
}

/// Whether a record has a line break in it, and each of its lines is as wide as the header and has an id in
/// its column, as where a quote is missing at the end of one cell and another stands further down.
fn holds_rows(cells: &[String], width: usize, column: usize, delimiter: u8) -> bool {
    let delimiter = char::from(delimiter);
    let is_row = |line: &str| {
        line.split(delimiter).count() >= width && line.split(delimiter).nth(column).is_some_and(is_id)
    };
    width > 1
        && cells.iter().any(|cell| cell.trim_end().contains('\n'))
        && cells.join(delimiter.encode_utf8(&mut [0; 4])).trim_end().lines().all(is_row)
}

/// Whether a column holds ids by its name.
fn names_ids(name: &str) -> bool {
    is_of_another_person(name) || ID_NAMES.iter().any(|part| name.contains(part))
}

fn may_hold_ids(name: &str) -> bool {
    names_ids(name) || MAYBE_ID_NAMES.iter().any(|part| name.contains(part))
}

fn is_id(cell: &str) -> bool {
    UserId::parse(id_text(cell).0).is_ok()
}
