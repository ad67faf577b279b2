//! `results.csv`, the only truth: whole lines appended, synced a second later, read back by the struct that writes them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::error::Error;
use crate::model::{HEADER, Outcome, Reason, Record};
use crate::sys;

/// Records are on disk at most this much later.
const SYNC_AFTER: Duration = Duration::from_secs(1);
/// Rows named as samples for a reason.
const SAMPLES: usize = 5;

/// One bit for each row.
#[derive(Clone, Debug, Default)]
pub struct Rows(Vec<u64>);

impl Rows {
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
    /// Each reason with its count and first rows; duplicates are no reason to look.
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
}

/// What was read back.
#[derive(Clone, Debug, Default)]
pub struct ReadBack {
    /// Rows that have a record.
    pub done: Rows,
    /// Counts.
    pub totals: Totals,
    /// Lines in the middle that could not be read; their rows are done again.
    pub damaged: u64,
    /// Length of the good part, in bytes.
    good: u64,
}

/// Reads `results.csv`. A torn or zero-filled tail is left out; a missing file is an empty one.
///
/// # Errors
/// `Error::Damaged` where the header is not ours or too many lines are damaged; `Error::File`.
pub fn read_results(folder: &Path, rows: u64) -> Result<ReadBack, Error> {
    each_record(folder, rows, |_| {})
}

/// The same, handing each counted record on.
pub(super) fn each_record(
    folder: &Path,
    rows: u64,
    mut each: impl FnMut(&Record),
) -> Result<ReadBack, Error> {
    let path = folder.join("results.csv");
    let mut read = ReadBack::default();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(read),
        Err(source) => return Err(Error::file("read", path, source)),
    };
    let changed = |message: &str| Error::Damaged {
        path: path.clone(),
        message: format!(
            "{message}: changed by another program (Excel?); restore it, or start over with --new-run"
        ),
    };
    let mut reader = io::BufReader::with_capacity(1 << 16, file);
    let mut line = Vec::new();
    let mut at = 0;
    let mut lines = 0_u64;
    loop {
        line.clear();
        io::BufRead::read_until(&mut reader, b'\n', &mut line)
            .map_err(|source| Error::file("read", &path, source))?;
        if line.is_empty() {
            break;
        }
        let whole = line.last() == Some(&b'\n');
        at += line.len() as u64;
        if lines == 0 {
            if !whole && HEADER.as_bytes().starts_with(&line) {
                return Ok(read);
            }
            if line.strip_suffix(b"\n") != Some(HEADER.as_bytes()) {
                return Err(changed("the header is not the one written by this tool"));
            }
            read.good = at;
            lines += 1;
            continue;
        }
        if !whole {
            break;
        }
        lines += 1;
        match parse(&line).filter(|record| record.row >= 1 && record.row <= rows) {
            Some(record) => {
                read.good = at;
                if read.done.insert(record.row) {
                    count(&mut read.totals, &record);
                    each(&record);
                }
            }
            None if line.iter().all(|byte| matches!(byte, 0 | b'\n')) => {}
            None => {
                read.good = at;
                read.damaged += 1;
            }
        }
    }
    if read.damaged > 1 && read.damaged * 100 > lines {
        return Err(changed(&format!("{} of {} lines cannot be read", read.damaged, lines - 1)));
    }
    Ok(read)
}

fn parse(line: &[u8]) -> Option<Record> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line);
    let record = reader.deserialize().next()?.ok()?;
    Some(record)
}

fn count(totals: &mut Totals, record: &Record) {
    totals.records += 1;
    *totals.outcomes.entry(record.outcome.as_str()).or_default() += 1;
    if let Some(reason) = record.reason.filter(|reason| *reason != Reason::SameId) {
        let (count, samples) = totals.reasons.entry(reason).or_default();
        *count += 1;
        if samples.len() < SAMPLES {
            samples.push(record.row);
        }
    }
    totals.attempts += u64::from(record.attempts);
    totals.throttled += u64::from(record.throttled);
}

/// The open journal. Only whole lines are ever left behind.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    length: u64,
    lines: Vec<u8>,
}

impl Journal {
    /// Opens or creates `results.csv` in a locked folder, cuts a torn tail, and makes file and folder durable.
    ///
    /// # Errors
    /// As [`read_results`]; the file is untouched then.
    pub fn open(folder: &Path, rows: u64) -> Result<(Self, ReadBack), Error> {
        let read = read_results(folder, rows)?;
        let path = folder.join("results.csv");
        let fail = |action| {
            let path = path.clone();
            move |source| Error::file(action, path, source)
        };
        let mut file = sys::open_private(&path, OpenOptions::new().write(true).create(true).truncate(false))
            .map_err(fail("create"))?;
        file.set_len(read.good).map_err(fail("cut the torn end of"))?;
        file.seek(io::SeekFrom::End(0)).map_err(fail("write"))?;
        let mut length = read.good;
        if length == 0 {
            file.write_all(format!("{HEADER}\n").as_bytes()).map_err(fail("write"))?;
            length = HEADER.len() as u64 + 1;
        }
        file.sync_all().map_err(fail("sync"))?;
        sys::sync_folder(folder).map_err(fail("sync"))?;
        Ok((Self { file, path, length, lines: Vec::new() }, read))
    }

