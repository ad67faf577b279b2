//! Rows in, so many workers that take one after the other. Shutdown is channels closing in order.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Mutex, mpsc};
use tokio::time::sleep;

use crate::model::{Event, Finished, Item};
use crate::stop::{Stop, Why};
use crate::worker::{Exchange, Workers};

/// Fewest slots: the outage rule needs 20 different users at work even with one in flight, and room beside them.
const FEWEST_SLOTS: usize = 64;
/// Slots per permit: users who wait for a retry keep their slot and must not idle the permits.
const SLOTS_PER_PERMIT: usize = 4;
/// After the first signal, what is in flight gets this long.
const DRAIN: Duration = Duration::from_secs(10);

/// Users being worked on at once, for so many in flight.
pub fn slots(concurrency: usize) -> usize {
    FEWEST_SLOTS.max(concurrency.saturating_mul(SLOTS_PER_PERMIT))
}

/// Works until the input ends or the run stops, and every worker has ended. Rows that need no request go straight to
/// the journal. A worker that panics stops the run; its row has no record.
pub async fn run<E: Exchange>(
    items: mpsc::Receiver<Item>,
    workers: Arc<Workers<E>>,
    slots: usize,
    stop: Stop,
) {
    let items = Arc::new(Mutex::new(items));
    // One task for each slot, not for each user: a task costs as much as the rest of the way of a user through here.
    let mut serving: FuturesUnordered<_> =
        (0..slots).map(|_| tokio::spawn(serve(items.clone(), workers.clone()))).collect();
    let work = async {
        while let Some(ended) = serving.next().await {
            if let Err(error) = ended {
                stop.drain(Why::Bug(format!("a worker ended unexpectedly: {error}")));
            }
        }
    };
    let overdue = async {
        stop.draining().await;
        // Whoever waits for a permit need not watch the stop himself.
        workers.permits.close();
        sleep(DRAIN).await;
        stop.abort(None);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = work => {}
        () = overdue => {}
    }
}

async fn serve<E: Exchange>(items: Arc<Mutex<mpsc::Receiver<Item>>>, workers: Arc<Workers<E>>) {
    while let Some(item) = next(&items, &workers.stop).await {
        match item {
            Item::Send(row) => workers.work(row).await,
            Item::Settled(record) => {
                let finished = Finished { record: *record, latency: None, permit: None };
                workers.tell(Event::Finished(Box::new(finished))).await;
            }
        }
    }
}

/// The next row, first come, first served; none once the run stops.
async fn next(items: &Mutex<mpsc::Receiver<Item>>, stop: &Stop) -> Option<Item> {
    let mut items = items.lock().await;
    if !stop.is_running() {
        return None;
    }
    // Nearly always there is one: the stop is watched only where it has to be waited for.
    match items.try_recv() {
        Ok(item) => Some(item),
        Err(TryRecvError::Disconnected) => None,
        Err(TryRecvError::Empty) => tokio::select! {
            biased;
            () = stop.draining() => None,
            item = items.recv() => item,
        },
    }
}
