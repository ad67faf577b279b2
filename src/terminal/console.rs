//! Where telling goes: results to standard output, all else to standard error, around the bar, and never waiting for a
//! blocked terminal while work is going on.

use std::borrow::Cow;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::status_line::Footer;
use super::streams::{ERR, OUT};
use crate::cli::{LogFormat, Telling};
use crate::model::stamp;
use crate::report::count;

/// Lines on their way to a terminal; what does not fit is counted and left out.
const LINES: usize = 1_024;

/// The screen of the running display, if there is one.
static RUNNING: Mutex<Option<SyncSender<String>>> = Mutex::new(None);
/// What a scan draws, if one does.
static STANDING: Mutex<Option<Footer>> = Mutex::new(None);
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);
static QUIET: AtomicBool = AtomicBool::new(false);
static JSON: AtomicBool = AtomicBool::new(false);

/// The flags of every command, once at the start.
pub fn listen_to(telling: &Telling) {
    QUIET.store(telling.quiet, Relaxed);
    JSON.store(telling.log_format == LogFormat::Json, Relaxed);
}

/// `--quiet`
pub fn is_quiet() -> bool {
    QUIET.load(Relaxed)
}

/// `--log-format`
pub fn log_format() -> LogFormat {
    if JSON.load(Relaxed) { LogFormat::Json } else { LogFormat::Text }
}

/// To standard output: results only. A closed pipe is nobody's failure.
pub fn say(text: &str) {
    let _ = OUT.write(format!("{text}\n").into_bytes());
}

/// To standard error: warnings, errors, questions. While a display runs, it prints the line and nobody waits.
pub fn tell(text: &str) {
    pass(&dressed(text));
}

/// As `--log-format` wants it: one object a line, or the text.
pub fn dressed(text: &str) -> Cow<'_, str> {
    if log_format() == LogFormat::Text {
        return text.into();
    }
    let (level, message) = match text.split_once(": ") {
        Some(("error", rest)) => ("ERROR", rest),
        Some(("warning", rest)) => ("WARN", rest),
        _ => ("INFO", text),
    };
    let at = stamp(Timestamp::now());
    serde_json::json!({ "timestamp": &*at, "level": level, "message": message }).to_string().into()
}

/// [`tell`] for a line that has its form already.
pub fn pass(text: &str) {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match running {
        Some(screen) => {
            if screen.try_send(text.to_owned()).is_err() {
                LEFT_OUT.fetch_add(1, Relaxed);
            }
        }
        None => match STANDING.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(footer) => footer.above(|| print(text)),
            None => print(text),
        },
    }
}

/// Whether something is drawn by default: not in a pipe, not in a job, not where the cursor cannot move.
pub fn draws() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let plain = set("CI").is_some() || set("TERM").is_some_and(|term| term == "dumb");
    io::stderr().is_terminal() && !plain && !is_quiet() && log_format() == LogFormat::Text
}

/// Keeps a line at the foot of the terminal while a scan goes on; `None` takes it away.
pub fn stand(text: Option<&str>) {
    let mut standing = STANDING.lock().unwrap_or_else(PoisonError::into_inner);
    match text {
        Some(text) => standing.get_or_insert_with(|| Footer::new(true)).show(text),
        None => *standing = None,
    }
}

/// To standard error unless `--quiet`: what is good to know.
pub fn note(text: &str) {
    if !is_quiet() {
        tell(text);
    }
}

fn print(text: &str) {
    let _ = ERR.write(format!("{text}\n").into_bytes());
}

/// The right to print on standard error while work is going on. One at a time.
#[derive(Debug)]
pub struct Screen(mpsc::Receiver<String>);

impl Screen {
    /// From now on [`tell`] hands its lines to this.
    pub fn take() -> Self {
        let (lines, screen) = mpsc::sync_channel(LINES);
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some(lines);
        Self(screen)
    }

    /// One line above what is drawn.
    pub fn print(&self, footer: &mut Footer, line: &str) {
        footer.above(|| print(line));
    }

    /// Prints what comes for so long, or until [`release`].
    pub fn print_for(&self, footer: &mut Footer, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match self.0.recv_timeout(left) {
                Ok(line) => footer.above(|| {
                    print(&line);
                    self.0.try_iter().take(LINES).for_each(|line| print(&line));
                }),
                Err(_) => break,
            }
        }
        let left_out = LEFT_OUT.swap(0, Relaxed);
        if left_out > 0 {
            self.print(
                footer,
                &dressed(&format!(
                    "warning: the terminal was too slow, {} left out",
                    count(left_out, "lines")
                )),
            );
        }
    }

    /// What is still on its way.
    pub fn print_rest(self) {
        self.0.try_iter().for_each(|line| print(&line));
    }
}

/// Lines from now on are printed where they are told; the running display hears that it is over.
pub fn release() {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).take();
}
