//! Pool and workers over any exchange: rows in, records out.

use std::sync::Arc;

use jiff::Timestamp;
use reprovision::dispatch::{Dispatch, Exchange};
use reprovision::model::{Event, Item, Record, WallClock};
use reprovision::pool;
use reprovision::retry::RetryPolicy;
use reprovision::stop::Stop;
use reprovision::worker::Workers;
use tokio::sync::{Semaphore, mpsc};

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
        policy: RetryPolicy { max_attempts, jitter: 0.0 },
        permits: Arc::new(Semaphore::new(concurrency)),
        wall: WallClock::anchored(Timestamp::UNIX_EPOCH),
        stop: stop.clone(),
        events,
    });
    pool::run(rows, workers, pool::slots(concurrency), stop.clone()).await;
}
