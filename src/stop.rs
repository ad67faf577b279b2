//! How a run is stopped: running, draining (with the reasons), aborting. A value that every part can watch.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Why no new work is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// SIGINT, Ctrl-C or Ctrl-Break.
    Interrupted,
    /// SIGTERM, SIGHUP or a closed console window.
    Terminated,
    /// `--deadline` passed, or an announced wait outlasts it.
    Deadline(String),
    /// The service asks for a longer pause than `--max-wait`.
    LongPause(String),
    /// `--max-stall` passed without an answer for any user.
    Stalled(String),
    /// Too many users failed, or another guard rail.
    GuardRail(String),
    /// No usable token, or a missing permission.
    SignIn(String),
    /// A file of ours could not be written; nothing that was not written is claimed.
    Journal(String),
    /// A task of ours failed.
    Bug(String),
    /// The input copy could not be read any further.
    Input(String),
}

/// How far stopping has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Taking work.
    Running,
    /// Nothing new is sent; what is in flight may end.
    Draining,
    /// Everything ends at once.
    Aborting,
}

/// [`Phase`] in an atomic.
const RUNNING: u8 = 0;
const DRAINING: u8 = 1;
const ABORTING: u8 = 2;

/// Asked several times for every request, and raised once: so asking is one look at a number.
#[derive(Debug, Default)]
struct State {
    /// A [`Phase`] as a number, which only grows.
    phase: AtomicU8,
    reasons: Mutex<Vec<Why>>,
    moved: Notify,
}

/// A shared handle; clones see and raise the same stop.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<State>);

impl Stop {
    /// A run that nobody has stopped yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes no new work from now on. Later reasons are kept besides the first.
    pub fn drain(&self, why: Why) {
        self.raise(Phase::Draining, Some(why));
    }

    /// Ends everything at once.
    pub fn abort(&self, why: Option<Why>) {
        self.raise(Phase::Aborting, why);
    }

    /// How far stopping has gone.
    pub fn phase(&self) -> Phase {
        match self.0.phase.load(Ordering::Acquire) {
            RUNNING => Phase::Running,
            DRAINING => Phase::Draining,
            _ => Phase::Aborting,
        }
    }

    /// Whether work is still taken.
    pub fn is_running(&self) -> bool {
        self.phase() == Phase::Running
    }

    /// Why, in the order raised; empty while running.
    pub fn reasons(&self) -> Vec<Why> {
        self.kept().clone()
    }

    /// Ends when draining begins.
    pub async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Ends when everything is to end at once.
    pub async fn aborting(&self) {
        self.reached(Phase::Aborting).await;
    }

    async fn reached(&self, phase: Phase) {
        loop {
            // Made before the look, it hears whatever is raised after it.
            let moved = self.0.moved.notified();
            if self.phase() >= phase {
                return;
            }
            moved.await;
        }
    }

    fn raise(&self, phase: Phase, why: Option<Why>) {
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

    fn kept(&self) -> MutexGuard<'_, Vec<Why>> {
        // Nothing inside the lock can panic half-way through a change.
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
        stop.drain(Why::Interrupted);
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
        other.drain(Why::Interrupted);
        stop.draining().await;
        other.abort(None);
        stop.aborting().await;
        other.drain(Why::Terminated);
        assert_eq!(stop.phase(), Phase::Aborting);
        assert_eq!(stop.reasons(), [Why::Interrupted, Why::Terminated]);
    }
}
