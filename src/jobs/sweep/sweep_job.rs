//! `sweep`: verify the last run, find, leave out errors that are not worth a retry, run, and report what is
//! new.

use std::fs;
use std::hash::Hasher;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use siphasher::sip::SipHasher13;

use super::history::{Policy, RetryDecision};
use super::history_file::{CAUSE_COLUMNS, HistoryFile, record_run, recover_killed_run};
use super::sweep_state::{ErrorCause, SweepState};
use crate::error::{Error, Exit};
use crate::graph::Clocks;
use crate::jobs::find::{Counts, FOUND_HEADER, Tally, found_row};
use crate::jobs::run::{FolderChoice, RunPlan, Source, dry_run, run};
use crate::jobs::signals::listen;
use crate::jobs::simulated::is_of;
use crate::jobs::tenant_reader::{ScanProgress, TenantReader};
use crate::jobs::verify::Verification;
use crate::model::{ErrorFilter, ObjectKind, Verdict};
use crate::report::{count, thousands};
use crate::rundir::{Lock, RUNS, RunFile, newest_run};
use crate::scan::{Reads, Step, Stopped, Walk};
use crate::session::{Session, UNKNOWN_TENANT};
use crate::sys::{self, Replacement};
use crate::terminal::Console;

/// Most causes that are named in the output.
const MAX_CAUSES: usize = 10;
/// Longest part of a file's name that is made of a tenant, in characters: an id has 36.
const LONGEST_PART: usize = 40;

/// The plan of a sweep.
#[derive(Clone, Debug)]
pub struct SweepPlan {
    /// The plan for retrying the objects that are due. The sweep sets its list and its folder.
    pub run: RunPlan,
    /// Nothing is sent, and nothing is recorded.
    pub dry_run: bool,
    /// Which errors are looked for.
    pub filter: ErrorFilter,
    /// `--history`
    pub history: Option<PathBuf>,
    /// Which errors are worth a retry.
    pub policy: Policy,
}

/// The result of a sweep.
#[derive(Clone, Copy, Debug)]
pub struct SweepEnd {
    /// The exit code for the process.
    pub exit: Exit,
}

impl From<Exit> for SweepEnd {
    fn from(exit: Exit) -> Self {
        Self { exit }
    }
}

/// One sweep of one tenant.
///
/// # Errors
/// As `find`, `verify` and `run`; `Error::Locked` while another sweep uses the same history.
pub async fn sweep(plan: SweepPlan, session: &Session, console: &Console) -> Result<SweepEnd, Error> {
    let SweepPlan { run: mut run_plan, dry_run: is_dry, filter, history, policy } = plan;
    let (kind, tenant) = (run_plan.kind, &session.tenant);
    let is_simulated = session.simulator.is_some();
    let last = last_run(Path::new(RUNS), session, kind);
    let reader = TenantReader::new(session, kind, listen()?, console)?;
    let clocks = reader.clocks();
    let history_path = match &history {
        Some(history) => named_history(history, is_simulated),
        None => own_history(Path::new(RUNS), kind, tenant, is_simulated),
    };
    let history_file = HistoryFile::open(history_path, tenant)?;
    let kept = "nothing was sent, and nothing is remembered of this call; the same command starts again";
    if let Some((folder, last)) = &last {
        match verify_last(folder, last, &reader, console).await {
            Ok(()) => {}
            Err(Stopped::Error(error @ (Error::Damaged { .. } | Error::Input { .. }))) => {
                console.warn(&format!("the last run cannot be verified: {}", error.chain()));
            }
            Err(stopped) => return reader.ended(stopped, kept).map(SweepEnd::from),
        }
    }
    let mut state = SweepState::new(history_file.read()?, policy);
    let killed = history_file.killed_runs();
    for folder in &killed {
        recover(&mut state, folder, &clocks, console);
    }
    let list = list_path(history_file.path(), kind)?;
    // The first sweep in a folder: its history may stand elsewhere.
    sys::create_folders(Path::new(RUNS)).map_err(|source| Error::file("create", RUNS, source))?;
    let scanned = match scan(&reader.walk(), &mut state, &filter, &list, console).await {
        Ok(scanned) => scanned,
        Err(stopped) => return reader.ended(stopped, kept).map(SweepEnd::from),
    };
    let (gaps, read) = (&scanned.counts.gaps, scanned.counts.read);
    let unread = gaps.sentences(read, kind, reader.permission());
    if gaps.exit(read) == Exit::SignIn {
        let _ = fs::remove_file(&list);
        return Err(Error::SignIn(format!("{} Nothing was sent", unread.join("\n"))));
    }
    // An object without an id may be any of those that were retried: none is counted as cleared then.
    let cleared = if gaps.hide_ids() { 0 } else { state.finish() };
    unread.iter().for_each(|unread| console.warn(unread));
    console.result(&sentences(&state, &scanned, cleared, kind, is_simulated));
    drop(reader);
    let mut exit = Exit::Done;
    if scanned.retried > 0 {
        let folder = match &run_plan.folder {
            FolderChoice::Named(out) => out.clone(),
            FolderChoice::Resume | FolderChoice::New => folder(Path::new(RUNS), tenant, Timestamp::now()),
        };
        run_plan.source = Source::File(list.clone());
        run_plan.folder = FolderChoice::Named(folder.clone());
        // The list was written by this sweep, whatever the settings say about other lists.
        run_plan.column = Some(FOUND_HEADER[0].to_owned());
        run_plan.delimiter = Some(b',');
        if is_dry {
            let ended = dry_run(&run_plan, console).await;
            let _ = fs::remove_file(&list);
            return ended.map(SweepEnd::from);
        }
        history_file.sending(&killed, &folder)?;
        let ended = run(run_plan, session, console).await;
        let _ = fs::remove_file(&list);
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // Nothing was sent.
                state.mark_unreported();
                history_file.write(&state)?;
                return Err(error);
            }
        };
        // Sent requests are recorded, however the run ended.
        let rejected = match ended.run.filter(|run| run.is_worked) {
            Some(run) => record_run(&mut state, &run.folder, &run.file, &clocks)?.news,
            None => 0,
        };
        match ended.exit {
            Exit::SomeFailed if rejected == 0 => console.status("all that failed were known to fail"),
            ended => exit = ended,
        }
    }
    let _ = fs::remove_file(&list);
    exit = exit.worse(scanned.counts.gaps.exit(scanned.counts.read));
    if state.failing.news > 0 {
        exit = exit.worse(Exit::StillFailing);
    }
    if !matches!(exit, Exit::Done | Exit::SomeFailed | Exit::StillFailing) {
        state.mark_unreported();
    }
    history_file.write(&state)?;
    console.result(&format!(
        "Remembered {} {} in {}   exit {}",
        thousands(state.history().len() as u64),
        kind.plural(),
        history_file.path().display(),
        exit.code()
    ));
    Ok(exit.into())
}

