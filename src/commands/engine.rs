//! The running parts of one call: input thread, pool, journal thread, syncer, state keeper, watch, display.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};

use super::pacing::state_of;
use super::tell;
use crate::cli::MaxFailures;
use crate::dispatch::{Dispatch, Exchange};
use crate::error::Error;
use crate::input::Items;
use crate::model::{Event, Item, Outcome, Reason, WallClock};
use crate::pace::{Pace, Waiting};
use crate::pool;
use crate::report::{cause, human, next_step, thousands};
use crate::retry::RetryPolicy;
use crate::rundir::{Journal, State};
use crate::stop::{Stop, Why};
use crate::sys::{Signal, Signals};
use crate::worker::Workers;

/// Rows read ahead, and events on their way: enough to keep everybody busy, few enough to be nothing.
const CHANNEL: usize = 256;
/// Records that go in one write.
const BATCH: usize = 256;
/// `state.json` follows the cool-downs within 50 ms.
const STATE_EVERY: Duration = Duration::from_millis(40);
/// What the pace learned follows within a second.
const LEARNED_EVERY: Duration = Duration::from_secs(1);
/// How often the display and the watch look.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Without a terminal: one line a minute.
const LINE_EVERY: Duration = Duration::from_secs(60);
/// A share of failures means nothing before so many failed.
const FEWEST_FAILURES: u64 = 20;
/// So many 403s from the start, and nothing else, are a missing permission.
const FORBIDDEN_FROM_START: u64 = 5;

/// How the display shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Display {
    Bar,
    Lines,
    None,
}

/// Settings of one call.
pub(super) struct Call<E> {
    pub(super) exchange: E,
    pub(super) pace: Arc<Pace>,
    pub(super) policy: RetryPolicy,
    pub(super) concurrency: u16,
    /// Users in one request, from 1.
    pub(super) batch: u16,
    pub(super) limit: Option<u64>,
    pub(super) max_failures: MaxFailures,
    pub(super) max_stall: Duration,
    pub(super) deadline: Option<Duration>,
    pub(super) display: Display,
    pub(super) to_do: u64,
    pub(super) folder: PathBuf,
    /// What to do when the first users are all refused with 403.
    pub(super) refused: String,
}

/// What display and watch see; written by the journal thread alone.
#[derive(Debug, Default)]
struct Counters {
    answered: AtomicU64,
    accepted: AtomicU64,
    failed: AtomicU64,
    throttled: AtomicU64,
    over: AtomicBool,
}

/// Runs until the input ends or the run stops. All that came is in the journal then.
pub(super) async fn drive<E: Exchange>(
    call: Call<E>,
    items: Items,
    journal: Journal,
    stop: Stop,
    mut signals: Signals,
) -> Result<(), Error> {
    let (feed, rows) = mpsc::channel(CHANNEL);
    let (events, inbox) = mpsc::channel(CHANNEL);
    let counters = Arc::new(Counters::default());
    let reader = {
        let stop = stop.clone();
        let limit = call.limit;
        thread::spawn(move || read(items, &feed, limit, &stop))
    };
    let syncer = {
        let stop = stop.clone();
        journal.syncer(move |error| stop.abort(Some(Why::Journal(error.chain()))))?
    };
    let writer = {
        let (counters, stop, most) = (counters.clone(), stop.clone(), call.max_failures);
        let refused = call.refused;
        thread::spawn(move || {
            let ended = write(journal, inbox, &counters, &stop, most, &refused, || syncer.tell());
            drop(syncer);
            ended
        })
    };
    let keeper = keep_state(
        call.pace.clone(),
        call.folder.clone(),
        counters.clone(),
        tokio::runtime::Handle::current(),
    );
    let display = show(call.display, call.to_do, call.pace.clone(), counters.clone());
    let watch = {
        let (pace, stop) = (call.pace.clone(), stop.clone());
        tokio::spawn(async move { watch(&pace, &stop, call.max_stall, call.deadline, &mut signals).await })
    };
    let workers = Arc::new(Workers {
        dispatch: Dispatch::batched(call.exchange, call.pace, stop.clone(), usize::from(call.batch)),
        policy: call.policy,
        permits: Arc::new(Semaphore::new(usize::from(call.concurrency))),
        wall: WallClock::System,
        stop: stop.clone(),
        events,
    });
    let running =
        tokio::spawn(pool::run(rows, workers, pool::slots(usize::from(call.concurrency)), stop.clone()));
    tokio::select! {
        ended = running => if let Err(error) = ended {
            stop.abort(Some(Why::Bug(error.to_string())));
        },
        () = async { stop.aborting().await; sleep(LOOK_EVERY).await } => {}
    }
    let written = tokio::task::spawn_blocking(move || writer.join()).await;
    counters.over.store(true, Relaxed);
    watch.abort();
    let _ = tokio::task::spawn_blocking(move || (reader.join(), keeper.join())).await;
    // A blocked terminal is left behind.
    let _ = display.recv_timeout(Duration::from_secs(1));
    match written {
        Ok(Ok(ended)) => ended,
        _ => Err(Error::Internal("the journal thread ended unexpectedly".to_owned())),
    }
}

