//! The first lines of a list: what stands above the header, the header, and whether there is one.

use super::advice::{Fault, Given, Refusal};
use super::cell::trim;
use super::check::Options;
use super::export;
use super::header::{has_known_name, is_of_another, named};
use super::lead_in::{delimiter_of, is_lead_in, separator};
use super::records::{Broken, Gathered, Records};
use crate::model::{UserId, neutral};

/// Records looked at for a header. Reports have up to a dozen lines of titles and filters above their table; further down
/// a cell that happens to be called `id` is data.
const LOOKED: usize = 20;
/// Hexadecimal digits of a cell that was meant as an object id, which has 32: some may be lost.
const HEX_DIGITS: usize = 30;
/// Words of a cell that names a group of columns, such as "Line manager". A title has more.
const CAPTION_WORDS: usize = 2;
/// Longest text shown, in characters.
const SHOWN: usize = 40;

/// Where the rows begin.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) delimiter: u8,
    /// Physical line at which the last record above the rows begins; 0 where there is none.
    pub(super) skipped: u64,
    pub(super) has_header: bool,
    /// The header, or the first row where there is none.
    pub(super) first: Vec<String>,
    /// Its physical line.
    pub(super) first_line: u64,
    /// Some records below it.
    pub(super) next: Vec<Vec<String>>,
    /// Lines before the header that are no data: a type line, a version line.
    pub(super) lead_ins: u64,
    /// Title lines above the header: how many, and the first.
    pub(super) titles: u64,
    pub(super) title: String,
}

impl Start {
    /// Reads the first lines of a list.
    ///
    /// # Errors
    /// Where it holds nothing, or nobody can tell where its rows begin.
    pub(super) fn find(given: &Given<'_>, options: &Options) -> Result<Self, Fault> {
        let delimiter = match options.delimiter {
            Some(delimiter) => delimiter,
            None => detect_delimiter(given, options)?,
        };
        let (mut lead_ins, mut skipped) = (0, 0);
        let mut looked = Vec::new();
        let mut records = given.records(delimiter)?;
        while looked.len() < LOOKED
            && let Some(record) = given.read(records.next())?
        {
            // Whoever reads the copy again knows where the rows begin.
            match options.reading.map(|reading| reading.skipped) {
                None if looked.is_empty() && is_lead_in(&text_of(&record)) => {
                    lead_ins += 1;
                    skipped = record.line;
                }
                Some(known) if record.line < known => {}
                Some(known)
                    if record.line == known && options.reading.is_some_and(|reading| !reading.header) => {}
                _ => looked.push(record),
            }
        }
        let header = match options.reading {
            Some(reading) => reading.header.then_some(0),
            None => looked.iter().enumerate().position(|(at, record)| is_header(record, at, options)),
        };
        let first = header.unwrap_or(0);
        let mut below = looked.split_off(first.min(looked.len())).into_iter();
        let Some(record) = below.next() else {
            let what = if lead_ins == 0 { "blank lines" } else { "lead-in lines" };
            return Err(Refusal::new(format!("the input has only {what}")).into());
        };
        let cells = record.cells.map_err(|Broken { why, .. }| {
            Refusal::new(format!("the header cannot be read as CSV: {why}")).at(record.line)
        })?;
        refuse_rows_above(&looked, record.line)?;
        let has_header = match options.reading {
            Some(reading) => reading.header,
            None => header.is_some() || !cells.iter().any(|cell| id_like(cell)),
        };
        Ok(Self {
            delimiter,
            skipped: match options.reading {
                Some(reading) => reading.skipped,
                None if has_header => record.line,
                None => skipped,
            },
            has_header,
            first: cells,
            first_line: record.line,
            next: below.filter_map(|record| record.cells.ok()).collect(),
            lead_ins,
            titles: looked.len() as u64,
            title: looked.first().map_or_else(String::new, |title| neutral(text_of(title).trim(), SHOWN)),
        })
    }

    /// Names of the columns, if they have any.
    pub(super) fn header(&self) -> Option<&[String]> {
        self.has_header.then_some(&*self.first)
    }
}

fn text_of(record: &Gathered) -> String {
    match &record.cells {
        Ok(cells) => filled(cells).into_iter().map(|at| &*cells[at]).collect::<Vec<_>>().join(" "),
        Err(broken) => broken.raw.clone(),
    }
}

