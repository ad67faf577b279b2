//! One verification of the accepted users of a run: pages or single reads, whichever costs less, then the
//! files.

use std::collections::BTreeMap;
use std::fs;
use std::hash::Hasher;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use jiff::Timestamp;
use serde_json::json;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::verdict::{Accepted, Judgment, cause_key, verdict};
use super::verified_row::{VERIFIED_HEADER, VerifiedRow, verified_row};
use crate::catalogue;
use crate::error::Error;
use crate::graph::MOST_PARTS;
use crate::input::{Checked, Options, reopen};
use crate::jobs::tenant_reader::{ScanProgress, TenantReader};
use crate::model::{Outcome, UserId, Verdict};
use crate::rundir::{Original, RowSet, RunFile, each_record, write_original};
use crate::scan::{Object, Problem, ReadEnd, ReadObject, Step, Stopped, Unknown};
use crate::sys;
use crate::terminal::Console;

/// Ids on their way from `results.csv` to the reader.
const AHEAD: usize = 256;
/// The column in the list of `find` with the error before the retry.
const CODE_COLUMN: &str = "error_code";

/// One accepted row, by the hash of its id: 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct AcceptedRow {
    key: u128,
    /// When the accepted request left, milliseconds since 1970, by our clock.
    sent: i64,
    row: u32,
    had: u32,
}

/// The result of a verification.
#[derive(Debug, Default)]
pub(crate) struct VerificationSummary {
    pub(crate) verdicts: BTreeMap<Verdict, u64>,
    /// Causes of those that failed again, most frequent first.
    pub(crate) causes: Vec<(String, u64)>,
    /// Number of objects that are unread because their service errors are missing.
    pub(crate) absent: u64,
    /// Time of the oldest acceptance that is pending.
    pub(crate) first: Option<Timestamp>,
    /// The service's time of the last answer.
    pub(crate) at: Option<Timestamp>,
    /// Object ids with service and code whose error came back.
    pub(crate) failing: Vec<(String, String, String)>,
}

impl VerificationSummary {
    /// Number of objects with a verdict.
    pub(crate) fn count(&self, which: fn(Verdict) -> bool) -> u64 {
        self.verdicts.iter().filter(|(verdict, _)| which(**verdict)).map(|(_, count)| count).sum()
    }
}

/// A verification in progress.
pub(crate) struct Verification<'a> {
    folder: PathBuf,
    run: &'a RunFile,
    checked: Checked,
    wanted: Vec<AcceptedRow>,
    done: RowSet,
    left: usize,
    keys: (u64, u64),
    /// Clock skew during the run in milliseconds: how far the service was ahead. `None` means the present
    /// skew.
    ahead: Option<i64>,
    writer: csv::Writer<BufWriter<sys::Replacement>>,
    seen: Seen,
}

/// The state while objects are read.
#[derive(Default)]
struct Seen {
    summary: VerificationSummary,
    causes: BTreeMap<(String, String, String), u64>,
    /// Row, and place in `reasons`, of those that failed again.
    failing: Vec<(u32, u32)>,
    reasons: Vec<[String; 3]>,
}

impl<'a> Verification<'a> {
    /// Reads the accepted rows of a run. The caller holds the lock of the run.
    ///
    /// # Errors
    /// `Error::File`, `Error::Damaged`, `Error::Input`.
    pub(crate) fn new(folder: &Path, run: &'a RunFile) -> Result<Self, Error> {
        let copy = folder.join("input.csv");
        let by_name = || Options { column: Some(run.identity.column.clone()), ..Options::default() };
        let options = run.reading.map_or_else(by_name, Options::from);
        let checked = reopen(&copy, &options)?;
        let had = codes_before(&checked, &copy)?;
        let keys = (fastrand::u64(..), fastrand::u64(..));
        let mut wanted = Vec::new();
        each_record(folder, run.rows, |record| {
            if record.outcome == Outcome::Accepted {
                let row = u32::try_from(record.row).unwrap_or(u32::MAX);
                let sent = record.settled_at().unwrap_or_default().as_millisecond();
                let had = had.get(row as usize).copied().unwrap_or(0);
                wanted.push(AcceptedRow { key: key(keys, record.sent_id()), sent, row, had });
            }
        })?;
        wanted.sort_unstable();
        let path = folder.join("verified.csv");
        let fail = |source| Error::file("write", &path, source);
        let file = BufWriter::new(sys::Replacement::begin(&path).map_err(fail)?);
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(VERIFIED_HEADER).map_err(|error| fail(std::io::Error::other(error)))?;
        let ahead = run.clock_ahead_ms();
        let (left, done) = (wanted.len(), RowSet::default());
        let (folder, seen) = (folder.to_owned(), Seen::default());
        Ok(Self { folder, run, checked, wanted, done, left, keys, ahead, writer, seen })
    }

