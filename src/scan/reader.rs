//! Reads through the gate until they are answered, with the same patience as `run` has for a user.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio::time::sleep;
use url::Url;

use super::object::{Object, Page, object_query, page, parse_object};
use crate::engine::dispatch::{Dispatch, ReadRequest, Reads};
use crate::engine::retry::{Decision, RetryPolicy, Tries};
use crate::graph::{MOST_PARTS, object_path};
use crate::model::{Attempt, AttemptResult, ObjectKind, Outcome, Reason, TransientFailure, UserId};
use crate::stop::Stop;

/// Batches of reads under way at once: reads cost no writes, and one page of a scan is one.
const BATCHES: usize = 4;

/// Objects that are refused together with 403 before it counts as an answer about the account and not about each of them.
const REFUSED_TO_ALL: usize = 5;

/// Of an answer that the gate took for a good one: no outage has this number.
const NO_STREAK: u64 = u64::MAX;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadEnd {
    /// The run stops.
    Stopped,
    /// The last answer, and it was final.
    Refused(Box<Attempt>),
    /// Tried as often as allowed.
    GaveUp(Box<Attempt>),
    /// The service asks for a wait above `--max-wait` before the next try.
    PutOff(Box<Attempt>),
}

/// What one object's read came to.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadObject {
    /// It is there.
    There(Box<Object>),
    /// It is not.
    Gone,
    /// It cannot be read: why.
    Unread(String),
}

/// Reads of one collection.
#[derive(Debug)]
pub struct Reader<E> {
    dispatch: Dispatch<E>,
    policy: RetryPolicy,
    stop: Stop,
    kind: ObjectKind,
    /// Whether any single object was answered: then a 403 is about one object.
    answered: AtomicBool,
}

impl<E: Reads> Reader<E> {
    /// Through this gate.
    pub fn new(dispatch: Dispatch<E>, policy: RetryPolicy, stop: Stop, kind: ObjectKind) -> Self {
        Self { dispatch, policy, stop, kind, answered: AtomicBool::new(false) }
    }

    /// The collection.
    pub fn kind(&self) -> ObjectKind {
        self.kind
    }

    /// One page, and the service's own time. `number` counts pages, from 1.
    ///
    /// # Errors
    /// Where the page cannot be had; nothing of it is lost then, it can be asked for again.
    pub async fn page(&self, number: u64, url: &Url) -> Result<(Page, Option<Timestamp>), ReadEnd> {
        let mut tries = Tries::default();
        loop {
            let Some((mut reading, settled)) = self.dispatch.get(number, url).await else {
                return Err(ReadEnd::Stopped);
            };
            let mut streak = settled.streak;
            if reading.attempt.kind == AttemptResult::Accepted {
                match page(&reading.body) {
                    Ok(page) => return Ok((page, reading.date)),
                    // JSON that is not a page. Another attempt may return one.
                    Err(message) => {
                        reading.attempt.kind = AttemptResult::Transient(TransientFailure::Broken);
                        reading.attempt.message = message.into();
                        streak = Some(NO_STREAK);
                    }
                }
            }
            tries.count(&reading.attempt, streak, |streak| self.dispatch.was_outage(streak));
            match self.decide(&tries, &reading.attempt) {
                Some(wait) => self.wait(wait).await?,
                None if matches!(reading.attempt.kind, AttemptResult::Rejected(_)) => {
                    return Err(ReadEnd::Refused(Box::new(reading.attempt)));
                }
                None if self.is_too_long(&reading.attempt) => {
                    return Err(ReadEnd::PutOff(Box::new(reading.attempt)));
                }
                None => return Err(ReadEnd::GaveUp(Box::new(reading.attempt))),
            }
        }
    }

    /// Single objects, twenty in a request, handed on as they come with the service's own time.
    ///
    /// # Errors
    /// Where the run stops, or the account may read no object.
    pub async fn objects<T: Send>(
        &self,
        wanted: impl Iterator<Item = (T, UserId)>,
        mut each: impl FnMut(T, ReadObject, Option<Timestamp>),
    ) -> Result<(), ReadEnd> {
        let mut number = 0;
        let mut wanted = wanted.map(|(what, id)| {
            number += 1;
            (number, what, id)
        });
        let groups = std::iter::from_fn(|| {
            let group: Vec<_> = wanted.by_ref().take(MOST_PARTS).collect();
            (!group.is_empty()).then_some(group)
        });
        let mut answers = stream::iter(groups).map(|group| self.group(group)).buffer_unordered(BATCHES);
        while let Some(group) = answers.next().await {
            for (what, found, date) in group? {
                each(what, found, date);
            }
        }
        Ok(())
    }