/// The file that `--history` names. A simulated tenant has its own file next to it, because a sweep removes
/// the objects that it does not find.
fn named_history(history: &Path, simulated: bool) -> PathBuf {
    if !simulated {
        return history.to_owned();
    }
    let mut name = std::ffi::OsString::from("simulated-");
    name.push(history.file_name().unwrap_or_default());
    history.with_file_name(name)
}

/// The file without `--history`: one for each tenant and kind of object. A tenant with a history under the
/// former common name keeps that file.
fn own_history(runs: &Path, kind: ObjectKind, tenant: &str, simulated: bool) -> PathBuf {
    let of_all = runs.join(format!("history-{}.csv", kind.plural()));
    if tenant == UNKNOWN_TENANT {
        return of_all;
    }
    let own = runs.join(format!("history-{}-{}.csv", name_part(tenant), kind.plural()));
    let is_taken =
        !simulated && !own.exists() && of_all.is_file() && HistoryFile::may_belong(&of_all, tenant);
    if is_taken { of_all } else { own }
}

/// The path of the list for this sweep. Each history has its own, because sweeps of other tenants may run at
/// the same time.
fn list_path(memory: &Path, kind: ObjectKind) -> Result<PathBuf, Error> {
    let whole = std::path::absolute(memory).map_err(|source| Error::file("read", memory, source))?;
    let mut hasher = SipHasher13::new();
    hasher.write(whole.as_os_str().as_encoded_bytes());
    Ok(Path::new(RUNS).join(format!("sweep-{}-{:016x}.csv", kind.plural(), hasher.finish())))
}

/// Adds what a sweep sent that was killed before it could record it. A run that cannot be read is reported
/// and left out.
fn recover(state: &mut SweepState, folder: &Path, clocks: &Clocks, console: &Console) {
    match recover_killed_run(state, folder, clocks) {
        Ok(0) => {}
        Ok(retries) => console.status(&format!(
            "the last sweep was cut short while it sent: {} of {} remembered now",
            count(retries, "retries"),
            folder.display()
        )),
        Err(error) => console.warn(&format!(
            "what the last sweep sent before it was cut short is not remembered: {}",
            error.chain()
        )),
    }
}

