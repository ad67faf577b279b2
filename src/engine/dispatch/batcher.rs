//! Collects users into batch requests (`--batch`). Workers and the retry decision do not depend on it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::exchange::Exchange;
use super::gate::Gate;
use super::refusals::SendOrder;
use crate::graph::BatchPart;
use crate::model::{Attempt, Row, UserId};
use crate::pace::AttemptFeedback;
use crate::stop::{Stop, StopReason};

/// Longest time that a user waits for a batch to fill, whatever the rate.
const LONGEST: Duration = Duration::from_secs(1);
/// Consecutive batches without a readable response after which batching is switched off. The cause is usually
/// a proxy, or an endpoint without `$batch`. Each such batch costs all its users one attempt.
const MAX_UNANSWERED_BATCHES: u32 = 5;

/// The queue of users that wait for a batch.
#[derive(Debug)]
pub(super) struct Batcher {
    /// Each user in it holds a permit, so it holds at most `--concurrency` users.
    arriving: mpsc::UnboundedSender<QueuedUser>,
    alone: Arc<SendAlone>,
}

/// Users that are sent alone.
#[derive(Debug, Default)]
struct SendAlone {
    /// Rows without a response in their last batch. Their next attempt is sent alone.
    rows: Mutex<HashSet<u64>>,
    unanswered_batches: AtomicU32,
}

/// A user that waits for its response. It is dropped without one if the run stops.
#[derive(Debug)]
struct QueuedUser {
    row: u64,
    id: UserId,
    answer: oneshot::Sender<(Attempt, AttemptFeedback)>,
}

impl Batcher {
    /// Starts the task that collects users. It ends when the last sender is dropped or the run stops.
    pub(super) fn start<E: Exchange>(gate: Arc<Gate<E>>, most: usize) -> Self {
        let (arriving, arrived) = mpsc::unbounded_channel();
        let alone = Arc::new(SendAlone::default());
        tokio::spawn(gather(gate, alone.clone(), arrived, most));
        Self { arriving, alone }
    }

    /// Whether the row may be sent in a batch.
    pub(super) fn takes(&self, row: u64) -> bool {
        if self.alone.unanswered_batches.load(Relaxed) >= MAX_UNANSWERED_BATCHES {
            return false;
        }
        let mut alone = self.alone.rows();
        alone.is_empty() || !alone.remove(&row)
    }

    /// Adds a user to the queue and waits for the response.
    pub(super) async fn attempt(&self, row: &Row, stop: &Stop) -> Option<(Attempt, AttemptFeedback)> {
        let (answer, answered) = oneshot::channel();
        let member = QueuedUser { row: row.number, id: row.id.clone(), answer };
        let came = match self.arriving.send(member) {
            Ok(()) => answered.await.ok(),
            Err(_) => None,
        };
        if came.is_none() && stop.is_running() {
            stop.drain(StopReason::Bug("a group of users ended without their answers".to_owned()));
        }
        came
    }
}

impl SendAlone {
    fn rows(&self) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        // Code that holds the lock cannot panic half-way through a change.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Collects users into batches until the run stops. Users that were not sent by then are dropped.
async fn gather<E: Exchange>(
    gate: Arc<Gate<E>>,
    alone: Arc<SendAlone>,
    mut arrived: mpsc::UnboundedReceiver<QueuedUser>,
    most: usize,
) {
    loop {
        let mut group = Vec::with_capacity(most);
        let first = tokio::select! {
            biased;
            () = gate.stop.draining() => return,
            first = arrived.recv_many(&mut group, most) => first,
        };
        if first == 0 {
            return;
        }
        // Before that instant the rate does not allow a full batch anyway.
        let patience = Duration::from_secs_f64((most as f64 / gate.pace.rate()).min(LONGEST.as_secs_f64()));
        let patience = sleep(patience);
        tokio::pin!(patience);
        while group.len() < most {
            let room = most - group.len();
            tokio::select! {
                biased;
                () = gate.stop.draining() => return,
                more = arrived.recv_many(&mut group, room) => if more == 0 { break },
                () = &mut patience => break,
            }
        }
        spawn(gate.clone(), alone.clone(), group);
    }
}

/// Sends one batch. Users that may not be sent with it return to the queue.
fn spawn<E: Exchange>(gate: Arc<Gate<E>>, alone: Arc<SendAlone>, mut group: Vec<QueuedUser>) {
    tokio::spawn(async move {
        let Some(mut departure) = gate.leave(group.len()).await else { return };
        let rest = group.split_off(group.len().min(departure.ticket.parts() as usize));
        if !rest.is_empty() {
            spawn(gate.clone(), alone.clone(), rest);
        }
        let (ids, waiting): (Vec<_>, Vec<_>) =
            group.into_iter().map(|QueuedUser { row, id, answer }| (id, (row, answer))).unzip();
        let parts = async {
            match &*ids {
                [id] => vec![BatchPart::Answered(gate.exchange.send(&departure.pass, id).await)],
                ids => gate.exchange.send_batch(&departure.pass, ids).await,
            }
        };
        let parts = tokio::select! {
            biased;
            parts = parts => parts,
            () = gate.stop.aborting() => return,
        };
        if parts.iter().all(|part| matches!(part, BatchPart::NoAnswer(_))) {
            alone.unanswered_batches.fetch_add(1, Relaxed);
        } else {
            alone.unanswered_batches.store(0, Relaxed);
        }
        // A batch that fails as a whole is one failure, so it counts for one user in the outage rule.
        let whole = waiting.first().map_or(0, |(row, _)| *row);
        for (place, ((row, _), part)) in waiting.iter().zip(&parts).enumerate() {
            let counted = if matches!(part, BatchPart::Answered(_)) { *row } else { whole };
            gate.heed(SendOrder { request: departure.request, part: place }, *row, counted, part.attempt());
            if matches!(part, BatchPart::NoAnswer(_)) {
                alone.rows().insert(*row);
            }
        }
        let mut settling = gate.pace.settling(&mut departure.ticket);
        let settle = |((row, _), part): (&(u64, _), &BatchPart)| match part {
            BatchPart::Answered(attempt) => settling.part(*row, attempt),
            BatchPart::BatchFailed(attempt) | BatchPart::NoAnswer(attempt) => settling.part(whole, attempt),
        };
        let settled: Vec<_> = waiting.iter().zip(&parts).map(settle).collect();
        drop(settling);
        for (((_, answer), part), settled) in waiting.into_iter().zip(parts).zip(settled) {
            // The worker has ended only if the run is aborted.
            let _ = answer.send((part.into_attempt(), settled));
        }
    });
}
