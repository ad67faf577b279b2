//! Gate, retry and worker pool under a paused clock with a scripted service. Pauses are asserted exactly.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reprovision::engine::dispatch::{Dispatch, Exchange};
use reprovision::model::{
    Attempt, AttemptResult, Item, Outcome, Reason, Record, Scope, Throttle, TransientFailure,
};
use reprovision::pace::{
    AdaptiveRate, Bounds, LearnedRate, Pace, RateController, RunningCooldown, SendState,
};
use reprovision::stop::{Stop, StopReason};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::pool_support::{self, Scripted, user};

/// Responses by the time since the start, the number of the request and the id.
pub(crate) type Script = Box<dyn Fn(Duration, usize, &str) -> Attempt + Send + Sync>;

/// A script of responses, or of results if nothing else matters.
pub(crate) fn script<A: Into<Attempt>>(
    answer: impl Fn(Duration, usize, &str) -> A + Send + Sync + 'static,
) -> Script {
    Box::new(move |at, number, id| answer(at, number, id).into())
}

/// Time until a response.
pub(crate) const LATENCY: Duration = Duration::from_millis(100);

fn scripted(
    began: Instant,
    token: Instant,
    script: Script,
    sent: Arc<Mutex<Vec<Duration>>>,
) -> impl Exchange<Pass = ()> {
    Scripted { began, token: move || token, latency: |_| LATENCY, script, sent }
}

fn answer(kind: AttemptResult) -> Attempt {
    Attempt { latency: LATENCY, ..Attempt::of(kind) }
}

pub(crate) struct Ran {
    pub(crate) records: Vec<Record>,
    pub(crate) sent: Vec<Duration>,
    pub(crate) took: Duration,
}

fn fixed(rate: f64) -> Arc<Pace> {
    Pace::new(RateController::Fixed, Bounds { rate, ..Bounds::default() }, None)
}

async fn run(users: u64, rate: f64, concurrency: usize, stop: &Stop, script: Script) -> Ran {
    run_at(fixed(rate), users, concurrency, stop, script).await
}

pub(crate) async fn run_at(
    pace: Arc<Pace>,
    users: u64,
    concurrency: usize,
    stop: &Stop,
    script: Script,
) -> Ran {
    run_with(pace, users, concurrency, stop, script, Duration::ZERO).await
}

async fn run_with(
    pace: Arc<Pace>,
    users: u64,
    concurrency: usize,
    stop: &Stop,
    script: Script,
    token: Duration,
) -> Ran {
    let began = Instant::now();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (feed, rows) = mpsc::channel(16);
    let exchange = scripted(began, began + token, script, sent.clone());
    tokio::spawn(async move {
        for number in 1..=users {
            if feed.send(Item::Send(user(number))).await.is_err() {
                return;
            }
        }
    });
    let records =
        pool_support::work(rows, Dispatch::new(exchange, pace, stop.clone()), 6, concurrency, stop).await;
    let sent = sent.lock().expect("no panic holds it").clone();
    Ran { records, sent, took: began.elapsed() }
}

fn throttled(wait: u64) -> Attempt {
    let kind = AttemptResult::Throttled(Throttle { scope: Scope::default(), quota: true });
    Attempt { retry_after: Some(Duration::from_secs(wait)), ..answer(kind) }
}

