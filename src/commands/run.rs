//! `run`: check, open or continue the run, ask, drive, account.

use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::connect::{Connection, Purpose, Simulated, connect, place};
use super::engine::{Call, Display, drive};
use super::pacing::Pacing;
use super::{say, tell, with_help};
use crate::cli::{Object, Priority, Progress, Run};
use crate::error::{Error, Exit};
use crate::graph::{Client, ClientConfig};
use crate::input::{Checked, Options, check};
use crate::model::{ObjectKind, Outcome, WallClock};
use crate::net;
use crate::report::{Summary, next_step, thousands};
use crate::retry::RetryPolicy;
use crate::rundir::{Identity, Journal, Lock, RunFile, State, find_unfinished, new_folder, write_failed};
use crate::stop::{Stop, Why};
use crate::sys::{self, Signals};

/// `--max-stall` without the flag: people wait less long than jobs.
const STALL_TERMINAL: Duration = Duration::from_secs(600);
const STALL_JOB: Duration = Duration::from_secs(1800);
/// The list that `--simulate` uses without an input.
const BUILT_IN: &str = include_str!("../../samples/users.csv");

pub(super) async fn run(asked: Run) -> Result<Exit, Error> {
    let started = Instant::now();
    let signals = Signals::listen().map_err(|error| Error::Internal(error.to_string()))?;
    let place = place(&asked.service).await?;
    let pacing = Pacing {
        rate: asked.rate,
        initial: asked.initial_rate,
        simulated: place.simulator.as_ref().and_then(|simulated| simulated.rate),
    };
    let kind = match asked.object {
        Object::Users => ObjectKind::Users,
        Object::Groups => ObjectKind::Groups,
        Object::Contacts => ObjectKind::Contacts,
    };
    if asked.yes && asked.service.tenant.is_none() && !net::is_loopback(&place.root) && !asked.dry_run {
        return Err(Error::Usage("--yes needs --tenant: nobody looks at the tenant otherwise".to_owned()));
    }
    let options = Options { column: asked.column.clone(), delimiter: asked.delimiter };
    let built_in = asked.input.is_none() && place.simulator.is_some();
    let input = match &asked.input {
        Some(input) => input.clone(),
        None if built_in => PathBuf::from("built-in list"),
        None => return Err(Error::Usage("which users? give a CSV, or - for standard input".to_owned())),
    };
    if asked.dry_run {
        return dry_run(&input, built_in, &options, kind, pacing);
    }
    let purpose = Purpose { writes: true, kind, unattended: asked.yes };
    let connection = connect(&asked.service, place, purpose).await?;
    let tenant = &connection.tenant;
    // The folder comes first: what is checked is the copy in it.
    let parent = PathBuf::from("reprovision-runs");
    let stem =
        input.file_stem().map_or_else(|| "stdin".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let shown =
        asked.service.tenant.as_deref().unwrap_or(tenant).split('.').next().unwrap_or("tenant").to_owned();
    let mut folder = match &asked.out {
        Some(out) => {
            if !out.exists() {
                if let Some(above) = out.parent() {
                    fs::create_dir_all(above).map_err(|source| Error::file("create", above, source))?;
                }
                sys::create_folder(out).map_err(|source| Error::file("create", out, source))?;
            }
            out.clone()
        }
        None => new_folder(&parent, Timestamp::now(), &shown, &stem)?,
    };
    let mut lock = Lock::acquire(&folder)?;
    let fresh = asked.out.is_none();
    let incoming = folder.join("input.incoming");
    let checked = read_input(&input, built_in, &incoming, &options);
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => {
            let _ = fs::remove_file(&incoming);
            if fresh {
                let _ = fs::remove_dir_all(&folder);
            }
            return Err(error);
        }
    };
    let identity = Identity {
        input_sha256: checked.sha256.clone(),
        tenant: tenant.clone(),
        app: connection.claims.app().unwrap_or("unknown").to_owned(),
        endpoint: match connection.simulator {
            Some(_) => "simulated".to_owned(),
            None => connection.root.to_string(),
        },
        object: kind,
        column: checked.column_name.clone(),
    };
    let earlier = if fresh && !asked.new_run { find_unfinished(&parent, &identity) } else { None };
    if let Some(earlier) = earlier {
        fs::remove_dir_all(&folder).map_err(|source| Error::file("remove", &folder, source))?;
        lock = Lock::acquire(&earlier)?;
        folder = earlier;
    } else {
        let known = RunFile::read(&folder);
        if let Some(differences) =
            known.map(|known| known.identity.differences(&identity)).filter(|list| !list.is_empty())
        {
            let _ = fs::remove_file(&incoming);
            return Err(Error::Usage(format!(
                "{} holds another run ({}); give another --out",
                folder.display(),
                differences.join("; ")
            )));
        }
        let copy = folder.join("input.csv");
        fs::rename(&incoming, &copy).map_err(|source| Error::file("create", copy, source))?;
    }
    let ended =
        work(&asked, &folder, checked, identity, &input, kind, pacing, connection, signals, started).await;
    drop(lock);
    ended
}

