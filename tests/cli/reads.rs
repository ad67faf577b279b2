//! Reads through the gate: under a paused clock with a script, and against the simulator over sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reprovision::auth::{TokenSource, Tokens};
use reprovision::engine::dispatch::{Dispatch, Exchange, ReadRequest, Reads};
use reprovision::graph::{Client, ClientConfig, Connections, ReadResponse, object_path};
use reprovision::model::{
    Attempt, AttemptResult, ObjectKind, Reason, Scope, Throttle, TransientFailure, UserId, WallClock,
};
use reprovision::pace::{Bounds, Pace, RateController};
use reprovision::simulator::{Scenario, Simulator};
use reprovision::stop::{Stop, StopReason};
use secrecy::SecretString;
use tokio::time::{Instant, timeout};
use url::Url;

/// Less than the half minute between two probes of an outage, and enough for a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Answers in the order of sending; afterwards everything is accepted. A fault at the first place of a batch is that of
/// the whole.
struct Scripted {
    answers: Mutex<Vec<Attempt>>,
}

impl Scripted {
    fn next(&self) -> ReadResponse {
        let mut answers = self.answers.lock().expect("no panic holds it");
        let attempt = if answers.is_empty() { AttemptResult::Accepted.into() } else { answers.remove(0) };
        ReadResponse { attempt, body: b"{}".to_vec(), date: None, of_whole: false }
    }
}

impl Exchange for Scripted {
    type Pass = ();

    async fn prepare(&self) -> Result<(), String> {
        Ok(())
    }

    async fn send(&self, (): &(), _id: &UserId) -> Attempt {
        self.next().attempt
    }

    fn rejected(&self, _attempt: &Attempt) {}
}

impl Reads for Scripted {
    async fn get(&self, (): &(), _url: &Url) -> ReadResponse {
        self.next()
    }

    async fn get_batch(&self, (): &(), paths: &[String]) -> Vec<ReadResponse> {
        let first = self.next();
        if matches!(first.attempt.kind, AttemptResult::Transient(_)) {
            return vec![ReadResponse { of_whole: true, ..first }; paths.len()];
        }
        std::iter::once(first).chain(paths[1..].iter().map(|_| self.next())).collect()
    }
}

fn url() -> Url {
    Url::parse("http://127.0.0.1:9/beta/users").expect("a URL")
}

fn asked(count: u64) -> Vec<ReadRequest> {
    (0..count).map(|number| ReadRequest { number, path: format!("/users/{number}") }).collect()
}

fn throttled(seconds: u64) -> Attempt {
    let kind = AttemptResult::Throttled(Throttle { scope: Scope::default(), quota: true });
    Attempt { retry_after: Some(Duration::from_secs(seconds)), ..Attempt::of(kind) }
}

fn gate(answers: Vec<Attempt>, stop: &Stop) -> Dispatch<Scripted> {
    let bounds = Bounds { group: 20, ..Bounds::default() };
    let pace = Pace::new(RateController::Fixed, bounds, None);
    Dispatch::new(Scripted { answers: Mutex::new(answers) }, pace, stop.clone())
}

