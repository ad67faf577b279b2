//! ThrottleStats of answers under a paused clock: no user is sent before the wait of its last answer is over.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use reprovision::model::{
    Attempt, AttemptResult, Outcome, Reason, Record, Scope, Throttle, TransientFailure,
};
use reprovision::pace::{Bounds, Pace, RateController, SendState};
use reprovision::stop::{Stop, StopReason};

use crate::pace::{LATENCY, Ran, run_at, script};
use crate::service::Service;
use crate::sign_in_support::said;

const SECOND: Duration = Duration::from_secs(1);

fn waiting(kind: AttemptResult, wait: Duration) -> Attempt {
    Attempt { retry_after: Some(wait), ..Attempt::of(kind) }
}

fn pace() -> Arc<Pace> {
    Pace::new(RateController::Fixed, Bounds { rate: 1_000.0, ..Bounds::default() }, None)
}

/// When each request of each user was sent.
type Sent = Arc<Mutex<HashMap<String, Vec<Duration>>>>;

/// Runs users against answers by time and the number of the user's request, from 1.
async fn run(
    users: u64,
    answer: impl Fn(Duration, usize, &str) -> Attempt + Send + Sync + 'static,
) -> (Ran, HashMap<String, Vec<Duration>>) {
    let sent = Sent::default();
    let seen = sent.clone();
    let script = script(move |at, _, id: &str| {
        let mut seen = seen.lock().expect("no panic holds it");
        let own = seen.entry(id.to_owned()).or_default();
        own.push(at);
        answer(at, own.len(), id)
    });
    let ran = run_at(pace(), users, 32, &Stop::new(), script).await;
    let sent = sent.lock().expect("no panic holds it").clone();
    (ran, sent)
}

fn failed(records: &[Record]) -> usize {
    records.iter().filter(|record| record.outcome == Outcome::Failed).count()
}

#[tokio::test(start_paused = true)]
async fn wait_on_any_status_delays_only_its_user_exactly() {
    let wait = SECOND * 41;
    for kind in [
        AttemptResult::Busy,
        AttemptResult::Transient(TransientFailure::Server),
        AttemptResult::Transient(TransientFailure::NotGraph),
        AttemptResult::Unauthorized { claims: None },
    ] {
        let told = kind.clone();
        let (ran, sent) = run(40, move |_, number, id| match (number, id) {
            (1, "user7@contoso.com") => waiting(told.clone(), wait),
            _ => AttemptResult::Accepted.into(),
        })
        .await;
        assert_eq!((ran.records.len(), failed(&ran.records)), (40, 0), "{kind:?}");
        let own = &sent["user7@contoso.com"];
        assert_eq!(own[1], own[0] + LATENCY + wait, "{kind:?}");
        let others = ran.sent.iter().filter(|at| **at < own[1]).count();
        assert_eq!(others, 40, "{kind:?}: the others were held too");
    }
}

#[tokio::test(start_paused = true)]
async fn wait_above_max_wait_leaves_its_user_without_a_record() {
    let (ran, sent) = run(40, |_, _, id| match id {
        "user7@contoso.com" => waiting(AttemptResult::Busy, crate::pool_support::MAX_WAIT + SECOND),
        _ => AttemptResult::Accepted.into(),
    })
    .await;
    assert_eq!((ran.records.len(), failed(&ran.records)), (39, 0));
    assert_eq!(sent["user7@contoso.com"].len(), 1);
    assert!(ran.took < SECOND * 2, "{:?}", ran.took);
}

#[tokio::test(start_paused = true)]
async fn wait_of_one_user_is_not_stall_time() {
    let pace = pace();
    let own = pace.clone();
    let script = script(move |at, number, _: &str| match number {
        1 => waiting(AttemptResult::Busy, SECOND * 2_700),
        2..=5 => AttemptResult::Accepted.into(),
        _ => {
            assert!(at >= SECOND * 2_700);
            assert!(own.silent_for() < SECOND, "{:?}", own.silent_for());
            Attempt::of(AttemptResult::Accepted)
        }
    });
    let ran = run_at(pace, 5, 1, &Stop::new(), script).await;
    assert_eq!(ran.records.len(), 5);
}

#[test]
fn pause_above_max_wait_ends_the_run_and_holds_the_next() {
    let desk = tempfile::tempdir().expect("a folder");
    let service = Service::of(
        desk.path(),
        "title = \"a long pause\"\nthrottle_after = [3]\nthrottle_wait_s = [5, 5]\n",
    );
    let list: String = (1..=20).map(|n| format!("user{n}@contoso.com\n")).collect();
    fs::write(desk.path().join("users.csv"), format!("userPrincipalName\n{list}")).expect("written");
    let run = |max_wait| {
        let asked = ["run", "users.csv", "--yes", "--out", "out", "--rate", "50", "--max-wait", max_wait];
        let output = service.command(desk.path(), &asked).output().expect("run");
        (output.status.code(), said(&output))
    };
    let arrived = || service.account("/__ledger")["arrivals"].as_u64().expect("a count");
    let (exit, text) = run("2s");
    assert_eq!(exit, Some(5), "{text}");
    let asked =
        "(your app's limit in this tenant), longer than --max-wait 2 s. Run the same command again after ";
    assert!(text.contains("Microsoft 365 asks for a pause of ") && text.contains(asked), "{text}");
    let before = arrived();
    assert!(before < 20, "{before}");
    let (exit, text) = run("1s");
    assert_eq!((exit, arrived()), (Some(5), before), "{text}");
    let (exit, text) = run("1h");
    assert_eq!(exit, Some(0), "{text}");
    assert_eq!(service.account("/__ledger")["breaches"], 0);
}

