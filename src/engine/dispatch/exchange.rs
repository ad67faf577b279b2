//! The seam between the gate and the HTTP client: one request and its response.

use std::future::Future;

use crate::graph::{BatchPart, Client, Pass};
use crate::model::{Attempt, AttemptResult, TransientFailure, UserId};

/// Sends one request and returns its response: the real client, or a script in paused time. The base URL is
/// still the only seam for a simulator.
pub trait Exchange: Send + Sync + 'static {
    /// What a request needs and may take time to fetch: a token.
    type Pass: Send + Sync;

    /// Fetches the pass.
    ///
    /// # Errors
    /// The text of a sign-in failure, which ends the run.
    fn prepare(&self) -> impl Future<Output = Result<Self::Pass, String>> + Send;

    /// Sends one request. It has its own timeout.
    fn send(&self, pass: &Self::Pass, id: &UserId) -> impl Future<Output = Attempt> + Send;

    /// Sends up to [`graph::MOST_PARTS`](crate::graph::MOST_PARTS) users in one request and returns their
    /// parts in the same order. The default sends them one after the other.
    fn send_batch(&self, pass: &Self::Pass, ids: &[UserId]) -> impl Future<Output = Vec<BatchPart>> + Send {
        async move {
            let mut parts = Vec::with_capacity(ids.len());
            for id in ids {
                parts.push(BatchPart::Answered(self.send(pass, id).await));
            }
            parts
        }
    }

    /// Reports that the pass of the attempt is not accepted any more.
    fn rejected(&self, attempt: &Attempt);

    /// Sends a harmless request that needs a pass, to check whether the pass is accepted. `None` if there is
    /// no such request.
    fn check(&self, _pass: &Self::Pass) -> impl Future<Output = Attempt> + Send {
        async { Attempt::of(AttemptResult::Transient(TransientFailure::NotGraph)) }
    }

    /// Whether there is a network in between that may prevent a connection.
    fn is_remote(&self) -> bool {
        false
    }

    /// Fetches a newer pass than that of the attempt, if there is one. Otherwise the old one stays valid.
    fn renew(&self, _attempt: &Attempt) -> impl Future<Output = bool> + Send {
        async { false }
    }
}

impl Exchange for Client {
    type Pass = Pass;

    async fn prepare(&self) -> Result<Self::Pass, String> {
        self.tokens().current().await
    }

    async fn send(&self, pass: &Self::Pass, id: &UserId) -> Attempt {
        let mut attempt = self.retry_provisioning(pass, id).await;
        pass.hide_in(&mut attempt);
        attempt
    }

    async fn send_batch(&self, pass: &Self::Pass, ids: &[UserId]) -> Vec<BatchPart> {
        let mut parts = self.retry_batch(pass, ids).await;
        parts.iter_mut().for_each(|part| pass.hide_in(part.attempt_mut()));
        parts
    }

    async fn check(&self, pass: &Self::Pass) -> Attempt {
        let mut attempt = Self::check(self, pass).await;
        pass.hide_in(&mut attempt);
        attempt
    }

    fn is_remote(&self) -> bool {
        true
    }

    async fn renew(&self, attempt: &Attempt) -> bool {
        self.tokens().renew(attempt.token_generation).await
    }

    fn rejected(&self, attempt: &Attempt) {
        let claims = match &attempt.kind {
            AttemptResult::Unauthorized { claims } => claims.as_deref(),
            _ => None,
        };
        self.tokens().reject(attempt.token_generation, claims);
    }
}
