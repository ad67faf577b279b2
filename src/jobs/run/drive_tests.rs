//! The parts together: what happens to all when one of them breaks.

use std::fs;
use std::sync::atomic::AtomicU64;

use tokio::time::timeout;

use super::*;
use crate::input::{Options, check};
use crate::model::MaxFailures;
use crate::model::{Attempt, AttemptResult, ObjectKind, UserId};
use crate::pace::{Bounds, RateController};
use crate::rundir::read_results;

/// Users of the list.
const USERS: u64 = 500;
/// Users in flight.
const IN_FLIGHT: u16 = 4;
/// Time limit of a test, so that a broken one does not hang. Each needs less than a twentieth of it.
const LONG: Duration = Duration::from_secs(20);

/// Answers no request before the run is stopped, and counts the waiting requests.
struct Late(Stop, Arc<AtomicU64>);

impl Exchange for Late {
    type Pass = ();

    async fn prepare(&self) -> Result<(), String> {
        Ok(())
    }

    async fn send(&self, (): &(), _id: &UserId) -> Attempt {
        self.1.fetch_add(1, Relaxed);
        self.0.draining().await;
        Attempt::of(AttemptResult::Accepted)
    }

    fn rejected(&self, _attempt: &Attempt) {}
}

/// Stops the run while its request is in flight. The test decides when the response arrives.
struct Stuck(std::sync::Mutex<std::sync::mpsc::Receiver<()>>, Stop);

impl Exchange for Stuck {
    type Pass = ();

    async fn prepare(&self) -> Result<(), String> {
        Ok(())
    }

    async fn send(&self, (): &(), _id: &UserId) -> Attempt {
        self.1.drain(StopReason::Interrupted);
        tokio::task::block_in_place(|| self.0.lock().expect("one at a time").recv()).expect("an answer");
        Attempt::of(AttemptResult::Accepted)
    }

    fn rejected(&self, _attempt: &Attempt) {}
}

/// A list in a folder, and the call that works on it.
fn begun<E>(folder: &std::path::Path, exchange: E) -> (Call<E>, Items, Journal) {
    let (list, copy) = (folder.join("list.csv"), folder.join("input.csv"));
    let lines: String = (1..=USERS).map(|row| format!("user{row}@contoso.com\n")).collect();
    fs::write(&list, format!("id\n{lines}")).expect("written");
    let checked = check(&list, &copy, &Options::default()).expect("a list");
    let (journal, _) = Journal::open(folder, checked.rows, || checked.ids(&copy)).expect("a journal");
    let items = checked.items(&copy, |_| false).expect("the rows");
    let call = Call {
        exchange,
        pace: Pace::new(RateController::Fixed, Bounds::default(), None),
        policy: RetryPolicy { max_attempts: 6, jitter: 0.0, max_wait: LONG },
        concurrency: IN_FLIGHT,
        batch: 1,
        limit: None,
        guards: Guards::new(MaxFailures::Share(1.0), ObjectKind::Users, String::new(), String::new()),
        max_stall: LONG,
        max_wait: LONG,
        deadline: None,
        console: Console::silent(),
        form: ProgressForm::None,
        accepted_before: false,
        to_do: USERS,
        folder: folder.to_owned(),
        lock: Lock::acquire(folder).expect("free"),
        learned: None,
        simulated: false,
    };
    (call, items, journal)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_which_nobody_watches_any_more_is_stopped_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let stop = Stop::new();
    let sent = Arc::new(AtomicU64::new(0));
    let (call, items, journal) = begun(folder.path(), Late(stop.clone(), sent.clone()));
    let broken = |_| async move {
        while sent.load(Relaxed) < u64::from(IN_FLIGHT) {
            tokio::task::yield_now().await;
        }
        panic!("nobody thought of that")
    };
    let ended = timeout(LONG, drive_under(call, items, journal, stop.clone(), broken)).await;
    let Ok(DriveEnd::Written(Ok(()))) = ended else { panic!("{ended:?}") };
    let bug = "the watch over signals, --deadline and --max-stall ended unexpectedly";
    assert_eq!(stop.reasons(), [StopReason::Bug(bug.to_owned())]);
    // Users in flight have their records, and no user was sent after that.
    let read = read_results(folder.path(), USERS).expect("results");
    assert_eq!(read.totals.records, u64::from(IN_FLIGHT));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_still_writes_after_a_stop_at_once_holds_the_lock() {
    let folder = tempfile::tempdir().expect("a folder");
    let stop = Stop::new();
    let (answer, answers) = std::sync::mpsc::channel();
    let exchange = Stuck(std::sync::Mutex::new(answers), stop.clone());
    let (mut call, items, journal) = begun(folder.path(), exchange);
    call.concurrency = 1;
    let at_once = |watch: watch::Watch| async move {
        watch.stop.draining().await;
        watch.at_once.store(true, Relaxed);
        watch.stop.abort(None);
    };
    let ended = timeout(LONG, drive_under(call, items, journal, stop.clone(), at_once)).await;
    let Ok(DriveEnd::AtOnce) = ended else { panic!("{ended:?}") };
    // The answer may come yet, and its record.
    let held = Lock::acquire(folder.path());
    assert!(matches!(held, Err(Error::Locked { .. })), "{held:?}");
    answer.send(()).expect("somebody waits for it");
    let free = async {
        while Lock::acquire(folder.path()).is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, free).await.expect("free once the last has written");
}