#[expect(clippy::too_many_arguments, reason = "the parts of one call, each used once")]
async fn work(
    asked: &Run,
    folder: &Path,
    checked: Checked,
    identity: Identity,
    input: &Path,
    kind: ObjectKind,
    pacing: Pacing,
    connection: Connection,
    signals: Signals,
    started: Instant,
) -> Result<Exit, Error> {
    let (signed_in, refused) = (connection.signed_in(), connection.refused(kind, true));
    let Connection { root, mut http, tokens, simulator, .. } = connection;
    if !asked.service.http1 {
        http = http.several(asked.concurrency)?;
    }
    let copy = folder.join("input.csv");
    let before = RunFile::read(folder);
    let (journal, read) = Journal::open(folder, checked.rows, || checked.ids(&copy))?;
    if read.damaged > 0 {
        tell(&format!(
            "warning: {} lines of {} were damaged: they are kept in damaged.txt and their rows are done again",
            thousands(read.damaged),
            folder.join("results.csv").display()
        ));
    }
    let continues = before.is_some() && read.totals.records > 0;
    let to_do = checked.users
        - (read.totals.of(Outcome::Accepted) + read.totals.of(Outcome::Failed)).min(checked.users);
    if asked.expect_max.is_some_and(|most| checked.users > most) {
        return Err(Error::GuardRail(format!(
            "{} {} in the input, --expect-max allows fewer; nothing was sent",
            thousands(checked.users),
            kind.plural()
        )));
    }
    tell(&plan(
        asked,
        folder,
        &checked,
        &identity,
        &signed_in,
        kind,
        pacing,
        to_do,
        &read.totals,
        continues,
        simulator.as_ref().map(|simulated| simulated.title.as_str()),
    ));
    confirm(asked, &simulator, to_do, kind, &identity)?;
    let now = Timestamp::now();
    let run = RunFile {
        schema: 1,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        input: input.display().to_string(),
        rows: checked.rows,
        label: asked.label.clone(),
        ticket: asked.ticket.clone(),
        simulated: simulator.is_some(),
        created_at: before.map_or(now, |run| run.created_at),
        started_at: now,
        operator: sys::operator(),
        host: sys::host_name(),
        pid: std::process::id(),
        settings: serde_json::json!({ "pace": pacing.settings(), "concurrency": asked.concurrency, "batch": asked.batch, "max_attempts": asked.max_attempts, "limit": asked.limit }),
        identity,
    };
    run.write(folder)?;
    // A group larger than what may be in flight would never be full.
    let batch = asked.batch.min(asked.concurrency);
    let pace = pacing.start(&State::read(folder), asked.concurrency, batch, now);
    let config = ClientConfig {
        root,
        version: asked.service.api_version.clone(),
        kind,
        priority: match asked.priority {
            Priority::Low => "low",
            Priority::Normal => "normal",
            Priority::High => "high",
        },
    };
    let terminal = io::stderr().is_terminal();
    let stop = Stop::new();
    let call = Call {
        exchange: Client::new(&config, http, tokens, WallClock::System),
        pace: pace.clone(),
        policy: RetryPolicy { max_attempts: asked.max_attempts, jitter: 0.5 },
        concurrency: asked.concurrency,
        batch,
        limit: asked.limit,
        max_failures: asked.max_failures,
        max_stall: asked.max_stall.unwrap_or(if terminal { STALL_TERMINAL } else { STALL_JOB }),
        deadline: asked.deadline,
        display: match asked.progress {
            Progress::Bar => Display::Bar,
            Progress::Auto if terminal => Display::Bar,
            Progress::Auto | Progress::Lines => Display::Lines,
            Progress::None => Display::None,
        },
        to_do: asked.limit.map_or(to_do, |limit| limit.min(to_do)),
        folder: folder.to_owned(),
        refused,
    };
    let (header, delimiter) = (checked.header.clone(), checked.delimiter);
    let raw = checked.raw_rows(&copy)?.map(|row| row.map(|row| (row.number, row.cells)));
    let (done, damaged) = (read.done, read.damaged);
    let driven =
        drive(call, checked.items(&copy, move |row| done.contains(row))?, journal, stop.clone(), signals)
            .await;
    let account = write_failed(folder, run.rows, header.as_deref(), delimiter, raw, next_step);
    if let Some(simulated) = &simulator {
        tell(&format!("SIMULATED  the simulator's own ledger:\n{}", simulated.simulator.account()));
    }
    let mut exit = stop.reasons().iter().map(exit_of).fold(Exit::Done, Exit::worse);
    let mut stopped: Vec<String> = stop.reasons().iter().map(sentence).collect();
    for error in [driven.as_ref().err(), account.as_ref().err()].into_iter().flatten() {
        exit = exit.worse(error.exit());
        stopped.push(error.chain());
    }
    let Ok(account) = account else {
        for sentence in stopped {
            tell(&format!("error: {sentence}"));
        }
        return Ok(exit.worse(Exit::Internal));
    };
    let totals = account.totals;
    let complete = totals.records == run.rows;
    if complete && totals.of(Outcome::Failed) + totals.of(Outcome::Invalid) > 0 {
        exit = exit.worse(Exit::SomeFailed);
    }
    if !complete && stopped.is_empty() && asked.limit.is_none() {
        exit = Exit::Internal;
        stopped.push(format!(
            "{} rows in, {} rows out: please report it; the same command goes on",
            run.rows, totals.records
        ));
    }
    stopped.dedup();
    let mut summary = Summary::new(run, &totals, stopped, started.elapsed(), pace.waits().longest);
    summary.exit_code = exit.code();
    summary.damaged_lines = damaged + account.damaged;
    if let Err(error) = crate::report::complete(folder, &mut summary) {
        exit = exit.worse(error.exit());
        summary.exit_code = exit.code();
        tell(&format!("error: {}", error.chain()));
    }
    let path = folder.join("summary.json");
    let bytes = serde_json::to_vec_pretty(&summary).map_err(|error| Error::Internal(error.to_string()))?;
    if let Err(source) = sys::replace(&path, &bytes) {
        exit = exit.worse(Exit::Internal);
        summary.exit_code = exit.code();
        tell(&format!("error: {}", Error::file("replace", &path, source).chain()));
    }
    if exit == Exit::Internal {
        for sentence in &summary.stopped {
            tell(&format!("error: {sentence}"));
        }
    }
    say(&summary.text(folder, "the same command"));
    Ok(exit)
}

