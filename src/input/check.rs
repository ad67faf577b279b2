//! The checking pass before anything is sent.

use std::hash::Hasher;
use std::path::Path;
use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::advice::explain_refusal;
use super::agree::Agreement;
use super::cell::id_text;
use super::copy::copy_and_hash;
use super::encoding::detect;
use super::first::{Start, id_like, ids_in};
use super::header::choose;
use super::lead_in::DELIMITERS;
use super::list::{Checked, Found};
use super::lost::Lost;
use super::names::{is_ours, known};
use super::options::Options;
use super::quoted::QUOTED_ROWS;
use super::records::Gathered;
use super::refusal::{Advice, Fault, Given, Refusal};
use super::repeats::OtherHeaders;
use super::width::{Survey, Widths};
use crate::error::Error;
use crate::model::UserId;

/// Unusable lines listed before the first request.
const LISTED: usize = 10;
/// Bytes of a short line: a GUID alone has 37.
const SHORT_LINE: u64 = 32;
/// Rows looked at to say what is wrong with the cells.
const SAMPLED: usize = 1_000;
/// Longest sample of a cell, in characters.
const SAMPLE: usize = 40;

/// What an id cell contains besides an id.
enum Held {
    /// Another id.
    Several,
    /// The other cells of the row, separated by this character.
    Parted(char),
    /// Something else.
    More,
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
    if bytes == 0 {
        let why = if input == Path::new("-") { "; did the command before the pipe fail?" } else { "" };
        return Err(fault(format!("the input is empty{why}")));
    }
    let encoding = detect(copy).map_err(|source| Error::file("read", copy, source))?;
    let given =
        Given { input, copy, bytes, encoding: encoding.map_err(|message| fault(message.to_owned()))? };
    match attempt(&given, options) {
        Ok(checked) => Ok(Checked { sha256, ..checked }),
        Err(Fault::Refused(refusal)) => Err(explain_refusal(*refusal, &given, options, |options| {
            attempt(&given, options).ok().map(|checked| checked.layout.column)
        })),
        Err(Fault::Failed(error)) => Err(error),
    }
}

/// Reads the whole list as the options say.
fn attempt(given: &Given<'_>, options: &Options) -> Result<Checked, Fault> {
    let start = Start::find(given, options)?;
    let mut checked = Checked {
        sha256: String::new(),
        bytes: given.bytes,
        encoding: given.encoding,
        delimiter: start.delimiter,
        header: start.header().map(<[String]>::to_vec),
        layout: choose(&start, options)?,
        column_name: String::new(),
        rows: 0,
        selected: 0,
        users: 0,
        duplicates: 0,
        invalid: 0,
        unusable: Vec::new(),
        trimmed: 0,
        lead_ins: start.lead_ins,
        examples: 0,
        repeats: 0,
        short: 0,
        lost: Lost::default(),
        shard: options.shard,
        ours: is_ours(&start.first),
        object: options.object,
        start,
        widths: None,
        same: Vec::new(),
    };
    checked.column_name.clone_from(&checked.layout.name);
    if let Some(widths) = checked.pass(given)? {
        checked.judge_by(widths);
        checked.pass(given)?;
    }
    Ok(checked)
}

