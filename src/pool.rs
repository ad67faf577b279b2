//! Rows in, spawned workers, at most `slots` at once. Shutdown is channels closing in order.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use tokio::sync::mpsc;
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
    mut items: mpsc::Receiver<Item>,
    workers: Arc<Workers<E>>,
    slots: usize,
    stop: Stop,
) {
    let rows = stream::poll_fn(move |context| items.poll_recv(context)).take_until({
        let stop = stop.clone();
        async move { stop.draining().await }
    });
    let work = rows
        .map(|item| {
            let workers = workers.clone();
            tokio::spawn(async move {
                match item {
                    Item::Send(row) => workers.work(row).await,
                    Item::Settled(record) => {
                        let finished = Finished { record: *record, attempt: None, permit: None };
                        workers.tell(Event::Finished(Box::new(finished))).await;
                    }
                }
            })
        })
        .buffer_unordered(slots)
        .for_each(|ended| {
            if let Err(error) = ended {
                stop.drain(Why::Bug(format!("a worker ended unexpectedly: {error}")));
            }
            std::future::ready(())
        });
    let overdue = async {
        stop.draining().await;
        sleep(DRAIN).await;
        stop.abort(None);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = work => {}
        () = overdue => {}
    }
}
