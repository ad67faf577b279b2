//! The checking pass before anything is sent.

use std::hash::Hasher;
use std::io::BufReader;
use std::path::Path;

use encoding_rs::Encoding;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::cell::{id_text, trim};
use super::copy::copy_and_hash;
use super::encoding::{Utf8Reader, detect};
use super::header::{
    DELIMITERS, LISTED as LISTED_COLUMNS, Layout, delimiter_of, is_lead_in, layout, separator,
};
use super::lost::Lost;
use super::records::{Broken, Gathered, Records};
use super::rows::Found;
use crate::error::Error;
use crate::model::{Reading, Shard, UserId, count, neutral};

/// Unusable lines listed before the first request.
const LISTED: usize = 10;
/// Bytes of a short line: a GUID alone has 37.
const SHORT_LINE: u64 = 32;
/// Rows looked at to say which column would fit.
const SAMPLED: usize = 1_000;
/// Longest sample and column name in that sentence, in characters.
const SAMPLE: usize = 40;

/// What the user said about the input.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--column`: name or number from 1.
    pub column: Option<String>,
    /// `--delimiter`.
    pub delimiter: Option<u8>,
    /// Whether the first line is a header, where an earlier look decided it.
    pub header: Option<bool>,
    /// `--shard`: the rows that are this call's.
    pub shard: Option<Shard>,
}

impl From<Reading> for Options {
    /// To split a list as it was split before.
    fn from(reading: Reading) -> Self {
        Self {
            column: Some(reading.column.to_string()),
            delimiter: u8::try_from(reading.delimiter).ok(),
            header: Some(reading.header),
            shard: None,
        }
    }
}

/// What the pass found. The rows to send are kept as one bit each.
#[derive(Debug)]
pub struct Checked {
    /// Of the bytes as given, in hex; empty where a copy was opened again.
    pub sha256: String,
    /// Size of the bytes as given.
    pub bytes: u64,
    /// What the bytes were read as.
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
    /// Rows whose id stands in an earlier row.
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
    /// Rows with characters that could not be read.
    lost: Lost,
    pub(super) shard: Option<Shard>,
    pub(super) layout: Layout,
    /// Cells of the first record.
    width: usize,
    pub(super) ours: bool,
    /// Later rows with the id of an earlier one, by row: eight bytes for each of them.
    pub(super) same: Vec<(u32, u32)>,
}

/// Copies the input to `copy` and checks it whole. `-` is standard input.
///
/// # Errors
/// `Error::Input` names file, line and what to do; `Error::File` where the copy cannot be written.
pub fn check(input: &Path, copy: &Path, options: &Options) -> Result<Checked, Error> {
    let (sha256, bytes) = copy_and_hash(input, copy)?;
    examine(input, copy, options, sha256, bytes)
}

/// Checks a copy that an earlier call made, once more.
///
/// # Errors
/// As [`check`].
pub fn reopen(copy: &Path, options: &Options) -> Result<Checked, Error> {
    let bytes = std::fs::metadata(copy).map_err(|source| Error::file("read", copy, source))?.len();
    examine(copy, copy, options, String::new(), bytes)
}

