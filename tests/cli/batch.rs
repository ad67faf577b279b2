//! `--batch`: batches with a scripted exchange in paused time, and `$batch` against the simulator over sockets.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reprovision::auth::{TokenSource, Tokens};
use reprovision::engine::dispatch::{Dispatch, Exchange};
use reprovision::graph::{BatchPart, Client, ClientConfig, Connections};
use reprovision::model::{
    Attempt, AttemptResult, Item, ObjectKind, Outcome, Record, Row, Scope, Throttle, TransientFailure,
    UserId, WallClock,
};
use reprovision::pace::{Bounds, Pace, RateController};
use reprovision::simulator::{Ledger, Scenario, Simulator};
use reprovision::stop::{Stop, StopReason};
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::pool_support;

/// Time from sending a request to its answer.
const LATENCY: Duration = Duration::from_millis(100);
const UNAVAILABLE: AttemptResult = AttemptResult::Transient(TransientFailure::Unavailable);
const UNREADABLE: AttemptResult = AttemptResult::Transient(TransientFailure::Broken);

/// A request that was sent: its time since the start, its number of users, and whether it is a batch.
#[derive(Clone, Debug, PartialEq)]
struct SentRequest {
    at: Duration,
    users: usize,
    batch: bool,
}

/// Returns the answer for one user, from the request, its number from 1, and the user's place in it.
type Script = Box<dyn Fn(&SentRequest, usize, usize) -> BatchPart + Send + Sync>;

/// An exchange that answers as its script says.
struct ScriptedExchange {
    began: Instant,
    script: Script,
    /// Time that fetching the token takes, by the number of the request that waits for it.
    token: fn(usize) -> Duration,
    sent: Arc<Mutex<Vec<SentRequest>>>,
}

impl ScriptedExchange {
    async fn answer(&self, users: usize, batch: bool) -> Vec<BatchPart> {
        let sent = SentRequest { at: self.began.elapsed(), users, batch };
        let number = {
            let mut all = self.sent.lock().expect("no panic holds it");
            all.push(sent.clone());
            all.len()
        };
        sleep(LATENCY).await;
        (0..users).map(|place| (self.script)(&sent, number, place)).collect()
    }
}

impl Exchange for ScriptedExchange {
    type Pass = ();

    async fn prepare(&self) -> Result<(), String> {
        let number = self.sent.lock().expect("no panic holds it").len() + 1;
        sleep((self.token)(number)).await;
        Ok(())
    }

    async fn send(&self, (): &(), _id: &UserId) -> Attempt {
        self.answer(1, false).await.remove(0).into_attempt()
    }

    async fn send_batch(&self, (): &(), ids: &[UserId]) -> Vec<BatchPart> {
        self.answer(ids.len(), true).await
    }

    fn rejected(&self, _attempt: &Attempt) {}
}

fn attempt(kind: AttemptResult) -> Attempt {
    Attempt { latency: LATENCY, ..Attempt::of(kind) }
}

fn answered(kind: impl Into<Attempt>) -> BatchPart {
    BatchPart::Answered(Attempt { latency: LATENCY, ..kind.into() })
}

fn accepted() -> BatchPart {
    answered(AttemptResult::Accepted)
}

fn throttled(seconds: u64) -> Attempt {
    let kind = AttemptResult::Throttled(Throttle { scope: Scope::default(), quota: true });
    Attempt { retry_after: Some(Duration::from_secs(seconds)), ..attempt(kind) }
}

/// The result of a run.
struct RunResult {
    records: Vec<Record>,
    sent: Vec<SentRequest>,
    took: Duration,
}

impl RunResult {
    /// Returns the time in milliseconds and the number of users of each request.
    fn requests(&self) -> Vec<(u128, usize)> {
        self.sent.iter().map(|sent| (sent.at.as_millis(), sent.users)).collect()
    }
}

/// The settings of a run.
#[derive(Clone, Copy)]
struct RunSettings {
    users: u64,
    rate: f64,
    concurrency: usize,
    batch: usize,
    /// Time between two users of the input.
    apart: Duration,
    token: fn(usize) -> Duration,
    /// `--max-attempts`
    max_attempts: u32,
}

