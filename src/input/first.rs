//! The first lines of a list: titles above the header, the header, and whether there is one.

use super::cell::trim;
use super::export;
use super::lead_in::{delimiters_of, is_lead_in, separator};
use super::names::{has_known_name, is_of_another, named};
use super::options::Options;
use super::quoted::{QUOTED_ROWS, is_quoted_row};
use super::records::{Broken, Gathered, Records};
use super::refusal::{Fault, Given, Refusal};
use crate::model::{UserId, sanitize};

/// Records looked at for a header. Reports have up to a dozen lines of titles and filters above their table;
/// further down a cell that happens to be called `id` is data.
const LOOKED: usize = 20;
/// Hexadecimal digits of a cell that was meant as an object id, which has 32: some may be lost.
const HEX_DIGITS: usize = 30;
/// Other characters than hyphens in such a cell: braces and quotes. The name of a directory extension has
/// more: `extension_0a1b…_id`.
const BESIDE_DIGITS: usize = 4;
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
    /// Its number among the records, from 0.
    pub(super) first_sheet_row: u64,
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
    /// The list is empty, or it is unclear where its rows begin.
    pub(super) fn find(given: &Given<'_>, options: &Options) -> Result<Self, Fault> {
        let delimiter = match options.delimiter {
            Some(delimiter) => delimiter,
            None => detect_delimiter(given, options)?,
        };
        // A list that was read before is read again from the same line.
        let known = options.reading.map(|reading| reading.skipped + u64::from(!reading.header));
        let (mut lead_ins, mut skipped) = (0, 0);
        let mut looked = Vec::new();
        let mut records = given.records(delimiter)?;
        while looked.len() < LOOKED
            && let Some(record) = given.read(records.next())?
        {
            let leads_in = looked.is_empty() && is_lead_in(&text_of(&record));
            if known.map_or(leads_in, |known| record.line < known) {
                lead_ins += u64::from(known.is_none());
                skipped = record.line;
            } else {
                looked.push(record);
            }
        }
        let header = match options.reading {
            Some(reading) => reading.header.then_some(0),
            None => header_among(&looked, options)?,
        };
        let mut below = looked.split_off(header.unwrap_or(0)).into_iter();
        let Some(record) = below.next() else {
            let what = if lead_ins == 0 { "blank lines" } else { "lead-in lines" };
            return Err(Refusal::new(format!("the input has only {what}")).into());
        };
        if is_quoted_row(&record, delimiter) {
            return Err(Refusal::new(QUOTED_ROWS.to_owned()).at(record.line).into());
        }
        let cells = record.cells.map_err(|Broken { why, .. }| {
            Refusal::new(format!("the header cannot be read as CSV: {why}")).at(record.line)
        })?;
        let has_header = match options.reading {
            Some(reading) => reading.header,
            None => header.is_some() || !cells.iter().any(|cell| id_like(cell)),
        };
        Ok(Self {
            delimiter,
            skipped: if has_header { record.line } else { skipped },
            has_header,
            first: cells,
            first_line: record.line,
            first_sheet_row: record.sheet_row,
            next: below.filter_map(|record| record.cells.ok()).collect(),
            lead_ins,
            titles: looked.len() as u64,
            title: looked.first().map_or_else(String::new, |title| sanitize(text_of(title).trim(), SHOWN)),
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

/// Each line is split by the delimiters that it holds most, since a title may hold another than the header.
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
        let at = usize::from(first.is_some());
        // One of two that stand as often, as in `Name, Vorname;UPN`, gives a name that is known.
        for delimiter in delimiters_of(&text) {
            first.get_or_insert(delimiter);
            if let Ok(Some(record)) = Records::new(text.as_bytes(), delimiter).next()
                && is_header(&record, at, options)
            {
                return Ok(delimiter);
            }
        }
    }
    Ok(first.unwrap_or(b','))
}

/// Whether a line is a header: it has the column named by the user, or else a known name. Below the first
/// line, a line with an id is a row.
fn is_header(record: &Gathered, at: usize, options: &Options) -> bool {
    let Ok(cells) = &record.cells else { return false };
    // A header may give an example, in words.
    let holds_id = || cells.iter().any(|cell| id_like(cell) && !trim(cell).contains(' '));
    match options.column.as_deref().filter(|wanted| !is_number(wanted)) {
        Some(wanted) => !named(cells, wanted).is_empty() && (at == 0 || !holds_id()),
        None => (has_known_name(cells) || export::of_another(cells, options.object).is_some()) && !holds_id(),
    }
}

/// The line that is surely the header.
fn header_among(looked: &[Gathered], options: &Options) -> Result<Option<usize>, Refusal> {
    let holds_id = |record: &Gathered| match &record.cells {
        Ok(cells) => cells.iter().any(|cell| id_like(cell)),
        Err(broken) => id_like(&broken.raw),
    };
    let first_row = looked.iter().position(holds_id).unwrap_or(looked.len());
    let by_number = options.column.as_deref().is_some_and(is_number);
    let mut found = (0..looked.len()).filter(|at| is_header(&looked[*at], *at, options));
    // Below a row, a line that looks like a header may be a row with a note. The number of the column
    // decides.
    let Some(header) = found.next().filter(|at| *at <= first_row || !by_number) else { return Ok(None) };
    let line = looked[header].line;
    if let Some(other) = found.find(|at| *at < first_row && looked[*at].cells != looked[header].cells) {
        return Err(Refusal::new(format!(
            "lines {line} and {} could both be the header. Delete the lines above the header",
            looked[other].line
        ))
        .at(line));
    }
    // Lines above the header are titles, unless they may be rows or give the names below another meaning.
    for record in &looked[..header] {
        let names_others =
            |cells: &Vec<String>| filled(cells).len() > 1 && cells.iter().any(|cell| is_caption(cell));
        let why = match &record.cells {
            _ if holds_id(record) => "could hold an id",
            Ok(cells) if names_others(cells) => "could say whose the columns below are",
            _ => continue,
        };
        return Err(Refusal::new(format!(
            "{:?} stands above the header in line {line} and {why}. If it is a title, delete the lines above the \
             header; if it is a row, move it below",
            sanitize(text_of(record).trim(), SHOWN)
        ))
        .at(record.line));
    }
    Ok(Some(header))
}

fn is_number(wanted: &str) -> bool {
    wanted.trim().parse::<usize>().is_ok()
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
    let others = cell.chars().filter(|c| !c.is_ascii_hexdigit() && *c != '-').count();
    (cell.contains('@') && !annotation) || (digits >= HEX_DIGITS && others <= BESIDE_DIGITS)
}

/// Number of ids in a cell, with any separators.
pub(super) fn ids_in(cell: &str) -> usize {
    let between = |c: char| c.is_whitespace() || ",;:/|<>()[]\"'".contains(c);
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
            ("extension_0a1b2c3d4e5f60718293a4b5c6d7e8f9_id", false),
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
            ("mailto:a@b", 1),
            ("https://x.y/users/a@b", 1),
            ("a@b/c@d", 2),
            ("Ann", 0),
        ] {
            assert_eq!(ids_in(cell), ids, "{cell}");
        }
    }
}
