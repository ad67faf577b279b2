//! Runs the real gate, pool, worker and retry against a modeled service in paused time. Hours pass in
//! seconds.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use reprovision::engine::dispatch::{Dispatch, Exchange};
use reprovision::engine::pool;
use reprovision::engine::retry::RetryPolicy;
use reprovision::engine::worker::Workers;
use reprovision::model::{
    Attempt, AttemptResult, Event, Item, Outcome, Row, Scope, Throttle, TransientFailure, UserId, WallClock,
};
use reprovision::pace::Pace;
use reprovision::stop::Stop;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};

use crate::scenario::{Answer, Latency, Reach, Server};

/// Time to get a new token.
const RENEWAL: Duration = Duration::from_millis(300);
/// Time before the end of a token at which it is renewed, in seconds. It is the same in `auth`.
const RENEWED_BEFORE: f64 = 300.0;

/// The counters of one client.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) throttled: u64,
    /// Requests sent before the end of a pause that had been announced to the client.
    pub(crate) early: u64,
    pub(crate) accepted: u64,
    pub(crate) failed: u64,
    pub(crate) tokens: u64,
    pub(crate) most_in_flight: u64,
    /// Accepted requests in each second of the service.
    pub(crate) by_second: Vec<u32>,
    /// Seconds from the start to the last response.
    pub(crate) wall: f64,
    in_flight: u64,
    pause_end: f64,
}

/// A token, with its number and the time of issue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    generation: u64,
    issued: f64,
}

/// One client of a service.
pub(crate) struct App {
    /// Origin of the seconds of the service.
    epoch: Instant,
    server: Arc<Mutex<Server>>,
    tally: Arc<Mutex<Tally>>,
    latency: Mutex<Latency>,
    token: tokio::sync::Mutex<Token>,
    token_s: Option<f64>,
    throttle_with_503: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic holds it")
}

impl App {
    fn now(&self) -> f64 {
        self.epoch.elapsed().as_secs_f64()
    }
}

impl Exchange for App {
    type Pass = Token;

    async fn prepare(&self) -> Result<Token, String> {
        let mut token = self.token.lock().await;
        if self.token_s.is_some_and(|good| self.now() >= token.issued + good - RENEWED_BEFORE) {
            sleep(RENEWAL).await;
            *token = Token { generation: token.generation + 1, issued: self.now() };
            locked(&self.tally).tokens += 1;
        }
        Ok(*token)
    }

    async fn send(&self, token: &Token, _id: &UserId) -> Attempt {
        {
            let (now, mut tally) = (self.now(), locked(&self.tally));
            tally.sent += 1;
            tally.in_flight += 1;
            tally.most_in_flight = tally.most_in_flight.max(tally.in_flight);
            // The margin covers the rounding of the clock.
            tally.early += u64::from(now < tally.pause_end - 1e-6);
        }
        let half = locked(&self.latency).draw() / 2;
        sleep(half).await;
        let arrived = self.now();
        let answer = locked(&self.server).admit(arrived, arrived - token.issued);
        sleep(half).await;
        let (now, mut tally) = (self.now(), locked(&self.tally));
        tally.in_flight -= 1;
        let mut retry_after = None;
        let (kind, used) = match answer {
            Answer::Taken { used } => {
                tally.accepted += 1;
                let second = now as usize;
                if tally.by_second.len() <= second {
                    tally.by_second.resize(second + 1, 0);
                }
                tally.by_second[second] += 1;
                (AttemptResult::Accepted, used)
            }
            Answer::Refused { wait, used } => {
                tally.throttled += 1;
                tally.pause_end = tally.pause_end.max(now + wait.unwrap_or(0.0));
                retry_after = wait.map(Duration::from_secs_f64);
                match self.throttle_with_503 {
                    true => (AttemptResult::Transient(TransientFailure::Unavailable), used),
                    false => {
                        (AttemptResult::Throttled(Throttle { scope: Scope::default(), quota: true }), used)
                    }
                }
            }
            Answer::Down => (AttemptResult::Transient(TransientFailure::Unavailable), None),
            Answer::TokenExpired => (AttemptResult::Unauthorized { claims: None }, None),
        };
        Attempt { retry_after, ..attempt(kind, used, token.generation) }
    }

    fn rejected(&self, _attempt: &Attempt) {}
}

fn attempt(kind: AttemptResult, throttle_percentage: Option<f64>, token_generation: u64) -> Attempt {
    Attempt { throttle_percentage, token_generation, ..Attempt::of(kind) }
}

/// Runs one client against a service that other clients may use too. It ends after `until`, if that is set.
pub(crate) async fn work(
    server: Arc<Mutex<Server>>,
    pace: Arc<Pace>,
    reach: Reach,
    users: u64,
    seed: u64,
    token_s: Option<f64>,
    until: Option<Duration>,
) -> Tally {
    let began = Instant::now();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let stop = Stop::new();
    let (epoch, throttle_with_503) = {
        let server = locked(&server);
        (server.epoch, server.throttle_with_503)
    };
    let app = App {
        epoch,
        server,
        tally: tally.clone(),
        latency: Mutex::new(Latency::new(seed, reach.round_trip)),
        token: tokio::sync::Mutex::new(Token { generation: 1, issued: epoch.elapsed().as_secs_f64() }),
        token_s,
        throttle_with_503,
    };
    let (feed, rows) = mpsc::channel(256);
    let (events, mut inbox) = mpsc::channel(256);
    let workers = Arc::new(Workers {
        dispatch: Dispatch::new(app, pace, stop.clone()),
        policy: RetryPolicy { max_attempts: 6, jitter: 0.5, max_wait: Duration::MAX },
        permits: Arc::new(Semaphore::new(reach.in_flight)),
        wall: WallClock::anchored(Timestamp::UNIX_EPOCH),
        stop: stop.clone(),
        events,
    });
    let id = UserId::parse("ann@contoso.com").expect("an id");
    tokio::spawn(async move {
        for number in 1..=users {
            let row = Row { number, line: number + 1, shown: "ann@contoso.com".into(), id: id.clone() };
            if feed.send(Item::Send(row)).await.is_err() {
                return;
            }
        }
    });
    let journal = tokio::spawn(async move {
        let mut failed = 0;
        while let Some(event) = inbox.recv().await {
            if let Event::Finished(finished) = event {
                failed += u64::from(finished.record.outcome != Outcome::Accepted);
            }
        }
        failed
    });
    let working = pool::run(rows, workers, pool::slots(reach.in_flight), stop.clone());
    match until {
        Some(until) => {
            let _ = tokio::time::timeout(until, working).await;
        }
        None => working.await,
    }
    let failed = if until.is_some() { 0 } else { journal.await.expect("the journal") };
    let mut tally = std::mem::take(&mut *locked(&tally));
    tally.failed = failed;
    tally.wall = began.elapsed().as_secs_f64();
    tally
}

/// Runs a future in paused time on a runtime with one thread.
pub(crate) fn paused<F: Future>(future: impl FnOnce() -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async { future().await })
}
