//! How a pool ends, under a paused clock: who is in flight, who waits, and who needs no request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use reprovision::engine::dispatch::{Dispatch, Exchange};
use reprovision::model::{
    Attempt, AttemptResult, Event, Item, Outcome, Reason, Record, TransientFailure, UserId,
};
use reprovision::pace::{Bounds, Pace, RateController};
use reprovision::stop::{Phase, Stop, StopReason};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::pool_support;

const SECOND: Duration = Duration::from_secs(1);

/// Answers every request so much later.
struct Slow {
    latency: Duration,
    kind: AttemptResult,
    /// How many tokens there are.
    tokens: usize,
    sent: Arc<AtomicUsize>,
}

impl Exchange for Slow {
    type Pass = ();

    async fn prepare(&self) -> Result<(), String> {
        if self.sent.load(SeqCst) < self.tokens { Ok(()) } else { Err("no more tokens".to_owned()) }
    }

    async fn send(&self, (): &(), _id: &UserId) -> Attempt {
        // Each request has a token of its own.
        let token_generation = self.sent.fetch_add(1, SeqCst) as u64 + 1;
        sleep(self.latency).await;
        Attempt { latency: self.latency, token_generation, ..Attempt::of(self.kind.clone()) }
    }

    fn rejected(&self, _attempt: &Attempt) {}
}

fn user(number: u64) -> Item {
    Item::Send(pool_support::user(number))
}

struct Ended {
    events: Vec<Event>,
    sent: usize,
    took: Duration,
}

impl Ended {
    fn rows(&self) -> Vec<u64> {
        let mut rows: Vec<_> = self.events.iter().filter_map(finished).map(|record| record.row).collect();
        rows.sort_unstable();
        rows
    }

    fn cut_short(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::CutShort { .. })).count()
    }
}

fn finished(event: &Event) -> Option<&Record> {
    match event {
        Event::Finished(finished) => Some(&finished.record),
        _ => None,
    }
}

/// Four in flight; an interrupt after so long.
async fn run(
    items: Vec<Item>,
    latency: Duration,
    kind: AttemptResult,
    interrupt: Option<Duration>,
    stop: &Stop,
) -> Ended {
    run_with(items, latency, kind, usize::MAX, 1, interrupt, stop).await
}

async fn run_with(
    items: Vec<Item>,
    latency: Duration,
    kind: AttemptResult,
    tokens: usize,
    group: u32,
    interrupt: Option<Duration>,
    stop: &Stop,
) -> Ended {
    let began = Instant::now();
    let (feed, rows) = mpsc::channel(16);
    tokio::spawn(async move {
        for item in items {
            if feed.send(item).await.is_err() {
                return;
            }
        }
    });
    if let Some(after) = interrupt {
        let stop = stop.clone();
        tokio::spawn(async move {
            sleep(after).await;
            stop.drain(StopReason::Interrupted);
        });
    }
    let (events, mut inbox) = mpsc::channel(16);
    let journal = tokio::spawn(async move {
        let mut events = Vec::new();
        while let Some(mut event) = inbox.recv().await {
            if let Event::Finished(finished) = &mut event {
                // Its line is written.
                finished.permit = None;
            }
            events.push(event);
        }
        events
    });
    let sent = Arc::new(AtomicUsize::new(0));
    let slow = Slow { latency, kind, tokens, sent: sent.clone() };
    let pace = Pace::new(RateController::Fixed, Bounds { group, ..Bounds::default() }, None);
    let dispatch = Dispatch::batched(slow, pace, stop.clone(), group as usize);
    pool_support::work_for(events, rows, dispatch, 6, 4, stop).await;
    let took = began.elapsed();
    let events = journal.await.expect("the journal");
    Ended { events, sent: sent.load(SeqCst), took }
}

#[tokio::test(start_paused = true)]
async fn drain_records_requests_in_flight_and_sends_no_more() {
    let stop = Stop::new();
    let ended =
        run((1..=500).map(user).collect(), SECOND * 8, AttemptResult::Accepted, Some(SECOND), &stop).await;
    assert_eq!((ended.took, ended.sent), (SECOND * 8, 4));
    assert_eq!((ended.rows(), ended.cut_short()), (vec![1, 2, 3, 4], 0));
    assert_eq!(stop.phase(), Phase::Draining);
}