const DEFAULTS: RunSettings = RunSettings {
    users: 40,
    rate: 1_000.0,
    concurrency: 100,
    batch: 20,
    apart: Duration::ZERO,
    token: |_| Duration::ZERO,
    max_attempts: 6,
};

async fn work<E: Exchange>(settings: RunSettings, exchange: E, pace: Arc<Pace>, stop: &Stop) -> Vec<Record> {
    let (feed, rows) = mpsc::channel(16);
    tokio::spawn(async move {
        for number in 1..=settings.users {
            if number > 1 && !settings.apart.is_zero() {
                sleep(settings.apart).await;
            }
            let id = UserId::parse(&format!("{number:08x}-0000-4000-8000-000000000000")).expect("an id");
            let row = Row { number, line: number + 1, shown: id.as_str().into(), id };
            if feed.send(Item::Send(row)).await.is_err() {
                return;
            }
        }
    });
    let dispatch = Dispatch::batched(exchange, pace, stop.clone(), settings.batch);
    let mut records =
        pool_support::work(rows, dispatch, settings.max_attempts, settings.concurrency, stop).await;
    records.sort_by_key(|record| record.row);
    records
}

fn bounds(settings: RunSettings) -> Bounds {
    Bounds { rate: settings.rate, in_flight: settings.concurrency, group: settings.batch as u32 }
}

async fn run(settings: RunSettings, stop: &Stop, script: Script) -> RunResult {
    let began = Instant::now();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let scripted = ScriptedExchange { began, script, token: settings.token, sent: sent.clone() };
    let pace = Pace::new(RateController::Fixed, bounds(settings), None);
    let records = work(settings, scripted, pace, stop).await;
    let sent = sent.lock().expect("no panic holds it").clone();
    RunResult { records, sent, took: began.elapsed() }
}

#[tokio::test(start_paused = true)]
async fn full_batch_is_sent_immediately_and_partial_batch_when_due() {
    for (rate, waits) in [(10.0, 1_000), (50.0, 400), (1_000.0, 20)] {
        let settings = RunSettings { users: 23, rate, ..DEFAULTS };
        let result = run(settings, &Stop::new(), Box::new(|_, _, _| accepted())).await;
        // The second batch waits for more users for a second or the time of twenty writes, whichever is shorter.
        assert_eq!(result.requests(), [(0, 20), (waits, 3)], "at {rate}/s");
        assert_eq!(result.records.len(), 23);
        assert!(result.sent.iter().all(|sent| sent.batch));
    }
}

#[tokio::test(start_paused = true)]
async fn rate_counts_batch_parts_and_admits_the_batch_whole() {
    let settings = RunSettings { users: 100, rate: 10.0, ..DEFAULTS };
    let result = run(settings, &Stop::new(), Box::new(|_, _, _| accepted())).await;
    assert!(result.sent.iter().all(|sent| sent.users == 20 && sent.batch), "{:?}", result.sent);
    assert_eq!(result.sent.len(), 5);
    for pair in result.sent.windows(2) {
        let apart = (pair[1].at - pair[0].at).as_millis();
        assert!((1_999..=2_001).contains(&apart), "twenty writes of 10/s in {apart} ms");
    }
    assert_eq!(
        result.records.iter().filter(|record| record.attempts == 1).count(),
        100,
        "attempts are counted per user"
    );
}

#[tokio::test(start_paused = true)]
async fn batch_of_one_user_is_a_plain_request() {
    let settings = RunSettings { users: 3, apart: Duration::from_secs(5), ..DEFAULTS };
    let result = run(settings, &Stop::new(), Box::new(|_, _, _| accepted())).await;
    assert_eq!(result.requests(), [(20, 1), (5_020, 1), (10_020, 1)]);
    assert!(result.sent.iter().all(|sent| !sent.batch));
}

