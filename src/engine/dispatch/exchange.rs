//! One request and its answer: the seam between the gate and the client.

use std::future::Future;

use crate::graph::{BatchPart, Client, Pass};
use crate::model::{Attempt, AttemptResult, TransientFailure, UserId};

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
    fn send_batch(&self, pass: &Self::Pass, ids: &[UserId]) -> impl Future<Output = Vec<BatchPart>> + Send {
        async move {
            let mut parts = Vec::with_capacity(ids.len());
            for id in ids {
                parts.push(BatchPart::Answered(self.send(pass, id).await));
            }
            parts
        }
    }

    /// The pass that the attempt was sent with is not accepted any more.
    fn rejected(&self, attempt: &Attempt);

    /// Asks for something harmless that needs a pass: whether the pass is accepted at all. What knows no such request tells
    /// nothing.
    fn check(&self, _pass: &Self::Pass) -> impl Future<Output = Attempt> + Send {
        async { Attempt::of(AttemptResult::Transient(TransientFailure::NotGraph)) }
    }

    /// Whether a network lies between here and there, which may bar the way.
    fn is_remote(&self) -> bool {
        false
    }

    /// Gets a newer pass than the attempt was sent with, if there is one. The old one stays good without it.
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
