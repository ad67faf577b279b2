//! Signals outside the work itself: the exit code that one means, and waiting that one cuts short.

use std::ops::ControlFlow;

use crate::error::{Error, Exit};
use crate::sys::{Signal, Signals};
use crate::terminal::Console;

/// Installs the signal handlers. From now on a signal does not end the process, so every wait must also poll
/// the returned [`Signals`].
///
/// # Errors
/// `Error::Internal` where the system refuses.
pub(crate) fn listen() -> Result<Signals, Error> {
    Signals::listen().map_err(|error| Error::Internal(error.to_string()))
}

/// The exit code of an invocation that a signal ended.
pub(crate) fn ended_by(signal: Signal) -> Exit {
    match signal {
        Signal::Interrupt => Exit::Interrupted,
        Signal::Terminate => Exit::Terminated,
    }
}

/// Runs the steps before the first request, such as reading a pipe, the sign-in and the confirmation. A
/// signal drops them and prints `so_far`, which says what was done. Then the invocation ends.
///
/// # Errors
/// Those of `work`.
pub(crate) async fn unless_stopped<T>(
    signals: &mut Signals,
    console: &Console,
    so_far: &str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<ControlFlow<Exit, T>, Error> {
    tokio::select! {
        biased;
        signal = signals.next() => {
            console.status(&format!("stopped; {so_far}"));
            Ok(ControlFlow::Break(ended_by(signal)))
        }
        done = work => done.map(ControlFlow::Continue),
    }
}
