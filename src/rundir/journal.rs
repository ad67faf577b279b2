//! `results.csv`, the only truth: whole lines appended, synced at most a second later by a thread of its own.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::line::{self, Columns};
use super::read_back::{Expected, ReadBack, read_and_repair};
use crate::error::Error;
use crate::model::{HEADER, Record};
use crate::sys;

/// Records are on disk at most this much later.
const SYNC_AFTER: Duration = Duration::from_secs(1);

/// What the journal does to its file; tests put faults in between.
trait Disk: fmt::Debug + Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn cut(&mut self, length: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
    fn second(&self) -> io::Result<Box<dyn Disk>>;
}

impl Disk for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.seek(io::SeekFrom::End(0)).map(drop)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn second(&self) -> io::Result<Box<dyn Disk>> {
        Ok(Box::new(self.try_clone()?))
    }
}

/// The open journal. Only whole lines are ever left behind.
#[derive(Debug)]
pub struct Journal {
    disk: Box<dyn Disk>,
    path: PathBuf,
    length: u64,
    /// Another version may have begun the file.
    columns: Columns,
    lines: Vec<u8>,
}

impl Journal {
    /// Opens or creates `results.csv` in a locked folder, cuts a torn tail, mends damaged lines, and makes file and
    /// folder durable. `expected` gives the rows of the input in order; it is asked only where there are records.
    ///
    /// # Errors
    /// `Error::Damaged` where the header is not ours or too many lines are damaged: the file is untouched then;
    /// `Error::File`.
    pub fn open<I>(
        folder: &Path,
        rows: u64,
        expected: impl FnOnce() -> Result<I, Error>,
    ) -> Result<(Self, ReadBack), Error>
    where
        I: Iterator<Item = Result<Expected, Error>>,
    {
        let read = read_and_repair(folder, rows, expected)?;
        let path = folder.join("results.csv");
        let fail = |action| {
            let path = path.clone();
            move |source| Error::file(action, path, source)
        };
        let mut file = sys::open_private(&path, OpenOptions::new().write(true).create(true).truncate(false))
            .map_err(fail("create"))?;
        file.cut(read.good).map_err(fail("cut the torn end of"))?;
        let mut length = read.good;
        if length == 0 {
            file.append(format!("{HEADER}\n").as_bytes()).map_err(fail("write"))?;
            length = HEADER.len() as u64 + 1;
        }
        file.sync_all().map_err(fail("sync"))?;
        sys::sync_folder(folder).map_err(fail("sync"))?;
        let columns = read.columns;
        Ok((Self { disk: Box::new(file), path, length, columns, lines: Vec::new() }, read))
    }

    /// Appends records in one write. On an error nothing of the batch is left behind or claimed.
    ///
    /// # Errors
    /// `Error::File`: a full disk and the like.
    pub fn append<'a>(&mut self, records: impl IntoIterator<Item = &'a Record>) -> Result<(), Error> {
        self.lines.clear();
        for record in records {
            line::write(record, self.columns, &mut self.lines);
        }
        if let Err(source) = self.disk.append(&self.lines) {
            // Best effort: what stays is a torn tail, which the next call cuts.
            let _ = self.disk.cut(self.length);
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
        self.syncer_after(SYNC_AFTER, failed)
    }

    fn syncer_after(
        &self,
        after: Duration,
        failed: impl FnOnce(Error) + Send + 'static,
    ) -> Result<Syncer, Error> {
        let disk = self.disk.second().map_err(|source| Error::file("sync", &self.path, source))?;
        let (told, telling) = mpsc::sync_channel::<()>(1);
        let due = Arc::new(AtomicBool::new(false));
        let is_due = due.clone();
        let path = self.path.clone();
        let thread = thread::spawn(move || {
            while telling.recv().is_ok() {
                // Whatever is written until then goes along; the end of the run does not wait.
                let _ = telling.recv_timeout(after);
                // Before the sync: what is written from here on asks for another one.
                due.store(false, SeqCst);
                if let Err(source) = disk.sync() {
                    // Never tried again on this descriptor: the system may have dropped the pages already.
                    failed(Error::file("sync", path, source));
                    return;
                }
            }
        });
        Ok(Syncer { told: Some(told), is_due, thread: Some(thread) })
    }
}

