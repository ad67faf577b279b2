//! `find`: objects with unresolved service provisioning errors, as a list that `run` reads.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use url::Url;

use super::list_file::{ScanCheckpoint, ScanOutput};
use super::list_row::found_row;
use super::tally::{Counts, Tally};
use crate::catalogue;
use crate::error::{Error, Exit};
use crate::jobs::signals::listen;
use crate::jobs::tenant_reader::{ScanProgress, TenantReader};
use crate::model::{ErrorFilter, NextCommand, ObjectKind};
use crate::report::{count, thousands};
use crate::scan::{Object, ReadEnd, Reads, Step, Stopped, Walk};
use crate::session::Session;
use crate::terminal::Console;

/// The plan of a scan.
#[derive(Clone, Debug)]
pub struct FindPlan {
    /// Which objects are read.
    pub kind: ObjectKind,
    /// Which errors are listed.
    pub filter: ErrorFilter,
    /// The list; standard output if there is none.
    pub out: Option<PathBuf>,
    /// Counts by service and code are printed, and no list.
    pub summary: bool,
    /// The command line of this invocation, from which the command to type next is made.
    pub typed: NextCommand,
}

/// The result of a scan.
#[derive(Clone, Copy, Debug)]
pub struct FindEnd {
    /// The exit code for the process.
    pub exit: Exit,
    /// Objects listed. `None`: the scan did not reach its end, and nothing was listed.
    pub found: Option<u64>,
}

/// Reads the whole collection and lists the objects with an error that fits the filter.
///
/// # Errors
/// `Error::SignIn` if nothing may be read; `Error::Unavailable`, `Error::Locked`, `Error::Usage`, `Error::File`.
pub async fn find(plan: &FindPlan, session: &Session, console: &Console) -> Result<FindEnd, Error> {
    let (signals, kind) = (listen()?, plan.kind);
    let question = format!(
        "{} {} {} {} {}",
        session.root,
        session.api_version,
        session.tenant,
        kind.plural(),
        plan.filter.words()
    );
    let reader = TenantReader::new(session, kind, signals, console)?;
    let (mut list, checkpoint) = match &plan.out {
        Some(out) => ScanOutput::beside(out, question)?,
        None => (ScanOutput::scratch()?, None),
    };
    let resumable = match &plan.out {
        Some(_) => "the same command continues from there",
        None => "nothing was printed; with --out FILE the same command could continue from there",
    };
    let stopped = |exit| FindEnd { exit, found: None };
    let counts = match collect(&reader.walk(), &plan.filter, &mut list, checkpoint, console).await {
        Ok(counts) => counts,
        Err(why) => return reader.ended(why, resumable).map(stopped),
    };
    let exit = counts.gaps.exit(counts.read);
    let unread = counts.gaps.sentences(counts.read, kind, reader.permission());
    if exit == Exit::SignIn {
        list.discard()?;
        return Err(Error::SignIn(format!("{} Nothing was listed", unread.join("\n"))));
    }
    if !list.finish(!plan.summary, console)? {
        let cut = Stopped::Ended(ReadEnd::Stopped);
        return reader.ended(cut, "the list on standard output is not complete").map(stopped);
    }
    let simulated = if session.simulator.is_some() { "SIMULATED  " } else { "" };
    console.status(&format!("{simulated}{}", sentences(&counts, plan)));
    if plan.summary {
        let head = if simulated.is_empty() { "" } else { "SIMULATED  by service and code\n" };
        console.result(&format!("{head}{}", causes(&counts)));
    }
    unread.iter().for_each(|unread| console.warn(unread));
    Ok(FindEnd { exit, found: Some(counts.found) })
}

