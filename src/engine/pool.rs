//! Rows in, so many workers that take one after the other. Shutdown is channels closing in order.

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

/// Fewest slots: the outage rule needs 20 different users at work even with one in flight, and room beside them.
const FEWEST_SLOTS: usize = 64;
/// Slots per permit: users who wait for a retry keep their slot and must not idle the permits.
const SLOTS_PER_PERMIT: usize = 4;
/// Rows taken off the channel at once.
const TOGETHER: usize = 64;
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
    let queue = Arc::new(Queue { ahead: Mutex::default(), items: tokio::sync::Mutex::new(items) });
    // All slots in one task: to wake and to schedule a task for each costs as much as the rest of the way of a user
    // through here. Nothing half-done outlives a panic: the slot is gone, and the run stops.
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

/// What a panic said, if it stands so in the source: a text that was put together may hold anything.
fn words(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&'static str>().copied().unwrap_or("it panicked")
}

async fn serve<E: Exchange>(queue: Arc<Queue>, workers: Arc<Workers<E>>) {
    while let Some(item) = queue.next(&workers.stop).await {
        match item {
            Item::Send(row) => workers.work(row).await,
            Item::Settled(record) => {
                let finished = Finished { record: *record, latency: None, permit: None };
                workers.tell(Event::Finished(Box::new(finished))).await;
            }
        }
    }
}

/// Where all workers take their rows: first come, first served.
#[derive(Debug)]
struct Queue {
    /// Taken off the channel together, which costs as much as taking one.
    ahead: Mutex<VecDeque<Item>>,
    /// Held by the one who waits for more.
    items: tokio::sync::Mutex<mpsc::Receiver<Item>>,
}

impl Queue {
    /// The next row; none once they have ended or the run stops.
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
        // Nothing inside the lock can panic half-way through a change.
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
    async fn rows_come_in_their_order_each_once_and_end() {
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
    async fn a_stop_ends_those_who_wait_and_nothing_is_taken_after_it() {
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
