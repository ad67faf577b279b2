//! The running parts of one call: input thread, pool, journal thread, syncer, state keeper, watch, display.

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};

use super::counters::Counters;
use super::panic_guard::Alarm;
use super::progress;
use super::recorder;
use super::safety_limits::Guards;
use super::state_writer;
use super::stop_monitor as watch;
use crate::engine::dispatch::{Dispatch, Exchange};
use crate::engine::pool;
use crate::engine::retry::RetryPolicy;
use crate::engine::worker::Workers;
use crate::error::Error;
use crate::input::Items;
use crate::model::{Item, ProgressForm, WallClock};
use crate::pace::Pace;
use crate::report::{count, human};
use crate::rundir::{Journal, Lock, SavedRate};
use crate::stop::{Stop, StopReason};
use crate::sys::Signals;
use crate::terminal::Console;

/// Capacity of the event channel. It keeps the workers busy and needs little memory.
const CHANNEL: usize = 256;
/// Rows that are sent to the pool together, so that the reading thread wakes up less often.
const TOGETHER: usize = 256;
/// Rows that are read ahead, about 200 bytes each, so that workers do not wait for the file.
const AHEAD: usize = 4 * TOGETHER;
/// Time for the workers to end after an abort.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// After a second signal, records on their way get this long: the process is gone within 200 ms.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The display gets this long to clear its bar.
const DISPLAY_ENDS: Duration = Duration::from_secs(1);

/// Settings of one call.
pub(super) struct Call<E> {
    pub(super) exchange: E,
    pub(super) pace: Arc<Pace>,
    pub(super) policy: RetryPolicy,
    /// `--concurrency`
    pub(super) concurrency: u16,
    /// Users in one request, from 1.
    pub(super) batch: u16,
    /// `--limit`
    pub(super) limit: Option<u64>,
    pub(super) guards: Guards,
    /// `--max-stall`
    pub(super) max_stall: Duration,
    /// `--max-wait`
    pub(super) max_wait: Duration,
    /// When `--deadline` is over.
    pub(super) deadline: Option<Instant>,
    pub(super) console: Console,
    pub(super) form: ProgressForm,
    /// An earlier call of the run had users accepted.
    pub(super) accepted_before: bool,
    /// Users this call is to answer.
    pub(super) to_do: u64,
    pub(super) folder: PathBuf,
    /// The lock of the folder. The journal thread holds it too, because it may outlive this function.
    pub(super) lock: Lock,
    /// The rate that an earlier invocation learned.
    pub(super) learned: Option<SavedRate>,
    pub(super) simulated: bool,
}

/// How the run ended.
#[derive(Debug)]
pub(super) enum DriveEnd {
    /// All that came is in the journal, or why it is not.
    Written(Result<(), Error>),
    /// A second signal: what was written is valid, nothing else is to be done.
    AtOnce,
}

/// Runs until the input ends or the run stops.
pub(super) async fn drive<E: Exchange>(
    call: Call<E>,
    items: Items,
    journal: Journal,
    stop: Stop,
    signals: Signals,
) -> DriveEnd {
    drive_under(call, items, journal, stop, |watch| watch.over(signals)).await
}

