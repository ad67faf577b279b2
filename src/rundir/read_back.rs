//! Reading `results.csv` back: what is done, what is damaged, and a clean file again where a line was.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::hash::Hasher;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use siphasher::sip::SipHasher13;

use super::line::{self, Columns, Written};
use crate::error::Error;
use crate::model::{HEADER, Outcome, Reason, Text};
use crate::sys;

/// Lines named as samples for a reason.
const SAMPLES: usize = 5;

/// One bit for each row.
#[derive(Clone, Debug, Default)]
pub struct RowSet(Vec<u64>);

impl RowSet {
    /// Adds a row; whether it was new.
    pub fn insert(&mut self, row: u64) -> bool {
        let (word, bit) = ((row / 64) as usize, 1 << (row % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    /// Whether the row is in.
    pub fn contains(&self, row: u64) -> bool {
        self.0.get((row / 64) as usize).is_some_and(|word| word & (1 << (row % 64)) != 0)
    }
}

/// Counts over all records of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows with a record.
    pub records: u64,
    /// Accepted, failed, invalid, duplicate.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Each reason with its count and the input's lines of its first rows; duplicates are no reason to look.
    pub reasons: BTreeMap<Reason, (u64, Vec<u64>)>,
    /// Requests sent.
    pub attempts: u64,
    /// Refused by a limit.
    pub throttled: u64,
}

impl Totals {
    /// How many rows ended so.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(outcome.as_str()).copied().unwrap_or(0)
    }

    fn count(&mut self, record: &Written<'_>) {
        self.records += 1;
        *self.outcomes.entry(record.outcome.as_str()).or_default() += 1;
        if let Some(reason) = record.reason.filter(|reason| *reason != Reason::SameId) {
            let (count, samples) = self.reasons.entry(reason).or_default();
            *count += 1;
            if samples.len() < SAMPLES {
                samples.push(record.line);
            }
        }
        self.attempts += u64::from(record.attempts);
        self.throttled += u64::from(record.throttled);
    }
}

/// What was read back.
#[derive(Clone, Debug, Default)]
pub struct ReadBack {
    /// Rows that have a record.
    pub done: RowSet,
    /// Counts.
    pub totals: Totals,
    /// Lines that are not as they were written, or belong to another row; their rows are done again.
    pub damaged: u64,
    /// Length of the good part, in bytes; 0 where not even the header is whole.
    pub(super) good: u64,
    /// The columns that the file has.
    pub(super) columns: Columns,
    lines: u64,
}

/// A row as the input has it: number, line, and the id as a record shows it.
pub type Expected = (u64, u64, Text);

/// Reads `results.csv`. A torn or zero-filled tail is left out; a missing file is an empty one.
///
/// # Errors
/// `Error::Damaged` where the header is not ours or too many lines are damaged; `Error::File`.
pub fn read_results(folder: &Path, rows: u64) -> Result<ReadBack, Error> {
    each_record(folder, rows, |_| {})
}

/// The same, handing each counted record on.
///
/// # Errors
/// As [`read_results`].
pub fn each_record(folder: &Path, rows: u64, mut each: impl FnMut(&Written<'_>)) -> Result<ReadBack, Error> {
    let mut read = ReadBack::default();
    let form = lines(folder, rows, |_, record| {
        read.lines += 1;
        match record {
            Some(record) if read.done.insert(record.row) => {
                read.totals.count(&record);
                each(&record);
            }
            Some(_) | None => read.damaged += 1,
        }
        Ok(())
    })?;
    too_many(folder, read.damaged, read.lines)?;
    (read.good, read.columns) = (form.good, form.columns);
    Ok(read)
}

/// Whether there is anything after the header, whole or damaged.
///
/// # Errors
/// As [`read_results`].
pub(super) fn holds_records(folder: &Path) -> Result<bool, Error> {
    let mut any = false;
    lines(folder, u64::MAX, |_, _| {
        any = true;
        Ok(())
    })?;
    Ok(any)
}

/// The same where the file must be there: the account of a call that had it open.
///
/// # Errors
/// As [`read_results`]; `Error::File` also where the file has vanished.
pub fn read_account(folder: &Path, rows: u64, each: impl FnMut(&Written<'_>)) -> Result<ReadBack, Error> {
    let path = folder.join("results.csv");
    if !path.exists() {
        let gone = "it is gone, and with it the account of this run";
        return Err(Error::file("read", path, io::Error::new(io::ErrorKind::NotFound, gone)));
    }
    each_record(folder, rows, each)
}

/// What a restart reads: each record is compared with the row of the input that it claims to be for, so that a damaged
/// row number cannot pass one user's fate off as another's. Where a line is damaged, the file is replaced by one
/// without it, and the line is kept in `damaged.txt`.
///
/// # Errors
/// As [`read_results`]; the file is untouched then.
pub(super) fn read_and_repair<I>(
    folder: &Path,
    rows: u64,
    expected: impl FnOnce() -> Result<I, Error>,
) -> Result<ReadBack, Error>
where
    I: Iterator<Item = Result<Expected, Error>>,
{
    let read = each_record(folder, rows, |_| {})?;
    if read.lines == 0 {
        return Ok(read);
    }
    let mut claims: Vec<(u64, u64)> = Vec::with_capacity(read.totals.records as usize);
    lines(folder, rows, |_, record| {
        claims.extend(record.as_ref().map(claim));
        Ok(())
    })?;
    claims.sort_unstable();
    let mut wrong = HashSet::new();
    let mut claims = claims.into_iter().peekable();
    if claims.peek().is_some() {
        for row in expected()? {
            let (number, line, id) = row?;
            let right = claim_of(number, if read.columns.have("line") { line } else { 0 }, &id);
            // A claim before it is for a row that is not ours: of another shard.
            while let Some(claimed) = claims.next_if(|(row, _)| *row <= number) {
                if claimed != right {
                    wrong.insert(claimed);
                }
            }
            if claims.peek().is_none() {
                break;
            }
        }
    }
    // A line for a row that the input has not is as wrong as one for another user.
    wrong.extend(claims);
    if wrong.is_empty() && read.damaged == 0 {
        return Ok(read);
    }
    too_many(folder, read.damaged.max(wrong.len() as u64), read.lines)?;
    let damaged = remove_damaged_lines(folder, rows, &wrong)?;
    let clean = read_results(folder, rows)?;
    Ok(ReadBack { damaged, ..clean })
}

/// Replaces `results.csv` by one without the lines that cannot be trusted; how many those are.
fn remove_damaged_lines(folder: &Path, rows: u64, wrong: &HashSet<(u64, u64)>) -> Result<u64, Error> {
    let path = folder.join("results.csv");
    let bad = folder.join("damaged.txt");
    let fail = |source| Error::file("replace", &path, source);
    let mut clean = io::BufWriter::new(sys::Replacement::begin(&path).map_err(fail)?);
    let mut kept = sys::open_private(&bad, OpenOptions::new().append(true).create(true))
        .map_err(|source| Error::file("write", &bad, source))?;
    let mut file =
        io::BufReader::new(File::open(&path).map_err(|source| Error::file("read", &path, source))?);
    let mut header = Vec::new();
    file.read_until(b'\n', &mut header).map_err(|source| Error::file("read", &path, source))?;
    clean.write_all(&header).map_err(fail)?;
    let (mut damaged, mut seen) = (0, RowSet::default());
    lines(folder, rows, |line, record| {
        if record.is_some_and(|record| !wrong.contains(&claim(&record)) && seen.insert(record.row)) {
            return clean.write_all(line).map_err(fail);
        }
        damaged += 1;
        kept.write_all(line).map_err(|source| Error::file("write", &bad, source))
    })?;
    kept.sync_all().map_err(|source| Error::file("sync", &bad, source))?;
    let clean = clean.into_inner().map_err(|error| fail(error.into_error()))?;
    clean.commit().map_err(fail)?;
    Ok(damaged)
}

fn claim(record: &Written<'_>) -> (u64, u64) {
    claim_of(record.row, record.line, &record.id)
}

fn claim_of(row: u64, line: u64, id: &str) -> (u64, u64) {
    let mut hasher = SipHasher13::new();
    hasher.write_u64(line);
    hasher.write(id.as_bytes());
    (row, hasher.finish())
}

fn changed(path: PathBuf, message: &str) -> Error {
    let message = format!(
        "{message}: changed by another program (Excel?); nothing was sent. Restore the file, or start over with --new-run"
    );
    Error::Damaged { path, message }
}

fn too_many(folder: &Path, damaged: u64, lines: u64) -> Result<(), Error> {
    if damaged > 1 && damaged * 100 > lines {
        let message = format!("{damaged} of {lines} lines are not as they were written");
        return Err(changed(folder.join("results.csv"), &message));
    }
    Ok(())
}

/// What a file is like.
#[derive(Debug, Default)]
struct Form {
    /// The length up to where a torn or zero-filled tail begins, in bytes.
    good: u64,
    columns: Columns,
}

/// Hands on every whole line after the header, and its record where it is exactly what we write.
fn lines(
    folder: &Path,
    rows: u64,
    mut each: impl FnMut(&[u8], Option<Written<'_>>) -> Result<(), Error>,
) -> Result<Form, Error> {
    let mut form = Form::default();
    let path = folder.join("results.csv");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(form),
        Err(source) => return Err(Error::file("read", path, source)),
    };
    let mut reader = io::BufReader::with_capacity(1 << 16, file);
    let (mut line, mut at, mut zeros) = (Vec::new(), 0_u64, 0_u64);
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line).map_err(|source| Error::file("read", &path, source))?;
        let whole = line.last() == Some(&b'\n');
        let first = at == 0;
        at += line.len() as u64;
        if first {
            let written = line.strip_suffix(b"\n").unwrap_or(&line);
            if let Some(columns) = Columns::of(written).filter(|_| whole) {
                form = Form { good: at, columns };
                continue;
            }
            let end = written.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let begun = &written[..end];
            if !whole && (HEADER.as_bytes().starts_with(begun) || begun.starts_with(HEADER.as_bytes())) {
                return Ok(form);
            }
            return Err(changed(path, "its header is not one that this tool writes"));
        }
        if !whole {
            return Ok(form);
        }
        if line.iter().all(|byte| matches!(byte, 0 | b'\n')) {
            zeros += 1;
            continue;
        }
        for _ in 0..std::mem::take(&mut zeros) {
            each(b"\n", None)?;
        }
        form.good = at;
        let ours = |record: &Written<'_>| record.row >= 1 && record.row <= rows && is_consistent(record);
        each(&line, line::read(&line, form.columns).filter(ours))?;
    }
}

/// Whether the cells of a record fit its outcome: `failed` made `accepted` by hand, or the other way, is not believed.
fn is_consistent(record: &Written<'_>) -> bool {
    match record.outcome {
        Outcome::Accepted => record.reason.is_none(),
        Outcome::Failed | Outcome::Invalid | Outcome::Duplicate => record.reason.is_some(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::super::journal::Journal;
    use super::*;
    use crate::model::Record;

    pub(in super::super) fn record(row: u64, outcome: Outcome) -> Record {
        let reason = (outcome == Outcome::Failed).then_some(Reason::NotFound);
        let id = format!("user{row}@contoso.com").into();
        Record {
            http_status: Some(204),
            message: "a, \"quoted\" text".into(),
            attempts: 1,
            first_sent_at: "2026-11-23T00:00:00.000Z".into(),
            finished_at: "2026-11-23T00:00:01.000Z".into(),
            duration_ms: Some(1000),
            request_id: "r".into(),
            ..Record::unsent(row, row + 1, id, outcome, reason)
        }
    }

    pub(in super::super) fn expected(rows: u64) -> impl Iterator<Item = Result<Expected, Error>> {
        (1..=rows).map(|row| Ok((row, row + 1, format!("user{row}@contoso.com").into())))
    }

    fn open(folder: &Path, rows: u64) -> Result<(Journal, ReadBack), Error> {
        Journal::open(folder, rows, || Ok(expected(rows)))
    }

    /// A results file with an outcome for each row, and its bytes.
    fn written(folder: &Path, rows: u64) -> Vec<u8> {
        let (mut journal, _) = open(folder, rows).expect("created");
        for row in 1..=rows {
            let outcome = if row % 3 == 0 { Outcome::Failed } else { Outcome::Accepted };
            journal.append([&record(row, outcome)]).expect("written");
        }
        fs::read(folder.join("results.csv")).expect("read")
    }

    #[test]
    fn rows_are_in_once_they_were_put_in_and_no_others() {
        let mut rows = RowSet::default();
        // Over several words, their edges among them, in no order.
        let some: Vec<u64> = (1..=1_000).rev().filter(|row| row % 3 == 0 || row % 64 < 2).collect();
        for row in &some {
            assert!(rows.insert(*row), "{row}");
        }
        for row in 0..=2_000 {
            assert_eq!(rows.contains(row), some.contains(&row), "{row}");
        }
        assert!(some.iter().all(|row| !rows.insert(*row)));
        assert_eq!(rows.0.len(), 16, "a bit for each row");
    }

    #[test]
    fn the_struct_writes_the_header_that_is_checked() {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.serialize(record(1, Outcome::Accepted)).expect("written");
        let text = String::from_utf8(writer.into_inner().expect("flushed")).expect("UTF-8");
        assert_eq!(text.lines().next(), Some(HEADER));
    }

    #[test]
    fn every_torn_length_is_cut_to_whole_records_and_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let whole = written(folder.path(), 20);
        let path = folder.path().join("results.csv");
        for length in 0..whole.len() {
            for zeros in [0, 64] {
                let mut torn = whole[..length].to_vec();
                torn.resize(length + zeros, 0);
                fs::write(&path, &torn).expect("cut");
                let lines = whole[..length].iter().filter(|byte| **byte == b'\n').count();
                let (_, read) = open(folder.path(), 20).expect("recovered");
                assert_eq!(read.totals.records, (lines as u64).saturating_sub(1), "{length}");
                assert_eq!(read.damaged, 0, "{length}");
                let kept = fs::read(&path).expect("read");
                let good = whole[..length].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                assert_eq!(kept[..good], whole[..good], "a whole line was taken away");
                assert_eq!(kept.len(), good.max(HEADER.len() + 1), "the torn tail is gone");
            }
        }
    }

    #[test]
    fn no_flipped_bit_gives_a_wrong_outcome_and_the_file_is_clean_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let whole = written(folder.path(), 5);
        let path = folder.path().join("results.csv");
        let truth = |row: u64| if row.is_multiple_of(3) { Outcome::Failed } else { Outcome::Accepted };
        let newlines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        // Half of it too: a row without a record must not get one by a flipped number.
        let half =
            whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(3).expect("four lines").0 + 1;
        for base in [&whole[..], &whole[..half]] {
            for at in 0..base.len() * 8 {
                let mut flipped = base.to_vec();
                flipped[at / 8] ^= 1 << (at % 8);
                fs::write(&path, &flipped).expect("damaged");
                let Ok(read) = read_and_repair(folder.path(), 5, || Ok(expected(5))) else {
                    let split = newlines(&flipped) > newlines(base);
                    assert!(
                        at / 8 <= HEADER.len() || split,
                        "bit {at}: one damaged line does not refuse the file"
                    );
                    assert_eq!(fs::read(&path).expect("read"), flipped, "a refused file is untouched");
                    continue;
                };
                let again = each_record(folder.path(), 5, |record| {
                    assert_eq!(record.outcome, truth(record.row), "bit {at}");
                    assert_eq!(*record.id, *format!("user{}@contoso.com", record.row), "bit {at}");
                });
                let again = again.expect("clean");
                assert_eq!((again.damaged, again.totals.records), (0, read.totals.records), "bit {at}");
                assert!(again.totals.records + 3 >= newlines(base), "bit {at}: two lines at most are lost");
            }
        }
    }

    #[test]
    fn a_file_saved_by_another_program_is_refused_untouched() {
        let folder = tempfile::tempdir().expect("a folder");
        let ours = String::from_utf8(written(folder.path(), 5)).expect("UTF-8");
        let path = folder.path().join("results.csv");
        for text in [format!("\u{feff}{ours}"), ours.replace(',', ";"), ours.replace('\n', "\r\n")] {
            fs::write(&path, &text).expect("written");
            let error = open(folder.path(), 5).expect_err("refused");
            assert!(error.chain().contains("Excel") && error.exit().code() == 2, "{}", error.chain());
            assert_eq!(fs::read_to_string(&path).expect("read"), text);
        }
    }

    #[test]
    fn a_damaged_line_in_the_middle_costs_its_row_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = String::from_utf8(written(folder.path(), 9)).expect("UTF-8");
        let path = folder.path().join("results.csv");
        fs::write(&path, text.replace("\n2,", "\nx,")).expect("damaged");
        let (_, read) = open(folder.path(), 9).expect("read back");
        assert_eq!((read.damaged, read.totals.records, read.done.contains(2)), (1, 8, false));
        assert!(
            !fs::read_to_string(&path).expect("read").contains("\nx,"),
            "one record per row, and nothing else"
        );
        let kept = fs::read_to_string(folder.path().join("damaged.txt")).expect("kept");
        assert!(kept.starts_with("x,user2@contoso.com,accepted"), "{kept}");
        assert_eq!(open(folder.path(), 9).expect("read back").1.damaged, 0);
    }

    #[test]
    fn an_outcome_that_was_changed_by_hand_is_not_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = String::from_utf8(written(folder.path(), 9)).expect("UTF-8");
        let path = folder.path().join("results.csv");
        for (row, from, to) in [(3, ",failed,", ",accepted,"), (4, ",accepted,", ",failed,")] {
            let line = |line: &str| match line.starts_with(&format!("{row},")) {
                true => line.replacen(from, to, 1),
                false => line.to_owned(),
            };
            let changed: String = text.lines().map(|one| line(one) + "\n").collect();
            assert_ne!(changed, text);
            fs::write(&path, changed).expect("changed");
            let (_, read) = open(folder.path(), 9).expect("read back");
            assert_eq!((read.damaged, read.totals.records, read.done.contains(row)), (1, 8, false), "{row}");
        }
    }

    #[test]
    fn records_of_another_list_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let whole = written(folder.path(), 9);
        let other = || Ok((1..=9).map(|row| Ok((row, row + 1, format!("other{row}@contoso.com").into()))));
        let error = Journal::open(folder.path(), 9, other).map(drop).expect_err("refused");
        assert_eq!(error.exit().code(), 2);
        assert_eq!(fs::read(folder.path().join("results.csv")).expect("read"), whole);
    }
}
