//! The list that a scan writes. Until it is complete it is a temporary file with a checkpoint from which an
//! interrupted scan resumes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::list_row::FOUND_HEADER;
use super::tally::Counts;
use crate::error::{CREATE_TEMPORARY, Error};
use crate::jobs::files::is_file;
use crate::sys;
use crate::terminal::Console;

/// Bytes that are written to standard output together.
const AT_ONCE: usize = 64 * 1024;

/// The checkpoint of a scan: the content of the file so far, and the next page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ScanCheckpoint {
    /// Tenant and filter of the scan. A scan with another tenant or filter starts again.
    what: String,
    /// The link to the next page.
    pub(super) next: String,
    /// Pages read.
    pub(super) pages: u64,
    /// Bytes of the list that belong to them.
    bytes: u64,
    pub(super) counts: Counts,
}

/// The list on its way.
#[derive(Debug)]
pub(super) struct ScanOutput {
    file: File,
    /// The temporary file with the rows until the list is complete.
    path: PathBuf,
    /// Its place in the end; standard output where there is none.
    out: Option<PathBuf>,
    what: String,
    bytes: u64,
}

fn beside(out: &Path, tail: &str) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(tail);
    name.into()
}

/// Whether a file begins as every list of `find` does, or is empty: a newer list may take its place. An
/// export of the same name may not be lost.
fn is_a_list(path: &Path) -> Result<bool, Error> {
    let header = FOUND_HEADER.join(",");
    let mut begins = Vec::with_capacity(header.len());
    let read = File::open(path).and_then(|file| file.take(header.len() as u64).read_to_end(&mut begins));
    read.map_err(|source| Error::file("read", path, source))?;
    Ok(begins.is_empty() || begins == header.as_bytes())
}

impl ScanOutput {
    /// Opens a file. Resumes an interrupted scan with the same `what`.
    ///
    /// # Errors
    /// `Error::Locked` where another process is writing it; `Error::Usage` if it is not a file, or not a list of `find`;
    /// `Error::File`.
    pub(super) fn beside(out: &Path, what: String) -> Result<(Self, Option<ScanCheckpoint>), Error> {
        if is_file(out)? && !is_a_list(out)? {
            return Err(Error::Usage(format!(
                "{} exists and is not a list that find wrote. Name another file with --out, or move that one away. Nothing was written",
                out.display()
            )));
        }
        let path = beside(out, ".partial");
        let fail = |action, source| Error::file(action, &path, source);
        let mut file =
            sys::open_private(&path, OpenOptions::new().read(true).write(true).create(true).truncate(false))
                .map_err(|source| fail("create", source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = "it is writing the list; wait for its end, or give another --out".to_owned();
                return Err(Error::Locked { folder: out.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(fail("lock", source)),
        }
        let length = file.metadata().map_err(|source| fail("read", source))?.len();
        let mark = fs::read(beside(out, ".partial.json")).ok();
        let mark = mark.and_then(|mark| serde_json::from_slice::<ScanCheckpoint>(&mark).ok());
        let mark = mark.filter(|mark| mark.what == what && mark.bytes <= length);
        let bytes = mark.as_ref().map_or(0, |mark| mark.bytes);
        file.set_len(bytes).map_err(|source| fail("cut", source))?;
        file.seek(SeekFrom::End(0)).map_err(|source| fail("write", source))?;
        let mut list = Self { file, path, out: Some(out.to_owned()), what, bytes };
        if mark.is_none() {
            list.begin()?;
        }
        Ok((list, mark))
    }

    /// For standard output: a private file that goes away.
    ///
    /// # Errors
    /// `Error::File`.
    pub(super) fn scratch() -> Result<Self, Error> {
        let path = std::env::temp_dir().join(format!("reprovision-find-{}.csv", uuid::Uuid::new_v4()));
        let file = sys::open_private(&path, OpenOptions::new().read(true).write(true).create_new(true))
            .map_err(|source| Error::file(CREATE_TEMPORARY, &path, source))?;
        let mut list = Self { file, path, out: None, what: String::new(), bytes: 0 };
        list.begin()?;
        Ok(list)
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.write(FOUND_HEADER.join(",").as_bytes())?;
        self.write(b"\n")
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|source| Error::file("write", &self.path, source))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Appends the rows of one page, and notes where the next one is.
    ///
    /// # Errors
    /// `Error::File`.
    pub(super) fn page(
        &mut self,
        rows: impl Iterator<Item = [String; 7]>,
        pages: u64,
        next: Option<&str>,
        counts: &Counts,
    ) -> Result<(), Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in rows {
            writer
                .write_record(&row)
                .map_err(|error| Error::Internal(format!("a row cannot be written: {error}")))?;
        }
        let bytes = writer.into_inner().map_err(|error| Error::Internal(error.to_string()))?;
        self.write(&bytes)?;
        let (Some(out), Some(next)) = (&self.out, next) else { return Ok(()) };
        // The rows are synced before the checkpoint is written.
        self.file.sync_data().map_err(|source| Error::file("sync", &self.path, source))?;
        let mark = ScanCheckpoint {
            what: self.what.clone(),
            next: next.to_owned(),
            pages,
            bytes: self.bytes,
            counts: counts.clone(),
        };
        let path = beside(out, ".partial.json");
        let bytes = serde_json::to_vec(&mark).map_err(|error| Error::Internal(error.to_string()))?;
        sys::replace(&path, &bytes).map_err(|source| Error::file("replace", &path, source))
    }

    /// Throws away what was written so far, and the position with it: a later invocation starts again as
    /// well.
    ///
    /// # Errors
    /// `Error::File`.
    pub(super) fn empty(&mut self) -> Result<(), Error> {
        if let Some(out) = &self.out {
            remove(&beside(out, ".partial.json"))?;
        }
        self.file.set_len(0).map_err(|source| Error::file("cut", &self.path, source))?;
        self.file.seek(SeekFrom::Start(0)).map_err(|source| Error::file("write", &self.path, source))?;
        self.bytes = 0;
        self.begin()
    }

    /// Removes the temporary files.
    ///
    /// # Errors
    /// `Error::File`.
    pub(super) fn discard(self) -> Result<(), Error> {
        let Some(out) = &self.out else { return Ok(()) };
        remove(&beside(out, ".partial.json"))?;
        remove(&self.path)
    }

    /// The ids of the rows so far.
    ///
    /// # Errors
    /// A sentence where the rows are not as they were written.
    pub(super) fn ids(&self) -> Result<Vec<String>, String> {
        let wrong = |error: csv::Error| format!("the rows found so far cannot be read ({error})");
        let mut reader = csv::Reader::from_path(&self.path).map_err(wrong)?;
        reader.records().map(|row| row.map(|row| row[0].to_owned()).map_err(wrong)).collect()
    }

    /// Completes the list: moves it into place, or prints it to standard output. `false` if a signal
    /// interrupted the output.
    ///
    /// # Errors
    /// `Error::File`; a closed pipe is not an error.
    pub(super) fn finish(mut self, shown: bool, console: &Console) -> Result<bool, Error> {
        let fail = |action, source| Error::file(action, &self.path, source);
        if let Some(out) = &self.out {
            self.file.sync_all().map_err(|source| fail("sync", source))?;
            fs::rename(&self.path, out).map_err(|source| Error::file("replace", out, source))?;
            let _ = fs::remove_file(beside(out, ".partial.json"));
            return Ok(true);
        }
        if shown {
            self.file.seek(SeekFrom::Start(0)).map_err(|source| fail("read", source))?;
            loop {
                let mut part = Vec::with_capacity(AT_ONCE);
                let read = (&mut self.file).take(AT_ONCE as u64).read_to_end(&mut part);
                if read.map_err(|source| fail("read", source))? == 0 {
                    break;
                }
                match console.result_bytes(part) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(false),
                    Err(source) => return Err(Error::file("write", "standard output", source)),
                }
            }
        }
        Ok(true)
    }
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", path, error)),
        _ => Ok(()),
    }
}

