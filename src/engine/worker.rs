//! One user's loop: permit, dispatch, decide, sleep. The slot is held throughout, the permit only while sending.

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

/// What every worker of a run shares.
#[derive(Debug)]
pub struct Workers<E> {
    /// The gate.
    pub dispatch: Dispatch<E>,
    /// When to try again.
    pub policy: RetryPolicy,
    /// `--concurrency` permits: users in flight. Closed by the pool when the run stops.
    pub permits: Arc<Semaphore>,
    /// Where wall times come from.
    pub wall: WallClock,
    /// Watched while sleeping.
    pub stop: Stop,
    /// To the journal.
    pub events: mpsc::Sender<Event>,
}

/// A user's story so far.
#[derive(Debug, Default)]
struct Story {
    tries: Tries,
    attempts: u32,
    /// Where there was more than one: when the first left.
    first: Option<(Instant, Timestamp)>,
}

impl<E: Exchange> Workers<E> {
    /// Works on one row until its fate is known or the run stops. A user cut short gets no record.
    pub async fn work(&self, row: Row) {
        let mut story = Story::default();
        loop {
            let Ok(permit) = self.permits.clone().acquire_owned().await else {
                return self.cut_short(&row, &story).await;
            };
            let Some((attempt, settled)) = self.dispatch.attempt(&row).await else {
                return self.cut_short(&row, &story).await;
            };
            story.attempts += 1;
            let mut permit = Some(permit);
            let whose = match may_be_of_sign_in(&attempt) {
                true => {
                    // Only the answers of others tell, so their requests must not wait for this user.
                    permit = None;
                    match self.dispatch.whose(row.number, &attempt).await {
                        Some(whose) => whose,
                        None => return self.cut_short(&row, &story).await,
                    }
                }
                false => Whose::User,
            };
            let decision = match whose {
                Whose::SignIn => self.policy.again(&attempt),
                Whose::User => {
                    let was_outage = |streak| self.dispatch.was_outage(streak);
                    story.tries.count(&attempt, settled.streak, was_outage);
                    self.policy.decide(&story.tries.history, &attempt)
                }
            };
            match decision {
                Decision::Finish { outcome, reason } => {
                    return self.finish(row, story, attempt, outcome, reason, permit).await;
                }
                Decision::PutOff(_) => {
                    return self.tell(Event::PutOff { row: row.number, attempt: Box::new(attempt) }).await;
                }
                Decision::RetryIn(wait) => {
                    drop(permit);
                    if attempt.retry_after.is_some() {
                        self.dispatch.user_waits(wait);
                    }
                    story.first.get_or_insert_with(|| {
                        // The wait for admission does not count.
                        let now = Instant::now();
                        (now.checked_sub(attempt.latency).unwrap_or(now), attempt.sent_at)
                    });
                    let event = Event::Retrying { row: row.number, attempt: Box::new(attempt), wait };
                    self.tell(event).await;
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

    async fn cut_short(&self, row: &Row, story: &Story) {
        if story.attempts > 0 {
            self.tell(Event::CutShort { row: row.number }).await;
        }
    }

    async fn finish(
        &self,
        row: Row,
        story: Story,
        attempt: Attempt,
        outcome: Outcome,
        reason: Option<Reason>,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let (first_sent_at, duration) = match story.first {
            Some((started, sent_at)) => (sent_at, started.elapsed()),
            None => (attempt.sent_at, attempt.latency),
        };
        let message = match reason {
            Some(Reason::GaveUp | Reason::Busy | Reason::NotGraph) => gave_up(story.attempts, &attempt),
            _ => attempt.message.into(),
        };
        let record = Record {
            http_status: attempt.status,
            error_code: attempt.code.into(),
            message,
            attempts: story.attempts,
            throttled: story.tries.history.throttled,
            first_sent_at: stamp(first_sent_at),
            finished_at: stamp(self.wall.now()),
            duration_ms: Some(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
            client_request_id: attempt.client_request_id,
            request_id: attempt.request_id,
            ..Record::unsent(row.number, row.line, row.shown, outcome, reason)
        };
        let finished = Finished { record, latency: Some(attempt.latency), permit };
        // Where the journal is closed the user has no record and is done again.
        self.tell(Event::Finished(Box::new(finished))).await;
    }

    /// To the journal. One that cannot write raises the stop itself; one that is gone without a word must not have the
    /// rest of the users sent for nothing.
    pub(crate) async fn tell(&self, event: Event) {
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
