//! The one gate through which requests leave: cool-down, admission, cool-down again, token, send, settle.

use std::future::Future;
use std::sync::Arc;

use url::Url;

use crate::graph::{Client, MOST_PARTS, Pass, Reading};
use crate::model::{Attempt, Kind, Row, UserId};
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

/// What can be read as well: pages and objects, through the same gate.
pub trait Reads: Exchange {
    /// Reads an absolute URL on the origin of the endpoint.
    fn get(&self, pass: &Self::Pass, url: &Url) -> impl Future<Output = Reading> + Send;

    /// Reads up to [`MOST_PARTS`] paths in one request: as many readings, in their order.
    fn get_batch(&self, pass: &Self::Pass, paths: &[String]) -> impl Future<Output = Vec<Reading>> + Send;
}

/// One read: which is asked for again under the same number, as a user under that of his row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Tells an outage (many fail) from one page that fails again and again.
    pub number: u64,
    /// Below root and version, such as `/users/{id}?$select=id`; `graph::object_path` encodes the id.
    pub path: String,
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
        let (mut ticket, pass) = self.leave(1).await?;
        let attempt = tokio::select! {
            attempt = self.exchange.send(&pass, &row.id) => attempt,
            () = self.stop.aborting() => return None,
        };
        let settled = self.settle(&mut ticket, row.number, &attempt);
        Some((attempt, settled))
    }

    /// Whether a streak's attempts count against nobody.
    pub fn is_forgiven(&self, streak: u64) -> bool {
        self.pace.is_forgiven(streak)
    }

    fn settle(&self, ticket: &mut Ticket, number: u64, attempt: &Attempt) -> Settled {
        if matches!(attempt.kind, Kind::Unauthorized { .. }) {
            self.exchange.rejected(attempt);
        }
        self.pace.settle(ticket, number, attempt)
    }

    /// The right to send, unless the run stops first.
    async fn leave(&self, parts: u32) -> Option<(Ticket, E::Pass)> {
        tokio::select! {
            biased;
            () = self.stop.draining() => None,
            ready = self.ready(parts) => ready,
        }
    }

    async fn ready(&self, parts: u32) -> Option<(Ticket, E::Pass)> {
        loop {
            let mut ticket = self.pace.admit(parts).await;
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

impl<E: Reads> Dispatch<E> {
    /// Reads one URL as soon as it may leave, as [`Dispatch::attempt`] sends for a row. Whether and when it is asked
    /// again is for the caller to decide; `number` stays the same then.
    pub async fn get(&self, number: u64, url: &Url) -> Option<(Reading, Settled)> {
        let (mut ticket, pass) = self.leave(1).await?;
        let reading = tokio::select! {
            reading = self.exchange.get(&pass, url) => reading,
            () = self.stop.aborting() => return None,
        };
        let settled = self.settle(&mut ticket, number, &reading.attempt);
        Some((reading, settled))
    }

    /// Reads as many of the first [`MOST_PARTS`] as may leave together, in one request, and answers in their order:
    /// fewer than asked while a single probe is allowed, never more than the group of the `Pace`. The rest is asked again.
    pub async fn get_batch(&self, asked: &[Asked]) -> Option<Vec<(Reading, Settled)>> {
        let most = asked.len().min(MOST_PARTS);
        if most == 0 {
            return Some(Vec::new());
        }
        let (mut ticket, pass) = self.leave(most as u32).await?;
        let asked = &asked[..most.min(ticket.parts() as usize)];
        let paths: Vec<_> = asked.iter().map(|asked| asked.path.clone()).collect();
        let readings = tokio::select! {
            readings = self.exchange.get_batch(&pass, &paths) => readings,
            () = self.stop.aborting() => return None,
        };
        let settled = asked.iter().zip(readings).map(|(asked, reading)| {
            let settled = self.settle(&mut ticket, asked.number, &reading.attempt);
            (reading, settled)
        });
        Some(settled.collect())
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

    fn rejected(&self, attempt: &Attempt) {
        let claims = match &attempt.kind {
            crate::model::Kind::Unauthorized { claims } => claims.as_deref(),
            _ => None,
        };
        self.tokens().reject(attempt.token_generation, claims);
    }
}

impl Reads for Client {
    async fn get(&self, pass: &Pass, url: &Url) -> Reading {
        Self::get(self, pass, url).await
    }

    async fn get_batch(&self, pass: &Pass, paths: &[String]) -> Vec<Reading> {
        Self::get_batch(self, pass, paths).await
    }
}