/// The newest run of this tenant, endpoint and kind of object.
fn last_run(parent: &Path, session: &Session, kind: ObjectKind) -> Option<(PathBuf, RunFile)> {
    newest_run(parent, |run| {
        let sent_there = match &session.simulator {
            Some(simulated) => is_of(run, simulated),
            None => !run.simulated && run.identity.endpoint == session.root.as_str(),
        };
        sent_there && run.identity.tenant == session.tenant && run.identity.object == kind
    })
}

async fn verify_last(
    folder: &Path,
    run: &RunFile,
    reader: &TenantReader,
    console: &Console,
) -> Result<(), Stopped> {
    let _lock = Lock::acquire(folder)?;
    let mut verification = Verification::new(folder, run)?;
    verification.run(reader, console).await?;
    let summary = verification.finish()?;
    let counts: Vec<_> = Verdict::ALL
        .into_iter()
        .filter_map(|verdict| {
            Some(format!("{} {}", thousands(*summary.verdicts.get(&verdict)?), verdict.as_str()))
        })
        .collect();
    if !counts.is_empty() {
        console.status(&format!("Last run  {}: {}", folder.display(), counts.join(" · ")));
    }
    Ok(())
}

/// The result of the scan.
#[derive(Debug, Default)]
struct Scanned {
    counts: Counts,
    retried: u64,
}

/// The list of a sweep while it is written.
type Writer = csv::Writer<BufWriter<Replacement>>;

fn begin(list: &Path) -> Result<Writer, Error> {
    let file = Replacement::begin(list).map_err(|source| Error::file("write", list, source))?;
    let mut writer = csv::Writer::from_writer(BufWriter::new(file));
    let header = FOUND_HEADER.iter().chain(&CAUSE_COLUMNS);
    writer.write_record(header).map_err(|error| Error::file("write", list, io::Error::other(error)))?;
    Ok(writer)
}

/// Reads every object, and lists those that are worth a retry.
async fn scan<E: Reads>(
    walk: &Walk<'_, E>,
    state: &mut SweepState,
    filter: &ErrorFilter,
    list: &Path,
    console: &Console,
) -> Result<Scanned, Stopped> {
    let fail = |source| Error::file("write", list, source);
    let wrong = |error: csv::Error| Error::file("write", list, io::Error::other(error));
    let mut writer = Some(begin(list)?);
    let (mut tally, mut retried) = (Tally::default(), 0);
    let mut progress = ScanProgress::new(console);
    let before = state.clone();
    let walked = walk.pages(None, |step| {
        let (page, now) = match step {
            Step::Page { page, at, .. } => (page, at),
            Step::Again { restarts } => {
                if restarts {
                    console.status("the position of the scan is no longer valid: the scan starts again");
                }
                (tally, retried) = (Tally::default(), 0);
                before.clone_into(state);
                // The old file is removed before the new one of the same name is begun.
                drop(writer.take());
                writer = Some(begin(list)?);
                return Ok(true);
            }
        };
        tally.page(&page);
        for object in &page.objects {
            if object.unresolved().is_some() || object.unknown.is_some() {
                state.seen(&object.id);
            }
            let Some((problem, count)) = tally.meet(object, filter, now) else { continue };
            let Some((cause, since)) = ErrorCause::of(object, filter, now) else { continue };
            if !state.observe(&object.id, &cause, since, now).is_retried() {
                continue;
            }
            retried += 1;
            let row = found_row(object, problem, count);
            let row = row.iter().chain([&cause.service, &cause.code]);
            writer.as_mut().map_or(Ok(()), |writer| writer.write_record(row)).map_err(wrong)?;
        }
        progress.at(walk.kind(), tally.counts.read, tally.counts.found, "with an error");
        Ok(true)
    });
    walked.await?;
    if let Some(writer) = writer {
        let file = writer.into_inner().map_err(|error| fail(error.into_error()))?;
        let file = file.into_inner().map_err(|error| fail(error.into_error()))?;
        file.commit().map_err(fail)?;
    }
    Ok(Scanned { counts: tally.counts, retried })
}