#[tokio::test(start_paused = true)]
async fn request_longer_than_ten_seconds_after_stop_has_no_record() {
    let stop = Stop::new();
    let ended =
        run((1..=500).map(user).collect(), SECOND * 600, AttemptResult::Accepted, Some(SECOND), &stop).await;
    assert_eq!((ended.took, ended.sent), (SECOND * 11, 4));
    assert!(ended.events.is_empty(), "{:?}", ended.events);
    assert_eq!((stop.phase(), stop.reasons()), (Phase::Aborting, vec![StopReason::Interrupted]));
}

#[tokio::test(start_paused = true)]
async fn user_in_backoff_at_a_stop_has_no_record() {
    let stop = Stop::new();
    let fault = AttemptResult::Transient(TransientFailure::Server);
    // The third try would follow 2 s after the second, which fails at 1.2 s.
    let ended = run((1..=3).map(user).collect(), SECOND / 10, fault, Some(SECOND * 2), &stop).await;
    assert_eq!((ended.took, ended.sent), (SECOND * 2, 6));
    assert_eq!((ended.rows(), ended.cut_short()), (Vec::new(), 3));
    let waits: Vec<_> = ended
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Retrying { row: 2, wait, .. } => Some(*wait),
            _ => None,
        })
        .collect();
    assert_eq!(waits, [SECOND, SECOND * 2], "each retry is told");
}

#[tokio::test(start_paused = true)]
async fn user_in_backoff_does_not_block_other_users() {
    let fault = AttemptResult::Transient(TransientFailure::Server);
    // Ten users, four in flight: tries of a tenth of a second, with waits of 1, 2, 4, 8 and 16 s between them.
    let ended = run((1..=10).map(user).collect(), SECOND / 10, fault, None, &Stop::new()).await;
    assert_eq!(ended.sent, 60);
    assert_eq!(ended.rows(), (1..=10).collect::<Vec<_>>());
    // Three turns of the first try, and six tries of a tenth with 31 s between them.
    assert_eq!(ended.took, SECOND * 31 + SECOND / 10 * 8);
    for record in ended.events.iter().filter_map(finished) {
        assert_eq!(
            (record.outcome, record.reason, record.attempts),
            (Outcome::Failed, Some(Reason::GaveUp), 6)
        );
        assert_eq!(record.duration_ms, Some(31_600), "from the first sending, waits included");
        assert!(record.message.starts_with("6 tries, last answer "), "{}", record.message);
    }
}

#[tokio::test(start_paused = true)]
async fn rows_without_request_are_recorded() {
    let settled = |row| Record {
        message: "same as row 1".into(),
        ..Record::unsent(row, row + 1, "same@contoso.com".into(), Outcome::Duplicate, Some(Reason::SameId))
    };
    let items =
        (1..=300).map(|row| if row % 3 == 0 { Item::Settled(Box::new(settled(row))) } else { user(row) });
    let ended = run(items.collect(), SECOND / 10, AttemptResult::Accepted, None, &Stop::new()).await;
    assert_eq!(ended.sent, 200);
    assert_eq!(ended.rows(), (1..=300).collect::<Vec<_>>());
    for record in ended.events.iter().filter_map(finished).filter(|record| record.row % 3 == 0) {
        assert_eq!(*record, settled(record.row));
    }
}

#[tokio::test(start_paused = true)]
async fn expired_sign_in_stops_run_without_records() {
    let stop = Stop::new();
    let ended =
        run_with((1..=500).map(user).collect(), SECOND, AttemptResult::Accepted, 10, 1, None, &stop).await;
    assert_eq!(stop.reasons(), [StopReason::SignIn("no more tokens".to_owned())]);
    assert_eq!((ended.sent, ended.rows(), ended.cut_short()), (10, (1..=10).collect(), 0));
}