#[tokio::test(start_paused = true)]
async fn users_in_flight_never_exceed_concurrency() {
    let settings = RunSettings { users: 200, rate: 100_000.0, concurrency: 30, ..DEFAULTS };
    let result = run(settings, &Stop::new(), Box::new(|_, _, _| accepted())).await;
    let in_flight = |at: Duration| {
        result
            .sent
            .iter()
            .filter(|sent| sent.at <= at && at < sent.at + LATENCY)
            .map(|sent| sent.users)
            .sum::<usize>()
    };
    let most = result.sent.iter().map(|sent| in_flight(sent.at)).max();
    assert_eq!((most, result.records.len()), (Some(30), 200));
}

#[tokio::test(start_paused = true)]
async fn batch_takes_no_user_after_its_last_cooldown_check() {
    // The first token takes ten seconds. In this time four more users arrive, one every two seconds.
    let token = |number| if number == 1 { Duration::from_secs(10) } else { Duration::ZERO };
    let settings = RunSettings { users: 5, apart: Duration::from_secs(2), token, ..DEFAULTS };
    let result = run(settings, &Stop::new(), Box::new(|_, _, _| accepted())).await;
    assert_eq!(result.sent.iter().map(|sent| sent.users).collect::<Vec<_>>(), [1; 5], "{:?}", result.sent);
    assert!(result.sent.iter().all(|sent| sent.at >= Duration::from_secs(10)));
}

#[tokio::test(start_paused = true)]
async fn longest_wait_of_a_part_pauses_all_and_is_followed_by_a_probe() {
    let script: Script = Box::new(|_, number, place| match (number, place) {
        (1, 4) => answered(throttled(30)),
        (1, 7) => answered(throttled(41)),
        _ => accepted(),
    });
    let settings = RunSettings { users: 60, rate: 20.0, concurrency: 60, ..DEFAULTS };
    let result = run(settings, &Stop::new(), script).await;
    let reopened = (LATENCY + Duration::from_secs(41)).as_millis();
    let requests = result.requests();
    assert_eq!(
        requests[..2],
        [(0, 20), (reopened, 1)],
        "the probe is a single request at the exact instant: {requests:?}"
    );
    assert!(requests[2].0 >= reopened + LATENCY.as_millis() && requests[2].1 > 1, "{requests:?}");
    assert_eq!(result.records.iter().map(|record| record.throttled).sum::<u32>(), 2);
    assert!(result.records.iter().all(|record| record.outcome == Outcome::Accepted));
    assert_eq!(result.records.iter().map(|record| record.attempts).sum::<u32>(), 62);
}

#[tokio::test(start_paused = true)]
async fn failed_batch_counts_as_one_failure_and_not_as_outage() {
    let script: Script =
        Box::new(
            |_, number, _| {
                if number == 1 { BatchPart::BatchFailed(attempt(UNAVAILABLE)) } else { accepted() }
            },
        );
    let result = run(RunSettings { users: 20, ..DEFAULTS }, &Stop::new(), script).await;
    assert_eq!(result.requests(), [(0, 20), (1_100, 20)], "sent again after the first backoff of a user");
    assert!(result.records.iter().all(|record| record.outcome == Outcome::Accepted && record.attempts == 2));
}

#[tokio::test(start_paused = true)]
async fn only_failing_batches_are_an_outage_without_failed_users() {
    let out = Duration::from_secs(3)..Duration::from_secs(600);
    let script: Script = Box::new(move |sent, _, _| {
        if out.contains(&sent.at) { BatchPart::BatchFailed(attempt(UNAVAILABLE)) } else { accepted() }
    });
    let settings = RunSettings { users: 3_000, rate: 100.0, ..DEFAULTS };
    let result = run(settings, &Stop::new(), script).await;
    assert_eq!(result.records.len(), 3_000);
    assert!(result.records.iter().all(|record| record.outcome == Outcome::Accepted));
    let late = Duration::from_secs(60)..Duration::from_secs(600);
    let probes: Vec<_> = result.sent.iter().filter(|sent| late.contains(&sent.at)).collect();
    assert!(probes.len() <= 18 && probes.iter().all(|sent| sent.users == 1), "{probes:?}");
}

