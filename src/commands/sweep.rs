//! `sweep`: the scheduled job. Verify the last run, find, leave out what is hopeless or cooling down, run, and tell what is new.

use std::fs;
use std::hash::Hasher;
use std::io::{self, BufWriter, IsTerminal};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use siphasher::sip::SipHasher13;

use super::find::filter;
use super::looking::Looking;
use super::memory::{CAUSE_COLUMNS, Memory, recalled, remember};
use super::scanning::{Scanning, Watching};
use super::service::{connect, place};
use super::signals::{listen, unless_stopped};
use super::simulated::{is_of, recall};
use super::typed::no_terminal;
use super::{console, say, tell};
use crate::cli::{Run, Sweep};
use crate::error::{Error, Exit};
use crate::graph::Clocks;
use crate::jobs::run::run;
use crate::jobs::tally::{Counts, Tally};
use crate::model::ObjectKind;
use crate::net;
use crate::report::{count, thousands};
use crate::rundir::{Lock, RUNS, RunFile, newest_run};
use crate::scan::{
    Cause, FOUND_HEADER, Filter, Night, Policy, Reads, Step, Stopped, Verdict, Walk, Worth, found_row,
};
use crate::session::{Purpose, Session, UNKNOWN_TENANT};
use crate::sys::{self, Replacement};

/// Causes named to people.
const NAMED: usize = 10;
/// Longest part of a file's name that is made of a tenant, in characters: an id has 36.
const LONGEST_PART: usize = 40;

/// # Errors
/// As `find`, `verify` and `run`; `Error::Locked` while another sweep uses the same history.
pub(super) async fn sweep(asked: Sweep) -> Result<Exit, Error> {
    if asked.run.from_find || asked.run.verify.is_some() {
        return Err(Error::Usage(
            "sweep always finds users and verifies the last run: leave out --from-find and --verify"
                .to_owned(),
        ));
    }
    if asked.run.shard.is_some() {
        return Err(Error::Usage(super::closing::NO_SHARD.to_owned()));
    }
    if asked.run.input.is_some() {
        return Err(Error::Usage(
            "sweep makes its own list: to run a list of yours, use reprovision run".to_owned(),
        ));
    }
    let kind = asked.run.object;
    let service = asked.run.service.clone();
    let mut signals = listen()?;
    let connecting = connect_for(&asked.run, kind);
    let connection = match unless_stopped(&mut signals, "nothing was sent", connecting).await? {
        ControlFlow::Continue(connection) => connection,
        ControlFlow::Break(exit) => return Ok(exit),
    };
    if let Some(simulated) = &connection.simulator {
        recall(simulated, None);
    }
    let last = last_run(Path::new(RUNS), &connection, kind);
    let tenant = connection.tenant.clone();
    let scanning = Scanning::new(connection, &service, kind, signals)?;
    let clocks = scanning.clocks();
    let memory = match &asked.history {
        Some(history) => named_history(history, scanning.is_simulated()),
        None => own_history(Path::new(RUNS), kind, &tenant, scanning.is_simulated()),
    };
    let memory = Memory::open(memory, &tenant)?;
    let kept = "nothing was sent, and nothing is remembered of this call; the same command starts again";
    if let Some((folder, run)) = &last {
        match verify_last(folder, run, &scanning).await {
            Ok(()) => {}
            Err(Stopped::Error(error @ (Error::Damaged { .. } | Error::Input { .. }))) => {
                tell(&format!("warning: the last run cannot be verified: {}", error.chain()));
            }
            Err(stopped) => return scanning.ended(stopped, kept),
        }
    }
    let policy = Policy { retry_interval: asked.retry_interval, max_retries: asked.max_retries };
    let mut night = Night::new(memory.read()?, policy);
    let cut_short = memory.cut_short();
    for folder in &cut_short {
        take_up(&mut night, folder, &clocks);
    }
    let list = tonights_list(memory.path(), kind)?;
    // The first sweep in a folder: its history may stand elsewhere.
    sys::create_folders(Path::new(RUNS)).map_err(|source| Error::file("create", RUNS, source))?;
    let scanned = match scan(&scanning.walk(), &mut night, &filter(&asked.run.only), &list).await {
        Ok(scanned) => scanned,
        Err(stopped) => return scanning.ended(stopped, kept),
    };
    let (gaps, read) = (&scanned.counts.gaps, scanned.counts.read);
    let unseen = gaps.sentences(read, kind, scanning.permission());
    if gaps.exit(read) == Exit::SignIn {
        let _ = fs::remove_file(&list);
        return Err(Error::SignIn(format!("{} Nothing was sent", unseen.join("\n"))));
    }
    // An object without an id may be any of those that were retried: nothing is taken for cleared then.
    let cleared = if gaps.hide_ids() { 0 } else { night.over() };
    unseen.iter().for_each(|unseen| tell(&format!("warning: {unseen}")));
    say(&told(&night, &scanned, cleared, kind, scanning.is_simulated()));
    drop(scanning);
    let mut exit = Exit::Done;
    if scanned.retried > 0 {
        let mut tonight = asked.run;
        let folder =
            tonight.out.clone().unwrap_or_else(|| folder(Path::new(RUNS), &tenant, Timestamp::now()));
        tonight.input = Some(list.clone());
        tonight.out = Some(folder.clone());
        // It is our list, whatever the settings say of others.
        (tonight.column, tonight.delimiter) = (Some(FOUND_HEADER[0].to_owned()), Some(b','));
        let dry = tonight.dry_run;
        if !dry {
            memory.sending(&cut_short, &folder)?;
        }
        let before = RunFile::read(&folder).map(|run| run.started_at);
        let ended = run(tonight, console()).await;
        // What was sent is remembered however the run ended; a folder that holds another run was not touched.
        let touched = !dry && RunFile::read(&folder).map(|run| run.started_at) != before;
        let refused = if touched { remember(&mut night, &folder, &clocks)?.news } else { 0 };
        let _ = fs::remove_file(&list);
        if dry {
            return ended.map(|ended| ended.exit);
        }
        match ended.map(|ended| ended.exit) {
            Ok(Exit::SomeFailed) if refused == 0 => tell("all that failed were known to fail"),
            Ok(ended) => exit = ended,
            Err(error) => {
                night.untold();
                memory.write(&night)?;
                return Err(error);
            }
        }
    }
    let _ = fs::remove_file(&list);
    exit = exit.worse(scanned.counts.gaps.exit(scanned.counts.read));
    if night.failing.news > 0 {
        exit = exit.worse(Exit::StillFailing);
    }
    if !matches!(exit, Exit::Done | Exit::SomeFailed | Exit::StillFailing) {
        night.untold();
    }
    memory.write(&night)?;
    say(&format!(
        "Remembered {} {} in {}   exit {}",
        thousands(night.history().len() as u64),
        kind.plural(),
        memory.path().display(),
        exit.code()
    ));
    Ok(exit)
}

