//! The worker pool: a fixed number of workers that take rows from one queue. The pool ends when the input
//! channel closes.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::engine::worker::{Exchange, Workers};
use crate::model::{Event, Finished, Item};
use crate::stop::{Stop, StopReason};

/// Fewest workers. The outage rule needs 20 different users at work, even if only one request may be in
/// flight.
const FEWEST_SLOTS: usize = 64;
/// Workers for each permit. A user in backoff keeps its worker, and the permits must stay in use meanwhile.
const SLOTS_PER_PERMIT: usize = 4;
/// Rows that are taken from the channel together.
const TOGETHER: usize = 64;
/// Time for requests in flight to finish after a run was stopped.
const DRAIN: Duration = Duration::from_secs(10);

/// Number of workers for `permits` requests in flight.
pub fn slots(concurrency: usize) -> usize {
    FEWEST_SLOTS.max(concurrency.saturating_mul(SLOTS_PER_PERMIT))
}

/// Runs the workers until the input ends or the run stops, and all workers have ended. Rows that need no
/// request go directly to the journal. A worker that panics stops the run, and its row has no record.
pub async fn run<E: Exchange>(
    items: mpsc::Receiver<Item>,
    workers: Arc<Workers<E>>,
    slots: usize,
    stop: Stop,
) {
    let queue = Arc::new(Queue { ahead: Mutex::default(), items: tokio::sync::Mutex::new(items) });
    // All workers run in one task. A task per worker would double the CPU cost of a user in the pool. If a
    // worker panics, it is dropped and the run stops, so no partial state is used afterwards.
    let serve = |_| AssertUnwindSafe(serve(queue.clone(), workers.clone())).catch_unwind();
    let mut serving: FuturesUnordered<_> = (0..slots).map(serve).collect();
    let work = async {
        while let Some(ended) = serving.next().await {
            if let Err(panic) = ended {
                stop.drain(StopReason::Bug(format!("a worker ended unexpectedly: {}", words(&*panic))));
            }
        }
    };
    let overdue = async {
        stop.draining().await;
        // Wakes the workers that wait for a permit, so that they need not watch the stop.
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

/// The message of a panic if it is a literal of the source. A formatted message may contain anything, a
/// secret included.
fn words(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&'static str>().copied().unwrap_or("it panicked")
}

async fn serve<E: Exchange>(queue: Arc<Queue>, workers: Arc<Workers<E>>) {
    while let Some(item) = queue.next(&workers.stop).await {
        match item {
            Item::Send(row) => workers.work(row).await,
            Item::Settled(record) => {
                let finished = Finished { record: *record, latency: None, permit: None };
                workers.send_event(Event::Finished(Box::new(finished))).await;
            }
        }
    }
}

/// The queue from which all workers take rows, in order of arrival.
#[derive(Debug)]
struct Queue {
    /// Rows that were taken from the channel together, because that costs as much as taking one.
    ahead: Mutex<VecDeque<Item>>,
    /// The channel. Held by the worker that waits for more rows.
    items: tokio::sync::Mutex<mpsc::Receiver<Item>>,
}

impl Queue {
    /// Returns the next row; `None` if the input ended or the run stops.
    async fn next(&self, stop: &Stop) -> Option<Item> {
        let mut items = match self.first() {
            _ if !stop.is_running() => return None,
            Some(item) => return Some(item),
            None => self.items.lock().await,
        };
        // Another worker may have read rows while this one waited for the lock.
        if let Some(item) = self.first() {
            return Some(item);
        }
        let mut more = Vec::with_capacity(TOGETHER);
        tokio::select! {
            biased;
            _ = items.recv_many(&mut more, TOGETHER) => {}
            () = stop.draining() => {}
        }
        if !stop.is_running() {
            return None;
        }
        let mut more = more.into_iter();
        let next = more.next();
        self.ahead().extend(more);
        next
    }

    fn first(&self) -> Option<Item> {
        self.ahead().pop_front()
    }

    fn ahead(&self) -> MutexGuard<'_, VecDeque<Item>> {
        // Code that holds the lock cannot panic half-way through a change.
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Row, UserId};

    fn row(number: u64) -> Item {
        let id = UserId::parse("a@b").expect("an id");
        Item::Send(Row { number, line: number + 1, shown: "a@b".into(), id })
    }

    fn queue() -> (mpsc::Sender<Item>, Arc<Queue>) {
        let (feed, items) = mpsc::channel(1_000);
        let items = tokio::sync::Mutex::new(items);
        (feed, Arc::new(Queue { ahead: Mutex::default(), items }))
    }

    fn number(item: Option<Item>) -> Option<u64> {
        match item? {
            Item::Send(row) => Some(row.number),
            Item::Settled(record) => Some(record.row),
        }
    }

    #[tokio::test]
    async fn queue_returns_each_row_once_and_in_order() {
        let (feed, queue) = queue();
        let stop = Stop::new();
        let takers: Vec<_> = (0..5)
            .map(|_| {
                let (queue, stop) = (queue.clone(), stop.clone());
                tokio::spawn(async move {
                    let mut taken = Vec::new();
                    while let Some(number) = number(queue.next(&stop).await) {
                        taken.push(number);
                        tokio::task::yield_now().await;
                    }
                    taken
                })
            })
            .collect();
        for at in 1..=500 {
            feed.send(row(at)).await.expect("taken");
            if at % 90 == 0 {
                tokio::task::yield_now().await;
            }
        }
        drop(feed);
        let mut all = Vec::new();
        for taker in takers {
            let taken = taker.await.expect("ended");
            assert!(taken.is_sorted(), "{taken:?}");
            all.extend(taken);
        }
        all.sort_unstable();
        assert_eq!(all, (1..=500).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn stop_ends_waiting_workers_and_no_row_is_taken_after_it() {
        let (feed, queue) = queue();
        let stop = Stop::new();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let (queue, stop) = (queue.clone(), stop.clone());
                tokio::spawn(async move { number(queue.next(&stop).await) })
            })
            .collect();
        tokio::task::yield_now().await;
        stop.drain(StopReason::Interrupted);
        for waits in waiting {
            assert_eq!(waits.await.expect("ended"), None);
        }
        feed.send(row(1)).await.expect("taken");
        assert_eq!(number(queue.next(&stop).await), None);
    }
}