fn read(items: Items, feed: &mpsc::Sender<Item>, limit: Option<u64>, stop: &Stop) {
    let mut left = limit.unwrap_or(u64::MAX);
    for item in items {
        match item {
            Ok(item) => {
                if matches!(item, Item::Send(_)) {
                    if left == 0 {
                        return;
                    }
                    left -= 1;
                }
                if feed.blocking_send(item).is_err() {
                    return;
                }
            }
            Err(error) => return stop.drain(Why::Input(error.chain())),
        }
    }
}

fn write(
    mut journal: Journal,
    mut inbox: mpsc::Receiver<Event>,
    counters: &Counters,
    stop: &Stop,
    most: MaxFailures,
    refused: &str,
    written: impl Fn(),
) -> Result<(), Error> {
    let mut forbidden = Some(0_u64);
    let mut reasons = std::collections::BTreeMap::<Reason, u64>::new();
    let mut finished = Vec::with_capacity(BATCH);
    while let Some(first) = inbox.blocking_recv() {
        let mut next = Some(first);
        while let Some(event) = next {
            match event {
                Event::Finished(record) => finished.push(record),
                Event::Retrying { attempt, .. } => {
                    counters.throttled.fetch_add(
                        u64::from(matches!(attempt.kind, crate::model::Kind::Throttled(_))),
                        Relaxed,
                    );
                }
                Event::CutShort { .. } => {}
            }
            next = if finished.len() < BATCH { inbox.try_recv().ok() } else { None };
        }
        if let Err(error) = journal.append(finished.iter().map(|finished| &finished.record)) {
            stop.abort(Some(Why::Journal(error.chain())));
            return Err(error);
        }
        written();
        for record in finished.drain(..).map(|finished| finished.record) {
            let outcome = record.outcome;
            if !matches!(outcome, Outcome::Accepted | Outcome::Failed) {
                continue;
            }
            counters.answered.fetch_add(1, Relaxed);
            if outcome == Outcome::Accepted {
                counters.accepted.fetch_add(1, Relaxed);
                forbidden = None;
                continue;
            }
            counters.failed.fetch_add(1, Relaxed);
            let reason = record.reason.unwrap_or(Reason::Refused);
            *reasons.entry(reason).or_default() += 1;
            forbidden = forbidden.filter(|_| reason == Reason::NoPermission).map(|count| count + 1);
            if forbidden == Some(FORBIDDEN_FROM_START) {
                stop.drain(Why::SignIn(format!(
                    "the first {FORBIDDEN_FROM_START} users were all refused with 403: {refused}"
                )));
            }
            if let Some(sentence) =
                too_many(counters.failed.load(Relaxed), counters.answered.load(Relaxed), most, &reasons)
            {
                stop.drain(Why::GuardRail(sentence));
            }
        }
    }
    Ok(())
}

fn too_many(
    failed: u64,
    answered: u64,
    most: MaxFailures,
    reasons: &std::collections::BTreeMap<Reason, u64>,
) -> Option<String> {
    let (over, limit) = match most {
        MaxFailures::Count(count) => (failed > count, count.to_string()),
        MaxFailures::Share(share) => (
            failed >= FEWEST_FAILURES && failed as f64 > answered as f64 * share,
            format!("{} %", share * 100.0),
        ),
    };
    let (reason, count) = reasons.iter().max_by_key(|(_, count)| **count)?;
    let guess = if *reason == Reason::NotFound { "a list from another tenant?" } else { next_step(*reason) };
    over.then(|| {
        format!(
            "{failed} of the first {answered} users failed (limit {limit}). {count} × {}: {guess} \
             If that is expected: the same command with --max-failures 100%",
            cause(*reason)
        )
    })
}