/// The file that `--history` names. A simulated tenant has one of its own beside it: a sweep removes the objects that it
/// does not see.
fn named_history(history: &Path, simulated: bool) -> PathBuf {
    if !simulated {
        return history.to_owned();
    }
    let mut name = std::ffi::OsString::from("simulated-");
    name.push(history.file_name().unwrap_or_default());
    history.with_file_name(name)
}

/// The file without `--history`: one for each tenant and kind of object. A tenant whose history was begun under the name that
/// was once the same for all tenants goes on with that file.
fn own_history(runs: &Path, kind: ObjectKind, tenant: &str, simulated: bool) -> PathBuf {
    let of_all = runs.join(format!("history-{}.csv", kind.plural()));
    if tenant == UNKNOWN_TENANT {
        return of_all;
    }
    let own = runs.join(format!("history-{}-{}.csv", name_part(tenant), kind.plural()));
    let is_taken = !simulated && !own.exists() && of_all.is_file() && Memory::may_belong(&of_all, tenant);
    if is_taken { of_all } else { own }
}

/// Where the list stands that is sent tonight: one for each memory, because sweeps with other memories, so of other
/// tenants, may run at the same time.
fn tonights_list(memory: &Path, kind: ObjectKind) -> Result<PathBuf, Error> {
    let whole = std::path::absolute(memory).map_err(|source| Error::file("read", memory, source))?;
    let mut hasher = SipHasher13::new();
    hasher.write(whole.as_os_str().as_encoded_bytes());
    Ok(Path::new(RUNS).join(format!("sweep-{}-{:016x}.csv", kind.plural(), hasher.finish())))
}

/// Signs in, where somebody can say yes or has.
async fn connect_for(asked: &Run, kind: ObjectKind) -> Result<Session, Error> {
    let place = place(&asked.service).await?;
    let asks = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !asked.yes && !asks && place.simulator.is_none() && !asked.dry_run {
        return Err(no_terminal(asked.service.tenant.as_deref(), net::is_loopback(&place.root)));
    }
    if asked.yes && asked.service.tenant.is_none() && !net::is_loopback(&place.root) {
        return Err(Error::Usage(
            "--yes needs --tenant, because nobody is asked to confirm the tenant".to_owned(),
        ));
    }
    let purpose = Purpose { writes: true, kind, unattended: asked.yes };
    connect(&asked.service, place, purpose).await
}

/// What a sweep sent that was killed before it could remember it. What cannot be read now is said, and hinders nobody.
fn take_up(night: &mut Night, folder: &Path, clocks: &Clocks) {
    match recalled(night, folder, clocks) {
        Ok(0) => {}
        Ok(retries) => tell(&format!(
            "the last sweep was cut short while it sent: {} of {} remembered now",
            count(retries, "retries"),
            folder.display()
        )),
        Err(error) => tell(&format!(
            "warning: what the last sweep sent before it was cut short is not remembered: {}",
            error.chain()
        )),
    }
}

