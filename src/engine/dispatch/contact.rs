//! The first contact: requests are sent one by one until the service is reached, so that a lasting fault
//! costs few attempts.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::model::{Attempt, AttemptResult, TransientFailure};
use crate::stop::StopReason;

/// Attempts, of all users together, that may meet a lasting fault before the first response. Many companies
/// lock an account after a hundred wrong passwords.
const TRIES: u32 = 3;
/// Delay before the second of these attempts. It doubles for the third.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest time for which one request delays all others. A lasting fault is known sooner.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the service was reached in this invocation.
#[derive(Debug)]
pub(super) struct Contact {
    made: AtomicBool,
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// When the request that decides was sent.
    trying: Option<Instant>,
    failed: u32,
    not_before: Option<Instant>,
}

impl Contact {
    /// `made`: the contact is not in question, because there is no network.
    pub(super) fn new(made: bool) -> Self {
        Self { made: AtomicBool::new(made), state: Mutex::default(), moved: Notify::new() }
    }

    /// Returns when a request may be sent: immediately after the first contact, one by one before.
    pub(super) async fn permits(&self) {
        while !self.made.load(Relaxed) {
            let moved = self.moved.notified();
            let now = Instant::now();
            let until = {
                let mut state = self.state();
                match (state.trying, state.not_before) {
                    (Some(since), _) if since + PATIENCE <= now => return self.make(),
                    (Some(since), _) => since + PATIENCE,
                    (None, Some(at)) if at > now => at,
                    (None, _) => {
                        state.trying = Some(now);
                        return;
                    }
                }
            };
            tokio::select! {
                () = moved => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// Records a response or its absence. Returns the reason to stop, if the run must stop.
    pub(super) fn answered(&self, attempt: &Attempt) -> Option<StopReason> {
        if self.made.load(Relaxed) {
            return None;
        }
        let fault = match attempt.kind {
            AttemptResult::Transient(fault @ (TransientFailure::NoRoute | TransientFailure::NoAccess)) => {
                fault
            }
            _ => {
                self.make();
                return None;
            }
        };
        let failed = {
            let mut state = self.state();
            state.failed += 1;
            state.trying = None;
            state.not_before = Some(Instant::now() + PAUSE * 2_u32.pow((state.failed - 1).min(TRIES)));
            state.failed
        };
        self.moved.notify_waiters();
        if failed < TRIES {
            return None;
        }
        let text = format!("no user was answered, and {TRIES} tries failed alike: {}", attempt.message);
        Some(match fault {
            TransientFailure::NoAccess => StopReason::SignIn(text),
            _ => StopReason::Stalled(text),
        })
    }

    fn make(&self) {
        self.made.store(true, Relaxed);
        self.moved.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Code that holds the lock cannot panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