fn read_input(input: &Path, built_in: bool, copy: &Path, options: &Options) -> Result<Checked, Error> {
    if !built_in {
        return check(input, copy, options);
    }
    let beside = copy.with_extension("built-in");
    fs::write(&beside, BUILT_IN).map_err(|source| Error::file("write", &beside, source))?;
    let checked = check(&beside, copy, options);
    fs::remove_file(&beside).map_err(|source| Error::file("remove", &beside, source))?;
    checked
}

fn dry_run(
    input: &Path,
    built_in: bool,
    options: &Options,
    kind: ObjectKind,
    pacing: Pacing,
) -> Result<Exit, Error> {
    let folder = std::env::temp_dir().join(format!("reprovision-dry-run-{}", uuid::Uuid::new_v4()));
    sys::create_folder(&folder).map_err(|source| Error::file("create", &folder, source))?;
    let checked = read_input(input, built_in, &folder.join("input.csv"), options);
    fs::remove_dir_all(&folder).map_err(|source| Error::file("remove", &folder, source))?;
    let checked = checked?;
    say(&format!(
        "{}\n{}\nDry run  nothing was sent",
        input_lines(input, &checked, kind),
        pacing.time(checked.users)
    ));
    Ok(Exit::Done)
}

fn input_lines(input: &Path, checked: &Checked, kind: ObjectKind) -> String {
    let invalid: Vec<_> = checked.invalid_lines.iter().map(u64::to_string).collect();
    let lines = if invalid.is_empty() {
        String::new()
    } else {
        format!(
            " (lines {}{})",
            invalid.join(", "),
            if checked.invalid > invalid.len() as u64 { " …" } else { "" }
        )
    };
    format!(
        "Input    {}: {} rows, {:?} separated, {}, id column {:?}\n         {} {} · {} duplicates · {} unusable{lines}",
        input.display(),
        thousands(checked.rows),
        char::from(checked.delimiter),
        checked.encoding.name(),
        checked.column_name,
        thousands(checked.users),
        kind.plural(),
        thousands(checked.duplicates),
        thousands(checked.invalid),
    )
}

