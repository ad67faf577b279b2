//! Where telling goes: results to standard output, all else to standard error, around the bar, and never waiting for a
//! blocked terminal while work is going on.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::cli::{LogFormat, Telling};

/// Lines on their way to a terminal; what does not fit is counted and left out.
const LINES: usize = 1_024;

/// The screen of the running display, if there is one.
static RUNNING: Mutex<Option<SyncSender<String>>> = Mutex::new(None);
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);
static QUIET: AtomicBool = AtomicBool::new(false);
static JSON: AtomicBool = AtomicBool::new(false);

/// The flags of every command, once at the start.
pub(super) fn listen_to(telling: &Telling) {
    QUIET.store(telling.quiet, Relaxed);
    JSON.store(telling.log_format == LogFormat::Json, Relaxed);
}

/// `--quiet`
pub(super) fn is_quiet() -> bool {
    QUIET.load(Relaxed)
}

/// `--log-format`
pub(super) fn log_format() -> LogFormat {
    if JSON.load(Relaxed) { LogFormat::Json } else { LogFormat::Text }
}

/// To standard output: results only. A closed pipe is nobody's failure.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// To standard error: warnings, errors, questions. While a display runs, it prints the line and nobody waits.
pub(super) fn tell(text: &str) {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match running {
        Some(screen) => {
            if screen.try_send(text.to_owned()).is_err() {
                LEFT_OUT.fetch_add(1, Relaxed);
            }
        }
        None => print(text),
    }
}

/// To standard error unless `--quiet`: what is good to know.
pub(super) fn note(text: &str) {
    if !is_quiet() {
        tell(text);
    }
}

fn print(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The right to print on standard error while work is going on. One at a time.
#[derive(Debug)]
pub(super) struct Screen(mpsc::Receiver<String>);

impl Screen {
    /// From now on [`tell`] hands its lines to this.
    pub(super) fn take() -> Self {
        let (lines, screen) = mpsc::sync_channel(LINES);
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some(lines);
        Self(screen)
    }

    /// One line above the bar.
    pub(super) fn print(&self, bar: &ProgressBar, line: &str) {
        bar.suspend(|| print(line));
    }

    /// Prints what comes for so long, or until [`release`].
    pub(super) fn print_for(&self, bar: &ProgressBar, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match self.0.recv_timeout(left) {
                Ok(line) => self.print(bar, &line),
                Err(_) => break,
            }
        }
        let left_out = LEFT_OUT.swap(0, Relaxed);
        if left_out > 0 {
            self.print(bar, &format!("warning: {left_out} lines were left out: the terminal was too slow"));
        }
    }

    /// What is still on its way.
    pub(super) fn print_rest(self) {
        self.0.try_iter().for_each(|line| print(&line));
    }
}

/// Lines from now on are printed where they are told; the running display hears that it is over.
pub(super) fn release() {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).take();
}
