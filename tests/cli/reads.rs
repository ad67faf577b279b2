//! Reads through the dispatch: with a scripted exchange in paused time, and against the simulator over sockets.

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

/// Shorter than the half minute between two probes of an outage, and long enough for a busy machine.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// An exchange that returns `answers` in the order of sending, and then accepts every request.
/// A transient failure of the first part fails the whole batch.
struct ScriptedReads {
    answers: Mutex<Vec<Attempt>>,
}

impl ScriptedReads {
    fn next(&self) -> ReadResponse {
        let mut answers = self.answers.lock().expect("no panic holds it");
        let attempt = if answers.is_empty() { AttemptResult::Accepted.into() } else { answers.remove(0) };
        ReadResponse { attempt, body: b"{}".to_vec(), date: None, of_whole: false }
    }
}

impl Exchange for ScriptedReads {
    type Pass = ();

    async fn prepare(&self) -> Result<(), String> {
        Ok(())
    }

    async fn send(&self, (): &(), _id: &UserId) -> Attempt {
        self.next().attempt
    }

    fn rejected(&self, _attempt: &Attempt) {}
}

impl Reads for ScriptedReads {
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

fn requests(count: u64) -> Vec<ReadRequest> {
    (0..count).map(|number| ReadRequest { number, path: format!("/users/{number}") }).collect()
}

fn throttled(seconds: u64) -> Attempt {
    let kind = AttemptResult::Throttled(Throttle { scope: Scope::default(), quota: true });
    Attempt { retry_after: Some(Duration::from_secs(seconds)), ..Attempt::of(kind) }
}

/// A dispatch of batches of 20 with scripted `answers`.
fn scripted_dispatch(answers: Vec<Attempt>, stop: &Stop) -> Dispatch<ScriptedReads> {
    let bounds = Bounds { group: 20, ..Bounds::default() };
    let pace = Pace::new(RateController::Fixed, bounds, None);
    Dispatch::new(ScriptedReads { answers: Mutex::new(answers) }, pace, stop.clone())
}

#[tokio::test(start_paused = true)]
async fn throttled_read_pauses_reads_and_is_followed_by_a_probe() {
    let dispatch = scripted_dispatch(vec![throttled(30)], &Stop::new());
    let began = Instant::now();
    let (response, _) = dispatch.get(1, &url()).await.expect("it runs");
    assert!(matches!(response.attempt.kind, AttemptResult::Throttled(_)));
    assert_eq!(began.elapsed(), Duration::ZERO);
    let probe = dispatch.get_batch(&requests(20)).await.expect("it runs");
    assert_eq!(
        (probe.len(), began.elapsed()),
        (1, Duration::from_secs(30)),
        "the probe is a single request at the exact instant"
    );
    assert_eq!(dispatch.get_batch(&requests(25)).await.expect("it runs").len(), 20);
    assert_eq!(began.elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn longest_retry_after_of_the_parts_pauses_all_reads() {
    let dispatch =
        scripted_dispatch(vec![AttemptResult::Accepted.into(), throttled(9), throttled(4)], &Stop::new());
    let began = Instant::now();
    assert_eq!(dispatch.get_batch(&requests(3)).await.expect("it runs").len(), 3);
    dispatch.get(1, &url()).await.expect("it runs");
    assert_eq!(began.elapsed(), Duration::from_secs(9));
}

#[tokio::test(start_paused = true)]
async fn failed_batch_of_reads_is_one_failure_and_not_an_outage() {
    let dispatch =
        scripted_dispatch(vec![AttemptResult::Transient(TransientFailure::Timeout).into()], &Stop::new());
    let began = Instant::now();
    for kind in [AttemptResult::Transient(TransientFailure::Timeout), AttemptResult::Accepted] {
        let responses = dispatch.get_batch(&requests(20)).await.expect("it runs");
        assert!(responses.len() == 20 && responses.iter().all(|(response, _)| response.attempt.kind == kind));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn stop_ends_a_read_in_a_pause() {
    let stop = Stop::new();
    let dispatch = scripted_dispatch(vec![throttled(3_600)], &stop);
    dispatch.get(1, &url()).await.expect("it runs");
    let waiting = tokio::spawn(async move { dispatch.get(2, &url()).await });
    tokio::time::sleep(Duration::from_secs(5)).await;
    stop.drain(StopReason::Interrupted);
    assert_eq!(waiting.await.expect("no panic"), None);
}

/// Starts a simulator of `scenario`. Returns it with a dispatch to it and its root.
async fn simulated_dispatch(scenario: &str) -> (Simulator, Dispatch<Client>, Url) {
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
    let (simulator, dispatch, root) = simulated_dispatch("[objects]\nusers = 250\nbroken = 0.5").await;
    let mut next = root.join("/v1.0/users?$select=id,serviceProvisioningErrors&$top=100").ok();
    let (mut pages, mut ids) = (0, std::collections::BTreeSet::new());
    while let Some(url) = next.take() {
        let (response, _) = dispatch.get(pages, &url).await.expect("it runs");
        assert_eq!(response.attempt.kind, AttemptResult::Accepted, "{}", response.attempt.message);
        assert!(response.date.is_some(), "the Date header of the service");
        let page: serde_json::Value = serde_json::from_slice(&response.body).expect("JSON");
        ids.extend(page["value"].as_array().expect("a page").iter().map(|user| user["id"].to_string()));
        next = page["@odata.nextLink"].as_str().and_then(|link| Url::parse(link).ok());
        pages += 1;
    }
    assert_eq!((pages, ids.len()), (3, 250));
    let elsewhere = Url::parse("http://127.0.0.1:9/v1.0/users").expect("a URL");
    let (response, _) = dispatch.get(9, &elsewhere).await.expect("it runs");
    assert_eq!(response.attempt.kind, AttemptResult::Rejected(Reason::NotGraph));
    assert!(response.attempt.message.contains("http://127.0.0.1:9"), "{}", response.attempt.message);
    assert_eq!(simulator.ledger().rule_breaks, 0);
}

#[tokio::test]
async fn parts_without_answer_in_a_batch_are_one_failure() {
    for fault in ["whole_503", "html_502", "cut_off"] {
        let (_simulator, dispatch, _) = simulated_dispatch(&format!("[batch]\n{fault} = 1.0")).await;
        // Each batch has enough users for an outage. The second one must be sent without waiting for a probe.
        for _ in 0..2 {
            let responses = timeout(MAX_WAIT, dispatch.get_batch(&requests(20))).await.expect("no outage");
            let responses = responses.expect("it runs");
            let failed =
                |response: &ReadResponse| matches!(response.attempt.kind, AttemptResult::Transient(_));
            assert!(responses.iter().all(|(response, _)| response.of_whole && failed(response)), "{fault}");
        }
    }
}

#[tokio::test]
async fn batch_of_reads_returns_answers_in_request_order() {
    let (simulator, dispatch, root) = simulated_dispatch("[objects]\nusers = 30\nbroken = 1.0").await;
    let page = root.join("/v1.0/users?$select=id&$top=30").expect("a URL");
    let (response, _) = dispatch.get(0, &page).await.expect("it runs");
    let page: serde_json::Value = serde_json::from_slice(&response.body).expect("JSON");
    let ids: Vec<_> = page["value"]
        .as_array()
        .expect("a page")
        .iter()
        .filter_map(|user| UserId::parse(user["id"].as_str()?).ok())
        .collect();
    let path =
        |id: &UserId| format!("{}?$select=id,serviceProvisioningErrors", object_path(ObjectKind::Users, id));
    let mut requests: Vec<_> =
        ids[..19].iter().zip(0..).map(|(id, number)| ReadRequest { number, path: path(id) }).collect();
    let missing = UserId::parse("missing@contoso.com").expect("an id");
    requests.insert(7, ReadRequest { number: 99, path: path(&missing) });
    let responses = dispatch.get_batch(&requests).await.expect("it runs");
    assert_eq!(responses.len(), 20);
    for (place, (response, _)) in responses.iter().enumerate() {
        let object: serde_json::Value = serde_json::from_slice(&response.body).unwrap_or_default();
        if place == 7 {
            assert_eq!(response.attempt.kind, AttemptResult::Rejected(Reason::NotFound));
        } else {
            assert_eq!(response.attempt.kind, AttemptResult::Accepted);
            assert_eq!(object["id"], ids[if place < 7 { place } else { place - 1 }].as_str());
        }
    }
    assert_eq!((simulator.ledger().batches, simulator.ledger().rule_breaks), (1, 0));
}