/// Each line is split by the delimiter that it holds most, since a title may hold another than the header.
fn detect_delimiter(given: &Given<'_>, options: &Options) -> Result<u8, Fault> {
    let mut first = None;
    let mut records = given.records(b'\0')?;
    for _ in 0..LOOKED {
        let Some(record) = given.read(records.next())? else { break };
        let text = match record.cells {
            Ok(cells) => cells.join(""),
            Err(Broken { raw, .. }) => raw,
        };
        if first.is_none() && is_lead_in(&text) {
            match separator(&text) {
                Some(delimiter) => return Ok(delimiter),
                None => continue,
            }
        }
        let delimiter = delimiter_of(&text);
        let at = usize::from(first.is_some());
        first.get_or_insert(delimiter);
        if let Ok(Some(record)) = Records::new(text.as_bytes(), delimiter).next()
            && is_header(&record, at, options)
        {
            return Ok(delimiter);
        }
    }
    Ok(first.unwrap_or(b','))
}

/// Whether a line is surely the header: it has the column that was asked for by name, or a known name. The first line is
/// also one where no id stands in it, of which the caller knows.
fn is_header(record: &Gathered, at: usize, options: &Options) -> bool {
    let Ok(cells) = &record.cells else { return false };
    let by_number = |wanted: &str| wanted.trim().parse::<usize>().is_ok();
    let is_named = options.column.as_deref().is_some_and(|wanted| !named(cells, wanted).is_empty());
    if is_named && at == 0 && !options.column.as_deref().is_some_and(by_number) {
        return true;
    }
    let has_id = || cells.iter().any(|cell| id_like(cell) && !trim(cell).contains(' '));
    match options.column.as_deref() {
        Some(wanted) if !by_number(wanted) => is_named && !has_id(),
        _ => (has_known_name(cells) || export::of_another(cells, options.object).is_some()) && !has_id(),
    }
}

/// Lines above the header are titles, unless they hold what may be a row or what gives the names below another meaning.
fn refuse_rows_above(above: &[Gathered], header: u64) -> Result<(), Refusal> {
    for record in above {
        let why = match &record.cells {
            Err(broken) if id_like(&broken.raw) => "could hold an id",
            Ok(cells) if cells.iter().any(|cell| id_like(cell)) => "could hold an id",
            Ok(cells) if filled(cells).len() > 1 && cells.iter().any(|cell| is_caption(cell)) => {
                "could say whose the columns below are"
            }
            _ => continue,
        };
        return Err(Refusal::new(format!(
                "{:?} stands above the header in line {header} and {why}. If it is a title, delete the lines above the \
                 header; if it is a row, move it below",
                neutral(text_of(record).trim(), SHOWN)
            )).at(record.line));
    }
    Ok(())
}

fn is_caption(cell: &str) -> bool {
    cell.split_whitespace().count() <= CAPTION_WORDS && is_of_another(cell)
}

/// The columns that are not blank.
pub(super) fn filled(cells: &[String]) -> Vec<usize> {
    (0..cells.len()).filter(|at| !trim(&cells[*at]).is_empty()).collect()
}

/// Whether a cell was meant as an id, also where it is none: a line with one is a row.
pub(super) fn id_like(cell: &str) -> bool {
    // Names of columns in dumps of Graph: `@odata.type`, `manager@odata.bind`, `@removed`.
    let annotation = ["@odata.", "@microsoft.", "@removed", "@delta"].iter().any(|name| cell.contains(name));
    let digits = cell.bytes().filter(u8::is_ascii_hexdigit).count();
    (cell.contains('@') && !annotation) || (digits >= HEX_DIGITS && digits * 4 > cell.len() * 3)
}

/// How many ids a cell holds, with whatever stands between them.
pub(super) fn ids_in(cell: &str) -> usize {
    let between = |c: char| c.is_whitespace() || ",;|<>()[]\"'".contains(c);
    cell.split(between).filter(|part| UserId::parse(part).is_ok()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_was_meant_as_an_id_is_told_from_a_name() {
        for (cell, like) in [
            ("ann@contoso.com", true),
            ("ann@@contoso.com", true),
            ("ann lee@contoso.com", true),
            ("0a1b2c3d-0000-1111-2222-abcdefabcdef", true),
            ("{0a1b2c3d-0000-1111-2222-abcdefabcde", true),
            ("0a1b2c3d-0000-1111-2222-abcdefabc", false),
            ("@odata.type", false),
            ("manager@odata.bind", false),
            ("", false),
            (
                "Each addressed feature has been decided and faced by a cadre of beaded cabbages, indeed",
                false,
            ),
        ] {
            assert_eq!(id_like(cell), like, "{cell}");
        }
    }

    #[test]
    fn ids_in_a_cell_are_counted_whatever_stands_between() {
        for (cell, ids) in [
            ("a@b", 1),
            ("a@b; c@d", 2),
            ("Ann Berg <a@b>, \"Berg, Bo\" <c@d>", 2),
            ("0a1b2c3d-0000-1111-2222-abcdefabcdef a@b", 2),
            ("Ann", 0),
        ] {
            assert_eq!(ids_in(cell), ids, "{cell}");
        }
    }
}
