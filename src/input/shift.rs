//! Whether the cells of a row are of the kinds that their columns hold. The cells of a shifted row are not.

use super::cell::id_text;
use crate::model::UserId;

/// Bytes of a GUID without braces.
const GUID: usize = 36;
/// Fewest cells of a kind in a column from which on that kind is what the column holds.
const USUAL: u64 = 3;
/// Texts that mean that a cell is empty, without case.
const PLACEHOLDERS: [&str; 9] = ["n/a", "#n/a", "na", "none", "null", "nil", "unknown", "-", "--"];

const OTHER_KIND: &str =
    "a cell of this row is of another kind than in the other rows, as if the row were shifted";
const GLUED: &str = "a GUID of this row has other text directly beside it, as if a delimiter were missing";
const TORN: &str = "this row and the one before look like one row that a line break cut in two";

/// What a cell looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Blank,
    Text,
    /// A GUID, also with text around it.
    Guid,
    Address,
}

impl Kind {
    pub(super) fn of(cell: &str) -> Self {
        let (text, _) = id_text(cell);
        match text {
            "" => Self::Blank,
            _ if PLACEHOLDERS.iter().any(|word| text.eq_ignore_ascii_case(word)) => Self::Blank,
            _ if text.len() >= GUID && holds_guid(text) => Self::Guid,
            _ if text.contains('@') => Self::Address,
            _ => Self::Text,
        }
    }
}

/// Number of cells of each kind in one column.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KindCounts([u64; 4]);

impl KindCounts {
    fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    pub(super) fn filled(&self) -> u64 {
        self.of(Kind::Text) + self.ids()
    }

    pub(super) fn ids(&self) -> u64 {
        self.of(Kind::Guid) + self.of(Kind::Address)
    }

    /// The kind of most ids.
    fn id_kind(&self) -> Kind {
        if self.of(Kind::Guid) >= self.of(Kind::Address) { Kind::Guid } else { Kind::Address }
    }

    /// Whether `kind` is what the column holds, compared with another kind. A tie counts for both, because
    /// nothing then says which half of the rows is right.
    fn usually(&self, kind: Kind, other: Kind) -> bool {
        self.of(kind) >= self.of(other).max(USUAL)
    }
}

/// The filled part of a row: where it ends, and what stands at its ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct FilledPart {
    /// Cells of the row, empty ones included.
    cells: usize,
    /// Cells up to the last one that is not empty.
    end: usize,
    first: Kind,
    last: Kind,
}

impl FilledPart {
    pub(super) fn of(cells: &[String]) -> Self {
        let end = cells.iter().rposition(|cell| Kind::of(cell) != Kind::Blank).map_or(0, |last| last + 1);
        let kind = |cell: Option<&String>| cell.map_or(Kind::Blank, |cell| Kind::of(cell));
        Self { cells: cells.len(), end, first: kind(cells.first()), last: kind(cells[..end].last()) }
    }

    /// Whether this row and the next one may be the two parts of a row of `width` cells, filled up with empty
    /// cells as a spreadsheet saves it. A line break cut the row inside a text; or in place of a delimiter,
    /// if this row is also short.
    fn may_continue_in(&self, next: &Self, width: usize) -> bool {
        let cut_text = self.last == Kind::Text && matches!(next.first, Kind::Text | Kind::Blank);
        let filled = self.end + next.end;
        self.end < width && (cut_text && filled == width + 1 || self.cells < width && filled == width)
    }
}

/// The kinds of cells in each column of a list, gathered row by row.
#[derive(Debug)]
pub(super) struct ColumnKinds {
    /// Place of the id column.
    column: usize,
    width: usize,
    /// Columns whose names say that they hold ids.
    name_ids: Vec<bool>,
    counts: Vec<KindCounts>,
    /// Empty cells in each column that a cut row would explain.
    cut: Vec<u64>,
    is_glued: bool,
    before: Option<FilledPart>,
    /// The row before may be the second part of a cut row.
    is_cut: bool,
}

impl ColumnKinds {
    pub(super) fn new(column: usize, width: usize, name_ids: Vec<bool>) -> Self {
        let (counts, cut) = (Vec::new(), vec![0; width]);
        Self { column, width, name_ids, counts, cut, is_glued: false, before: None, is_cut: false }
    }

    pub(super) fn add(&mut self, cells: &[String]) {
        self.counts.resize(self.counts.len().max(cells.len()), KindCounts::default());
        for (counts, cell) in self.counts.iter_mut().zip(cells) {
            let kind = Kind::of(cell);
            counts.0[kind as usize] += 1;
            self.is_glued |= kind == Kind::Guid && is_glued(cell);
        }
        let part = FilledPart::of(cells);
        let before = self.before.replace(part);
        let cut_before = before.filter(|before| before.may_continue_in(&part, self.width));
        // Many rows in sequence that are equally short are users who lack the same things.
        if let Some(first) = cut_before.filter(|before| !self.is_cut || before.end != part.end) {
            for end in [first.end, part.end] {
                self.cut[end..].iter_mut().for_each(|cut| *cut += 1);
            }
        }
        self.is_cut = cut_before.is_some();
    }