#[tokio::test(start_paused = true)]
async fn rejected_http2_costs_no_attempt_and_is_not_an_outage() {
    let refused = AttemptResult::Transient(TransientFailure::Http2Refused);
    for batch in [1, 20] {
        let kind = refused.clone();
        let script: Script = Box::new(move |sent, _, _| {
            if sent.at < LATENCY { BatchPart::BatchFailed(attempt(kind.clone())) } else { accepted() }
        });
        let result = run(RunSettings { batch, max_attempts: 1, ..DEFAULTS }, &Stop::new(), script).await;
        assert_eq!(result.records.len(), 40);
        assert!(
            result.records.iter().all(|record| record.outcome == Outcome::Accepted),
            "batches of {batch}"
        );
        assert!(result.took < Duration::from_secs(2), "{:?} with batches of {batch}", result.took);
    }
}

#[tokio::test(start_paused = true)]
async fn user_without_batch_answer_is_retried_alone() {
    let script: Script = Box::new(|sent, number, place| match (number, place) {
        (1, 3 | 5) => BatchPart::NoAnswer(attempt(UNREADABLE)),
        (_, _) if sent.batch && number > 1 => panic!("a second batch"),
        _ => accepted(),
    });
    let result = run(RunSettings { users: 20, ..DEFAULTS }, &Stop::new(), script).await;
    assert_eq!(result.requests(), [(0, 20), (1_100, 1), (1_100, 1)], "each user in a request of their own");
    let twice: Vec<_> =
        result.records.iter().filter(|record| record.attempts == 2).map(|record| record.row).collect();
    assert_eq!(twice.len(), 2);
    assert!(result.records.iter().all(|record| record.outcome == Outcome::Accepted));
}

#[tokio::test(start_paused = true)]
async fn batching_is_switched_off_after_unreadable_batches() {
    let script: Script =
        Box::new(|sent, _, _| if sent.batch { BatchPart::NoAnswer(attempt(UNREADABLE)) } else { accepted() });
    let settings = RunSettings { users: 400, rate: 100.0, concurrency: 40, ..DEFAULTS };
    let result = run(settings, &Stop::new(), script).await;
    assert!(
        result.records.len() == 400
            && result.records.iter().all(|record| record.outcome == Outcome::Accepted)
    );
    let batches = result.sent.iter().filter(|sent| sent.batch).count();
    assert!((5..=7).contains(&batches), "{batches} unreadable batches");
    assert!(result.records.iter().all(|record| record.attempts <= 2));
}

#[tokio::test(start_paused = true)]
async fn drain_drops_unsent_batches_and_waits_for_sent_ones() {
    for (at, expected) in [(500, 0), (1_050, 3)] {
        // Three users wait up to a second for more users; the answer takes 100 ms more.
        let settings = RunSettings { users: 3, rate: 10.0, ..DEFAULTS };
        let stop = Stop::new();
        let raise = stop.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(at)).await;
            raise.drain(StopReason::Interrupted);
        });
        let result = run(settings, &stop, Box::new(|_, _, _| accepted())).await;
        assert_eq!((result.records.len(), result.sent.len()), (expected, usize::from(expected > 0)));
        assert_eq!(result.took, Duration::from_millis(if expected == 0 { at } else { 1_100 }));
        assert_eq!(stop.reasons(), [StopReason::Interrupted]);
    }
    // A stop during a long pause ends the run immediately, also for users that wait for a batch.
    let stop = Stop::new();
    let raise = stop.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(10)).await;
        raise.drain(StopReason::Interrupted);
    });
    let result =
        run(RunSettings { users: 100, ..DEFAULTS }, &stop, Box::new(|_, _, _| answered(throttled(3_600))))
            .await;
    assert_eq!((result.records.len(), result.took), (0, Duration::from_secs(10)));
}