/// Reads all pages into the list, from where an earlier invocation stopped if its position can be used.
pub(super) async fn collect<E: Reads>(
    walk: &Walk<'_, E>,
    filter: &ErrorFilter,
    list: &mut ScanOutput,
    checkpoint: Option<ScanCheckpoint>,
    console: &Console,
) -> Result<Counts, Stopped> {
    let kind = walk.kind();
    let mut tally = Tally::default();
    let mut from = None;
    if let Some(mark) = checkpoint {
        match walk.position(&mark.next).and_then(|url| Ok((url, list.ids()?))) {
            Ok((url, ids)) => {
                console.status(&format!(
                    "continues after page {}: {} read, {} found",
                    mark.pages,
                    count(mark.counts.read, kind.plural()),
                    thousands(mark.counts.found)
                ));
                from = Some((url, mark.pages + 1));
                tally = Tally::continued(mark.counts, ids.into_iter());
            }
            Err(why) => {
                console.status(&format!("{why}: the scan starts again"));
                list.empty()?;
            }
        }
    }
    let mut progress = ScanProgress::new(console);
    let walked = walk.pages(from, |step| {
        match step {
            Step::Again { restarts } => {
                if restarts {
                    console.status("the position of the scan is no longer valid: the scan starts again");
                }
                tally = Tally::default();
                list.empty()?;
            }
            Step::Page { number, page, next, at } => {
                tally.page(&page);
                let rows: Vec<_> =
                    page.objects.iter().filter_map(|object| row(&mut tally, filter, object, at)).collect();
                list.page(rows.into_iter(), number, next.as_ref().map(Url::as_str), &tally.counts)?;
                progress.at(kind, tally.counts.read, tally.counts.found, "with an error");
            }
        }
        Ok(true)
    });
    walked.await?;
    Ok(tally.counts)
}

fn row(tally: &mut Tally, filter: &ErrorFilter, object: &Object, now: Timestamp) -> Option<[String; 7]> {
    let (problem, count) = tally.meet(object, filter, now)?;
    let known = catalogue::of_service_error(&problem.code, &problem.text).map_or("", |entry| &entry.title);
    let codes = tally.counts.causes.entry(problem.service.clone()).or_default();
    *codes.entry(problem.code.clone()).or_default().entry(known.to_owned()).or_default() += 1;
    Some(found_row(object, problem, count))
}

/// The lines about what was read and found, and the next command.
fn sentences(counts: &Counts, plan: &FindPlan) -> String {
    let mut text = format!(
        "{} read, {} with an unresolved service error",
        count(counts.read, plan.kind.plural()),
        thousands(counts.found)
    );
    for (count, what, code) in
        [(counts.sync, "directory-sync", "PropertyConflict"), (counts.licence, "licence", "CountViolation")]
    {
        if count > 0 {
            text.push_str(&format!(
                "\n{} with a {what} error, which retrying does not clear (reprovision explain {code})",
                thousands(count)
            ));
        }
    }
    if let Some(out) = plan.out.as_deref().filter(|_| counts.found > 0) {
        text.push_str(&format!(
            "\nNext      fix the causes (reprovision explain CODE), then: {}",
            run_list(plan, out).line()
        ));
    }
    text
}

/// `run` for the list, in the same tenant and for the same kind of object.
fn run_list(plan: &FindPlan, list: &Path) -> NextCommand {
    let next = plan.typed.clone().same_tenant("run").operand(list.display().to_string());
    match plan.kind {
        ObjectKind::Users => next,
        ObjectKind::Groups | ObjectKind::Contacts => next.with("--object", plan.kind.plural()),
    }
}

/// Counts by service, code and what is known about the cause.
fn causes(counts: &Counts) -> String {
    let mut lines: Vec<(u64, String)> = Vec::new();
    for (service, codes) in &counts.causes {
        for (code, causes) in codes {
            let code = if code.is_empty() { "(no code)" } else { code };
            for (cause, count) in causes {
                let line = format!("{:>8}  {service}  {code}  {cause}", thousands(*count));
                lines.push((*count, line.trim_end().to_owned()));
            }
        }
    }
    lines.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    if lines.is_empty() {
        return "nobody has an unresolved service error".to_owned();
    }
    lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n")
}
