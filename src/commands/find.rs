//! `find`: who has unresolved service errors, as a CSV that `run` accepts.

use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp;
use url::Url;

use super::found::{Counts, List};
use super::scanning::{Scanning, Stopped, Watching};
use super::service::{connect, place};
use super::signals::{listen, unless_stopped};
use super::simulated::recall;
use super::typed::{SIGN_IN, Typed};
use super::{say, tell};
use crate::catalogue;
use crate::cli::{Find, Only};
use crate::error::{Error, Exit};
use crate::model::{Kind, ObjectKind};
use crate::report::{count, thousands};
use crate::scan::{Ended, Filter, Object, found_row};
use crate::session::Purpose;

pub(super) async fn find(asked: Find) -> Result<Exit, Error> {
    let mut signals = listen()?;
    let kind = asked.object;
    let purpose = Purpose { writes: false, kind, unattended: true };
    let service = &asked.service;
    let connecting = async { connect(service, place(service).await?, purpose).await };
    let connection = match unless_stopped(&mut signals, "nothing was read", connecting).await? {
        ControlFlow::Continue(connection) => connection,
        ControlFlow::Break(exit) => return Ok(exit),
    };
    if let Some(simulated) = &connection.simulator {
        recall(simulated, None);
    }
    let filter = filter(&asked.only);
    let what = format!(
        "{} {} {} {} {}",
        connection.root,
        asked.service.api_version,
        connection.tenant,
        kind.plural(),
        filter.words()
    );
    let scanning = Scanning::new(connection, &asked.service, kind, signals)?;
    let (list, mark) = match &asked.out {
        Some(out) => List::beside(out, what)?,
        None => (List::scratch()?, None),
    };
    let goes_on = match &asked.out {
        Some(_) => "the same command continues from there",
        None => "nothing was printed; with --out FILE the same command could continue from there",
    };
    if let Some(mark) = &mark {
        tell(&format!(
            "continues after page {}: {} read, {} found",
            mark.pages,
            count(mark.counts.read, kind.plural()),
            thousands(mark.counts.found)
        ));
    }
    let started = mark.map(|mark| (mark.next, mark.pages, mark.counts));
    let (list, counts) = match collect(&scanning, &filter, list, started).await {
        Ok(collected) => collected,
        Err(stopped) => return scanning.ended(stopped, goes_on),
    };
    if !list.finish(!asked.summary)? {
        return scanning.ended(Stopped::Ended(Ended::Stopped), "the list on standard output is not complete");
    }
    let simulated = if scanning.is_simulated() { "SIMULATED  " } else { "" };
    tell(&format!("{simulated}{}", told(&counts, kind, asked.out.as_deref())));
    if asked.summary {
        let head = if scanning.is_simulated() { "SIMULATED  by service and code\n" } else { "" };
        say(&format!("{head}{}", causes(&counts)));
    }
    Ok(Exit::Done)
}

/// As the flags say.
pub(super) fn filter(only: &Only) -> Filter {
    Filter { services: only.only_service.clone(), codes: only.only_code.clone(), older_than: only.older_than }
}

/// Reads all pages into the list, from the bookmark on where there is one: next page, pages read, counts.
pub(super) async fn collect(
    scanning: &Scanning,
    filter: &Filter,
    mut list: List,
    started: Option<(String, u64, Counts)>,
) -> Result<(List, Counts), Stopped> {
    if let Some((next, pages, mut counts)) = started
        && let Ok(next) = Url::parse(&next)
    {
        match walk(scanning, filter, &mut list, next, pages + 1, &mut counts).await {
            // Next links die after a while; the scan does not.
            Err(Stopped::Ended(Ended::Refused(attempt)))
                if matches!(attempt.status, Some(400 | 404 | 410))
                    && matches!(attempt.kind, Kind::Refused(_)) =>
            {
                tell("the position of the earlier scan is no longer valid: the scan starts again");
                list.afresh()?;
            }
            Err(stopped) => return Err(stopped),
            Ok(()) => return Ok((list, counts)),
        }
    }
    let mut counts = Counts::default();
    walk(scanning, filter, &mut list, scanning.first().clone(), 1, &mut counts).await?;
    Ok((list, counts))
}

async fn walk(
    scanning: &Scanning,
    filter: &Filter,
    list: &mut List,
    from: Url,
    number: u64,
    counts: &mut Counts,
) -> Result<(), Stopped> {
    let mut watching = Watching::new();
    let kind = scanning.reader.kind();
    scanning
        .walk(from, number, |number, page, now| {
            let rows: Vec<_> =
                page.objects.iter().filter_map(|object| counted(counts, filter, object, now)).collect();
            list.page(rows.into_iter(), number, page.next.as_deref(), counts)?;
            watching.at(kind, counts.read, counts.found, "with an error");
            Ok(true)
        })
        .await
}

fn counted(counts: &mut Counts, filter: &Filter, object: &Object, now: Timestamp) -> Option<[String; 7]> {
    counts.read += 1;
    counts.sync += u64::from(object.sync_error);
    counts.licence += u64::from(object.licence_error);
    let (problem, count) = filter.find(object, now)?;
    counts.found += 1;
    let known = catalogue::of_service_error(&problem.code, &problem.text).map_or("", |entry| &entry.title);
    let codes = counts.causes.entry(problem.service.clone()).or_default();
    *codes.entry(problem.code.clone()).or_default().entry(known.to_owned()).or_default() += 1;
    Some(found_row(object, problem, count))
}

/// The sentence at the end.
pub(super) fn told(counts: &Counts, kind: ObjectKind, out: Option<&Path>) -> String {
    let mut text = format!(
        "{} read, {} with an unresolved service error",
        count(counts.read, kind.plural()),
        thousands(counts.found)
    );
    for (count, what) in [(counts.sync, "directory-sync"), (counts.licence, "licence")] {
        if count > 0 {
            text.push_str(&format!(
                "\n{} with a {what} error, which retrying does not clear (reprovision explain {})",
                thousands(count),
                if what == "licence" { "CountViolation" } else { "PropertyConflict" }
            ));
        }
    }
    if let Some(out) = out.filter(|_| counts.found > 0) {
        text.push_str(&format!(
            "\nNext      fix the causes (reprovision explain CODE), then: {}",
            to_run(kind, out).line()
        ));
    }
    text
}

/// The command for the list, in the same tenant and for the same kind of object.
fn to_run(kind: ObjectKind, list: &Path) -> Typed {
    let typed = Typed::now().only("run", &SIGN_IN).with_word(&list.display().to_string());
    match kind {
        ObjectKind::Users => typed,
        ObjectKind::Groups | ObjectKind::Contacts => typed.with("--object", kind.plural()),
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
