//! `find`: who has unresolved service errors, as a CSV that `run` accepts.

use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp;
use url::Url;

use super::found::{Bookmark, List};
use super::scanning::{Scanning, Watching};
use super::service::{connect, place};
use super::signals::{listen, unless_stopped};
use super::simulated::recall;
use super::typed::{SIGN_IN, Typed};
use super::{say, tell};
use crate::catalogue;
use crate::cli::{Find, Only};
use crate::error::{Error, Exit};
use crate::jobs::tally::{Counts, Tally};
use crate::model::ObjectKind;
use crate::report::{count, thousands};
use crate::scan::{Ended, Filter, Object, Reads, Step, Stopped, Walk, found_row};
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
    let (mut list, mark) = match &asked.out {
        Some(out) => List::beside(out, what)?,
        None => (List::scratch()?, None),
    };
    let goes_on = match &asked.out {
        Some(_) => "the same command continues from there",
        None => "nothing was printed; with --out FILE the same command could continue from there",
    };
    let counts = match collect(&scanning.walk(), &filter, &mut list, mark, tell).await {
        Ok(counts) => counts,
        Err(stopped) => return scanning.ended(stopped, goes_on),
    };
    let exit = counts.gaps.exit(counts.read);
    let unseen = counts.gaps.sentences(counts.read, kind, scanning.permission());
    if exit == Exit::SignIn {
        list.discard()?;
        return Err(Error::SignIn(format!("{} Nothing was listed", unseen.join("\n"))));
    }
    if !list.finish(!asked.summary)? {
        return scanning.ended(Stopped::Ended(Ended::Stopped), "the list on standard output is not complete");
    }
    let simulated = if scanning.is_simulated() { "SIMULATED  " } else { "" };
    tell(&format!("{simulated}{}", told(&counts, kind, asked.out.as_deref())));
    if asked.summary {
        let head = if scanning.is_simulated() { "SIMULATED  by service and code\n" } else { "" };
        say(&format!("{head}{}", causes(&counts)));
    }
    unseen.iter().for_each(|unseen| tell(&format!("warning: {unseen}")));
    Ok(exit)
}

/// As the flags say.
pub(super) fn filter(only: &Only) -> Filter {
    Filter { services: only.only_service.clone(), codes: only.only_code.clone(), older_than: only.older_than }
}

/// Reads all pages into the list, from where an earlier invocation stopped if its position can be used.
pub(super) async fn collect<E: Reads>(
    walk: &Walk<'_, E>,
    filter: &Filter,
    list: &mut List,
    mark: Option<Bookmark>,
    tell: impl Fn(&str),
) -> Result<Counts, Stopped> {
    let kind = walk.kind();
    let mut tally = Tally::default();
    let mut from = None;
    if let Some(mark) = mark {
        match walk.position(&mark.next).and_then(|url| Ok((url, list.ids()?))) {
            Ok((url, ids)) => {
                tell(&format!(
                    "continues after page {}: {} read, {} found",
                    mark.pages,
                    count(mark.counts.read, kind.plural()),
                    thousands(mark.counts.found)
                ));
                from = Some((url, mark.pages + 1));
                tally = Tally::continued(mark.counts, ids.into_iter());
            }
            Err(why) => {
                tell(&format!("{why}: the scan starts again"));
                list.empty()?;
            }
        }
    }
    let mut watching = Watching::new();
    let walked = walk.pages(from, |step| {
        match step {
            Step::Again { restarts } => {
                if restarts {
                    tell("the position of the scan is no longer valid: the scan starts again");
                }
                tally = Tally::default();
                list.empty()?;
            }
            Step::Page { number, page, next, at } => {
                tally.page(&page);
                let rows: Vec<_> =
                    page.objects.iter().filter_map(|object| row(&mut tally, filter, object, at)).collect();
                list.page(rows.into_iter(), number, next.as_ref().map(Url::as_str), &tally.counts)?;
                watching.at(kind, tally.counts.read, tally.counts.found, "with an error");
            }
        }
        Ok(true)
    });
    walked.await?;
    Ok(tally.counts)
}

fn row(tally: &mut Tally, filter: &Filter, object: &Object, now: Timestamp) -> Option<[String; 7]> {
    let (problem, count) = tally.meet(object, filter, now)?;
    let known = catalogue::of_service_error(&problem.code, &problem.text).map_or("", |entry| &entry.title);
    let codes = tally.counts.causes.entry(problem.service.clone()).or_default();
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