impl Checked {
    /// Counts the rows. Returns how wide they are, where they are not all as wide as the first record and
    /// must be judged.
    fn pass(&mut self, given: &Given<'_>) -> Result<Option<Widths>, Fault> {
        let key = (fastrand::u64(..), fastrand::u64(..));
        let mut ids: Vec<([u32; 4], u32)> = Vec::new();
        // Reserved memory that is never used costs nothing, and growing would copy the ids with both copies
        // in memory. If the system refuses the reservation, the vector grows.
        let _ = ids.try_reserve_exact(usize::try_from(self.bytes / SHORT_LINE).unwrap_or(0));
        let mut sample = None;
        // The whole list decides whether the column is right, so that all shards agree.
        let (mut unusable, mut unusable_line) = (0, None);
        let mut agreement = self.layout.second.map(|second| Agreement::new(self.layout.column, second));
        let Start { first, first_sheet_row, has_header, titles, .. } = &self.start;
        let survey = || {
            let column = self.layout.column;
            Survey::new(first, *first_sheet_row, *titles > 0, *has_header, column, self.delimiter)
        };
        let mut survey = self.widths.is_none().then(survey);
        let mut rows = self.read(given.copy)?;
        let mut others = OtherHeaders::new(rows.names.clone(), self.delimiter);
        for row in rows.by_ref() {
            let (number, gathered) = row?;
            let found = self.id(&gathered);
            if let Some((line, why)) = others.look(&gathered, found.is_ok()) {
                return Err(Refusal::new(why.to_owned()).at(line).into());
            }
            if let Some(survey) = &mut survey {
                survey.add(&gathered);
            }
            let Ok(row) = u32::try_from(number) else {
                return Err(Refusal::new("more than 4,294,967,295 rows: split the file".to_owned())
                    .at(gathered.line)
                    .into());
            };
            if let (Some(agreement), Ok(cells)) = (&mut agreement, &gathered.cells) {
                agreement.look(gathered.line, cells);
            }
            self.refuse_second_id(&gathered)?;
            self.rows = number;
            self.lost.look(&gathered);
            match found {
                Ok(Found { id, .. }) if !self.is_ours(Ok(&id), number) => {}
                Ok(Found { id, around, .. }) => {
                    self.selected += 1;
                    self.trimmed += u64::from(around);
                    self.short +=
                        u64::from(self.widths.as_ref().is_some_and(|widths| widths.has_fewer(&gathered)));
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
        self.repeats = rows.repeats;
        if survey.as_ref().is_some_and(Survey::is_of_quoted_rows) {
            return Err(Refusal::new(QUOTED_ROWS.to_owned()).into());
        }
        if let Some(survey) = survey.filter(|survey| !survey.is_regular()) {
            return Ok(Some(survey.end(self.ours)));
        }
        if let Some(refusal) = agreement.and_then(Agreement::refusal) {
            return Err(refusal.into());
        }
        // A list that reprovision wrote was checked then, and may consist of rows that cannot be sent.
        if self.rows > 1 && unusable * 2 > self.rows && !self.ours {
            return Err(self
                .mostly_unusable(given, unusable, unusable_line, &sample.unwrap_or_default())?
                .into());
        }
        // The first half of the hash differs in nearly all cases and is faster to compare than the array.
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
        Ok(None)
    }

    /// Begins to count again, now that it is known how wide rows are.
    fn judge_by(&mut self, widths: Widths) {
        self.widths = Some(Arc::new(widths));
        self.lost = Lost::default();
        (self.selected, self.invalid, self.trimmed) = (0, 0, 0);
        self.unusable.clear();
    }

    /// Refuses another id on a line of a list without a header whose only column was chosen. It would be
    /// lost.
    fn refuse_second_id(&self, gathered: &Gathered) -> Result<(), Refusal> {
        let Ok(cells) = &gathered.cells else { return Ok(()) };
        let others = || cells.iter().enumerate().filter(|(at, _)| *at != self.layout.column);
        if !self.layout.alone || !others().any(|(_, cell)| id_like(cell)) {
            return Ok(());
        }
        Err(Refusal::new(
                "this line holds more than one id, and a list has one id a line. Put each id on a line of its own, or \
                 add a header line with the names of the columns"
                    .to_owned(),
            ).at(gathered.line))
    }

    /// Most rows have no id in the chosen column: another column with a known name, another delimiter, or the
    /// cells.
    fn mostly_unusable(
        &self,
        given: &Given<'_>,
        unusable: u64,
        line: Option<u64>,
        sample: &str,
    ) -> Result<Refusal, Error> {
        let mut why = format!(
            "{unusable} of {} rows hold no usable id in column {:?} (such as {sample:?})",
            self.rows, self.column_name
        );
        let mut advice: Vec<_> = known(self.start.header().unwrap_or_default(), self.object)
            .into_iter()
            .filter(|at| *at != self.layout.column)
            .map(Advice::Column)
            .collect();
        advice.extend(self.other_delimiter().map(Advice::Delimiter));
        let held = self.cells_hold(given.copy)?;
        match &held {
            Some(Held::Several) => {
                why.push_str(". A list has one id a line: put each id on a line of its own")
            }
            Some(Held::Parted(by)) => why.push_str(&format!(
                ". Its rows are separated by {by:?}, but the header is not: put the same in both"
            )),
            Some(Held::More) => why.push_str(". Leave only the id in the cell, without names and brackets"),
            None => {}
        }
        let mut refusal =
            if held.is_some() { Refusal::new(why).only_listing() } else { Refusal::new(why).listing() };
        refusal.line = line;
        refusal.column = Some(self.layout.column as u64 + 1);
        refusal.advice = advice;
        refusal.lead = "To read {what}, use {flag}";
        refusal.one = true;
        Ok(refusal)
    }

    /// What the cells of the chosen column contain instead of an id, decided by the first cell that contains
    /// an id and something else.
    fn cells_hold(&self, copy: &Path) -> Result<Option<Held>, Error> {
        for row in self.read(copy)?.take(SAMPLED) {
            let Ok(cells) = row?.1.cells else { continue };
            let cell = cells.get(self.layout.column).map_or("", String::as_str);
            let holds_id = |by: &char| cell.split(*by).any(|part| UserId::parse(id_text(part).0).is_ok());
            match ids_in(cell) {
                0 => {}
                1 if UserId::parse(id_text(cell).0).is_ok() => {}
                1 => {
                    let parted =
                        DELIMITERS.map(char::from).into_iter().filter(|by| cell.contains(*by)).find(holds_id);
                    return Ok(Some(parted.map_or(Held::More, Held::Parted)));
                }
                _ => return Ok(Some(Held::Several)),
            }
        }
        Ok(None)
    }

    /// A delimiter inside the name of the id column: the file is separated by that.
    fn other_delimiter(&self) -> Option<u8> {
        DELIMITERS.into_iter().find(|by| *by != self.delimiter && self.column_name.contains(char::from(*by)))
    }
}