fn examine(
    input: &Path,
    copy: &Path,
    options: &Options,
    sha256: String,
    bytes: u64,
) -> Result<Checked, Error> {
    let fault = |message: String| Error::Input { file: input.to_owned(), line: None, column: None, message };
    let read = |source| Error::file("read", copy, source);
    if bytes == 0 {
        let why = if input == Path::new("-") { "; did the command before the pipe fail?" } else { "" };
        return Err(fault(format!("the input is empty{why}")));
    }
    let encoding = detect(copy).map_err(read)?.map_err(|message| fault(message.to_owned()))?;
    let delimiter = match options.delimiter {
        Some(delimiter) => delimiter,
        None => {
            let mut records =
                Records::new(BufReader::new(Utf8Reader::open(copy, encoding).map_err(read)?), b'\0');
            loop {
                match records.next().map_err(read)? {
                    Some(Gathered { cells: Ok(cells), .. }) if is_lead_in(&cells[0]) => {
                        if let Some(delimiter) = separator(&cells[0]) {
                            break delimiter;
                        }
                    }
                    Some(Gathered { cells: Ok(cells), .. }) => break delimiter_of(&cells.join("")),
                    Some(Gathered { cells: Err(broken), .. }) => break delimiter_of(&broken.raw),
                    None => break b',',
                }
            }
        }
    };
    let mut records =
        Records::new(BufReader::new(Utf8Reader::open(copy, encoding).map_err(read)?), delimiter);
    let mut lead_ins = 0;
    let first = loop {
        match records.next().map_err(read)? {
            None if lead_ins == 0 => return Err(fault("the input has only blank lines".to_owned())),
            None => return Err(fault("the input has only lead-in lines".to_owned())),
            Some(Gathered { cells: Ok(cells), .. }) if is_lead_in(&cells[0]) => lead_ins += 1,
            Some(Gathered { cells: Ok(cells), .. }) => break cells,
            Some(Gathered { line, cells: Err(Broken { why, .. }) }) => {
                return Err(Error::Input {
                    file: input.to_owned(),
                    line: Some(line),
                    column: None,
                    message: format!("the header cannot be read as CSV: {why}"),
                });
            }
        }
    };
    let mut layout = layout(&first, options.column.as_deref()).map_err(fault)?;
    layout.has_header = options.header.unwrap_or(layout.has_header);
    let width = first.len();
    let ours = first.iter().any(|name| name.trim() == "reprovision_run");
    let mut checked = Checked {
        sha256,
        bytes,
        encoding,
        delimiter,
        column_name: layout.name.clone(),
        header: layout.has_header.then_some(first),
        rows: 0,
        selected: 0,
        users: 0,
        duplicates: 0,
        invalid: 0,
        unusable: Vec::new(),
        trimmed: 0,
        lead_ins,
        examples: 0,
        lost: Lost::default(),
        shard: options.shard,
        layout,
        width,
        ours,
        same: Vec::new(),
    };
    checked.pass(input, copy)?;
    Ok(checked)
}

impl Checked {
    fn pass(&mut self, input: &Path, copy: &Path) -> Result<(), Error> {
        let key = (fastrand::u64(..), fastrand::u64(..));
        let mut ids: Vec<([u32; 4], u32)> = Vec::new();
        // Growing would copy, with both in memory; what is reserved and never touched costs none. Where the system will
        // not promise so much, it grows.
        let _ = ids.try_reserve_exact(usize::try_from(self.bytes / SHORT_LINE).unwrap_or(0));
        let mut sample = None;
        // Whether a column is the right one is asked of the whole list, so that all shards of it agree.
        let (mut unusable, mut unusable_line) = (0, None);
        let mut rows = self.read(copy)?;
        for row in rows.by_ref() {
            let (number, gathered) = row?;
            let Ok(row) = u32::try_from(number) else {
                return Err(Error::Input {
                    file: input.to_owned(),
                    line: Some(gathered.line),
                    column: None,
                    message: "more than 4,294,967,295 rows: split the file".to_owned(),
                });
            };
            self.rows = number;
            self.lost.look(&gathered);
            match self.id(&gathered) {
                Ok(Found { id, .. }) if !self.is_ours(Ok(&id), number) => {}
                Ok(Found { id, around, .. }) => {
                    self.selected += 1;
                    self.trimmed += u64::from(around);
                    let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
                    hasher.write(id.as_str().to_ascii_lowercase().as_bytes());
                    let hash = hasher.finish128();
                    let part = |word: u64| [(word >> 32) as u32, word as u32];
                    let [a, b] = part(hash.h1);
                    let [c, d] = part(hash.h2);
                    ids.push(([a, b, c, d], row));
                }
                Err((_, why, shown)) => {
                    unusable += 1;
                    unusable_line.get_or_insert(gathered.line);
                    if !self.is_ours(Err(()), number) {
                        sample.get_or_insert(shown);
                        continue;
                    }
                    self.selected += 1;
                    self.invalid += 1;
                    if self.unusable.len() < LISTED {
                        let cell = shown.chars().take(SAMPLE).collect::<String>();
                        let cell = if cell.is_empty() { cell } else { format!("{cell:?}: ") };
                        self.unusable.push((gathered.line, format!("{cell}{why}")));
                    }
                    sample.get_or_insert(shown);
                }
            }
        }
        self.examples = rows.examples;
        if self.rows > 1 && unusable * 2 > self.rows {
            return Err(Error::Input {
                file: input.to_owned(),
                line: unusable_line,
                column: Some(self.layout.column as u64 + 1),
                message: format!(
                    "{} of {} rows hold no usable id in column {:?} (such as {:?}); {}",
                    unusable,
                    self.rows,
                    self.column_name,
                    sample.unwrap_or_default(),
                    self.columns(copy)?,
                ),
            });
        }
        // By the first half, which tells nearly all apart: arrays are compared word by word.
        let half = |hash: &[u32; 4]| u64::from(hash[0]) << 32 | u64::from(hash[1]);
        ids.sort_unstable_by(|a, b| half(&a.0).cmp(&half(&b.0)).then_with(|| a.cmp(b)));
        let mut first = 0;
        for at in 1..ids.len() {
            if ids[at].0 == ids[first].0 {
                self.same.push((ids[at].1, ids[first].1));
            } else {
                first = at;
            }
        }
        self.same.sort_unstable();
        self.duplicates = self.same.len() as u64;
        self.users = ids.len() as u64 - self.duplicates;
        Ok(())
    }