    /// Pages first, for as long as single reads would take; then single reads for whom no page showed. So
    /// never more than twice the cheaper of the two, without knowing how large the tenant is.
    pub(crate) async fn run(&mut self, reader: &TenantReader, console: &Console) -> Result<(), Stopped> {
        let mut watching = ScanProgress::new(console);
        let kind = reader.reader.kind();
        let pages = self.wanted.len().div_ceil(MOST_PARTS) as u64;
        let mut read = 0;
        if pages > 1 {
            let walk = reader.walk();
            let walked = walk.pages(None, |step| {
                let Step::Page { number, page, at, .. } = step else { return Ok(true) };
                read += page.objects.len() as u64;
                for object in &page.objects {
                    self.shown(object, at)?;
                }
                watching.at(kind, read, (self.wanted.len() - self.left) as u64, "of the run found");
                Ok(self.left > 0 && number < pages)
            });
            match walked.await {
                Ok(()) => {}
                Err(Stopped::Lost(why)) => console.status(&format!("{why}: the rest is read one by one")),
                Err(Stopped::Ended(ReadEnd::Refused(attempt))) if attempt.status == Some(400) => {
                    console.status(&format!(
                        "Microsoft 365 rejects the pages ({}): the rest is read one by one",
                        attempt.message
                    ));
                }
                Err(stopped) => return Err(stopped),
            }
        }
        if self.left == 0 {
            return Ok(());
        }
        let (ids, names) = mpsc::sync_channel::<(AcceptedRow, String)>(AHEAD);
        let (folder, rows, keys) = (self.folder.clone(), self.run.rows, self.keys);
        let (wanted, done) = (self.wanted.clone(), self.done.clone());
        let ids_thread = std::thread::spawn(move || {
            each_record(&folder, rows, |record| {
                let id = record.sent_id();
                let place =
                    (record.outcome == Outcome::Accepted).then(|| place(&wanted, key(keys, id))).flatten();
                if let Some(place) = place.filter(|place| !done.contains(*place as u64)) {
                    // A closed output is not an error.
                    let _ = ids.send((wanted[place], id.to_owned()));
                }
            })
            .map(drop)
        });
        let mut failed = None;
        let asked = names.into_iter().filter_map(|(wanted, id)| {
            let parsed = UserId::parse(&id).ok()?;
            Some(((wanted, id), parsed))
        });
        let looked = reader
            .reader
            .objects(asked, |(wanted, id), found, at| {
                let at = at.unwrap_or_else(Timestamp::now);
                let written = match found {
                    ReadObject::There(object) => self.judged(wanted, &id, Some(&object), at),
                    ReadObject::Gone => self.judged(wanted, &id, None, at),
                    ReadObject::Unread(why) => self.unread(wanted, &id, &why, at),
                };
                if let Err(error) = written {
                    failed.get_or_insert(error);
                }
                watching.at(kind, read, (self.wanted.len() - self.left) as u64, "of the run found");
            })
            .await;
        looked?;
        match ids_thread.join() {
            Ok(read) => read.map_err(Stopped::Error)?,
            Err(_) => return Err(Error::Internal("reading results.csv ended unexpectedly".to_owned()).into()),
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Looks up an object of a page among the accepted rows.
    fn shown(&mut self, object: &Object, at: Timestamp) -> Result<(), Error> {
        for id in [&object.id, &object.name] {
            let Some(place) = place(&self.wanted, key(self.keys, id)) else { continue };
            if !self.done.contains(place as u64) {
                self.judged(self.wanted[place], id, Some(object), at)?;
            }
            return Ok(());
        }
        Ok(())
    }

    fn unread(&mut self, wanted: AcceptedRow, id: &str, why: &str, at: Timestamp) -> Result<(), Error> {
        self.write(wanted, id, None, Verdict::Unread, None, why, at)
    }

    fn judged(
        &mut self,
        wanted: AcceptedRow,
        id: &str,
        object: Option<&Object>,
        at: Timestamp,
    ) -> Result<(), Error> {
        let ahead = self.ahead.unwrap_or_else(|| at.as_millisecond() - Timestamp::now().as_millisecond());
        let sent = Timestamp::from_millisecond(wanted.sent.saturating_add(ahead)).unwrap_or_default();
        let accepted = Accepted { at: sent, had: (wanted.had != 0).then_some(wanted.had) };
        let Judgment { verdict, problem, unread } = verdict(object, accepted);
        let is_absent = object.is_some_and(|object| object.unknown == Some(Unknown::Absent));
        self.seen.summary.absent += u64::from(verdict == Verdict::Unread && is_absent);
        self.write(wanted, id, object, verdict, problem, unread, at)
    }

    #[expect(clippy::too_many_arguments, reason = "the cells of one line")]
    fn write(
        &mut self,
        wanted: AcceptedRow,
        id: &str,
        object: Option<&Object>,
        verdict: Verdict,
        problem: Option<&Problem>,
        unread: &str,
        at: Timestamp,
    ) -> Result<(), Error> {
        let place = place(&self.wanted, wanted.key).unwrap_or_default();
        if !self.done.insert(place as u64) {
            return Ok(());
        }
        self.left -= 1;
        let known = problem.and_then(|problem| catalogue::of_service_error(&problem.code, &problem.text));
        let next_step = match verdict {
            Verdict::Cleared | Verdict::NoError => "",
            Verdict::Pending => "look again in 30 minutes, at the latest after 24 hours",
            Verdict::Gone => "nothing: it is not in the tenant any more",
            Verdict::Unread => "look again; then see the text",
            Verdict::FailedAgain | Verdict::Changed => known.map_or("read the text", |entry| &entry.next),
        };
        let looked =
            VerifiedRow { row: wanted.row.into(), id, object, verdict, problem, unread, at, next_step };
        let path = self.folder.join("verified.csv");
        self.writer
            .write_record(verified_row(looked))
            .map_err(|error| Error::file("write", path, std::io::Error::other(error)))?;
        let seen = &mut self.seen;
        *seen.summary.verdicts.entry(verdict).or_default() += 1;
        seen.summary.at = seen.summary.at.max(Some(at));
        if verdict == Verdict::Pending {
            let sent = Timestamp::from_millisecond(wanted.sent).ok();
            seen.summary.first =
                if seen.summary.first.is_none() { sent } else { seen.summary.first.min(sent) };
        }
        if let Some(problem) = problem.filter(|_| verdict.failed()) {
            let title = known.map_or(String::new(), |entry| format!(": {}", entry.title));
            let cause = (problem.service.clone(), problem.code.clone(), title);
            *seen.causes.entry(cause).or_default() += 1;
            let reason = [verdict.as_str().to_owned(), problem.code.clone(), next_step.to_owned()];
            let place = seen.reasons.iter().position(|known| *known == reason).unwrap_or_else(|| {
                seen.reasons.push(reason);
                seen.reasons.len() - 1
            });
            seen.failing.push((wanted.row, place as u32));
            let object = object.map_or(id, |object| &object.id).to_ascii_lowercase();
            seen.summary.failing.push((object, problem.service.clone(), problem.code.clone()));
        }
        Ok(())
    }

    /// Puts the files in place: `verified.csv` (an earlier one is kept under its time), `still-failing.csv`,
    /// and the verdicts in `summary.json`.
    ///
    /// # Errors
    /// `Error::File`.
    pub(crate) fn finish(self) -> Result<VerificationSummary, Error> {
        let path = self.folder.join("verified.csv");
        let fail = |source| Error::file("write", &path, source);
        let mut file = self.writer.into_inner().map_err(|error| fail(error.into_error()))?;
        file.flush().map_err(fail)?;
        let file = file.into_inner().map_err(|error| fail(error.into_error()))?;
        keep(&self.folder, &path)?;
        file.commit().map_err(fail)?;
        let Seen { mut summary, causes, mut failing, reasons } = self.seen;
        failing.sort_unstable();
        let copy = self.folder.join("input.csv");
        let raw = self.checked.raw_rows(&copy)?.map(|row| row.map(|row| (row.number, row.cells)));
        let names = self.checked.names();
        let original = Original { names: &names, delimiter: self.checked.delimiter };
        write_original(&self.folder.join("still-failing.csv"), &self.folder, original, raw, |row| {
            let at = failing.binary_search_by_key(&row, |(row, _)| u64::from(*row)).ok()?;
            reasons.get(failing[at].1 as usize).cloned()
        })?;
        let mut causes: Vec<_> = causes.into_iter().collect();
        causes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        summary.causes = causes
            .into_iter()
            .map(|((service, code, title), count)| {
                let code = if code.is_empty() { "(no code)" } else { &code };
                (format!("{service} {code}{title}"), count)
            })
            .collect();
        note(&self.folder, &summary)?;
        Ok(summary)
    }
}

/// Renames the file of an earlier verification to its time, with `-2` and so on if several fall into one
/// second.
fn keep(folder: &Path, path: &Path) -> Result<(), Error> {
    let Ok(earlier) = fs::metadata(path).and_then(|file| file.modified()) else { return Ok(()) };
    let at = Timestamp::try_from(earlier).unwrap_or_default();
    let name = format!("verified-{}", at.strftime("%Y%m%dT%H%M%SZ"));
    let names =
        (1_u32..).map(|count| if count == 1 { format!("{name}.csv") } else { format!("{name}-{count}.csv") });
    // The run is locked, so no other process can take the name.
    let mut free = names.map(|name| folder.join(name)).filter(|kept| !kept.exists());
    let kept = free.next().unwrap_or_else(|| folder.join(format!("{name}.csv")));
    fs::rename(path, &kept).map_err(|source| Error::file("keep", &kept, source))
}

/// Adds the verdicts to `summary.json`; a run that was killed has none yet.
fn note(folder: &Path, found: &VerificationSummary) -> Result<(), Error> {
    let path = folder.join("summary.json");
    let Ok(bytes) = fs::read(&path) else { return Ok(()) };
    let Ok(mut summary) = serde_json::from_slice::<serde_json::Value>(&bytes) else { return Ok(()) };
    let verdicts: BTreeMap<_, _> =
        found.verdicts.iter().map(|(verdict, count)| (verdict.as_str(), *count)).collect();
    summary["verified"] =
        json!({ "checked_at": found.at.map(|at| format!("{at:.0}")), "verdicts": verdicts });
    let bytes = serde_json::to_vec_pretty(&summary).map_err(|error| Error::Internal(error.to_string()))?;
    sys::replace(&path, &bytes).map_err(|source| Error::file("replace", &path, source))
}

/// Hash of an id as it compares: without case.
fn key((a, b): (u64, u64), id: &str) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(a, b);
    hasher.write(id.to_ascii_lowercase().as_bytes());
    hasher.finish128().as_u128()
}

fn place(wanted: &[AcceptedRow], key: u128) -> Option<usize> {
    wanted.binary_search_by_key(&key, |wanted| wanted.key).ok()
}

/// The key of the error code in the input, by row. Empty if the input has none.
fn codes_before(checked: &Checked, copy: &Path) -> Result<Vec<u32>, Error> {
    let names = checked.header.as_ref();
    let column = names.and_then(|names| names.iter().position(|name| name.trim() == CODE_COLUMN));
    let Some(column) = column else { return Ok(Vec::new()) };
    let mut codes = vec![0; 1];
    for row in checked.raw_rows(copy)? {
        let cells = row?.cells;
        let code = cells.get(column).map_or("", |cell| cell.trim());
        codes.push(cause_key(code).unwrap_or(0));
    }
    Ok(codes)
}