#[expect(clippy::too_many_arguments, reason = "one line of the block each")]
fn plan(
    asked: &Run,
    folder: &Path,
    checked: &Checked,
    identity: &Identity,
    signed_in: &str,
    kind: ObjectKind,
    pacing: Pacing,
    to_do: u64,
    totals: &crate::rundir::Totals,
    continues: bool,
    simulated: Option<&str>,
) -> String {
    let tenant = match simulated {
        Some(title) => format!(
            "SIMULATED  {title}; the pace starts at 0.9 of that unless --rate or --initial-rate say otherwise"
        ),
        None => format!(
            "{}  {}    signed in as {signed_in}",
            asked.service.tenant.as_deref().unwrap_or("as the token says"),
            identity.tenant
        ),
    };
    let run = if continues {
        format!(
            "CONTINUES {}: {} of {} done",
            folder.display(),
            thousands(totals.records),
            thousands(checked.rows)
        )
    } else {
        format!("NEW, {}", folder.display())
    };
    let input = asked.input.as_deref().unwrap_or(Path::new("built-in list"));
    format!(
        "Tenant   {tenant}\n{}\nRun      {run}\n{}; Ctrl-C stops safely",
        input_lines(input, checked, kind),
        pacing.time(to_do)
    )
}

fn confirm(
    asked: &Run,
    simulator: &Option<Simulated>,
    to_do: u64,
    kind: ObjectKind,
    identity: &Identity,
) -> Result<(), Error> {
    if asked.yes || simulator.is_some() || to_do == 0 {
        return Ok(());
    }
    if !io::stderr().is_terminal() || !io::stdin().is_terminal() {
        return Err(Error::Usage("nobody to ask: add --yes (and --tenant); nothing was sent".to_owned()));
    }
    tell(&format!(
        "Ask Microsoft 365 to retry provisioning for {} {} in {}? [y/N]",
        thousands(to_do),
        kind.plural(),
        asked.service.tenant.as_deref().unwrap_or(&identity.tenant)
    ));
    let mut answer = String::new();
    // The prompt is refused above unless standard input is the terminal itself.
    let _ = io::stdin().lock().read_line(&mut answer);
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Error::GuardRail("declined; nothing was sent".to_owned()))
    }
}

fn exit_of(why: &Why) -> Exit {
    match why {
        Why::Interrupted => Exit::Interrupted,
        Why::Terminated => Exit::Terminated,
        Why::Deadline(_) | Why::Stalled(_) => Exit::Stopped,
        Why::GuardRail(_) => Exit::GuardRail,
        Why::SignIn(_) => Exit::SignIn,
        Why::Journal(_) | Why::Bug(_) | Why::Input(_) => Exit::Internal,
    }
}

fn sentence(why: &Why) -> String {
    match why {
        Why::SignIn(text) => with_help(text),
        Why::Interrupted => "Ctrl-C".to_owned(),
        Why::Terminated => "asked to end".to_owned(),
        Why::Deadline(text)
        | Why::Stalled(text)
        | Why::GuardRail(text)
        | Why::Journal(text)
        | Why::Bug(text)
        | Why::Input(text) => text.clone(),
    }
}
