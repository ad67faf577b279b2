//! Sends one user at a time, alone or in a batch, through the gate.

use std::sync::Arc;
use std::time::Duration;

use super::batcher::Batcher;
use super::exchange::Exchange;
use super::gate::{AtWork, Gate, Whose};
use crate::model::{Attempt, Row};
use crate::pace::{AttemptFeedback, Pace};
use crate::stop::Stop;

/// The gate with what it asks.
#[derive(Debug)]
pub struct Dispatch<E> {
    pub(super) gate: Arc<Gate<E>>,
    batcher: Option<Batcher>,
}

impl<E: Exchange> Dispatch<E> {
    /// One for all workers; every user is a request of his own.
    pub fn new(exchange: E, pace: Arc<Pace>, stop: Stop) -> Self {
        Self { gate: Arc::new(Gate::new(exchange, pace, stop)), batcher: None }
    }

    /// The same with up to `most` users in one request, 1 to 20. Called inside a runtime, which also runs the groups.
    pub fn batched(exchange: E, pace: Arc<Pace>, stop: Stop, most: usize) -> Self {
        let gate = Arc::new(Gate::new(exchange, pace, stop));
        let batcher = (most > 1).then(|| Batcher::start(gate.clone(), most));
        Self { gate, batcher }
    }

    /// Sends a request for the row as soon as it may leave, alone or with others. `None`: the run stops and nothing was
    /// sent, or the answer will not be waited for. [`Dispatch::whose`] says whether a refusal counts.
    pub async fn attempt(&self, row: &Row) -> Option<(Attempt, AttemptFeedback)> {
        let _at_work = AtWork::begin(&self.gate.at_work);
        let (mut attempt, settled) = match self.batcher.as_ref().filter(|batcher| batcher.takes(row.number)) {
            Some(batcher) => batcher.attempt(row, &self.gate.stop).await?,
            None => self.gate.single(row.number, &row.id).await?,
        };
        settled.apply_to(&mut attempt);
        Some((attempt, settled))
    }

    /// The service asked for a wait of one user, which is waited for: no silence of the service.
    pub fn user_waits(&self, wait: Duration) {
        self.gate.pace.user_waits(wait);
    }

    /// From now on a user refused with 403 is not decided before it is known whether a role or permission ended.
    /// `accepted_before`: an earlier invocation of the run had users accepted.
    pub fn hold_forbidden(&self, accepted_before: bool) {
        self.gate.refusals.hold_forbidden(accepted_before);
    }

    /// Whose a refusal is, once later answers or a check have told: asked after every 401 and 403 of an attempt, by a user
    /// who holds nobody else up meanwhile. `None`: the run stops.
    pub async fn whose(&self, row: u64, attempt: &Attempt) -> Option<Whose> {
        self.gate.whose(row, attempt).await
    }

    /// Whether a streak's attempts count against nobody.
    pub fn was_outage(&self, streak: u64) -> bool {
        self.gate.pace.was_outage(streak)
    }
}