#[test]
fn find_ends_at_a_pause_above_max_wait() {
    let desk = tempfile::tempdir().expect("a folder");
    let scenario =
        "title = \"long pauses\"\n[objects]\nusers = 10\n[faults]\nthrottle_429 = 1.0\nwait_s = 3600\n";
    let service = Service::of(desk.path(), scenario);
    let output = service.command(desk.path(), &["find", "--max-wait", "30s"]).output().expect("find");
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("longer than --max-wait 30 s"), "{}", said(&output));
}

#[tokio::test(start_paused = true)]
async fn conflicts_for_all_users_fail_no_user() {
    for (users, concurrency) in [(5, 1), (20, 1), (20, 32), (300, 32)] {
        let script = script(|at, _, _: &str| {
            Attempt::of(if at < SECOND * 8 { AttemptResult::Busy } else { AttemptResult::Accepted })
        });
        let ran = run_at(pace(), users, concurrency, &Stop::new(), script).await;
        assert_eq!((ran.records.len() as u64, failed(&ran.records)), (users, 0), "{users}, {concurrency}");
        assert!(ran.took < SECOND * 20, "{:?}", ran.took);
        let early = ran.sent.iter().filter(|at| **at < SECOND * 8).count();
        assert!(early <= 48, "{early} requests while nobody could be served");
    }
}

#[tokio::test(start_paused = true)]
async fn conflicts_for_all_users_pause_until_the_run_stops() {
    let (pace, stop) = (pace(), Stop::new());
    let (raise, watched) = (stop.clone(), pace.clone());
    tokio::spawn(async move {
        while watched.silent_for() < SECOND * 1_800 {
            tokio::time::sleep(SECOND).await;
        }
        raise.drain(StopReason::Stalled("no answer".to_owned()));
    });
    let ran = run_at(pace, 100, 32, &stop, script(|_, _, _: &str| AttemptResult::Busy)).await;
    assert!(ran.records.is_empty() && ran.took < SECOND * 1_802, "{:?}", ran.took);
    assert!(ran.sent.len() < 150, "{} requests in half an hour", ran.sent.len());
}

#[tokio::test(start_paused = true)]
async fn conflicts_of_four_users_are_their_own() {
    let busy = |id: &str| ["user3@", "user7@", "user11@", "user12@"].iter().any(|own| id.starts_with(own));
    let script = script(move |_, _, id: &str| {
        Attempt::of(if busy(id) { AttemptResult::Busy } else { AttemptResult::Accepted })
    });
    let ran = run_at(pace(), 40, 32, &Stop::new(), script).await;
    let failed: Vec<_> = ran.records.iter().filter(|record| record.outcome == Outcome::Failed).collect();
    assert_eq!(failed.len(), 4);
    assert!(failed.iter().all(|record| (record.attempts, record.reason) == (3, Some(Reason::Busy))));
}

#[tokio::test(start_paused = true)]
async fn service_with_503s_is_throttling_if_it_serves_some_users() {
    // One request in three is served.
    let some = script(|_, number, _: &str| {
        Attempt::of(if number % 3 == 0 {
            AttemptResult::Accepted
        } else {
            AttemptResult::Transient(TransientFailure::Unavailable)
        })
    });
    let ran = run_at(pace(), 200, 32, &Stop::new(), some).await;
    assert_eq!((ran.records.len(), failed(&ran.records)), (200, 0));
    let (pace, stop) = (pace(), Stop::new());
    let (raise, watched) = (stop.clone(), pace.clone());
    tokio::spawn(async move {
        tokio::time::sleep(SECOND * 600).await;
        assert!(matches!(watched.send_state(), SendState::Outage { .. }), "{:?}", watched.send_state());
        raise.drain(StopReason::Interrupted);
    });
    let none = script(|_, _, _: &str| AttemptResult::Transient(TransientFailure::Unavailable));
    let ran = run_at(pace, 200, 32, &stop, none).await;
    assert!(ran.records.is_empty());
    let late: Vec<_> = ran.sent.iter().filter(|at| **at > SECOND * 300).collect();
    assert!((9..=10).contains(&late.len()), "{late:?}");
}