async fn start_simulator(scenario: Scenario) -> (Simulator, Url, Client) {
    let simulator =
        Simulator::start(scenario, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a port");
    let root = Url::parse(&simulator.url()).expect("a URL");
    let to = root.clone();
    let connections = Connections::new(move || reprovision::net::client(&to, Duration::from_secs(5), false));
    let tokens = Tokens::new(TokenSource::fixed(SecretString::from(simulator.token())), true);
    let config =
        ClientConfig { root: root.clone(), version: "beta".into(), kind: ObjectKind::Users, priority: "low" };
    let client = Client::new(&config, connections.expect("a client"), Arc::new(tokens), WallClock::System);
    (simulator, root, client)
}

/// Runs users against a simulator. Returns the records, the ledger, and how often the action ran for each id.
async fn run_simulated(
    scenario: &str,
    settings: RunSettings,
) -> (Vec<Record>, Ledger, BTreeMap<String, u64>) {
    let mut scenario = Scenario::parse(scenario).expect("a scenario");
    scenario.objects.unknown_ids_exist = true;
    let (simulator, root, client) = start_simulator(scenario).await;
    let records =
        work(settings, client, Pace::new(RateController::Fixed, bounds(settings), None), &Stop::new()).await;
    let accepted_path = root.join("/__ledger/accepted").expect("a URL");
    let http = reprovision::net::client(&root, Duration::from_secs(5), false).expect("a client");
    let text = http.get(accepted_path).send().await.expect("an answer").text().await.expect("a text");
    let done = text
        .lines()
        .filter_map(|line| line.split_once(','))
        .map(|(id, times)| (id.to_ascii_lowercase(), times.parse().expect("a number")))
        .collect();
    (records, simulator.ledger(), done)
}

/// Checks that records and ledger agree: one record per row, no false "accepted", no breach.
fn assert_consistent(name: &str, records: &[Record], ledger: &Ledger, done: &BTreeMap<String, u64>) {
    assert!(
        records.iter().zip(1..).all(|(record, row)| record.row == row),
        "{name}: one record for each row"
    );
    for record in records {
        let times = done.get(&*record.id).copied().unwrap_or(0);
        assert!(
            record.outcome != Outcome::Accepted || times > 0,
            "{name}: accepted without the action: {record:?}"
        );
    }
    assert_eq!((ledger.breaches, ledger.rule_breaks), (0, 0), "{name}: {}", ledger.first_rule_break);
}

#[tokio::test]
async fn batch_of_twenty_users_is_one_request() {
    let settings = RunSettings { users: 400, rate: 2_000.0, concurrency: 60, ..DEFAULTS };
    let (records, ledger, done) = run_simulated("latency_ms = 20", settings).await;
    assert_consistent("calm", &records, &ledger, &done);
    assert_eq!((records.len(), done.len()), (400, 400));
    assert!(records.iter().all(|record| record.attempts == 1 && record.outcome == Outcome::Accepted));
    let ids: std::collections::BTreeSet<_> = records.iter().map(|record| &record.client_request_id).collect();
    assert_eq!(ids.len(), 400, "each part has a client-request-id of its own");
    // There are twenty batches on a quick machine. A slow one fills some of them less.
    assert!((20..100).contains(&ledger.batches), "{} batches for 400 users", ledger.batches);
    assert!((20..=60).contains(&ledger.highest_in_flight), "{} in flight", ledger.highest_in_flight);
}

#[tokio::test]
async fn unknown_user_fails_alone_in_a_batch() {
    let (_simulator, _, client) =
        start_simulator(Scenario::parse("[objects]\nusers = 10").expect("a scenario")).await;
    let records =
        work(DEFAULTS, client, Pace::new(RateController::Fixed, bounds(DEFAULTS), None), &Stop::new()).await;
    assert!(records.len() == 40 && records.iter().all(|record| record.http_status == Some(404)));
    assert!(
        records
            .iter()
            .all(|record| &*record.error_code == "Request_ResourceNotFound" && record.attempts == 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_batch_fault_leaves_one_record_per_row() {
    // Pauses are long, so that a slow machine does not breach their second half.
    let cases = [
        ("missing", "[batch]\nmissing = 1.0"),
        ("doubled", "[batch]\ndoubled = 1.0"),
        ("unknown", "[batch]\nunknown = 1.0"),
        ("raw HTML", "[batch]\nraw_html = 1.0"),
        ("cut off", "[batch]\ncut_off = 1.0"),
        ("whole 424", "[batch]\nwhole_424 = 1.0"),
        ("whole 503", "[batch]\nwhole_503 = 0.2"),
        ("whole 429", "[batch]\nwhole_429 = 0.2\n[faults]\nwait_s = 2"),
        ("HTML 502", "[batch]\nhtml_502 = 0.2"),
        (
            "parts",
            "[faults]\nerror_500 = 0.03\nplain_503 = 0.03\nhtml_502 = 0.03\njson_200 = 0.03\ntext_403 = 0.03\ndone_429 = 0.01\nwait_s = 2",
        ),
        ("a quota", "writes_per_second = 25.0\ncapacity = 100.0\nrefill = 'window'\nwindow_s = 4.0"),
    ];
    let runs = cases.map(|(name, scenario)| {
        tokio::spawn(async move {
            // With 20 attempts no user fails by chance. The test is about records and ledger.
            let settings =
                RunSettings { users: 200, rate: 2_000.0, concurrency: 60, max_attempts: 20, ..DEFAULTS };
            let (records, ledger, done) = run_simulated(&format!("seed = 3\n{scenario}"), settings).await;
            assert_consistent(name, &records, &ledger, &done);
            assert_eq!(records.len(), 200, "{name}");
            let failed: Vec<_> =
                records.iter().filter(|record| record.outcome != Outcome::Accepted).collect();
            assert!(failed.is_empty(), "{name}: {failed:?}");
            assert!(ledger.batches >= 5, "{name}: {} batches", ledger.batches);
            // A web page in one part or the status of the whole batch loses no answer.
            let all_read = matches!(name, "raw HTML" | "whole 424");
            assert!(!all_read || records.iter().all(|record| record.attempts == 1), "{name}: {records:?}");
        })
    });
    for run in runs {
        run.await.expect("records and ledger agree");
    }
}

#[test]
fn hostile_service_ledger_matches_records_of_batches() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines: String = (1..=120).map(|row| format!("{row:08x}-0000-4000-8000-000000000000\n")).collect();
    std::fs::write(folder.path().join("users.csv"), format!("id\n{lines}")).expect("the input");
    // Some 429s do not depend on the rate. The rate controller would measure a small quota and need 90 seconds.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_reprovision"))
        .args([
            "run",
            "users.csv",
            "--simulate=hostile",
            "--rate",
            "fixed:150",
            "--batch",
            "10",
            "--out",
            "out",
        ])
        .args(["--max-attempts", "20"])
        .current_dir(folder.path())
        .env_remove("AZURE_TENANT_ID")
        .output()
        .expect("the program runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let mut reader = csv::Reader::from_path(folder.path().join("out/results.csv")).expect("results.csv");
    let mut rows: Vec<(u64, String)> = reader
        .records()
        .map(|record| record.expect("a record"))
        .map(|record| (record[0].parse().expect("a row"), record[2].to_owned()))
        .collect();
    rows.sort();
    assert_eq!(rows, (1..=120).map(|row| (row, "accepted".to_owned())).collect::<Vec<_>>());
    assert!(text.contains("Retry-After broken 0") && text.contains("rules broken       0"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("arrived") && line.ends_with(" batches")), "{text}");
}

#[tokio::test]
async fn used_share_of_the_limit_reaches_the_rate_controller() {
    for batch in [1, 6] {
        for (header, burst) in [("false", 2_800.0..3_000.0), ("true", 0.0..301.0)] {
            let text = format!("writes_per_second = 0.01\ncapacity = 20.0\npercentage_header = {header}");
            let mut scenario = Scenario::parse(&text).expect("a scenario");
            scenario.objects.unknown_ids_exist = true;
            let (_simulator, _, client) = start_simulator(scenario).await;
            let settings = RunSettings { users: 18, batch, ..DEFAULTS };
            let pace = Pace::new(RateController::adaptive(20.0), bounds(settings), None);
            let records = work(settings, client, pace.clone(), &Stop::new()).await;
            assert!(records.iter().all(|record| record.outcome == Outcome::Accepted && record.attempts == 1));
            let (learned, _) = pace.learned().expect("a controller that learns");
            assert!(burst.contains(&learned.burst), "batches of {batch}, header: {header}: {learned:?}");
        }
    }
}