    async fn group<T>(
        &self,
        group: Vec<(u64, T, UserId)>,
    ) -> Result<Vec<(T, ReadObject, Option<Timestamp>)>, ReadEnd> {
        let mut done = Vec::with_capacity(group.len());
        let (mut refused, mut answered) = (Vec::new(), false);
        let mut open: Vec<_> = group
            .into_iter()
            .map(|(number, what, id)| {
                let path = object_query(self.kind, &object_path(self.kind, &id));
                (ReadRequest { number, path }, what, Tries::default())
            })
            .collect();
        while !open.is_empty() {
            let asked: Vec<_> = open.iter().map(|(asked, ..)| asked.clone()).collect();
            let Some(readings) = self.dispatch.get_batch(&asked).await else { return Err(ReadEnd::Stopped) };
            let (mut again, mut wait) = (Vec::new(), Duration::ZERO);
            // What the gate did not let through yet stays open at the end.
            let rest = open.split_off(readings.len());
            for ((asked, what, mut tries), (reading, settled)) in open.into_iter().zip(readings) {
                answered |= matches!(
                    reading.attempt.kind,
                    AttemptResult::Accepted | AttemptResult::Rejected(Reason::NotFound)
                );
                let found = match reading.attempt.kind {
                    AttemptResult::Accepted => match parse_object(&reading.body) {
                        Ok(object) => ReadObject::There(Box::new(object)),
                        Err(message) => ReadObject::Unread(message),
                    },
                    AttemptResult::Rejected(Reason::NotFound) => ReadObject::Gone,
                    AttemptResult::Rejected(Reason::NoPermission) => {
                        refused.push(reading.attempt.clone());
                        ReadObject::Unread(reading.attempt.message.into())
                    }
                    _ => {
                        tries.count(&reading.attempt, settled.streak, |streak| {
                            self.dispatch.was_outage(streak)
                        });
                        match self.decide(&tries, &reading.attempt) {
                            Some(longer) => {
                                wait = wait.max(longer);
                                again.push((asked, what, tries));
                                continue;
                            }
                            // It pauses all that is left to read, not this object.
                            None if matches!(reading.attempt.kind, AttemptResult::Throttled(_))
                                && self.is_too_long(&reading.attempt) =>
                            {
                                return Err(ReadEnd::PutOff(Box::new(reading.attempt)));
                            }
                            None => ReadObject::Unread(reading.attempt.message.into()),
                        }
                    }
                };
                done.push((what, found, reading.date));
            }
            again.extend(rest);
            open = again;
            if !open.is_empty() {
                self.wait(wait).await?;
            }
        }
        let answered = self.answered.fetch_or(answered, Relaxed) || answered;
        match refused.pop() {
            // Nothing may be read at all, or not any more.
            Some(attempt) if !answered || refused.len() + 1 == done.len().max(REFUSED_TO_ALL) => {
                Err(ReadEnd::Refused(Box::new(attempt)))
            }
            _ => Ok(done),
        }
    }

    /// After how long again; `None`: not at all.
    fn decide(&self, tries: &Tries, attempt: &Attempt) -> Option<Duration> {
        match self.policy.decide(&tries.history, attempt) {
            Decision::RetryIn(wait) => Some(wait),
            Decision::Finish { outcome: Outcome::Accepted, .. } => Some(Duration::ZERO),
            Decision::Finish { .. } | Decision::PutOff(_) => None,
        }
    }

    fn is_too_long(&self, attempt: &Attempt) -> bool {
        attempt.retry_after > Some(self.policy.max_wait)
    }

    async fn wait(&self, wait: Duration) -> Result<(), ReadEnd> {
        if wait.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = sleep(wait) => Ok(()),
            () = self.stop.draining() => Err(ReadEnd::Stopped),
        }
    }
}
