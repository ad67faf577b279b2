//! The second check after the token was fetched, in paused time: a pause that began meanwhile holds requests that were admitted.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reprovision::engine::dispatch::{Dispatch, Exchange};
use reprovision::graph::BatchPart;
use reprovision::model::{
    Attempt, AttemptResult, Item, Outcome, Record, Scope, Throttle, TransientFailure, UserId,
};
use reprovision::pace::{Bounds, Pace, RateController};
use reprovision::stop::{Stop, StopReason};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::pool_support::{self, Scripted};

/// Who waits longer for a token asks the gate again in any case; this is less.
const TOKEN: Duration = Duration::from_millis(400);

/// Answers the n-th request, from 1, after so long.
type Script = fn(usize) -> (Duration, Attempt);

fn rows(users: u64) -> mpsc::Receiver<Item> {
    let (feed, rows) = mpsc::channel(64);
    for number in 1..=users {
        feed.try_send(Item::Send(pool_support::user(number))).expect("room");
    }
    rows
}

/// When each request left, in milliseconds; everybody is accepted in the end. The look for a token with the number `late`,
/// from 1, takes its time; all others have theirs at once.
async fn sent(users: u64, late: usize, script: Script) -> Vec<u128> {
    let (stop, sent) = (Stop::new(), Arc::new(Mutex::new(Vec::new())));
    let looks = AtomicUsize::new(0);
    let token = move || {
        let is_late = looks.fetch_add(1, SeqCst) + 1 == late;
        Instant::now() + if is_late { TOKEN } else { Duration::ZERO }
    };
    let latency = move |number| script(number).0;
    let script = move |_, number, _: &str| script(number).1;
    let exchange = Scripted { began: Instant::now(), token, latency, script, sent: sent.clone() };
    let pace = Pace::new(RateController::Fixed, Bounds::default(), None);
    let dispatch = Dispatch::new(exchange, pace, stop.clone());
    let records: Vec<Record> = pool_support::work(rows(users), dispatch, 6, 32, &stop).await;
    assert_eq!(records.len() as u64, users);
    assert!(records.iter().all(|record| record.outcome == Outcome::Accepted), "{records:?}");
    let sent = sent.lock().expect("no panic holds it");
    sent.iter().map(Duration::as_millis).collect()
}

fn throttled(wait: Duration) -> Attempt {
    let kind = AttemptResult::Throttled(Throttle { scope: Scope::default(), quota: true });
    Attempt { retry_after: Some(wait), ..Attempt::of(kind) }
}

const TENTH: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn cooldown_begun_during_token_fetch_is_kept_to_the_instant() {
    // Two users may leave at once; the second has to wait for his token, and the first is refused meanwhile.
    let sent = sent(2, 2, |number| match number {
        1 => (TENTH, throttled(Duration::from_secs(41))),
        _ => (TENTH, AttemptResult::Accepted.into()),
    });
    assert_eq!(sent.await, [0, 41_100, 41_200]);
}

#[tokio::test(start_paused = true)]
async fn cooldown_ended_during_token_fetch_admits_one_probe() {
    let sent = sent(2, 2, |number| match number {
        1 => (TENTH, throttled(TENTH * 2)),
        // The probe, which leaves before the second has his token, and is answered long after it.
        2 => (TENTH * 10, AttemptResult::Accepted.into()),
        _ => (TENTH, AttemptResult::Accepted.into()),
    });
    assert_eq!(sent.await, [0, 300, 1_300]);
}

#[tokio::test(start_paused = true)]
async fn outage_begun_during_token_fetch_is_waited_for() {
    // Twenty fail while the last waits for his token.
    let sent = sent(21, 21, |number| match number {
        1..=20 => (TENTH, AttemptResult::Transient(TransientFailure::Timeout).into()),
        _ => (TENTH, AttemptResult::Accepted.into()),
    });
    let sent = sent.await;
    assert_eq!(sent[..22], [&[0; 20][..], &[30_100, 30_200]].concat());
}

#[tokio::test(start_paused = true)]
async fn probe_that_waits_for_a_token_is_sent_with_it() {
    let sent = sent(1, 2, |number| match number {
        1 => (TENTH, throttled(Duration::from_secs(5))),
        _ => (TENTH, AttemptResult::Accepted.into()),
    });
    assert_eq!(sent.await, [0, 5_500]);
}

/// Batches end in a panic.
struct Broken;

impl Exchange for Broken {
    type Pass = ();

    async fn prepare(&self) -> Result<(), String> {
        Ok(())
    }

    async fn send(&self, (): &(), _id: &UserId) -> Attempt {
        Attempt::of(AttemptResult::Accepted)
    }

    async fn send_batch(&self, (): &(), _ids: &[UserId]) -> Vec<BatchPart> {
        panic!("nobody thought of that")
    }

    fn rejected(&self, _attempt: &Attempt) {}
}

#[tokio::test(start_paused = true)]
async fn panic_in_a_batch_stops_run_without_records() {
    let stop = Stop::new();
    let pace = Pace::new(RateController::Fixed, Bounds { group: 20, ..Bounds::default() }, None);
    let dispatch = Dispatch::batched(Broken, pace, stop.clone(), 20);
    let records = pool_support::work(rows(40), dispatch, 6, 20, &stop).await;
    assert!(records.is_empty(), "{records:?}");
    let bug = "a group of users ended without their answers".to_owned();
    assert_eq!(stop.reasons(), [StopReason::Bug(bug)]);
}
