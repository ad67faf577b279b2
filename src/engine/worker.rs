//! The loop of one user: permit, send, decide, sleep. The worker is held all the time, the permit only while
//! sending.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep};

pub use crate::engine::dispatch::Exchange;
use crate::engine::dispatch::{Dispatch, Whose, may_be_of_sign_in};
use crate::engine::retry::{Decision, RetryPolicy, Tries};
use crate::model::{Attempt, Event, Finished, Outcome, Reason, Record, Row, Text, WallClock, count, stamp};
use crate::stop::{Stop, StopReason};

/// The values that all workers of a run share.
#[derive(Debug)]
pub struct Workers<E> {
    /// Sends the requests.
    pub dispatch: Dispatch<E>,
    /// Decides whether a user gets another attempt.
    pub policy: RetryPolicy,
    /// Permits for users in flight, as many as `--concurrency`. The pool closes them when the run stops.
    pub permits: Arc<Semaphore>,
    /// The wall clock for records.
    pub wall: WallClock,
    /// Ends a backoff when the run stops.
    pub stop: Stop,
    /// The channel to the journal thread.
    pub events: mpsc::Sender<Event>,
}

/// The progress of one user.
#[derive(Debug, Default)]
struct UserProgress {
    tries: Tries,
    attempts: u32,
    /// When the first attempt was sent, if there was more than one.
    first: Option<(Instant, Timestamp)>,
}

impl<E: Exchange> Workers<E> {
    /// Works on one row until its outcome is known or the run stops. A row without an outcome gets no record.
    pub async fn work(&self, row: Row) {
        let mut progress = UserProgress::default();
        loop {
            let Ok(permit) = self.permits.clone().acquire_owned().await else {
                return self.cut_short(&row, &progress).await;
            };
            let Some((attempt, settled)) = self.dispatch.attempt(&row).await else {
                return self.cut_short(&row, &progress).await;
            };
            progress.attempts += 1;
            let mut permit = Some(permit);
            let whose = match may_be_of_sign_in(&attempt) {
                true => {
                    // Responses for other users decide about the token, so this user must not hold a permit
                    // meanwhile.
                    permit = None;
                    match self.dispatch.whose(row.number, &attempt).await {
                        Some(whose) => whose,
                        None => return self.cut_short(&row, &progress).await,
                    }
                }
                false => Whose::User,
            };
            let decision = match whose {
                Whose::SignIn => self.policy.again(&attempt),
                Whose::User => {
                    let was_outage = |streak| self.dispatch.was_outage(streak);
                    progress.tries.count(&attempt, settled.streak, was_outage);
                    self.policy.decide(&progress.tries.history, &attempt)
                }
            };
            match decision {
                Decision::Finish { outcome, reason } => {
                    return self.finish(row, progress, attempt, outcome, reason, permit).await;
                }
                Decision::PutOff(_) => {
                    return self
                        .send_event(Event::PutOff { row: row.number, attempt: Box::new(attempt) })
                        .await;
                }
                Decision::RetryIn(wait) => {
                    drop(permit);
                    if attempt.retry_after.is_some() {
                        self.dispatch.user_waits(wait);
                    }
                    progress.first.get_or_insert_with(|| {
                        // The wait for admission does not count.
                        let now = Instant::now();
                        (now.checked_sub(attempt.latency).unwrap_or(now), attempt.sent_at)
                    });
                    let event = Event::Retrying { row: row.number, attempt: Box::new(attempt), wait };
                    self.send_event(event).await;
                    self.wait(wait).await;
                }
            }
        }
    }

    async fn wait(&self, wait: Duration) {
        if !wait.is_zero() {
            tokio::select! {
                () = sleep(wait) => {}
                () = self.stop.draining() => {}
            }
        }
    }

    async fn cut_short(&self, row: &Row, progress: &UserProgress) {
        if progress.attempts > 0 {
            self.send_event(Event::CutShort { row: row.number }).await;
        }
    }

    async fn finish(
        &self,
        row: Row,
        progress: UserProgress,
        attempt: Attempt,
        outcome: Outcome,
        reason: Option<Reason>,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let (first_sent_at, duration) = match progress.first {
            Some((started, sent_at)) => (sent_at, started.elapsed()),
            None => (attempt.sent_at, attempt.latency),
        };
        let message = match reason {
            Some(Reason::GaveUp | Reason::Busy | Reason::NotGraph) => gave_up(progress.attempts, &attempt),
            _ => attempt.message.into(),
        };
        let record = Record {
            http_status: attempt.status,
            error_code: attempt.code.into(),
            message,
            attempts: progress.attempts,
            throttled: progress.tries.history.throttled,
            first_sent_at: stamp(first_sent_at),
            finished_at: stamp(self.wall.now()),
            duration_ms: Some(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
            client_request_id: attempt.client_request_id,
            request_id: attempt.request_id,
            ..Record::unsent(row.number, row.line, row.shown, outcome, reason)
        };
        let finished = Finished { record, latency: Some(attempt.latency), permit };
        // If the journal is closed, the user has no record and is sent again by the next invocation.
        self.send_event(Event::Finished(Box::new(finished))).await;
    }

    /// Sends an event to the journal thread. A journal that cannot write stops the run itself. If the journal
    /// thread has ended without doing so, this function stops the run, so that no user is sent without a
    /// record.
    pub(crate) async fn send_event(&self, event: Event) {
        if self.events.send(event).await.is_err() && self.stop.is_running() {
            self.stop.drain(StopReason::Bug("the journal thread ended unexpectedly".to_owned()));
        }
    }
}

fn gave_up(tries: u32, last: &Attempt) -> Text {
    let status = last.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let what = format!("{status} {}", last.code);
    format!("{}, last answer {}: {}", count(u64::from(tries), "tries"), what.trim_end(), last.message)
        .trim_end_matches([' ', ':'])
        .chars()
        .take(300)
        .collect::<String>()
        .into()
}