#[tokio::test(start_paused = true)]
async fn panic_stops_run_and_requests_in_flight_are_recorded() {
    let stop = Stop::new();
    let script = script(|_, number, _| match number {
        2 => panic!("an unexpected case"),
        _ => AttemptResult::Accepted,
    });
    let ran = run(10, 20.0, 2, &stop, script).await;
    // The second panics at 150 ms, while the third, sent at 100 ms, is in flight.
    assert_eq!(ran.sent.len(), 3);
    assert_eq!(ran.records.iter().map(|record| record.row).collect::<Vec<_>>(), [1, 3]);
    let bug = "a worker ended unexpectedly: an unexpected case".to_owned();
    assert_eq!(stop.reasons(), [StopReason::Bug(bug)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_during_a_pause_and_then_one_probe() {
    let ran = run(
        200,
        20.0,
        32,
        &Stop::new(),
        script(|_, number, _| if number == 50 { throttled(41) } else { AttemptResult::Accepted.into() }),
    )
    .await;
    assert_eq!(ran.records.len(), 200);
    let throttled_at = ran.sent[49] + Duration::from_millis(100);
    let before = ran.sent.iter().filter(|at| **at <= throttled_at).count();
    assert_eq!(ran.sent[before], throttled_at + Duration::from_secs(41), "to the instant");
    assert_eq!(
        ran.sent[before + 1],
        ran.sent[before] + Duration::from_millis(100),
        "no other request until the probe is answered"
    );
    assert_eq!(ran.records.iter().map(|record| record.throttled).sum::<u32>(), 1);
}

#[tokio::test(start_paused = true)]
async fn ten_minute_outage_fails_no_user() {
    let out = Duration::from_secs(5)..Duration::from_secs(605);
    let script = script(move |at, _, _| {
        if out.contains(&at) {
            AttemptResult::Transient(TransientFailure::Unavailable)
        } else {
            AttemptResult::Accepted
        }
    });
    let ran = run(1_000, 18.0, 32, &Stop::new(), script).await;
    assert_eq!(ran.records.len(), 1_000);
    assert!(ran.records.iter().all(|record| record.outcome == Outcome::Accepted));
    let probes = ran
        .sent
        .iter()
        .filter(|at| (Duration::from_secs(60)..Duration::from_secs(600)).contains(*at))
        .count();
    assert!(probes <= 18, "{probes} requests in nine minutes of outage: one each 30 s");
}

#[tokio::test(start_paused = true)]
async fn outage_does_not_use_up_the_second_of_two_attempts() {
    let out = Duration::ZERO..Duration::from_secs(600);
    let script = script(move |at, _, _| {
        if out.contains(&at) {
            AttemptResult::Transient(TransientFailure::Timeout)
        } else {
            AttemptResult::Accepted
        }
    });
    let (stop, began) = (Stop::new(), Instant::now());
    let exchange = scripted(began, began, script, Arc::default());
    let (feed, rows) = mpsc::channel(25);
    for number in 1..=25 {
        feed.send(Item::Send(user(number))).await.expect("room");
    }
    drop(feed);
    let records =
        pool_support::work(rows, Dispatch::new(exchange, fixed(50.0), stop.clone()), 2, 32, &stop).await;
    assert_eq!(records.len(), 25);
    assert!(records.iter().all(|record| record.outcome == Outcome::Accepted));
    // Some failed as the first request, failed as a probe, and were then accepted.
    assert!(records.iter().any(|record| record.attempts > 2));
}

#[tokio::test(start_paused = true)]
async fn one_failing_user_does_not_pause_the_run() {
    let script = script(|_, _, id| {
        if id == "user100@contoso.com" {
            AttemptResult::Transient(TransientFailure::Server)
        } else {
            AttemptResult::Accepted
        }
    });
    let ran = run(100, 50.0, 8, &Stop::new(), script).await;
    let failed: Vec<_> = ran.records.iter().filter(|record| record.outcome == Outcome::Failed).collect();
    assert_eq!((failed.len(), failed[0].row, failed[0].attempts), (1, 100, 6));
}

#[tokio::test(start_paused = true)]
async fn failing_users_at_end_of_list_are_not_an_outage() {
    // One user of ten fails. The others are accepted within seconds; the sixty get further attempts for a
    // minute.
    let fails = |id: &str| id.split('@').next().is_some_and(|name| name.ends_with('7'));
    let script = script(move |_, _, id| {
        if fails(id) { AttemptResult::Transient(TransientFailure::Server) } else { AttemptResult::Accepted }
    });
    let stop = Stop::new();
    let ran = tokio::time::timeout(Duration::from_secs(180), run(600, 100.0, 100, &stop, script)).await;
    let ran = ran.expect("no pause");
    let failed: Vec<_> = ran.records.iter().filter(|record| record.outcome == Outcome::Failed).collect();
    assert_eq!((ran.records.len(), failed.len()), (600, 60));
    assert!(failed.iter().all(|record| record.attempts == 6));
}

#[tokio::test(start_paused = true)]
async fn drain_ends_long_pause_without_records() {
    let stop = Stop::new();
    let raise = stop.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(10)).await;
        raise.drain(StopReason::Interrupted);
    });
    let ran = run(100, 50.0, 8, &stop, script(|_, _, _| throttled(3_600))).await;
    assert_eq!(ran.took, Duration::from_secs(10));
    assert!(ran.records.is_empty());
}

