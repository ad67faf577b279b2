//! The one gate through which requests leave: cool-down, admission, cool-down again, token, send, settle.

use std::future::Future;
use std::sync::Arc;

use crate::model::{Attempt, Row, UserId};
use crate::pace::{Pace, Settled, Ticket};
use crate::stop::{Stop, Why};

/// One request and its answer. The real client, or a script under a paused clock; not a second seam beside the base URL.
pub trait Exchange: Send + Sync + 'static {
    /// What a request needs that may take time to get: a token.
    type Pass: Send + Sync;

    /// Gets the pass. The text of an error ends the run as a sign-in failure.
    fn prepare(&self) -> impl Future<Output = Result<Self::Pass, String>> + Send;

    /// Sends one request. Bounded by its own timeout.
    fn send(&self, pass: &Self::Pass, id: &UserId) -> impl Future<Output = Attempt> + Send;

    /// A 401 came back: the pass it was sent with is worth nothing any more.
    fn rejected(&self, attempt: &Attempt);
}

/// The gate with what it asks.
#[derive(Debug)]
pub struct Dispatch<E> {
    exchange: E,
    pace: Arc<Pace>,
    stop: Stop,
}

impl<E: Exchange> Dispatch<E> {
    /// One for all workers.
    pub fn new(exchange: E, pace: Arc<Pace>, stop: Stop) -> Self {
        Self { exchange, pace, stop }
    }

    /// Sends one request for the row as soon as it may leave. `None`: the run stops and nothing was sent, or the
    /// answer will not be waited for.
    pub async fn attempt(&self, row: &Row) -> Option<(Attempt, Settled)> {
        let (mut ticket, pass) = tokio::select! {
            biased;
            () = self.stop.draining() => return None,
            ready = self.ready() => ready?,
        };
        let attempt = tokio::select! {
            attempt = self.exchange.send(&pass, &row.id) => attempt,
            () = self.stop.aborting() => return None,
        };
        if matches!(attempt.kind, crate::model::Kind::Unauthorized { .. }) {
            self.exchange.rejected(&attempt);
        }
        let settled = self.pace.settle(&mut ticket, row.number, &attempt);
        Some((attempt, settled))
    }

    /// Whether a streak's attempts count against nobody.
    pub fn is_forgiven(&self, streak: u64) -> bool {
        self.pace.is_forgiven(streak)
    }

    async fn ready(&self) -> Option<(Ticket, E::Pass)> {
        loop {
            let mut ticket = self.pace.admit(1).await;
            let pass = match self.exchange.prepare().await {
                Ok(pass) => pass,
                Err(text) => {
                    self.stop.drain(Why::SignIn(text));
                    return None;
                }
            };
            // The token may have taken a while: a cool-down that began meanwhile sends us round again.
            if ticket.still_open() {
                ticket.leaves_now();
                return Some((ticket, pass));
            }
        }
    }
}

impl Exchange for crate::graph::Client {
    type Pass = crate::graph::Pass;

    async fn prepare(&self) -> Result<Self::Pass, String> {
        self.tokens().current().await
    }

    async fn send(&self, pass: &Self::Pass, id: &UserId) -> Attempt {
        self.retry_provisioning(pass, id).await
    }

    fn rejected(&self, attempt: &Attempt) {
        self.tokens().reject(attempt.token_generation);
    }
}