/// Drives a run that `watch` stops.
async fn drive_under<E: Exchange, F: Future<Output = ()> + Send + 'static>(
    call: Call<E>,
    items: Items,
    journal: Journal,
    stop: Stop,
    watching: impl FnOnce(watch::Watch) -> F,
) -> DriveEnd {
    let (feed, rows) = mpsc::channel(AHEAD);
    let (events, inbox) = mpsc::channel(CHANNEL);
    let counters = Arc::new(Counters::default());
    let holds_forbidden = !call.guards.allows_all();
    let syncer = {
        let stop = stop.clone();
        match journal.syncer(move |error| stop.abort(Some(StopReason::Journal(error.chain())))) {
            Ok(syncer) => syncer,
            Err(error) => return DriveEnd::Written(Err(error)),
        }
    };
    let reader = {
        let (stop, limit) = (stop.clone(), call.limit);
        let runtime = tokio::runtime::Handle::current();
        thread::spawn(move || read(items, &feed, limit, &stop, &runtime))
    };
    let writer = {
        let (counters, stop, guards) = (counters.clone(), stop.clone(), call.guards);
        let console = call.console.clone();
        let lock = call.lock.clone();
        thread::spawn(move || {
            let _held = lock;
            let ended =
                recorder::record(journal, inbox, &counters, &stop, guards, &console, || syncer.tell());
            drop(syncer);
            ended
        })
    };
    let permits = Arc::new(Semaphore::new(usize::from(call.concurrency)));
    let keeper = {
        let alarm = Alarm::new(&stop, "the thread that keeps state.json");
        let place = (call.folder, call.lock);
        state_writer::keep(
            call.pace.clone(),
            place,
            call.learned,
            counters.clone(),
            alarm,
            call.console.clone(),
        )
    };
    let read = progress::reader(call.pace.clone(), counters.clone(), stop.clone());
    let display = call.console.show_progress(call.form, call.to_do, call.simulated, read);
    let at_once = Arc::new(AtomicBool::new(false));
    let watch = {
        let alarm = Alarm::new(&stop, "the watch over signals, --deadline and --max-stall");
        let watching = watching(watch::Watch {
            pace: call.pace.clone(),
            counters: counters.clone(),
            stop: stop.clone(),
            console: call.console.clone(),
            max_stall: call.max_stall,
            max_wait: call.max_wait,
            deadline: call.deadline,
            at_once: at_once.clone(),
        });
        tokio::spawn(async move {
            let _alarm = alarm;
            watching.await;
        })
    };
    let dispatch = Dispatch::batched(call.exchange, call.pace, stop.clone(), usize::from(call.batch));
    if holds_forbidden {
        dispatch.hold_forbidden(call.accepted_before);
    }
    let workers = Arc::new(Workers {
        dispatch,
        policy: call.policy,
        permits,
        wall: WallClock::System,
        stop: stop.clone(),
        events,
    });
    let running =
        tokio::spawn(pool::run(rows, workers, pool::slots(usize::from(call.concurrency)), stop.clone()));
    tokio::select! {
        ended = running => if let Err(error) = ended {
            stop.abort(Some(StopReason::Bug(Error::from(error).chain())));
        },
        () = async { stop.aborting().await; sleep(LAST_WORDS).await } => {}
    }
    let written = tokio::task::spawn_blocking(move || writer.join());
    let hurried = async {
        while !at_once.load(Relaxed) {
            sleep(LAST_WORDS).await;
        }
        sleep(AT_ONCE).await;
    };
    let written = tokio::select! {
        biased;
        written = written => Some(written),
        () = hurried => None,
    };
    let put_off = counters.put_off.load(Relaxed);
    if put_off > 0 && stop.is_running() {
        let (them, max_wait) = (count(put_off, "users"), human(call.max_wait));
        stop.drain(StopReason::LongPause(format!(
            "Microsoft 365 asks to wait longer than --max-wait {max_wait} for {them}. Run the same command again later"
        )));
    }
    counters.over.store(true, Relaxed);
    display.finish();
    keeper.thread().unpark();
    if at_once.load(Relaxed) {
        let _ = tokio::task::spawn_blocking(move || display.ended(LAST_WORDS)).await;
        return DriveEnd::AtOnce;
    }
    watch.abort();
    let _ = tokio::task::spawn_blocking(move || (reader.join(), keeper.join())).await;
    // A blocked terminal is left behind.
    let _ = tokio::task::spawn_blocking(move || display.ended(DISPLAY_ENDS)).await;
    DriveEnd::Written(match written {
        Some(Ok(Ok(ended))) => ended,
        _ => Err(Error::Internal("the journal thread ended unexpectedly".to_owned())),
    })
}

fn read(
    items: Items,
    feed: &mpsc::Sender<Item>,
    limit: Option<u64>,
    stop: &Stop,
    runtime: &tokio::runtime::Handle,
) {
    let mut left = limit.unwrap_or(u64::MAX);
    let mut items = items.peekable();
    while items.peek().is_some() {
        let Ok(places) = runtime.block_on(feed.reserve_many(TOGETHER)) else { return };
        for (place, item) in places.zip(&mut items) {
            match item {
                Ok(item) => {
                    if matches!(item, Item::Send(_)) {
                        if left == 0 {
                            return;
                        }
                        left -= 1;
                    }
                    place.send(item);
                }
                Err(error) => return stop.drain(StopReason::Input(error.chain())),
            }
        }
    }
}
