//! `verify`: what became of the accepted users of a run.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::looking::{Looking, Sight};
use super::scanning::Scanning;
use super::service::{connect, place};
use super::signals::{listen, unless_stopped};
use super::simulated::{is_of, recall};
use super::typed::Typed;
use super::{say, tell, the_newest};
use crate::cli::{Service, Verify};
use crate::error::{Error, Exit};
use crate::report::{count, thousands};
use crate::rundir::{Lock, RUNS, RunFile, find_run, newest_of, newest_run};
use crate::scan::Verdict;
use crate::session::{Endpoint, Purpose, Session};

pub(super) async fn verify(asked: Verify) -> Result<Exit, Error> {
    let mut signals = listen()?;
    let folder = meant(&asked)?;
    let _lock = Lock::acquire(&folder)?;
    let run = read_run(&folder)?;
    let connecting = connect_to(&asked.service, &run, &folder);
    let connection = match unless_stopped(&mut signals, "nothing was read", connecting).await? {
        ControlFlow::Continue(connection) => connection,
        ControlFlow::Break(exit) => return Ok(exit),
    };
    let scanning = Scanning::new(connection, &asked.service, run.identity.object, signals)?;
    look(&folder, &run, &scanning).await
}

/// The run that is named, or the newest: of the simulated tenant, of the tenant that is named, or of all.
fn meant(asked: &Verify) -> Result<PathBuf, Error> {
    let runs = Path::new(RUNS);
    let (folder, why) = match (&asked.run, &asked.service.simulate, asked.service.tenant.as_deref()) {
        (Some(run), ..) => (find_run(runs, run)?, String::new()),
        (None, Some(scenario), _) => {
            let newest = newest_run(runs, |run| run.scenario() == Some(scenario.as_str()));
            let (folder, _) = newest.ok_or_else(|| {
                Error::Usage(format!(
                    "no run of the simulated tenant {scenario} below {}. Name the folder of one, or leave --simulate out",
                    runs.display()
                ))
            })?;
            (folder, String::new())
        }
        (None, None, None) => (newest_of(runs, None)?.0, String::new()),
        (None, None, tenant) => (newest_of(runs, tenant)?.0, format!(" ({})", the_newest(tenant))),
    };
    tell(&format!("Run      {}{why}", folder.display()));
    Ok(folder)
}

/// `run.json`, or what to do without it.
fn read_run(folder: &Path) -> Result<RunFile, Error> {
    RunFile::read(folder).ok_or_else(|| Error::Damaged {
        path: folder.join("run.json"),
        message: "it is missing or incomplete; the same `reprovision run` command writes it again".to_owned(),
    })
}

/// Signs in where the run was sent to.
async fn connect_to(asked: &Service, run: &RunFile, folder: &Path) -> Result<Session, Error> {
    let place = place(asked).await?;
    same_place(&place, run, folder)?;
    if let Some(simulated) = &place.simulator {
        recall(simulated, Some(folder));
    }
    let purpose = Purpose { writes: false, kind: run.identity.object, unattended: true };
    let connection = connect(asked, place, purpose).await?;
    same_tenant(&connection, run)?;
    Ok(connection)
}

/// Nobody is looked up elsewhere than where the run was sent.
fn same_place(place: &Endpoint, run: &RunFile, folder: &Path) -> Result<(), Error> {
    let sent_to = &run.identity.endpoint;
    Err(Error::Usage(match (&place.simulator, run.simulated) {
        (None, false) if place.root.as_str() == sent_to => return Ok(()),
        (Some(simulated), true) if is_of(run, simulated) => return Ok(()),
        (None, false) => {
            format!("the run was sent to {sent_to}, and --cloud or --endpoint name {}", place.root)
        }
        (Some(_), false) => format!(
            "the run was sent to {sent_to} and not to a simulated tenant: leave --simulate out, or name a simulated run"
        ),
        (_, true) => format!(
            "this run was simulated, and the users of its tenant are nowhere else: {}",
            Typed::about(run, "verify", folder).line()
        ),
    }))
}

/// Nobody is looked up in another tenant.
fn same_tenant(connection: &Session, run: &RunFile) -> Result<(), Error> {
    if connection.tenant == run.identity.tenant {
        return Ok(());
    }
    Err(Error::SignIn(format!(
        "wrong tenant: the run was in {}, and the token is for {}; nothing was read",
        run.identity.tenant, connection.tenant
    )))
}

/// Looks at everybody who was accepted, writes the files, says what was found.
async fn look(folder: &Path, run: &RunFile, scanning: &Scanning) -> Result<Exit, Error> {
    let mut looking = Looking::new(folder, run)?;
    if let Err(stopped) = looking.look(scanning).await {
        return scanning.ended(stopped, "nothing was written; the same command looks again");
    }
    let sight = looking.finish()?;
    if sight.absent > 0 {
        let kind = run.identity.object;
        tell(&format!(
            "warning: Microsoft 365 left out serviceProvisioningErrors for {}, although it was asked for: unread. {}",
            count(sight.absent, kind.plural()),
            scanning.permission()
        ));
    }
    crate::report::rewrite(folder)?;
    say(&text(&sight, folder, run, scanning));
    Ok(if sight.count(Verdict::remains) > 0 { Exit::StillFailing } else { Exit::Done })
}

fn text(sight: &Sight, folder: &Path, run: &RunFile, scanning: &Scanning) -> String {
    let kind = scanning.reader.kind();
    let mut lines = Vec::new();
    let simulated = if scanning.is_simulated() { "SIMULATED  " } else { "" };
    let counts: Vec<_> = Verdict::ALL
        .into_iter()
        .filter_map(|verdict| {
            let count = *sight.verdicts.get(&verdict)?;
            Some(format!("{} {}", thousands(count), verdict.as_str()))
        })
        .collect();
    let total = sight.verdicts.values().sum::<u64>();
    let counts = if counts.is_empty() { "nobody was accepted".to_owned() } else { counts.join(" · ") };
    lines.push(format!(
        "{simulated}Looked at {}: {counts}",
        count(total, &format!("accepted {}", kind.plural()))
    ));
    let pending = sight.verdicts.get(&Verdict::Pending).copied().unwrap_or(0);
    if pending > 0 {
        let takes = match run.simulated {
            true => "The simulated tenant takes seconds",
            false => "It takes 5–30 minutes, at times 24 hours",
        };
        lines.push(format!(
            "  pending: not processed yet. {takes}; the first was accepted {}. Look again: {}",
            since(sight.first),
            Typed::about(run, "verify", folder).line()
        ));
    }
    if !sight.causes.is_empty() {
        lines.push(format!("Why {} failed again", kind.plural()));
        for (cause, count) in sight.causes.iter().take(20) {
            lines.push(format!("  {:>7}  {cause}", thousands(*count)));
        }
        lines.push(format!(
            "Next      fix the causes, then: {}",
            Typed::about(run, "run", &folder.join("still-failing.csv")).line()
        ));
    }
    lines.push(format!("Files     {}", folder.join("verified.csv").display()));
    lines.join("\n")
}

/// For people: how long ago.
fn since(at: Option<Timestamp>) -> String {
    let Some(at) = at else { return "a while ago".to_owned() };
    let minutes = Timestamp::now().duration_since(at).as_mins();
    match minutes {
        ..1 => "less than a minute ago".to_owned(),
        1..120 => format!("{minutes} min ago"),
        _ => format!("{} h ago", minutes / 60),
    }
}