    /// The counts of all columns but that of the ids.
    pub(super) fn others(&self) -> impl Iterator<Item = &KindCounts> {
        self.counts.iter().enumerate().filter(|(at, _)| *at != self.column).map(|(_, counts)| counts)
    }

    pub(super) fn all(&self) -> &[KindCounts] {
        &self.counts
    }

    /// Whether no row can be shifted by the rules of [`ColumnKinds::fault`].
    pub(super) fn is_uniform(&self) -> bool {
        let mixed = |counts: &KindCounts| {
            [Kind::Text, Kind::Guid, Kind::Address].iter().filter(|kind| counts.of(**kind) > 0).count() > 1
        };
        !self.is_glued && self.cut.iter().all(|cut| *cut == 0) && !self.others().any(mixed)
    }

    /// Why a row may be shifted, judged by what the other rows hold.
    pub(super) fn fault(&self, cells: &[String], before: Option<FilledPart>) -> Option<&'static str> {
        let others = || {
            let all = cells.iter().zip(&self.counts).enumerate().filter(|(at, _)| *at != self.column);
            all.map(|(at, (cell, counts))| (at, cell, Kind::of(cell), counts))
        };
        if cells.iter().any(|cell| is_glued(cell)) {
            return Some(GLUED);
        }
        let part = FilledPart::of(cells);
        if before.is_some_and(|before| before.may_continue_in(&part, self.width))
            && before.into_iter().chain([part]).all(|part| self.is_cut_at(part.end))
        {
            return Some(TORN);
        }
        // A text under a name such as `managerUpn` is not an address. Under other names addresses and texts
        // may be mixed.
        let lacks_id = |at: usize, kind: Kind, counts: &KindCounts| {
            let named = self.name_ids.get(at).is_some_and(|named| *named);
            kind == Kind::Text
                && (counts.usually(Kind::Guid, kind) || named && counts.usually(Kind::Address, kind))
        };
        let lacks = others().any(|(at, _, kind, counts)| lacks_id(at, kind, counts));
        // An id under a name such as `department` and none where others have one: the cells moved to the
        // left.
        let wanted = self.counts.get(self.column)?.id_kind();
        let id = cells.get(self.column).map_or("", |cell| id_text(cell).0);
        let has_odd_id = others().any(|(_, cell, kind, counts)| {
            kind == wanted
                && counts.of(kind) * 2 <= counts.filled()
                && counts.filled() >= USUAL
                && !is_related(cell, id)
        });
        let misses_id = |kind: Kind, counts: &KindCounts| {
            matches!(kind, Kind::Blank | Kind::Text) && counts.ids() >= counts.of(Kind::Text).max(1)
        };
        let moved = has_odd_id && others().any(|(_, _, kind, counts)| misses_id(kind, counts));
        (lacks || moved).then_some(OTHER_KIND)
    }

    /// Whether all columns from `end` on are empty only in rows that look cut in two.
    fn is_cut_at(&self, end: usize) -> bool {
        let columns = self.counts.iter().zip(&self.cut).skip(end);
        columns.into_iter().all(|(counts, cut)| counts.of(Kind::Blank) <= *cut && counts.filled() >= USUAL)
    }
}

/// Whether an address is that of the user with this id: the same name before the `@`, or a guest, whose UPN
/// is made from it.
fn is_related(address: &str, id: &str) -> bool {
    let bare = |text: &str| -> String {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let name = |text: &str| bare(text.split('@').next().unwrap_or_default());
    let address = id_text(address).0;
    address.contains('@') && (name(address) == name(id) || bare(id).starts_with(&bare(address)))
}

pub(super) fn is_guid(cell: &str) -> bool {
    UserId::parse(id_text(cell).0).is_ok_and(|id| id.is_guid())
}

pub(super) fn holds_guid(cell: &str) -> bool {
    guids_in(cell).next().is_some()
}

/// Whether a letter or digit stands directly before or after a GUID, as where two cells became one.
fn is_glued(cell: &str) -> bool {
    guids_in(cell).any(|at| {
        let before = cell[..at].chars().next_back();
        let after = cell[at + GUID..].chars().next();
        before.into_iter().chain(after).any(char::is_alphanumeric)
    })
}

/// Where GUIDs begin in a cell, in bytes.
fn guids_in(cell: &str) -> impl Iterator<Item = usize> {
    let is_guid = |part: &[u8]| {
        // Nearly all parts have no hyphen there, and are not worth more.
        part[8] == b'-' && std::str::from_utf8(part).is_ok_and(is_guid)
    };
    cell.as_bytes().windows(GUID).enumerate().filter(move |(_, part)| is_guid(part)).map(|(at, _)| at)
}