impl Drop for ScanOutput {
    fn drop(&mut self) {
        if self.out.is_none() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str) -> [String; 7] {
        [id, "a,\"b\"", "", "exchange", "X", "", ""].map(str::to_owned)
    }

    #[test]
    fn an_interrupted_list_goes_on_behind_its_last_whole_page() {
        let desk = tempfile::tempdir().expect("a folder");
        let out = desk.path().join("list.csv");
        let what = || "the same".to_owned();
        let counts = Counts { read: 7, ..Counts::default() };
        let (mut list, mark) = ScanOutput::beside(&out, what()).expect("begun");
        assert_eq!(mark, None);
        list.page([row("1"), row("2")].into_iter(), 1, Some("https://h/2"), &counts).expect("written");
        list.write(b"3,torn").expect("written");
        assert!(matches!(ScanOutput::beside(&out, what()), Err(Error::Locked { .. })));
        drop(list);
        assert!(!out.exists(), "nothing stands in its place before the end");
        let (mut list, mark) = ScanOutput::beside(&out, what()).expect("continued");
        let mark = mark.expect("a bookmark");
        assert_eq!((mark.pages, &*mark.next, mark.counts.read), (1, "https://h/2", 7));
        list.page([row("3")].into_iter(), 2, None, &counts).expect("written");
        list.finish(false, &Console::silent()).expect("in its place");
        let text = fs::read_to_string(&out).expect("the list");
        let ids: Vec<_> = text.lines().skip(1).map(|line| &line[..1]).collect();
        assert_eq!(ids, ["1", "2", "3"]);
        assert_eq!(fs::read_dir(desk.path()).expect("the folder").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_newer_list_takes_the_place_of_a_list_and_of_nothing_else() {
        let desk = tempfile::tempdir().expect("a folder");
        let out = desk.path().join("users.csv");
        let begin = || ScanOutput::beside(&out, "what".to_owned()).map(|(list, _)| list);
        let export = "\u{feff}id,userPrincipalName,displayName\n1,a@b.c,Ann\n";
        fs::write(&out, export).expect("an export");
        let said = begin().expect_err("somebody else's").chain();
        assert!(said.contains("is not a list that find wrote") && said.contains("another file"), "{said}");
        assert_eq!(fs::read_to_string(&out).expect("the export"), export);
        assert_eq!(fs::read_dir(desk.path()).expect("the folder").count(), 1, "nothing is left beside it");
        fs::write(&out, "").expect("emptied");
        begin().expect("an empty file is nobody's").finish(false, &Console::silent()).expect("in its place");
        begin().expect("a list").finish(false, &Console::silent()).expect("in its place");
    }

    #[test]
    fn scan_with_another_filter_starts_again() {
        let desk = tempfile::tempdir().expect("a folder");
        let out = desk.path().join("list.csv");
        let (mut list, _) = ScanOutput::beside(&out, "one".to_owned()).expect("begun");
        list.page([row("1")].into_iter(), 1, Some("n"), &Counts::default()).expect("written");
        drop(list);
        let (list, mark) = ScanOutput::beside(&out, "another".to_owned()).expect("begun");
        assert_eq!(mark, None);
        list.finish(false, &Console::silent()).expect("in its place");
        assert_eq!(fs::read_to_string(&out).expect("the list").lines().count(), 1);
    }
}