fn sentences(
    state: &SweepState,
    scanned: &Scanned,
    cleared: u64,
    kind: ObjectKind,
    simulated: bool,
) -> String {
    let worth = |which| thousands(state.worth.get(&which).copied().unwrap_or(0));
    let mut lines = vec![format!(
        "{}Sweep     {} read, {} with an unresolved service error: {} new, {} to be retried again, {} left alone after a recent retry, {} given up",
        if simulated { "SIMULATED  " } else { "" },
        count(scanned.counts.read, kind.plural()),
        thousands(scanned.counts.found),
        worth(RetryDecision::New),
        worth(RetryDecision::Again),
        worth(RetryDecision::Cooling),
        worth(RetryDecision::GivenUp),
    )];
    if state.history().is_baseline() {
        lines.push(
            "  no history file: this sweep sets the baseline, and failures raise no alert this time"
                .to_owned(),
        );
    } else {
        lines.push(format!(
            "  since the last sweep: {} cleared · {} known to fail · {}",
            thousands(cleared),
            thousands(state.failing.known),
            count(state.failing.news, "new failures")
        ));
    }
    if scanned.counts.sync + scanned.counts.licence > 0 {
        lines.push(format!(
            "  {} with a directory-sync error and {} with a licence error, which retrying does not clear",
            thousands(scanned.counts.sync),
            thousands(scanned.counts.licence)
        ));
    }
    let mut news: Vec<_> = state.news.iter().collect();
    news.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    for (cause, count) in news.iter().take(MAX_CAUSES) {
        let code = if cause.code.is_empty() { "(no code)" } else { &cause.code };
        lines.push(format!("  NEW {:>7}  {}  {code}", thousands(**count), cause.service));
    }
    if news.len() > MAX_CAUSES {
        lines.push(format!("  and {} more", count((news.len() - MAX_CAUSES) as u64, "new causes")));
    }
    lines.join("\n")
}

/// `<parent>/<UTC>-<tenant>-sweep`, with `-2` and so on where the name is taken.
fn folder(parent: &Path, tenant: &str, now: Timestamp) -> PathBuf {
    let name = format!("{}-{}-sweep", now.strftime("%Y%m%dT%H%M%SZ"), name_part(tenant));
    let mut path = parent.join(&name);
    let mut count = 2;
    while path.exists() {
        path = parent.join(format!("{name}-{count}"));
        count += 1;
    }
    path
}

/// A tenant as a part of a file's name.
fn name_part(tenant: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    tenant.chars().map(clean).take(LONGEST_PART).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_of_other_tenants_share_neither_memory_nor_list() {
        let desk = tempfile::tempdir().expect("a folder");
        let (runs, users) = (desk.path(), ObjectKind::Users);
        let of = |tenant: &str| own_history(runs, users, tenant, false);
        assert_eq!(of("Contoso.com"), runs.join("history-contoso-com-users.csv"));
        assert_eq!(of("simulated"), runs.join("history-simulated-users.csv"));
        assert_eq!(of(UNKNOWN_TENANT), runs.join("history-users.csv"));
        let real = Path::new("vol/contoso.csv");
        assert_eq!(named_history(real, false), real);
        assert_eq!(named_history(real, true), Path::new("vol/simulated-contoso.csv"));
        let own = of("a");
        let list = |memory: &Path| list_path(memory, users).expect("a path");
        let memories = [own.clone(), of("b"), real.to_owned(), "fabrikam.csv".into()];
        let lists: std::collections::BTreeSet<_> = memories.iter().map(|memory| list(memory)).collect();
        assert_eq!(lists.len(), memories.len(), "{lists:?}");
        assert_eq!(list(&own), list(&std::path::absolute(&own).expect("a path")), "the same memory");
        assert_ne!(list(&own), list_path(&own, ObjectKind::Groups).expect("a path"));
    }

    #[test]
    fn a_history_of_before_is_kept_by_the_tenant_that_it_belongs_to() {
        let desk = tempfile::tempdir().expect("a folder");
        let of = |tenant: &str| own_history(desk.path(), ObjectKind::Users, tenant, false);
        let (before, own) =
            (desk.path().join("history-users.csv"), desk.path().join("history-fabrikam-users.csv"));
        fs::write(&before, "").expect("a history");
        assert_eq!(of("contoso"), before, "nothing says whose it is");
        let simulated = own_history(desk.path(), ObjectKind::Users, "simulated", true);
        assert_eq!(
            simulated,
            desk.path().join("history-simulated-users.csv"),
            "a real one is never simulated"
        );
        fs::write(desk.path().join("history-users.csv.lock"), "contoso").expect("whose it is");
        assert_eq!((of("contoso"), of("fabrikam")), (before, own.clone()));
        fs::write(desk.path().join("history-contoso-users.csv"), "").expect("a history of its own");
        assert_eq!(of("contoso"), desk.path().join("history-contoso-users.csv"));
        assert_eq!(of("fabrikam"), own);
    }

    #[test]
    fn folders_are_named_by_time_and_tenant_and_never_taken_twice() {
        let desk = tempfile::tempdir().expect("a folder");
        let now = "2026-11-23T02:10:00Z".parse().expect("a time");
        let first = folder(desk.path(), "a/../b", now);
        assert_eq!(first, desk.path().join("20261123T021000Z-a----b-sweep"));
        fs::create_dir(&first).expect("taken");
        assert_eq!(folder(desk.path(), "a/../b", now), desk.path().join("20261123T021000Z-a----b-sweep-2"));
    }
}