    /// Each column with a sample and how many of the first rows hold an id there, and the flag that would fit.
    fn columns(&self, copy: &Path) -> Result<String, Error> {
        let mut columns: Vec<(Option<String>, u64)> = Vec::new();
        let (mut rows, mut parted) = (0, None);
        for row in self.read(copy)?.take(SAMPLED) {
            let Ok(cells) = row?.1.cells else { continue };
            rows += 1;
            let cell = cells.get(self.layout.column).map_or("", String::as_str);
            let holds_id =
                |by: &char| cell.split(*by).any(|part| UserId::parse(id_text(part, false).0).is_ok());
            parted = parted.or_else(|| {
                DELIMITERS.map(char::from).into_iter().filter(|by| cell.contains(*by)).find(holds_id)
            });
            columns.resize(columns.len().max(cells.len()), (None, 0));
            for (cell, (sample, usable)) in cells.iter().zip(&mut columns) {
                let (text, _) = id_text(cell, self.ours);
                *usable += u64::from(UserId::parse(text).is_ok());
                if sample.is_none() && !text.is_empty() {
                    *sample = Some(neutral(text, SAMPLE));
                }
            }
        }
        let name = |at: usize| {
            let name = self.header.as_ref().and_then(|header| header.get(at));
            name.map_or_else(String::new, |name| format!(" {:?}", neutral(name.trim(), SAMPLE)))
        };
        let best = (0..columns.len()).max_by_key(|at| (columns[*at].1, std::cmp::Reverse(*at)));
        let fits = match best.filter(|at| columns[*at].1 * 2 > rows && *at != self.layout.column) {
            Some(at) => format!("--column {} would fit", at + 1),
            None => match (self.other_delimiter(), parted) {
                (Some(other), _) => format!("its name holds {other:?}: --delimiter {other:?} may fit"),
                (None, Some(by)) => {
                    format!("its rows are separated by {by:?}, but the header is not: put the same in both")
                }
                (None, None) => "no other column holds ids".to_owned(),
            },
        };
        let listed = columns.iter().enumerate().take(LISTED_COLUMNS).map(|(at, (sample, _))| {
            format!("{}{} (such as {:?})", at + 1, name(at), sample.as_deref().unwrap_or_default())
        });
        Ok(format!("{fits}. The columns are: {}", listed.collect::<Vec<_>>().join(", ")))
    }

    /// What the bytes were read as, as people write it.
    pub fn encoding_name(&self) -> &'static str {
        if self.encoding == encoding_rs::WINDOWS_1252 { "Windows-1252" } else { self.encoding.name() }
    }

    /// How it was split.
    pub fn reading(&self) -> Reading {
        Reading {
            delimiter: char::from(self.delimiter),
            column: self.layout.column + 1,
            header: self.layout.has_header,
        }
    }

    /// Names of the columns: those of the header, or where there is none such that the ids are found again.
    pub fn names(&self) -> Vec<String> {
        // What is invisible would be written as an escape, and the column would not be found again.
        let bare = |header: &Vec<String>| header.iter().map(|name| trim(name).to_owned()).collect();
        self.header.as_ref().map(bare).unwrap_or_else(|| {
            let name = |at| match at == self.layout.column {
                true => "id".to_owned(),
                false => format!("column {}", at + 1),
            };
            (0..self.width).map(name).collect()
        })
    }

    /// A delimiter inside the name of the id column: the file is separated by that.
    fn other_delimiter(&self) -> Option<char> {
        DELIMITERS
            .map(char::from)
            .into_iter()
            .find(|c| u32::from(self.delimiter) != u32::from(*c) && self.column_name.contains(*c))
    }

    /// What was assumed about the input, a sentence each, for people.
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
        if self.examples > 0 {
            said.push(format!("{} of the template left out", count(self.examples, "example lines")));
        }
        if self.trimmed > 0 {
            let ids = count(self.trimmed, "ids");
            said.push(format!("blanks, quotes or invisible characters around {ids} removed"));
        }
        said
    }
}
