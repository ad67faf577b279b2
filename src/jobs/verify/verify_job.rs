//! `verify`: reads the accepted objects of a run again, writes `verified.csv`, and prints the verdicts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::verification::{Verification, VerificationSummary};
use crate::error::{Error, Exit};
use crate::jobs::next_commands;
use crate::jobs::run::EndedRun;
use crate::jobs::signals::{ended_by, listen};
use crate::jobs::simulated::is_of;
use crate::jobs::tenant_reader::TenantReader;
use crate::model::{ObjectKind, Verdict};
use crate::report::{count, human, thousands};
use crate::rundir::{Lock, RunFile};
use crate::session::{Endpoint, Session};
use crate::terminal::Console;

/// The plan of a verification: a run, locked until the plan is dropped.
#[derive(Debug)]
pub struct VerifyPlan {
    /// Folder of the run.
    folder: PathBuf,
    /// Its `run.json`.
    run: RunFile,
    _lock: Lock,
}

impl VerifyPlan {
    /// Locks the run in a folder.
    ///
    /// # Errors
    /// `Error::Locked`; `Error::Damaged` without a `run.json`.
    pub fn of(folder: &Path) -> Result<Self, Error> {
        let lock = Lock::acquire(folder)?;
        Ok(Self { folder: folder.to_owned(), run: read_run(folder)?, _lock: lock })
    }

    /// Which objects the run was about.
    pub fn kind(&self) -> ObjectKind {
        self.run.identity.object
    }
}

/// The result of a verification.
#[derive(Clone, Copy, Debug)]
pub struct VerifyEnd {
    /// The exit code for the process.
    pub exit: Exit,
}

/// `run.json`, or what to do without it.
fn read_run(folder: &Path) -> Result<RunFile, Error> {
    RunFile::read(folder).ok_or_else(|| Error::Damaged {
        path: folder.join("run.json"),
        message: "it is missing or incomplete; the same `reprovision run` command writes it again".to_owned(),
    })
}

/// Reads every accepted object of the run in the tenant of the session.
///
/// # Errors
/// `Error::SignIn` for another tenant; `Error::Unavailable`, `Error::Damaged`, `Error::Input`, `Error::File`.
pub async fn verify(plan: &VerifyPlan, session: &Session, console: &Console) -> Result<VerifyEnd, Error> {
    let VerifyPlan { folder, run, .. } = plan;
    same_tenant(session, run)?;
    let kind = run.identity.object;
    let reader = TenantReader::new(session, kind, listen()?, console)?;
    let mut verification = Verification::new(folder, run)?;
    if let Err(stopped) = verification.run(&reader, console).await {
        let exit = reader.ended(stopped, "nothing was written; the same command looks again")?;
        return Ok(VerifyEnd { exit });
    }
    let summary = verification.finish()?;
    if summary.absent > 0 {
        console.warn(&format!(
            "Microsoft 365 left out serviceProvisioningErrors for {}, although it was asked for: unread. {}",
            count(summary.absent, kind.plural()),
            reader.permission()
        ));
    }
    crate::report::rewrite(folder)?;
    console.result(&text(&summary, folder, run));
    let exit = if summary.count(Verdict::remains) > 0 { Exit::StillFailing } else { Exit::Done };
    Ok(VerifyEnd { exit })
}

/// Waits, then verifies. A signal ends the wait; the run is complete by then.
///
/// # Errors
/// As [`verify`].
pub(crate) async fn verify_after(
    wait: Duration,
    ended: &EndedRun,
    session: &Session,
    console: &Console,
) -> Result<VerifyEnd, Error> {
    let later = next_commands::of_run(&ended.file, &ended.folder).verify;
    console.status(&format!(
        "Verifying in {}; to do that later instead, press Ctrl-C and use: {later}",
        human(wait)
    ));
    let mut signals = listen()?;
    tokio::select! {
        () = sleep(wait) => {}
        signal = signals.next() => {
            console.status(&format!("stopped; the run is complete. To look again: {later}"));
            return Ok(VerifyEnd { exit: ended_by(signal) });
        }
    }
    verify(&VerifyPlan::of(&ended.folder)?, session, console).await
}

/// Rejects an endpoint to which the run was not sent: its users are not there.
///
/// # Errors
/// `Error::Usage`.
pub(crate) fn same_place(place: &Endpoint, plan: &VerifyPlan) -> Result<(), Error> {
    let VerifyPlan { run, folder, .. } = plan;
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
            next_commands::about(run, "verify", folder).line()
        ),
    }))
}

/// Rejects a session of another tenant.
fn same_tenant(session: &Session, run: &RunFile) -> Result<(), Error> {
    if session.tenant == run.identity.tenant {
        return Ok(());
    }
    Err(Error::SignIn(format!(
        "wrong tenant: the run was in {}, and the token is for {}; nothing was read",
        run.identity.tenant, session.tenant
    )))
}

fn text(summary: &VerificationSummary, folder: &Path, run: &RunFile) -> String {
    let kind = run.identity.object;
    let mut lines = Vec::new();
    let simulated = if run.simulated { "SIMULATED  " } else { "" };
    let counts: Vec<_> = Verdict::ALL
        .into_iter()
        .filter_map(|verdict| {
            let count = *summary.verdicts.get(&verdict)?;
            Some(format!("{} {}", thousands(count), verdict.as_str()))
        })
        .collect();
    let total = summary.verdicts.values().sum::<u64>();
    let counts = if counts.is_empty() { "nobody was accepted".to_owned() } else { counts.join(" · ") };
    lines.push(format!(
        "{simulated}Looked at {}: {counts}",
        count(total, &format!("accepted {}", kind.plural()))
    ));
    let pending = summary.verdicts.get(&Verdict::Pending).copied().unwrap_or(0);
    if pending > 0 {
        let takes = match run.simulated {
            true => "The simulated tenant takes seconds",
            false => "It takes 5 to 30 minutes, sometimes up to 24 hours",
        };
        lines.push(format!(
            "  pending: not processed yet. {takes}. The oldest request was accepted {}. Check again: {}",
            since(summary.first),
            next_commands::about(run, "verify", folder).line()
        ));
    }
    if !summary.causes.is_empty() {
        lines.push(format!("Why {} failed again", kind.plural()));
        for (cause, count) in summary.causes.iter().take(20) {
            lines.push(format!("  {:>7}  {cause}", thousands(*count)));
        }
        lines.push(format!(
            "Next      fix the causes, then: {}",
            next_commands::about(run, "run", &folder.join("still-failing.csv")).line()
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
