//! Sends users through the gate, single or in batches.

use std::sync::Arc;
use std::time::Duration;

use super::batcher::Batcher;
use super::exchange::Exchange;
use super::gate::{AtWork, Gate, Whose};
use crate::model::{Attempt, Row};
use crate::pace::{AttemptFeedback, Pace};
use crate::stop::Stop;

/// The gate with the exchange that sends.
#[derive(Debug)]
pub struct Dispatch<E> {
    pub(super) gate: Arc<Gate<E>>,
    batcher: Option<Batcher>,
}

impl<E: Exchange> Dispatch<E> {
    /// Creates the dispatch of a run. Every user is sent in a request of its own.
    pub fn new(exchange: E, pace: Arc<Pace>, stop: Stop) -> Self {
        Self { gate: Arc::new(Gate::new(exchange, pace, stop)), batcher: None }
    }

    /// Creates the dispatch of a run with up to `most` users in one request, 1 to 20. Call it inside a
    /// runtime, which runs the batches too.
    pub fn batched(exchange: E, pace: Arc<Pace>, stop: Stop, most: usize) -> Self {
        let gate = Arc::new(Gate::new(exchange, pace, stop));
        let batcher = (most > 1).then(|| Batcher::start(gate.clone(), most));
        Self { gate, batcher }
    }

    /// Sends a request for the row as soon as sending is allowed, single or in a batch. `None` if the run
    /// stops before it was sent, or before its response. [`Dispatch::whose`] decides whether a 401 or 403
    /// counts.
    pub async fn attempt(&self, row: &Row) -> Option<(Attempt, AttemptFeedback)> {
        let _at_work = AtWork::begin(&self.gate.at_work);
        let (mut attempt, settled) = match self.batcher.as_ref().filter(|batcher| batcher.takes(row.number)) {
            Some(batcher) => batcher.attempt(row, &self.gate.stop).await?,
            None => self.gate.single(row.number, &row.id).await?,
        };
        settled.apply_to(&mut attempt);
        Some((attempt, settled))
    }

    /// Records a wait that the service asked for one user. It does not count as silence of the service.
    pub fn user_waits(&self, wait: Duration) {
        self.gate.pace.user_waits(wait);
    }

    /// From now on a 403 is not decided before it is known whether a role or permission ended.
    /// `accepted_before`: an earlier invocation of the run had users accepted.
    pub fn hold_forbidden(&self, accepted_before: bool) {
        self.gate.refusals.hold_forbidden(accepted_before);
    }

    /// Waits until later responses or a check decide the cause of a 401 or 403. Call it after every such
    /// attempt, without a permit. `None` if the run stops.
    pub async fn whose(&self, row: u64, attempt: &Attempt) -> Option<Whose> {
        self.gate.whose(row, attempt).await
    }

    /// Whether a streak was an outage. Its attempts do not count for any user.
    pub fn was_outage(&self, streak: u64) -> bool {
        self.gate.pace.was_outage(streak)
    }
}
