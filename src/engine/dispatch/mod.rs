//! The one gate through which requests leave: gather, cool-down, admission, cool-down again, token, send, settle.

mod gather;
mod reads;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::graph::{Client, Part, Pass};
use crate::model::{Attempt, Kind, Row, UserId};
use crate::pace::{Pace, Settled, Ticket};
use crate::stop::{Stop, Why};

use gather::Gathering;
pub use reads::{Asked, Reads};

/// Who waited longer for a token asks the gate again: with all who wait for the same one, the writes of more than this at
/// the present rate would leave at once.
const LATE: Duration = Duration::from_millis(500);

/// One request and its answer. The real client, or a script under a paused clock; not a second seam beside the base URL.
pub trait Exchange: Send + Sync + 'static {
    /// What a request needs that may take time to get: a token.
    type Pass: Send + Sync;

    /// Gets the pass. The text of an error ends the run as a sign-in failure.
    fn prepare(&self) -> impl Future<Output = Result<Self::Pass, String>> + Send;

    /// Sends one request. Bounded by its own timeout.
    fn send(&self, pass: &Self::Pass, id: &UserId) -> impl Future<Output = Attempt> + Send;

    /// Sends several in one request, at most [`graph::MOST_PARTS`](crate::graph::MOST_PARTS): as many parts, in their
    /// order. What knows no batches sends one after the other.
    fn send_batch(&self, pass: &Self::Pass, ids: &[UserId]) -> impl Future<Output = Vec<Part>> + Send {
        async move {
            let mut parts = Vec::with_capacity(ids.len());
            for id in ids {
                parts.push(Part::Own(self.send(pass, id).await));
            }
            parts
        }
    }

    /// A 401 came back: the pass it was sent with is worth nothing any more.
    fn rejected(&self, attempt: &Attempt);
}

/// The gate with what it asks.
#[derive(Debug)]
pub struct Dispatch<E> {
    gate: Arc<Gate<E>>,
    gathering: Option<Gathering>,
}

/// What single requests and groups share.
#[derive(Debug)]
struct Gate<E> {
    exchange: E,
    pace: Arc<Pace>,
    stop: Stop,
}

impl<E: Exchange> Dispatch<E> {
    /// One for all workers; every user is a request of his own.
    pub fn new(exchange: E, pace: Arc<Pace>, stop: Stop) -> Self {
        Self { gate: Arc::new(Gate { exchange, pace, stop }), gathering: None }
    }

    /// The same with up to `most` users in one request, 1 to 20. Called inside a runtime, which also runs the groups.
    pub fn batched(exchange: E, pace: Arc<Pace>, stop: Stop, most: usize) -> Self {
        let gate = Arc::new(Gate { exchange, pace, stop });
        let gathering = (most > 1).then(|| Gathering::start(gate.clone(), most));
        Self { gate, gathering }
    }

    /// Sends a request for the row as soon as it may leave, alone or with others. `None`: the run stops and nothing was
    /// sent, or the answer will not be waited for.
    pub async fn attempt(&self, row: &Row) -> Option<(Attempt, Settled)> {
        match self.gathering.as_ref().filter(|gathering| gathering.takes(row.number)) {
            Some(gathering) => gathering.attempt(row, &self.gate.stop).await,
            None => self.gate.single(row.number, &row.id).await,
        }
    }

    /// The service asked for a wait of one user, which is waited for: no silence of the service.
    pub fn user_waits(&self, wait: Duration) {
        self.gate.pace.user_waits(wait);
    }

    /// Whether a streak's attempts count against nobody.
    pub fn is_forgiven(&self, streak: u64) -> bool {
        self.gate.pace.is_forgiven(streak)
    }
}

impl<E: Exchange> Gate<E> {
    async fn single(&self, number: u64, id: &UserId) -> Option<(Attempt, Settled)> {
        let (mut ticket, pass) = self.leave(1).await?;
        let attempt = tokio::select! {
            biased;
            attempt = self.exchange.send(&pass, id) => attempt,
            () = self.stop.aborting() => return None,
        };
        let settled = self.settle(&mut ticket, number, &attempt);
        Some((attempt, settled))
    }

    fn settle(&self, ticket: &mut Ticket, number: u64, attempt: &Attempt) -> Settled {
        self.heed(attempt);
        self.pace.settle(ticket, number, attempt)
    }

    fn heed(&self, attempt: &Attempt) {
        if matches!(attempt.kind, Kind::Unauthorized { .. }) {
            self.exchange.rejected(attempt);
        }
    }

    /// The right to send as many of `parts` as may leave together, unless the run stops first.
    async fn leave(&self, parts: usize) -> Option<(Ticket, E::Pass)> {
        // Where nothing has to be waited for, the stop need not be watched, only looked at.
        tokio::select! {
            biased;
            ready = self.ready(parts) => ready.filter(|_| self.stop.is_running()),
            () = self.stop.draining() => None,
        }
    }

    async fn ready(&self, parts: usize) -> Option<(Ticket, E::Pass)> {
        let mut patient = true;
        loop {
            let mut ticket = self.pace.admit(u32::try_from(parts).unwrap_or(u32::MAX)).await;
            let admitted = Instant::now();
            let pass = match self.exchange.prepare().await {
                Ok(pass) => pass,
                Err(text) => {
                    self.stop.drain(Why::SignIn(text));
                    return None;
                }
            };
            // The token may have taken a while: a cool-down that began meanwhile sends us round again, and so does the
            // company of those who waited for the same token. Once: where each token takes so long, all are late.
            let late = patient && admitted.elapsed() > LATE;
            if ticket.still_open() && !late {
                ticket.leaves_now();
                return Some((ticket, pass));
            }
            patient &= !late;
        }
    }
}

impl Exchange for Client {
    type Pass = Pass;

    async fn prepare(&self) -> Result<Self::Pass, String> {
        self.tokens().current().await
    }

    async fn send(&self, pass: &Self::Pass, id: &UserId) -> Attempt {
        self.retry_provisioning(pass, id).await
    }

    async fn send_batch(&self, pass: &Self::Pass, ids: &[UserId]) -> Vec<Part> {
        self.retry_batch(pass, ids).await
    }

    fn rejected(&self, attempt: &Attempt) {
        let claims = match &attempt.kind {
            Kind::Unauthorized { claims } => claims.as_deref(),
            _ => None,
        };
        self.tokens().reject(attempt.token_generation, claims);
    }
}
