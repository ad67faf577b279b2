//! Pool and workers over any exchange: rows in, records out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use reprovision::engine::dispatch::{Dispatch, Exchange};
use reprovision::engine::pool;
use reprovision::engine::retry::RetryPolicy;
use reprovision::engine::worker::Workers;
use reprovision::model::{Attempt, Event, Item, Record, Row, UserId, WallClock};
use reprovision::stop::Stop;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};

/// `--max-wait` of these runs.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(3_600);

/// A service that does as it is told.
pub(crate) struct Scripted<T, L, S> {
    pub(crate) began: Instant,
    /// When the token is there.
    pub(crate) token: T,
    /// How long the request with this number, from 1, takes.
    pub(crate) latency: L,
    /// What it is answered then, by the time of its sending, its number and its user.
    pub(crate) script: S,
    /// When each request left.
    pub(crate) sent: Arc<Mutex<Vec<Duration>>>,
}

impl<T, L, S, A> Exchange for Scripted<T, L, S>
where
    T: Fn() -> Instant + Send + Sync + 'static,
    L: Fn(usize) -> Duration + Send + Sync + 'static,
    S: Fn(Duration, usize, &str) -> A + Send + Sync + 'static,
    A: Into<Attempt>,
{
    type Pass = ();

    async fn prepare(&self) -> Result<(), String> {
        tokio::time::sleep_until((self.token)()).await;
        Ok(())
    }

    async fn send(&self, (): &(), id: &UserId) -> Attempt {
        let at = self.began.elapsed();
        let number = {
            let mut sent = self.sent.lock().expect("no panic holds it");
            sent.push(at);
            sent.len()
        };
        let latency = (self.latency)(number);
        sleep(latency).await;
        Attempt { latency, ..(self.script)(at, number, id.as_str()).into() }
    }

    fn rejected(&self, _attempt: &Attempt) {}
}

/// The user of a row.
pub(crate) fn user(number: u64) -> Row {
    let id = UserId::parse(&format!("user{number}@contoso.com")).expect("an id");
    Row { number, line: number + 1, shown: id.as_str().into(), id }
}

/// Records in the order in which they were settled.
pub(crate) async fn work<E: Exchange>(
    rows: mpsc::Receiver<Item>,
    dispatch: Dispatch<E>,
    max_attempts: u32,
    concurrency: usize,
    stop: &Stop,
) -> Vec<Record> {
    let (events, mut inbox) = mpsc::channel(16);
    let journal = tokio::spawn(async move {
        let mut records = Vec::new();
        while let Some(event) = inbox.recv().await {
            if let Event::Finished(finished) = event {
                records.push(finished.record);
            }
        }
        records
    });
    work_for(events, rows, dispatch, max_attempts, concurrency, stop).await;
    journal.await.expect("the journal")
}

/// The same for a journal of the caller's own.
pub(crate) async fn work_for<E: Exchange>(
    events: mpsc::Sender<Event>,
    rows: mpsc::Receiver<Item>,
    dispatch: Dispatch<E>,
    max_attempts: u32,
    concurrency: usize,
    stop: &Stop,
) {
    let workers = Arc::new(Workers {
        dispatch,
        policy: RetryPolicy { max_attempts, jitter: 0.0, max_wait: MAX_WAIT },
        permits: Arc::new(Semaphore::new(concurrency)),
        wall: WallClock::anchored(Timestamp::UNIX_EPOCH),
        stop: stop.clone(),
        events,
    });
    pool::run(rows, workers, pool::slots(concurrency), stop.clone()).await;
}