    /// Appends records in one write. On an error nothing of the batch is left behind or claimed.
    ///
    /// # Errors
    /// `Error::File`: a full disk and the like.
    pub fn append<'a>(&mut self, records: impl IntoIterator<Item = &'a Record>) -> Result<(), Error> {
        self.lines.clear();
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(&mut self.lines);
        for record in records {
            writer
                .serialize(record)
                .map_err(|error| Error::Internal(format!("a record cannot be written: {error}")))?;
        }
        writer.flush().map_err(|source| Error::file("write", &self.path, source))?;
        drop(writer);
        if let Err(source) = self.file.write_all(&self.lines) {
            // Best effort: what stays is a torn tail, which the next call cuts.
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(io::SeekFrom::End(0));
            return Err(Error::file("write", &self.path, source));
        }
        self.length += self.lines.len() as u64;
        Ok(())
    }

    /// A thread that syncs at most a second after it is told of new records.
    ///
    /// # Errors
    /// `Error::File` where no second handle can be had.
    pub fn syncer(&self, failed: impl FnOnce(Error) + Send + 'static) -> Result<Syncer, Error> {
        let file = self.file.try_clone().map_err(|source| Error::file("sync", &self.path, source))?;
        let (told, telling) = mpsc::sync_channel::<()>(1);
        let path = self.path.clone();
        let thread = thread::spawn(move || {
            while telling.recv().is_ok() {
                let more = telling.recv_timeout(SYNC_AFTER);
                let ended = more == Err(mpsc::RecvTimeoutError::Disconnected);
                if !ended && more.is_ok() {
                    thread::sleep(SYNC_AFTER);
                }
                if let Err(source) = file.sync_data() {
                    // Never tried again on this descriptor: the system may have dropped the pages already.
                    failed(Error::file("sync", path, source));
                    return;
                }
            }
        });
        Ok(Syncer { told: Some(told), thread: Some(thread) })
    }
}

/// Syncs on a thread of its own; ends with a last sync when dropped.
#[derive(Debug)]
pub struct Syncer {
    told: Option<mpsc::SyncSender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Syncer {
    /// New records were written.
    pub fn tell(&self) {
        if let Some(told) = &self.told {
            // Full: it has been told already.
            let _ = told.try_send(());
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        drop(self.told.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether the journal is still where it was; a vanished folder is found out at the end.
pub(super) fn exists(folder: &Path) -> bool {
    fs::exists(folder.join("results.csv")).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(row: u64, outcome: Outcome) -> Record {
        Record {
            row,
            id: format!("user{row}@contoso.com").into(),
            outcome,
            reason: (outcome == Outcome::Failed).then_some(Reason::NotFound),
            http_status: Some(204),
            error_code: "".into(),
            message: "a, \"quoted\" text".into(),
            attempts: 1,
            throttled: 0,
            first_sent_at: "2026-11-23T00:00:00.000Z".into(),
            finished_at: "2026-11-23T00:00:01.000Z".into(),
            duration_ms: Some(1000),
            client_request_id: "".into(),
            request_id: "r".into(),
            line: row + 1,
        }
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
        let (mut journal, _) = Journal::open(folder.path(), 20).expect("created");
        for row in 1..=20 {
            journal
                .append([&record(row, if row % 3 == 0 { Outcome::Failed } else { Outcome::Accepted })])
                .expect("written");
        }
        drop(journal);
        let path = folder.path().join("results.csv");
        let whole = fs::read(&path).expect("read");
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("cut");
            let lines = whole[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
            let (_, read) = Journal::open(folder.path(), 20).expect("recovered");
            assert_eq!(read.totals.records, lines.saturating_sub(1), "{length}");
            let mut filled = whole[..length].to_vec();
            filled.extend([0; 64]);
            fs::write(&path, &filled).expect("zero-filled");
            if lines > 0 {
                assert_eq!(Journal::open(folder.path(), 20).expect("recovered").1.totals.records, lines - 1);
            }
        }
    }

    #[test]
    fn a_file_saved_by_another_program_is_refused_untouched() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("results.csv");
        let text = format!("\u{feff}{}\r\n1;2\r\n", HEADER.replace(',', ";"));
        fs::write(&path, &text).expect("written");
        let error = Journal::open(folder.path(), 5).expect_err("refused");
        assert!(error.chain().contains("Excel"), "{}", error.chain());
        assert_eq!(fs::read_to_string(&path).expect("read"), text);
    }

    #[test]
    fn a_damaged_line_in_the_middle_costs_its_row_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut journal, _) = Journal::open(folder.path(), 9).expect("created");
        journal
            .append(&[
                record(1, Outcome::Accepted),
                record(2, Outcome::Accepted),
                record(3, Outcome::Accepted),
            ])
            .expect("written");
        let path = folder.path().join("results.csv");
        let text = fs::read_to_string(&path).expect("read").replace("\n2,", "\nx,");
        fs::write(&path, text).expect("damaged");
        let (_, read) = Journal::open(folder.path(), 9).expect("read back");
        assert_eq!((read.damaged, read.totals.records, read.done.contains(2)), (1, 2, false));
    }
}