/// Syncs on a thread of its own; ends with a last sync when dropped.
#[derive(Debug)]
pub struct Syncer {
    told: Option<mpsc::SyncSender<()>>,
    /// Told already, and not yet begun: a write need not wake the thread once more.
    is_due: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Syncer {
    /// New records were written.
    pub fn tell(&self) {
        if let Some(told) = &self.told
            && !self.is_due.swap(true, SeqCst)
        {
            // Nobody hears it after a failed sync, which ends the run anyway.
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::time::Instant;

    use super::super::read_back::tests::{expected, record};
    use super::*;

    /// Longer than a busy machine stands still.
    const TOGETHER: Duration = Duration::from_secs(3);
    /// By then even a busy machine has done it.
    const LATEST: Duration = Duration::from_secs(60);
    use crate::model::Outcome;

    /// A file whose operations fail after so many good ones, for ever or once; a failing write leaves `torn` bytes of
    /// it behind.
    #[derive(Debug)]
    struct Failing {
        file: File,
        calls: Arc<AtomicU64>,
        syncs: Arc<AtomicU64>,
        good: u64,
        once: bool,
        torn: usize,
    }

    impl Failing {
        fn may(&self) -> io::Result<()> {
            let before = self.calls.fetch_add(1, Relaxed);
            if before < self.good || self.once && before > self.good {
                Ok(())
            } else {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
        }
    }

    impl Disk for Failing {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            let may = self.may();
            let written = if may.is_ok() { bytes } else { &bytes[..self.torn.min(bytes.len())] };
            self.file.write_all(written)?;
            may
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            self.may()?;
            Disk::cut(&mut self.file, length)
        }

        fn sync(&self) -> io::Result<()> {
            self.syncs.fetch_add(1, Relaxed);
            self.may()
        }

        fn second(&self) -> io::Result<Box<dyn Disk>> {
            let file = self.file.try_clone()?;
            let (calls, syncs) = (self.calls.clone(), self.syncs.clone());
            Ok(Box::new(Self { file, calls, syncs, ..*self }))
        }
    }

    fn failing(folder: &Path, good: u64, torn: usize) -> (Journal, Arc<AtomicU64>) {
        let (journal, _) = Journal::open(folder, 12, || Ok(expected(12))).expect("created");
        let file = File::options().append(true).open(folder.join("results.csv")).expect("opened");
        let syncs = Arc::new(AtomicU64::new(0));
        let disk = Failing { file, calls: Arc::default(), syncs: syncs.clone(), good, once: false, torn };
        (Journal { disk: Box::new(disk), ..journal }, syncs)
    }

    #[test]
    fn a_write_that_fails_leaves_the_lines_before_it_and_nothing_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let results = folder.path().join("results.csv");
        let mut lines = format!("{HEADER}\n").into_bytes();
        // A new file first; then one that goes on, where nothing or something was written before the failure.
        for (call, good) in [1, 0, 2].into_iter().enumerate() {
            let (mut journal, _) = Journal::open(folder.path(), 12, || Ok(expected(12))).expect("opened");
            let file = File::options().append(true).open(&results).expect("opened");
            let (calls, syncs) = (Arc::default(), Arc::default());
            journal.disk = Box::new(Failing { file, calls, syncs, good, once: true, torn: 50 });
            for n in 1..=good + 1 {
                let record = record(call as u64 * 3 + n, Outcome::Accepted);
                if journal.append([&record]).is_ok() {
                    assert!(n <= good);
                    line::write(&record, Columns::default(), &mut lines);
                }
            }
            assert_eq!(std::fs::read(&results).expect("read"), lines, "call {call}");
        }
    }

    #[test]
    fn whatever_write_fails_what_was_claimed_is_there_and_nothing_else() {
        for good in 0..8 {
            for torn in [0, 1, 40, 150, 1_000] {
                let folder = tempfile::tempdir().expect("a folder");
                let (mut journal, _) = failing(folder.path(), good, torn);
                let mut claimed = 0;
                for pair in 0..6 {
                    let records = [1, 2].map(|n| record(pair * 2 + n, Outcome::Accepted));
                    match journal.append(&records) {
                        Ok(()) => claimed += 2,
                        Err(error) => {
                            assert_eq!(error.exit().code(), 1);
                            break;
                        }
                    }
                }
                assert_eq!(claimed, good.min(6) * 2);
                drop(journal);
                let (_, read) = Journal::open(folder.path(), 12, || Ok(expected(12)))
                    .expect("goes on once there is room");
                // A write that failed may have reached the disk all the same: such a record is true and may stay.
                assert!((1..=claimed).all(|row| read.done.contains(row)), "{good} {torn}");
                assert!(read.totals.records <= claimed + 2 && read.damaged == 0, "{good} {torn}");
                let text = std::fs::read(folder.path().join("results.csv")).expect("read");
                assert_eq!(text.last(), Some(&b'\n'), "only whole lines");
            }
        }
    }

    #[test]
    fn a_failed_sync_is_told_once_and_never_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (journal, syncs) = failing(folder.path(), 0, 0);
        let (failed, hears) = mpsc::channel();
        let syncer =
            journal.syncer(move |error| failed.send(error.exit().code()).expect("heard")).expect("on");
        syncer.tell();
        assert_eq!(hears.recv_timeout(LATEST), Ok(1));
        syncer.tell();
        drop(syncer);
        assert_eq!(syncs.load(Relaxed), 1);
    }

    #[test]
    fn what_is_written_after_a_sync_is_synced_as_well() {
        let folder = tempfile::tempdir().expect("a folder");
        let (journal, syncs) = failing(folder.path(), 9, 0);
        let began = Instant::now();
        let syncer = journal.syncer_after(TOGETHER, |error| panic!("{}", error.chain())).expect("on");
        for wanted in 1..=2 {
            for _ in 0..3 {
                syncer.tell();
            }
            while syncs.load(Relaxed) < wanted && began.elapsed() < LATEST {
                thread::sleep(Duration::from_millis(5));
            }
            assert_eq!(syncs.load(Relaxed), wanted);
        }
        assert!(began.elapsed() >= TOGETHER * 2, "several writes share a sync");
    }

    #[test]
    fn the_end_syncs_at_once_what_was_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let (journal, syncs) = failing(folder.path(), 9, 0);
        let syncer = journal.syncer_after(LATEST, |error| panic!("{}", error.chain())).expect("on");
        syncer.tell();
        let began = Instant::now();
        drop(syncer);
        assert!(syncs.load(Relaxed) == 1 && began.elapsed() < LATEST);
    }
}
