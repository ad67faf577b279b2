//! The first contact: until the service was reached, requests are sent one by one, so that a lasting fault costs few tries.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::model::{Attempt, AttemptResult, TransientFailure};
use crate::stop::StopReason;

/// Tries of all users together that meet a lasting fault before anybody was answered. A hundred wrong passwords lock an
/// account in many companies.
const TRIES: u32 = 3;
/// Before the second of them; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// A lasting fault shows itself sooner. A request that takes longer must not hold up all others.
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
    /// Since when a request is on its way that decides.
    trying: Option<Instant>,
    failed: u32,
    not_before: Option<Instant>,
}

impl Contact {
    /// `made`: nothing can be in the way.
    pub(super) fn new(made: bool) -> Self {
        Self { made: AtomicBool::new(made), state: Mutex::default(), moved: Notify::new() }
    }

    /// Ends when a request may be sent: at once after the first contact, one by one before.
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

    /// What the answer, or its absence, tells; why to stop, if it is time.
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
        // Nothing inside the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
