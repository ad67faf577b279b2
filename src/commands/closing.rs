//! `run --from-find` and `run --verify`: the list before the run, and the look after it.

use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::time::Duration;

use siphasher::sip::SipHasher13;
use tokio::time::sleep;

use super::find::{filter, find};
use super::signals::{ended_by, listen};
use super::typed::Typed;
use super::verify::verify;
use super::{console, say, tell};
use crate::cli::{Find, Run, Verify};
use crate::error::{Error, Exit};
use crate::report::human;
use crate::rundir::{RUNS, RunFile, read_results};
use crate::sys;

/// Every machine would find a list of its own.
pub(super) const NO_SHARD: &str =
    "--shard needs the same list on all machines: find --out FILE first, then run FILE --shard on each";

/// # Errors
/// As `find`, `run` and `verify`.
pub(super) async fn closed(mut asked: Run) -> Result<Exit, Error> {
    let (wait, service) = (asked.verify, asked.service.clone());
    let mut listed = Exit::Done;
    let list = if asked.from_find {
        match found(&mut asked).await? {
            Listed::Over(exit) => return Ok(exit),
            Listed::At(list, exit) => {
                listed = exit;
                Some(list)
            }
        }
    } else {
        None
    };
    let ended = crate::jobs::run::run(asked, console()).await?;
    let exit = listed.worse(ended.exit);
    // Without a folder nothing was sent, and no other run is verified in its place.
    let Some(folder) = ended.folder else { return Ok(exit) };
    if let Some(list) = list.filter(|list| is_over(&folder, list)) {
        // The run's folder has its copy.
        let _ = fs::remove_file(list);
    }
    match wait {
        Some(wait) if matches!(ended.exit, Exit::Done | Exit::SomeFailed) => {
            if let Some(stopped) = waited(wait, &folder).await? {
                return Ok(stopped);
            }
            Ok(exit.worse(verify(Verify { run: Some(folder), service }).await?))
        }
        _ => Ok(exit),
    }
}

/// The exit code where a signal ended the wait.
async fn waited(wait: Duration, folder: &Path) -> Result<Option<Exit>, Error> {
    let run = RunFile::read(folder);
    let later = run.map_or_else(
        || format!("reprovision verify {}", folder.display()),
        |run| Typed::about(&run, "verify", folder).line(),
    );
    tell(&format!("Verifying in {}; to do that later instead, press Ctrl-C and use: {later}", human(wait)));
    let mut signals = listen()?;
    tokio::select! {
        () = sleep(wait) => Ok(None),
        signal = signals.next() => {
            tell(&format!("stopped; the run is complete. To look again: {later}"));
            Ok(Some(ended_by(signal)))
        }
    }
}

enum Listed {
    /// Where the list is, and the exit code of the scan that found it.
    At(PathBuf, Exit),
    Over(Exit),
}

/// The list of an earlier call that was not worked off, or a new one.
async fn found(asked: &mut Run) -> Result<Listed, Error> {
    if asked.input.is_some() {
        return Err(Error::Usage("--from-find makes its own list: leave out the input".to_owned()));
    }
    if asked.shard.is_some() {
        return Err(Error::Usage(NO_SHARD.to_owned()));
    }
    let kind = asked.object;
    sys::create_folders(Path::new(RUNS)).map_err(|source| Error::file("create", RUNS, source))?;
    let service = &asked.service;
    let what = format!(
        "{:?} {:?} {:?} {:?} {} {}",
        service.simulate,
        service.tenant,
        service.endpoint,
        service.cloud,
        service.api_version,
        filter(&asked.only).words()
    );
    // The same number in every process: the next call must find the list again.
    let mut hasher = SipHasher13::new();
    hasher.write(what.as_bytes());
    let list = Path::new(RUNS).join(format!("found-{}-{:016x}.csv", kind.plural(), hasher.finish()));
    // Without a tenant named nobody knows whose list it is; a scenario is a tenant as well.
    let known = service.tenant.is_some() || service.endpoint.is_some() || service.simulate.is_some();
    let mut exit = Exit::Done;
    if known && !asked.new_run && list.exists() && !is_without_rows(&list) {
        tell(&format!(
            "continues with {}, found by an earlier call; --new-run makes a new list",
            list.display()
        ));
    } else {
        let wanted = Find {
            service: service.clone(),
            object: asked.object,
            only: asked.only.clone(),
            out: Some(list.clone()),
            summary: false,
        };
        exit = find(wanted).await?;
        if !matches!(exit, Exit::Done | Exit::SomeFailed) {
            return Ok(Listed::Over(exit));
        }
        if is_without_rows(&list) {
            // An empty list left behind would be taken for the list of an interrupted run by every later invocation.
            fs::remove_file(&list).map_err(|source| Error::file("remove", &list, source))?;
            say(&format!(
                "nothing to do: none of the {} read has an error that was looked for",
                kind.plural()
            ));
            return Ok(Listed::Over(exit));
        }
    }
    asked.input = Some(list.clone());
    Ok(Listed::At(list, exit))
}

/// Whether a list has a header and nothing else.
fn is_without_rows(list: &Path) -> bool {
    csv::Reader::from_path(list).is_ok_and(|mut list| list.records().next().is_none())
}

/// Whether every row of the list has its record.
fn is_over(folder: &Path, list: &Path) -> bool {
    let name = list.display().to_string();
    RunFile::read(folder).filter(|run| run.input == name).is_some_and(|run| {
        read_results(folder, run.rows).is_ok_and(|read| read.totals.records == run.rows_in())
    })
}
