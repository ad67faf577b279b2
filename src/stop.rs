//! How a run is stopped: running, draining (with the reasons), aborting. A value that every part can watch.

use std::sync::Arc;

use tokio::sync::watch;

/// Why no new work is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// SIGINT, Ctrl-C or Ctrl-Break.
    Interrupted,
    /// SIGTERM, SIGHUP or a closed console window.
    Terminated,
    /// `--deadline` passed, or an announced wait outlasts it.
    Deadline(String),
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

#[derive(Debug)]
struct State {
    phase: Phase,
    reasons: Vec<Why>,
}

/// A shared handle; clones see and raise the same stop.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<State>>);

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// A run that nobody has stopped yet.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State { phase: Phase::Running, reasons: Vec::new() })))
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
        self.0.borrow().phase
    }

    /// Whether work is still taken.
    pub fn is_running(&self) -> bool {
        self.phase() == Phase::Running
    }

    /// Why, in the order raised; empty while running.
    pub fn reasons(&self) -> Vec<Why> {
        self.0.borrow().reasons.clone()
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
        let mut watcher = self.0.subscribe();
        // The sender lives in `self`, so the wait can only end by the phase.
        let _ = watcher.wait_for(|state| state.phase >= phase).await;
    }

    fn raise(&self, phase: Phase, why: Option<Why>) {
        self.0.send_if_modified(|state| {
            let moved = phase > state.phase;
            state.phase = state.phase.max(phase);
            if let Some(why) = why.filter(|why| !state.reasons.contains(why)) {
                state.reasons.push(why);
            }
            moved
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