#[tokio::test(start_paused = true)]
async fn throttled_read_pauses_reads_and_is_followed_by_a_probe() {
    let dispatch = gate(vec![throttled(30)], &Stop::new());
    let began = Instant::now();
    let (reading, _) = dispatch.get(1, &url()).await.expect("it runs");
    assert!(matches!(reading.attempt.kind, AttemptResult::Throttled(_)));
    assert_eq!(began.elapsed(), Duration::ZERO);
    let probe = dispatch.get_batch(&asked(20)).await.expect("it runs");
    assert_eq!((probe.len(), began.elapsed()), (1, Duration::from_secs(30)), "to the instant, and alone");
    assert_eq!(dispatch.get_batch(&asked(25)).await.expect("it runs").len(), 20);
    assert_eq!(began.elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn longest_wait_of_the_parts_pauses_all_reads() {
    let dispatch = gate(vec![AttemptResult::Accepted.into(), throttled(9), throttled(4)], &Stop::new());
    let began = Instant::now();
    assert_eq!(dispatch.get_batch(&asked(3)).await.expect("it runs").len(), 3);
    dispatch.get(1, &url()).await.expect("it runs");
    assert_eq!(began.elapsed(), Duration::from_secs(9));
}

#[tokio::test(start_paused = true)]
async fn failed_batch_of_reads_is_one_failure_and_not_an_outage() {
    let dispatch = gate(vec![AttemptResult::Transient(TransientFailure::Timeout).into()], &Stop::new());
    let began = Instant::now();
    for kind in [AttemptResult::Transient(TransientFailure::Timeout), AttemptResult::Accepted] {
        let readings = dispatch.get_batch(&asked(20)).await.expect("it runs");
        assert!(readings.len() == 20 && readings.iter().all(|(reading, _)| reading.attempt.kind == kind));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn stop_ends_a_waiting_read() {
    let stop = Stop::new();
    let dispatch = gate(vec![throttled(3_600)], &stop);
    dispatch.get(1, &url()).await.expect("it runs");
    let waiting = tokio::spawn(async move { dispatch.get(2, &url()).await });
    tokio::time::sleep(Duration::from_secs(5)).await;
    stop.drain(StopReason::Interrupted);
    assert_eq!(waiting.await.expect("no panic"), None);
}

async fn served(scenario: &str) -> (Simulator, Dispatch<Client>, Url) {
    let scenario = Scenario::parse(scenario).expect("a scenario");
    let simulator =
        Simulator::start(scenario, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a port");
    let root = Url::parse(&simulator.url()).expect("a URL");
    let to = root.clone();
    let connections = Connections::new(move || reprovision::net::client(&to, Duration::from_secs(5), false))
        .expect("a client");
    let tokens = Tokens::new(TokenSource::fixed(SecretString::from(simulator.token())), true);
    let config =
        ClientConfig { root: root.clone(), version: "v1.0".into(), kind: ObjectKind::Users, priority: "low" };
    let client = Client::new(&config, connections, Arc::new(tokens), WallClock::System);
    let pace = Pace::new(RateController::Fixed, Bounds { group: 20, ..Bounds::default() }, None);
    (simulator, Dispatch::new(client, pace, Stop::new()), root)
}

#[tokio::test]
async fn next_links_are_followed_on_the_same_origin_only() {
    let (simulator, dispatch, root) = served("[objects]\nusers = 250\nbroken = 0.5").await;
    let mut next = root.join("/v1.0/users?$select=id,serviceProvisioningErrors&$top=100").ok();
    let (mut pages, mut ids) = (0, std::collections::BTreeSet::new());
    while let Some(url) = next.take() {
        let (reading, _) = dispatch.get(pages, &url).await.expect("it runs");
        assert_eq!(reading.attempt.kind, AttemptResult::Accepted, "{}", reading.attempt.message);
        assert!(reading.date.is_some(), "the service's own clock");
        let page: serde_json::Value = serde_json::from_slice(&reading.body).expect("JSON");
        ids.extend(page["value"].as_array().expect("a page").iter().map(|user| user["id"].to_string()));
        next = page["@odata.nextLink"].as_str().and_then(|link| Url::parse(link).ok());
        pages += 1;
    }
    assert_eq!((pages, ids.len()), (3, 250));
    let elsewhere = Url::parse("http://127.0.0.1:9/v1.0/users").expect("a URL");
    let (reading, _) = dispatch.get(9, &elsewhere).await.expect("it runs");
    assert_eq!(reading.attempt.kind, AttemptResult::Rejected(Reason::NotGraph));
    assert!(reading.attempt.message.contains("http://127.0.0.1:9"), "{}", reading.attempt.message);
    assert_eq!(simulator.ledger().rule_breaks, 0);
}

#[tokio::test]
async fn parts_without_answer_in_a_batch_are_one_failure() {
    for fault in ["whole_503", "html_502", "cut_off"] {
        let (_simulator, dispatch, _) = served(&format!("[batch]\n{fault} = 1.0")).await;
        // As many users as make an outage, and twice: another batch may leave at once.
        for _ in 0..2 {
            let readings = timeout(SOON, dispatch.get_batch(&asked(20))).await.expect("no outage");
            let readings = readings.expect("it runs");
            let failed = |reading: &ReadResponse| matches!(reading.attempt.kind, AttemptResult::Transient(_));
            assert!(readings.iter().all(|(reading, _)| reading.of_whole && failed(reading)), "{fault}");
        }
    }
}

#[tokio::test]
async fn batch_of_reads_returns_answers_in_request_order() {
    let (simulator, dispatch, root) = served("[objects]\nusers = 30\nbroken = 1.0").await;
    let page = root.join("/v1.0/users?$select=id&$top=30").expect("a URL");
    let (reading, _) = dispatch.get(0, &page).await.expect("it runs");
    let page: serde_json::Value = serde_json::from_slice(&reading.body).expect("JSON");
    let ids: Vec<_> = page["value"]
        .as_array()
        .expect("a page")
        .iter()
        .filter_map(|user| UserId::parse(user["id"].as_str()?).ok())
        .collect();
    let path =
        |id: &UserId| format!("{}?$select=id,serviceProvisioningErrors", object_path(ObjectKind::Users, id));
    let mut asked: Vec<_> =
        ids[..19].iter().zip(0..).map(|(id, number)| ReadRequest { number, path: path(id) }).collect();
    let nobody = UserId::parse("nobody@contoso.com").expect("an id");
    asked.insert(7, ReadRequest { number: 99, path: path(&nobody) });
    let readings = dispatch.get_batch(&asked).await.expect("it runs");
    assert_eq!(readings.len(), 20);
    for (place, (reading, _)) in readings.iter().enumerate() {
        let object: serde_json::Value = serde_json::from_slice(&reading.body).unwrap_or_default();
        if place == 7 {
            assert_eq!(reading.attempt.kind, AttemptResult::Rejected(Reason::NotFound));
        } else {
            assert_eq!(reading.attempt.kind, AttemptResult::Accepted);
            assert_eq!(object["id"], ids[if place < 7 { place } else { place - 1 }].as_str());
        }
    }
    assert_eq!((simulator.ledger().batches, simulator.ledger().rule_breaks), (1, 0));
}