/// The newest run of this tenant, endpoint and kind of object.
fn last_run(parent: &Path, connection: &Session, kind: ObjectKind) -> Option<(PathBuf, RunFile)> {
    newest_run(parent, |run| {
        let sent_there = match &connection.simulator {
            Some(simulated) => is_of(run, simulated),
            None => !run.simulated && run.identity.endpoint == connection.root.as_str(),
        };
        sent_there && run.identity.tenant == connection.tenant && run.identity.object == kind
    })
}

async fn verify_last(folder: &Path, run: &RunFile, scanning: &Scanning) -> Result<(), Stopped> {
    let _lock = Lock::acquire(folder)?;
    let mut looking = Looking::new(folder, run)?;
    looking.look(scanning).await?;
    let sight = looking.finish()?;
    let counts: Vec<_> = Verdict::ALL
        .into_iter()
        .filter_map(|verdict| {
            Some(format!("{} {}", thousands(*sight.verdicts.get(&verdict)?), verdict.as_str()))
        })
        .collect();
    if !counts.is_empty() {
        tell(&format!("Last run  {}: {}", folder.display(), counts.join(" · ")));
    }
    Ok(())
}

/// What the scan came to.
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
    night: &mut Night,
    filter: &Filter,
    list: &Path,
) -> Result<Scanned, Stopped> {
    let fail = |source| Error::file("write", list, source);
    let wrong = |error: csv::Error| Error::file("write", list, io::Error::other(error));
    let mut writer = Some(begin(list)?);
    let (mut tally, mut retried) = (Tally::default(), 0);
    let mut watching = Watching::new();
    let before = night.clone();
    let walked = walk.pages(None, |step| {
        let (page, now) = match step {
            Step::Page { page, at, .. } => (page, at),
            Step::Again { restarts } => {
                if restarts {
                    tell("the position of the scan is no longer valid: the scan starts again");
                }
                (tally, retried) = (Tally::default(), 0);
                before.clone_into(night);
                // The old file is removed before the new one of the same name is begun.
                drop(writer.take());
                writer = Some(begin(list)?);
                return Ok(true);
            }
        };
        tally.page(&page);
        for object in &page.objects {
            if object.unresolved().is_some() || object.unknown.is_some() {
                night.seen(&object.id);
            }
            let Some((problem, count)) = tally.meet(object, filter, now) else { continue };
            let Some((cause, since)) = Cause::of(object, filter, now) else { continue };
            if !night.meets(&object.id, &cause, since, now).is_retried() {
                continue;
            }
            retried += 1;
            let row = found_row(object, problem, count);
            let row = row.iter().chain([&cause.service, &cause.code]);
            writer.as_mut().map_or(Ok(()), |writer| writer.write_record(row)).map_err(wrong)?;
        }
        watching.at(walk.kind(), tally.counts.read, tally.counts.found, "with an error");
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

fn told(night: &Night, scanned: &Scanned, cleared: u64, kind: ObjectKind, simulated: bool) -> String {
    let worth = |which| thousands(night.worth.get(&which).copied().unwrap_or(0));
    let mut lines = vec![format!(
        "{}Sweep     {} read, {} with an unresolved service error: {} new, {} to be retried again, {} left alone after a recent retry, {} given up",
        if simulated { "SIMULATED  " } else { "" },
        count(scanned.counts.read, kind.plural()),
        thousands(scanned.counts.found),
        worth(Worth::New),
        worth(Worth::Again),
        worth(Worth::Cooling),
        worth(Worth::GivenUp),
    )];
    if night.history().is_baseline() {
        lines.push("  no history: tonight is the baseline, and whatever fails counts as known".to_owned());
    } else {
        lines.push(format!(
            "  since the last sweep: {} cleared · {} known to fail · {}",
            thousands(cleared),
            thousands(night.failing.known),
            count(night.failing.news, "new failures")
        ));
    }
    if scanned.counts.sync + scanned.counts.licence > 0 {
        lines.push(format!(
            "  {} with a directory-sync error and {} with a licence error, which retrying does not clear",
            thousands(scanned.counts.sync),
            thousands(scanned.counts.licence)
        ));
    }
    let mut news: Vec<_> = night.news.iter().collect();
    news.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    for (cause, count) in news.iter().take(NAMED) {
        let code = if cause.code.is_empty() { "(no code)" } else { &cause.code };
        lines.push(format!("  NEW {:>7}  {}  {code}", thousands(**count), cause.service));
    }
    if news.len() > NAMED {
        lines.push(format!("  and {} more", count((news.len() - NAMED) as u64, "new causes")));
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
        let list = |memory: &Path| tonights_list(memory, users).expect("a path");
        let memories = [own.clone(), of("b"), real.to_owned(), "fabrikam.csv".into()];
        let lists: std::collections::BTreeSet<_> = memories.iter().map(|memory| list(memory)).collect();
        assert_eq!(lists.len(), memories.len(), "{lists:?}");
        assert_eq!(list(&own), list(&std::path::absolute(&own).expect("a path")), "the same memory");
        assert_ne!(list(&own), tonights_list(&own, ObjectKind::Groups).expect("a path"));
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