/// A run of `users` against a scenario: exit code, what it said, and the simulator's ledger.
fn run_against(scenario: &str, users: u64, more: &[&str]) -> (Option<i32>, String, serde_json::Value) {
    let desk = tempfile::tempdir().expect("a folder");
    let service = Service::of(desk.path(), scenario);
    let list: String = (1..=users).map(|n| format!("user{n}@contoso.com\n")).collect();
    fs::write(desk.path().join("users.csv"), format!("userPrincipalName\n{list}")).expect("written");
    let mut command = service.command(desk.path(), &["run", "users.csv", "--yes", "--out", "out"]);
    let output = command.args(more).output().expect("run");
    (output.status.code(), said(&output), service.account("/__ledger"))
}

#[test]
fn conflicts_for_all_users_end_without_a_failed_user() {
    for more in [&[][..], &["--batch", "5"]] {
        let scenario = "title = \"another writer\"\nconflicts_s = [[0.0, 4.0]]\n";
        let (exit, text, ledger) = run_against(scenario, 60, more);
        assert_eq!((exit, &ledger["accepted"]), (Some(0), &60.into()), "{text}");
        let conflicts = ledger["by_status"]["409"].as_u64().expect("a count");
        assert!(conflicts < 60, "{conflicts} requests while nobody could be served");
    }
}

#[test]
fn quota_that_answers_503_without_time_fails_no_user() {
    for more in [&[][..], &["--batch", "5"]] {
        let scenario =
            "title = \"limiter\"\nwrites_per_second = 20.0\ncapacity = 20.0\nthrottle_with_503 = true\n";
        let (exit, text, ledger) = run_against(scenario, 100, more);
        assert_eq!((exit, &ledger["accepted"]), (Some(0), &100.into()), "{text}");
        let refused = ledger["by_status"]["503"].as_u64().expect("a count");
        assert!((1..=60).contains(&refused), "{refused} refused");
    }
}

/// An answer and its wait in milliseconds.
type Step = (AttemptResult, Option<u64>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let throttled = (0..3_usize, any::<bool>())
        .prop_map(|(scope, quota)| AttemptResult::Throttled(Throttle { scope: Scope::ALL[scope], quota }));
    let fault = prop_oneof![
        Just(TransientFailure::Server),
        Just(TransientFailure::Unavailable),
        Just(TransientFailure::Timeout),
        Just(TransientFailure::Broken),
        Just(TransientFailure::NotGraph),
    ];
    let kind = prop_oneof![
        3 => Just(AttemptResult::Accepted),
        2 => throttled,
        2 => Just(AttemptResult::Busy),
        3 => fault.prop_map(AttemptResult::Transient),
        1 => Just(AttemptResult::Rejected(Reason::NotFound)),
        1 => Just(AttemptResult::Unauthorized { claims: None }),
    ];
    // Some above `--max-wait`.
    let wait = prop_oneof![Just(None), (1..20_000_u64).prop_map(Some), (1..4_000_000_u64).prop_map(Some)];
    proptest::collection::vec((kind, wait), 1..150)
}

/// A wait that a user was told, or all of them.
struct Told {
    received: Duration,
    until: Duration,
    user: Option<String>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_request_is_sent_before_its_longest_wait_is_over(
        steps in steps(),
        users in 1..40_u64,
        concurrency in 1..12_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let early = runtime.expect("a runtime").block_on(async {
            let early = Arc::new(Mutex::new(Vec::new()));
            let (found, told) = (early.clone(), Mutex::new(Vec::<Told>::new()));
            let script = script(move |at, number, id: &str| {
                let mut told = told.lock().expect("no panic holds it");
                let holds = |told: &&Told| {
                    told.received < at && at < told.until && told.user.as_deref().is_none_or(|user| user == id)
                };
                if let Some(told) = told.iter().find(holds) {
                    let what = format!("{id} was sent at {at:?}, {:?} early", told.until - at);
                    found.lock().expect("no panic holds it").push(what);
                }
                let (kind, wait) = steps.get(number - 1).cloned().unwrap_or((AttemptResult::Accepted, None));
                let retry_after = wait.map(Duration::from_millis);
                let received = at + LATENCY;
                let user = (!matches!(kind, AttemptResult::Throttled(_))).then(|| id.to_owned());
                told.push(Told { received, until: received + retry_after.unwrap_or_default(), user });
                Attempt { retry_after, ..Attempt::of(kind) }
            });
            let bounds = Bounds { in_flight: 12, ..Bounds::default() };
            let pace = Pace::new(RateController::adaptive(20.0), bounds, None);
            let stop = Stop::new();
            let running = run_at(pace, users, concurrency, &stop, script);
            let ran = tokio::time::timeout(SECOND * 3_600 * 24 * 30, running).await;
            let mut early = std::mem::take(&mut *early.lock().expect("no panic holds it"));
            if ran.is_err() {
                early.push("the run did not end within a month".to_owned());
            }
            early
        });
        prop_assert!(early.is_empty(), "{early:#?}");
    }
}
