//! Signals outside the work itself: what one ends a call with, and waiting that one cuts short.

use std::ops::ControlFlow;

use super::tell;
use crate::error::{Error, Exit};
use crate::sys::{Signal, Signals};

/// From now on a signal ends nothing by itself: whoever waits must hear it.
///
/// # Errors
/// `Error::Internal` where the system refuses.
pub(super) fn listen() -> Result<Signals, Error> {
    Signals::listen().map_err(|error| Error::Internal(error.to_string()))
}

/// The code of a call that a signal ended.
pub(super) fn ended_by(signal: Signal) -> Exit {
    match signal {
        Signal::Interrupt => Exit::Interrupted,
        Signal::Terminate => Exit::Terminated,
    }
}

/// What comes before the work: files that may be pipes, a sign-in host that is slow or asks for a pause, the question.
/// A signal drops it, says that it was stopped and `so_far` what that means, and is the end of the call.
///
/// # Errors
/// As `work`.
pub(super) async fn unless_stopped<T>(
    signals: &mut Signals,
    so_far: &str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<ControlFlow<Exit, T>, Error> {
    tokio::select! {
        biased;
        signal = signals.next() => {
            tell(&format!("stopped; {so_far}"));
            Ok(ControlFlow::Break(ended_by(signal)))
        }
        done = work => done.map(ControlFlow::Continue),
    }
}
