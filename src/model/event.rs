//! What a run tells about itself: the only way from doing to telling.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::{Attempt, Record};

/// Sent on one bounded channel to the journal thread, its sole consumer.
#[derive(Debug)]
pub enum Event {
    /// An attempt came back and the user will be tried again after `wait`.
    Retrying {
        /// Number of the row.
        row: u64,
        /// The attempt that did not settle it.
        attempt: Box<Attempt>,
        /// The delay decided on; the cool-down may add to it.
        wait: Duration,
    },
    /// The service asks for longer than `--max-wait` for this user alone: no record, a later invocation sends it again.
    PutOff {
        /// Number of the row.
        row: u64,
        /// The attempt that did not settle it.
        attempt: Box<Attempt>,
    },
    /// The fate of a row is known.
    Finished(Box<Finished>),
    /// A user was cut short by a stop after at least one attempt: no record, the next call does him again.
    CutShort {
        /// Number of the row.
        row: u64,
    },
}

/// A record on its way to the journal.
#[derive(Debug)]
pub struct Finished {
    /// What is written.
    pub record: Record,
    /// Of the last attempt; `None` for rows settled by reading.
    pub latency: Option<Duration>,
    /// Released when the line is written, so that a kill repeats no more users than were in flight.
    pub permit: Option<OwnedSemaphorePermit>,
}
