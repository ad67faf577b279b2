//! Stopping a run: a shared value that every part of the run watches. A run is running, draining or aborting.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Why a run stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// SIGINT, Ctrl-C or Ctrl-Break.
    Interrupted,
    /// SIGTERM, SIGHUP or a closed console window.
    Terminated,
    /// `--deadline` passed, or an announced pause ends after it.
    Deadline(String),
    /// The service asks for a longer pause than `--max-wait`.
    LongPause(String),
    /// `--max-stall` passed without a final response for any user.
    Stalled(String),
    /// Too many users failed, or another safety limit was exceeded.
    SafetyLimit(String),
    /// No usable token, or a missing permission.
    SignIn(String),
    /// The journal or another file of the run could not be written.
    Journal(String),
    /// A task of the program failed, which is a bug.
    Bug(String),
    /// The copy of the input could not be read.
    Input(String),
}

/// The phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// New requests are sent.
    Running,
    /// No new requests are sent. Requests in flight may finish.
    Draining,
    /// Requests in flight are dropped.
    Aborting,
}

/// Values of [`Phase`] in an atomic.
const RUNNING: u8 = 0;
const DRAINING: u8 = 1;
const ABORTING: u8 = 2;

/// The state behind a [`Stop`]. It is read several times for every request, so reading is one atomic load.
#[derive(Debug, Default)]
struct State {
    /// A [`Phase`] as a number that can only grow.
    phase: AtomicU8,
    reasons: Mutex<Vec<StopReason>>,
    moved: Notify,
}

/// A shared handle to stop a run. Clones share the same state.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<State>);

impl Stop {
    /// A run that is not stopped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops new requests. Later reasons are kept in addition to the first.
    pub fn drain(&self, why: StopReason) {
        self.raise(Phase::Draining, Some(why));
    }

    /// Stops new requests and drops those in flight.
    pub fn abort(&self, why: Option<StopReason>) {
        self.raise(Phase::Aborting, why);
    }

    /// The phase of a run.
    pub fn phase(&self) -> Phase {
        match self.0.phase.load(Ordering::Acquire) {
            RUNNING => Phase::Running,
            DRAINING => Phase::Draining,
            _ => Phase::Aborting,
        }
    }

    /// Whether new requests are sent.
    pub fn is_running(&self) -> bool {
        self.phase() == Phase::Running
    }

    /// The reasons in the order in which they were given; empty while running.
    pub fn reasons(&self) -> Vec<StopReason> {
        self.kept().clone()
    }

    /// Returns when draining begins.
    pub async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Returns when aborting begins.
    pub async fn aborting(&self) {
        self.reached(Phase::Aborting).await;
    }

    async fn reached(&self, phase: Phase) {
        loop {
            // Created before the phase is read, so that a change after the read is not missed.
            let moved = self.0.moved.notified();
            if self.phase() >= phase {
                return;
            }
            moved.await;
        }
    }

    fn raise(&self, phase: Phase, why: Option<StopReason>) {
        // The reason first, so that a task that sees the phase also finds the reason.
        if let Some(why) = why {
            let mut reasons = self.kept();
            if !reasons.contains(&why) {
                reasons.push(why);
            }
        }
        let number = match phase {
            Phase::Running => RUNNING,
            Phase::Draining => DRAINING,
            Phase::Aborting => ABORTING,
        };
        if self.0.phase.fetch_max(number, Ordering::AcqRel) < number {
            self.0.moved.notify_waiters();
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<StopReason>> {
        // Code that holds the lock cannot panic half-way through a change.
        self.0.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_hears_only_the_phase_he_waits_for() {
        let stop = Stop::new();
        let waits = |stop: Stop| tokio::spawn(async move { stop.aborting().await });
        let waiting = waits(stop.clone());
        tokio::task::yield_now().await;
        stop.drain(StopReason::Interrupted);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        stop.abort(None);
        waiting.await.expect("heard");
    }

    #[tokio::test]
    async fn stopping_only_goes_forward_and_keeps_every_reason() {
        let stop = Stop::new();
        let other = stop.clone();
        assert!(stop.is_running());
        other.drain(StopReason::Interrupted);
        stop.draining().await;
        other.abort(None);
        stop.aborting().await;
        other.drain(StopReason::Terminated);
        assert_eq!(stop.phase(), Phase::Aborting);
        assert_eq!(stop.reasons(), [StopReason::Interrupted, StopReason::Terminated]);
    }
}