#[tokio::test(start_paused = true)]
async fn fixed_rate_is_never_exceeded_within_an_hour() {
    let ran = run(20_000, 20.0, 32, &Stop::new(), script(|_, _, _| AttemptResult::Accepted)).await;
    assert_eq!(ran.records.len(), 20_000);
    let busiest = ran.sent.windows(21).map(|window| window[20] - window[0]).min().expect("requests");
    assert!(busiest >= Duration::from_millis(999), "21 requests in {busiest:?} at 20/s");
    assert!(ran.took >= Duration::from_secs(999) && ran.took <= Duration::from_secs(1_001), "{:?}", ran.took);
}

/// Admits up to `parts` and settles each as accepted. Returns the number of parts and the time until
/// admission.
async fn accepted(pace: &Arc<Pace>, parts: u32) -> (u32, Duration) {
    let began = Instant::now();
    let mut ticket = pace.admit(parts).await;
    for row in 0..ticket.parts() {
        pace.settle(&mut ticket, u64::from(row), &answer(AttemptResult::Accepted));
    }
    (ticket.parts(), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn batch_is_sent_whole_and_charged_per_part() {
    let pace = Pace::new(RateController::Fixed, Bounds { rate: 10.0, group: 20, in_flight: 25 }, None);
    assert_eq!(accepted(&pace, 20).await, (20, Duration::ZERO));
    // The next group waits for two seconds of the rate limit, because its parts are twenty writes.
    let (parts, waited) = accepted(&pace, 20).await;
    assert_eq!(parts, 20);
    assert!((1_999..=2_001).contains(&waited.as_millis()), "{waited:?}");
    // The parts in flight stay within the bound: the second group is smaller, and the third waits for the
    // first.
    sleep(Duration::from_secs(60)).await;
    let first = pace.admit(20).await;
    let second = pace.admit(20).await;
    assert_eq!((first.parts(), second.parts()), (20, 5));
    let third = tokio::time::timeout(Duration::from_secs(60), pace.admit(20)).await;
    assert!(third.is_err(), "a 26th part in flight");
    drop(first);
    assert_eq!(pace.admit(20).await.parts(), 20, "dropped parts are free again");
}

#[tokio::test(start_paused = true)]
async fn probe_after_a_throttled_batch_has_a_single_part() {
    let pace = Pace::new(RateController::Fixed, Bounds { rate: 1_000.0, group: 20, in_flight: 100 }, None);
    let mut ticket = pace.admit(2).await;
    pace.settle(&mut ticket, 1, &throttled(5));
    let began = Instant::now();
    pace.settle(&mut ticket, 2, &throttled(9));
    let mut probe = pace.admit(20).await;
    assert_eq!(
        (probe.parts(), began.elapsed()),
        (1, Duration::from_secs(9)),
        "the longest pause of its parts"
    );
    let other = tokio::time::timeout(Duration::from_secs(60), pace.admit(20)).await;
    assert!(other.is_err(), "two probes at the same time");
    // A busy object is not throttled, so the probe counts as served.
    pace.settle(&mut probe, 1, &answer(AttemptResult::Busy));
    assert_eq!(pace.admit(20).await.parts(), 20);
}

#[tokio::test(start_paused = true)]
async fn suspended_and_continued_process_sends_no_burst() {
    // The controller has a learned rate and no burst. The process is suspended for a minute after 100
    // seconds.
    for (controller, rate, most_in_a_second) in [
        (RateController::Fixed, 20.0, 22),
        // Up to a quarter of a second is sent immediately, at a pace 5% above the rate.
        (known(20.0), Bounds::default().rate, 27),
    ] {
        let pace = Pace::new(controller, Bounds { rate, in_flight: 32, group: 1 }, None);
        tokio::spawn(async {
            sleep(Duration::from_secs(100)).await;
            tokio::time::advance(Duration::from_secs(60)).await;
        });
        let ran = run_at(pace, 4_000, 32, &Stop::new(), script(|_, _, _| AttemptResult::Accepted)).await;
        let after: Vec<_> = ran.sent.iter().filter(|at| **at >= Duration::from_secs(160)).collect();
        let stood = ran.sent.windows(2).map(|pair| pair[1] - pair[0]).max().expect("requests");
        assert!(stood >= Duration::from_secs(59), "the process was not suspended: {stood:?}");
        let first_second = after.iter().take_while(|at| ***at < *after[0] + Duration::from_secs(1)).count();
        assert!(first_second <= most_in_a_second, "{first_second} in the first second");
    }
}

#[tokio::test(start_paused = true)]
async fn users_that_waited_for_a_token_are_not_sent_together() {
    for (controller, most_in_a_second) in [(RateController::Fixed, 3), (known(2.0), 3)] {
        let pace = Pace::new(controller, Bounds { rate: 2.0, in_flight: 32, group: 1 }, None);
        let accept = script(|_, _, _| AttemptResult::Accepted);
        let ran = run_with(pace, 80, 32, &Stop::new(), accept, Duration::from_secs(20)).await;
        assert_eq!(ran.records.len(), 80);
        assert!(ran.sent.iter().all(|at| *at >= Duration::from_secs(20)));
        let in_a_second = |from: &Duration| {
            ran.sent.iter().filter(|at| (*from..*from + Duration::from_secs(1)).contains(*at)).count()
        };
        let most = ran.sent.iter().map(in_a_second).max();
        assert!(most.is_some_and(|most| most <= most_in_a_second), "{most:?} in a second at 2/s");
    }
}

/// A controller that knows its rate and has no burst left.
fn known(rate: f64) -> RateController {
    let learned = LearnedRate { rate: Some(rate), burst: 0.0 };
    RateController::Adaptive(Box::new(
        AdaptiveRate::new(rate, Instant::now()).resume(learned, Duration::ZERO),
    ))
}

#[tokio::test(start_paused = true)]
async fn outage_does_not_change_the_learned_rate() {
    let out = Duration::from_secs(200)..Duration::from_secs(800);
    let script = script(move |at, _, _| {
        if out.contains(&at) {
            AttemptResult::Transient(TransientFailure::Unavailable)
        } else {
            AttemptResult::Accepted
        }
    });
    let pace = Pace::new(known(20.0), Bounds { in_flight: 32, ..Bounds::default() }, None);
    let ran = run_at(pace.clone(), 12_000, 32, &Stop::new(), script).await;
    assert!(ran.records.iter().all(|record| record.outcome == Outcome::Accepted));
    let over = ran.sent.iter().position(|at| *at >= Duration::from_secs(800)).expect("requests after it");
    let (from, to) = (ran.sent[over] + Duration::from_secs(1), ran.sent[over] + Duration::from_secs(31));
    let sent = ran.sent.iter().filter(|at| (from..to).contains(*at)).count() as f64 / 30.0;
    assert!((18.0..=21.0).contains(&sent), "{sent}/s after ten minutes of outage at a rate of 20/s");
    let (learned, _) = pace.learned().expect("a controller that measures");
    assert_eq!(learned.rate, Some(20.0));
}

#[tokio::test(start_paused = true)]
async fn ramp_up_admits_one_more_request_per_answer() {
    let pace = Pace::new(RateController::adaptive(20.0), Bounds { in_flight: 8, ..Bounds::default() }, None);
    let mut held = Vec::new();
    for answers in 0..10_usize {
        let most = 8.min(4 + answers);
        while held.len() < most {
            held.push(pace.admit(1).await);
        }
        let more = tokio::time::timeout(Duration::from_secs(60), pace.admit(1)).await;
        assert!(more.is_err(), "more than {most} in flight after {answers} answers");
        let mut first = held.remove(0);
        pace.settle(&mut first, 1, &answer(AttemptResult::Accepted));
    }
}

#[tokio::test(start_paused = true)]
async fn stall_time_excludes_pauses_and_includes_failed_probes() {
    let pace = fixed(20.0);
    let mut ticket = pace.admit(1).await;
    sleep(Duration::from_secs(40)).await;
    assert_eq!(pace.silent_for(), Duration::from_secs(40));
    pace.settle(&mut ticket, 1, &throttled(300));
    sleep(Duration::from_secs(300)).await;
    assert_eq!(pace.silent_for(), Duration::from_secs(40), "a pause of 300 s was announced");
    // A service that announces one pause after another does not answer either. Only the longest pause is
    // excluded.
    for _ in 0..3 {
        let mut probe = pace.admit(1).await;
        pace.settle(&mut probe, 1, &throttled(300));
    }
    let _ = pace.admit(1).await;
    assert_eq!(pace.silent_for(), Duration::from_secs(40 + 3 * 300));
    let mut probe = pace.admit(1).await;
    pace.settle(&mut probe, 1, &answer(AttemptResult::Accepted));
    assert_eq!(pace.silent_for(), Duration::ZERO);
    sleep(Duration::from_secs(100)).await;
    assert_eq!(
        pace.silent_for(),
        Duration::from_secs(100),
        "pauses announced before a response do not count"
    );
}

#[tokio::test(start_paused = true)]
async fn stall_time_excludes_a_pause_from_an_earlier_invocation() {
    let pace = fixed(20.0);
    pace.restore(Scope::Tenant, Duration::from_secs(7_200));
    sleep(Duration::from_secs(7_200)).await;
    assert_eq!(pace.silent_for(), Duration::ZERO, "two hours were announced to the earlier invocation");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(pace.silent_for(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn later_of_two_restored_pauses_of_a_scope_holds() {
    let pace = fixed(20.0);
    pace.restore(Scope::Tenant, Duration::from_secs(50));
    pace.restore(Scope::Tenant, Duration::from_secs(20));
    let began = Instant::now();
    let _ = pace.admit(1).await;
    assert_eq!(began.elapsed(), Duration::from_secs(50));
}

#[tokio::test(start_paused = true)]
async fn duration_counts_from_the_first_request_not_from_the_queue() {
    let ran = run(40, 1.0, 32, &Stop::new(), script(|_, _, _| AttemptResult::Accepted)).await;
    assert_eq!(ran.records.len(), 40);
    for record in ran.records {
        assert_eq!(record.duration_ms, Some(100), "row {}", record.row);
    }
}

#[tokio::test(start_paused = true)]
async fn no_user_is_sent_if_records_cannot_be_written() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let script = script(|_, _, _| AttemptResult::Accepted);
    let (feed, rows) = mpsc::channel(16);
    // The journal thread has ended without reporting an error, as it does if it panics.
    let (events, inbox) = mpsc::channel(16);
    drop(inbox);
    let stop = Stop::new();
    let began = Instant::now();
    let exchange = scripted(began, began, script, sent.clone());
    tokio::spawn(async move {
        for number in 1..=200 {
            let _ = feed.send(Item::Send(user(number))).await;
        }
    });
    let dispatch = Dispatch::new(exchange, fixed(1_000.0), stop.clone());
    pool_support::work_for(events, rows, dispatch, 6, 4, &stop).await;
    let sent = sent.lock().expect("no panic holds it").len();
    assert!(sent <= 4, "{sent} requests for a journal that is gone");
    assert!(matches!(stop.reasons().as_slice(), [StopReason::Bug(_)]), "{:?}", stop.reasons());
}

#[tokio::test(start_paused = true)]
async fn throttling_pauses_and_used_share_are_counted() {
    let pace = Pace::new(known(20.0), Bounds { in_flight: 32, ..Bounds::default() }, None);
    // One throttled response in a thousand seconds. The probe takes a tenth of a second.
    let script =
        script(|_, number, _| if number == 1_000 { throttled(10) } else { AttemptResult::Accepted.into() });
    run_at(pace.clone(), 20_000, 32, &Stop::new(), script).await;
    let stats = pace.throttle_stats();
    assert_eq!((stats.throttled, stats.pauses), ([1, 0, 0], 1));
    assert_eq!((stats.longest, stats.waited), (Duration::from_secs(10), Duration::from_millis(10_100)));
    assert_eq!(stats.rate, Some(20.0), "a used-up burst does not measure the rate");
    let used = stats.used.expect("a request was throttled");
    assert!((0.9..=1.0).contains(&used), "{used}");
    assert_eq!(fixed(20.0).throttle_stats().used, None);
}

#[tokio::test(start_paused = true)]
async fn used_share_is_one_half_at_half_the_rate() {
    let pace = Pace::new(known(20.0), Bounds { in_flight: 1, ..Bounds::default() }, None);
    // One request in flight takes a tenth of a second: ten per second are sent and twenty are allowed.
    let script =
        script(|_, number, _| if number == 10 { throttled(1) } else { AttemptResult::Accepted.into() });
    run_at(pace.clone(), 10_000, 1, &Stop::new(), script).await;
    let used = pace.throttle_stats().used.expect("a request was throttled");
    assert!((0.49..=0.51).contains(&used), "{used}");
}

#[tokio::test(start_paused = true)]
async fn used_share_is_unknown_if_list_ends_after_a_pause() {
    for (first, at) in [(280, "near the end"), (299, "at the end")] {
        let pace = Pace::new(known(20.0), Bounds { in_flight: 32, ..Bounds::default() }, None);
        // Of 300 users only a few remain after the pause, and the service gives 200 writes in ten seconds.
        let script = script(move |_, number, _| {
            if number >= first && number < first + 5 { throttled(10) } else { AttemptResult::Accepted.into() }
        });
        run_at(pace.clone(), 300, 32, &Stop::new(), script).await;
        let stats = pace.throttle_stats();
        assert!(stats.throttled[0] > 0, "{at}: no request was throttled");
        assert_eq!(stats.used, None, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn outage_is_reported_probed_and_not_counted() {
    let pace = fixed(1_000.0);
    let fault = answer(AttemptResult::Transient(TransientFailure::Timeout));
    let mut tickets = Vec::new();
    for _ in 0..20 {
        tickets.push(pace.admit(1).await);
    }
    assert_eq!(pace.in_flight(), 20);
    let since = Instant::now();
    let streaks: Vec<_> =
        tickets.iter_mut().zip(1..).map(|(ticket, row)| pace.settle(ticket, row, &fault).streak).collect();
    let first = streaks[0].expect("a streak");
    assert!(streaks.iter().all(|streak| *streak == Some(first)), "{streaks:?}");
    assert!(pace.was_outage(first));
    assert_eq!(pace.in_flight(), 0);
    for probe in 1..=3 {
        let next_probe = since + Duration::from_secs(30) * probe;
        assert_eq!(pace.send_state(), SendState::Outage { since, next_probe });
        let mut ticket = pace.admit(20).await;
        assert_eq!((Instant::now(), ticket.parts()), (next_probe, 1));
        let kind = if probe == 3 {
            AttemptResult::Rejected(Reason::NotFound)
        } else {
            AttemptResult::Transient(TransientFailure::Server)
        };
        pace.settle(&mut ticket, 21, &answer(kind));
    }
    assert_eq!(pace.send_state(), SendState::Open);
    let mut ticket = pace.admit(1).await;
    let second = pace.settle(&mut ticket, 1, &fault).streak.expect("a streak");
    assert!(pace.was_outage(first) && !pace.was_outage(second));
}

#[tokio::test(start_paused = true)]
async fn saved_pause_is_reported_until_it_ends() {
    let pace = fixed(20.0);
    assert_eq!((pace.send_state(), pace.cooling()), (SendState::Open, Vec::new()));
    let cooling = |scope, seconds| {
        let length = Duration::from_secs(seconds);
        RunningCooldown { scope, until: Instant::now() + length, length, announced: true }
    };
    let (long, short) = (cooling(Scope::Tenant, 50), cooling(Scope::App, 20));
    pace.restore(Scope::Tenant, Duration::from_secs(50));
    pace.restore(Scope::App, Duration::from_secs(20));
    assert_eq!(pace.send_state(), SendState::CoolDown(long), "the cool-down that ends last");
    let mut cooldowns = pace.cooling();
    cooldowns.sort_by_key(|cooling| cooling.until);
    assert_eq!(cooldowns, [short, long]);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(pace.cooling(), [long]);
    sleep(Duration::from_secs(30)).await;
    assert_eq!((pace.send_state(), pace.cooling()), (SendState::Open, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn throttled_responses_that_overlap_are_one_pause() {
    let pace = Pace::new(known(20.0), Bounds { in_flight: 4, ..Bounds::default() }, None);
    let mut tickets = Vec::new();
    for _ in 0..3 {
        tickets.push(pace.admit(1).await);
    }
    assert_eq!(pace.learned().expect("a controller that measures").1, Some(Instant::now()), "the last write");
    let began = Instant::now();
    for (ticket, row) in tickets.iter_mut().zip(1..) {
        pace.settle(ticket, row, &throttled(5));
        sleep(Duration::from_secs(1)).await;
    }
    let mut probe = pace.admit(1).await;
    assert_eq!(began.elapsed(), Duration::from_secs(7));
    pace.settle(&mut probe, 1, &answer(AttemptResult::Accepted));
    let stats = pace.throttle_stats();
    assert_eq!((stats.throttled, stats.pauses, stats.waited), ([3, 0, 0], 1, Duration::from_secs(7)));
    let mut ticket = pace.admit(1).await;
    pace.settle(&mut ticket, 1, &throttled(9));
    sleep(Duration::from_secs(2)).await;
    let stats = pace.throttle_stats();
    assert_eq!((stats.pauses, stats.longest), (2, Duration::from_secs(9)));
    assert_eq!(stats.waited, Duration::from_secs(7 + 2), "a pause that is not over counts up to now");
}