/// `state.json` as the cool-downs move, and once more at the end.
fn keep_state(
    pace: Arc<Pace>,
    folder: PathBuf,
    counters: Arc<Counters>,
    runtime: tokio::runtime::Handle,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let _inside = runtime.enter();
        // A call that sends nothing, or whose law learns nothing, keeps what an earlier one learned.
        let before = State::read(&folder).learned;
        let mut saved: Option<Vec<Instant>> = None;
        let mut learned = (None, std::time::Instant::now());
        loop {
            let over = counters.over.load(Relaxed);
            let ends: Vec<_> = pace.cooling().iter().map(|cooling| cooling.until).collect();
            let sent = pace.learned().and_then(|(_, last_sent)| last_sent);
            let learning = sent != learned.0 && learned.1.elapsed() >= LEARNED_EVERY;
            if over || learning || saved.as_ref() != Some(&ends) {
                let state = state_of(&pace, before, Timestamp::now());
                // The results are the truth; without this file a restart may only be less polite.
                if let Err(error) = state.write(&folder)
                    && over
                {
                    tell(&format!("warning: {}", error.chain()));
                }
                saved = Some(ends);
                learned = (sent, std::time::Instant::now());
            }
            if over {
                return;
            }
            thread::sleep(STATE_EVERY);
        }
    })
}

/// Signals, deadline and stall.
async fn watch(
    pace: &Pace,
    stop: &Stop,
    max_stall: Duration,
    deadline: Option<Duration>,
    signals: &mut Signals,
) {
    let end = deadline.map(|deadline| Instant::now() + deadline);
    loop {
        tokio::select! {
            signal = signals.next() => {
                if stop.is_running() {
                    // On a thread of its own: a blocked terminal must not hold up the stop.
                    thread::spawn(|| tell("stopping: waiting at most 10 s for what is in flight; once more ends at once"));
                    stop.drain(if signal == Signal::Interrupt { Why::Interrupted } else { Why::Terminated });
                } else {
                    stop.abort(None);
                }
            }
            () = sleep(LOOK_EVERY) => {}
        }
        if let Some(end) = end.filter(|_| stop.is_running()) {
            match pace.waiting() {
                Waiting::CoolDown(cooling) if cooling.until > end => {
                    stop.drain(Why::Deadline(
                        "Microsoft 365 asked for a wait that outlasts --deadline".to_owned(),
                    ));
                }
                _ if Instant::now() >= end => stop.drain(Why::Deadline("--deadline passed".to_owned())),
                _ => {}
            }
        }
        if pace.silent_for() > max_stall && stop.is_running() {
            stop.drain(Why::Stalled(format!(
                "no answer for any user for {} (--max-stall)",
                human(max_stall)
            )));
        }
    }
}

/// A thread that only reads; the receiver hears when it has ended.
fn show(display: Display, to_do: u64, pace: Arc<Pace>, counters: Arc<Counters>) -> std_mpsc::Receiver<()> {
    let (ended, hears) = std_mpsc::channel();
    thread::spawn(move || {
        let started = std::time::Instant::now();
        let bar = if display == Display::Bar { ProgressBar::new(to_do) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("  {pos} / {len}  {percent} %  {wide_bar}  {msg}") {
            bar.set_style(style);
        }
        let mut last_line = started;
        while !counters.over.load(Relaxed) {
            let answered = counters.answered.load(Relaxed);
            let rate = answered as f64 / started.elapsed().as_secs_f64().max(0.001);
            let left =
                Duration::from_secs_f64(((to_do.saturating_sub(answered)) as f64 / rate.max(0.01)).min(1e9));
            let waiting = waiting(pace.waiting());
            let (accepted, failed, throttled) = (
                counters.accepted.load(Relaxed),
                counters.failed.load(Relaxed),
                counters.throttled.load(Relaxed),
            );
            if display == Display::Bar {
                bar.set_position(answered);
                let pause = waiting
                    .as_deref()
                    .map_or_else(|| format!("{rate:.1}/s  {} left", human(left)), str::to_owned);
                bar.set_message(format!(
                    "accepted {} failed {}  {pause}",
                    thousands(accepted),
                    thousands(failed)
                ));
            } else if display == Display::Lines && last_line.elapsed() >= LINE_EVERY {
                last_line = std::time::Instant::now();
                tell(&format!(
                    "progress done={answered} total={to_do} accepted={accepted} failed={failed} rate={rate:.1}/s eta={}s throttled={throttled} waiting={:?}",
                    left.as_secs(),
                    waiting.unwrap_or_default()
                ));
            }
            thread::sleep(LOOK_EVERY);
        }
        bar.finish_and_clear();
        let _ = ended.send(());
    });
    hears
}

fn waiting(waiting: Waiting) -> Option<String> {
    match waiting {
        Waiting::No => None,
        Waiting::CoolDown(cooling) => Some(format!(
            "paused by Microsoft 365 ({}): {} left",
            cooling.scope.owner(),
            human(cooling.until.saturating_duration_since(Instant::now()))
        )),
        Waiting::Outage { since, next_probe } => Some(format!(
            "Microsoft 365 does not answer (for {}); trying again in {}",
            human(since.elapsed()),
            human(next_probe.saturating_duration_since(Instant::now()))
        )),
    }
}
