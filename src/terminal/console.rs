//! The console: results to standard output, messages to standard error, printed around what is drawn.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::status_line::StatusLine;
use super::streams::Stream;
use crate::model::{LogFormat, Severity, stamp};
use crate::report::count;

/// Lines that wait for the progress display to print them. Lines beyond that are dropped and counted, so that a blocked
/// terminal never delays the work.
const MAX_WAITING_LINES: usize = 1_024;

/// A cheap handle to the two output streams. Clones print to the same place; two consoles do not share any state.
#[derive(Clone, Debug)]
pub struct Console {
    shared: Arc<Shared>,
    /// Put before each message: which of several tenants it is about.
    label: Option<Arc<str>>,
}

#[derive(Debug)]
struct Shared {
    out: Stream,
    err: Stream,
    quiet: bool,
    format: LogFormat,
    /// Whether standard error is the terminal of this process, so that lines can be drawn on it.
    on_terminal: bool,
    /// The progress display, while one runs: it prints the messages.
    display: Mutex<Option<SyncSender<String>>>,
    /// The line at the foot of the terminal, while a scan shows one.
    status_line: Mutex<Option<StatusLine>>,
    dropped_lines: AtomicU64,
}

impl Console {
    /// The console of this process. `quiet` leaves out notes.
    pub fn new(quiet: bool, format: LogFormat) -> Self {
        let on_terminal = io::stderr().is_terminal();
        Self::over(Box::new(io::stdout()), Box::new(io::stderr()), quiet, format, on_terminal)
    }

    /// A console that prints nothing: for library users and tests.
    pub fn silent() -> Self {
        Self::over(Box::new(io::sink()), Box::new(io::sink()), true, LogFormat::Text, false)
    }

    /// A console that prints to `results` and `messages` instead of the streams of the process.
    pub fn to(results: Box<dyn Write + Send>, messages: Box<dyn Write + Send>) -> Self {
        Self::over(results, messages, false, LogFormat::Text, false)
    }

    fn over(
        out: Box<dyn Write + Send>,
        err: Box<dyn Write + Send>,
        quiet: bool,
        format: LogFormat,
        on_terminal: bool,
    ) -> Self {
        let shared = Shared {
            out: Stream::new(out),
            err: Stream::new(err),
            quiet,
            format,
            on_terminal,
            display: Mutex::default(),
            status_line: Mutex::default(),
            dropped_lines: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared), label: None }
    }

    /// The same console; each message names the tenant.
    pub fn for_tenant(&self, label: &str) -> Self {
        Self { shared: self.shared.clone(), label: Some(label.into()) }
    }

    /// `--quiet`: notes are left out.
    pub fn is_quiet(&self) -> bool {
        self.shared.quiet
    }

    /// `--log-format`.
    pub fn format(&self) -> LogFormat {
        self.shared.format
    }

    /// Prints a result line to standard output. A closed pipe is not an error.
    pub fn result(&self, text: &str) {
        let _ = self.result_bytes(format!("{text}\n").into_bytes());
    }

    /// Prints bytes to standard output as they are.
    ///
    /// # Errors
    /// As the system says; `TimedOut` where the reader does not read and this process was asked to end.
    pub fn result_bytes(&self, bytes: Vec<u8>) -> io::Result<()> {
        self.shared.out.write(bytes)
    }

    /// Prints a message. While a progress display runs, the display prints it and the caller does not wait.
    pub fn message(&self, severity: Severity, text: &str) {
        self.line(&self.formatted(severity, text));
    }

    /// Prints a message that belongs to the command: what happens now, or how it ended.
    pub fn status(&self, text: &str) {
        self.message(Severity::Info, text);
    }

    /// Prints a message that is good to know; left out with `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.shared.quiet {
            self.message(Severity::Info, text);
        }
    }

    /// Prints a warning.
    pub fn warn(&self, text: &str) {
        self.message(Severity::Warning, text);
    }

    /// Prints an error.
    pub fn error(&self, text: &str) {
        self.message(Severity::Error, text);
    }

    /// Prints a line to standard error that already has its form.
    pub fn line(&self, text: &str) {
        let display = locked(&self.shared.display).clone();
        match display {
            Some(display) => {
                if display.try_send(text.to_owned()).is_err() {
                    self.shared.dropped_lines.fetch_add(1, Relaxed);
                }
            }
            None => match locked(&self.shared.status_line).as_mut() {
                Some(line) => line.above(|| self.print(text)),
                None => self.print(text),
            },
        }
    }

    /// Prints a line to standard error past everything that is drawn: for the panic hook, because a thread that panics may
    /// hold the locks of this console.
    pub(super) fn print_past_display(&self, severity: Severity, text: &str) {
        self.print(&self.formatted(severity, text));
    }

    fn formatted(&self, severity: Severity, text: &str) -> String {
        if self.shared.format == LogFormat::Json {
            let level = match severity {
                Severity::Info => "INFO",
                Severity::Warning => "WARN",
                Severity::Error => "ERROR",
            };
            let at = stamp(Timestamp::now());
            let mut object = serde_json::json!({ "timestamp": &*at, "level": level, "message": text });
            if let Some(label) = &self.label {
                object["tenant"] = serde_json::json!(&**label);
            }
            return object.to_string();
        }
        let word = match severity {
            Severity::Info => "",
            Severity::Warning => "warning: ",
            Severity::Error => "error: ",
        };
        match &self.label {
            Some(label) => format!("{label}: {word}{text}"),
            None => format!("{word}{text}"),
        }
    }

    /// Whether standard error is the terminal of this process.
    pub fn is_on_terminal(&self) -> bool {
        self.shared.on_terminal
    }

    /// Whether results are redrawn in place: standard output is the terminal on which this console draws.
    pub fn redraws_results(&self) -> bool {
        io::stdout().is_terminal() && self.draws()
    }

    /// Whether something is drawn by default: not in a pipe, not in a job, not where the cursor cannot move.
    pub fn draws(&self) -> bool {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let plain = set("CI").is_some() || set("TERM").is_some_and(|term| term == "dumb");
        self.shared.on_terminal && !plain && !self.shared.quiet && self.shared.format == LogFormat::Text
    }

    /// Keeps a line at the foot of the terminal while a scan runs; `None` removes it.
    pub fn set_status_line(&self, text: Option<&str>) {
        let mut line = locked(&self.shared.status_line);
        match text {
            Some(text) => line.get_or_insert_with(|| StatusLine::new(self.shared.on_terminal)).show(text),
            None => *line = None,
        }
    }

    /// From now on the returned value prints the messages of this console, above what it draws.
    pub(super) fn take_over(&self) -> DisplayLines {
        let (lines, inbox) = mpsc::sync_channel(MAX_WAITING_LINES);
        *locked(&self.shared.display) = Some(lines);
        DisplayLines { console: self.clone(), inbox }
    }

    /// From now on messages are printed by their callers again; [`DisplayLines::print_for`] returns.
    pub(super) fn release(&self) {
        locked(&self.shared.display).take();
    }

    fn print(&self, text: &str) {
        let _ = self.shared.err.write(format!("{text}\n").into_bytes());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The values behind these locks are whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The messages that arrive while a progress display runs. One at a time for each console.
#[derive(Debug)]
pub(super) struct DisplayLines {
    console: Console,
    inbox: mpsc::Receiver<String>,
}

impl DisplayLines {
    /// Prints one line above what is drawn.
    pub(super) fn print(&self, drawn: &mut StatusLine, line: &str) {
        drawn.above(|| self.console.print(line));
    }

    /// Prints the messages that arrive within `time`, or until [`Console::release`].
    pub(super) fn print_for(&self, drawn: &mut StatusLine, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match self.inbox.recv_timeout(left) {
                Ok(line) => drawn.above(|| {
                    self.console.print(&line);
                    self.inbox.try_iter().take(MAX_WAITING_LINES).for_each(|line| self.console.print(&line));
                }),
                Err(_) => break,
            }
        }
        let dropped = self.console.shared.dropped_lines.swap(0, Relaxed);
        if dropped > 0 {
            let text = format!("the terminal was too slow, {} left out", count(dropped, "lines"));
            self.print(drawn, &self.console.formatted(Severity::Warning, &text));
        }
    }

    /// Prints the messages that have arrived and were not printed.
    pub(super) fn print_rest(self) {
        self.inbox.try_iter().for_each(|line| self.console.print(&line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream whose bytes can be read back.
    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        fn text(&self) -> String {
            String::from_utf8(locked(&self.0).clone()).expect("UTF-8 was written")
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            locked(&self.0).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn captured() -> (Console, Captured, Captured) {
        let (out, err) = (Captured::default(), Captured::default());
        (Console::to(Box::new(out.clone()), Box::new(err.clone())), out, err)
    }

    #[test]
    fn two_consoles_in_one_process_do_not_mix() {
        let (first, first_out, first_err) = captured();
        let (second, second_out, second_err) = captured();
        let display = first.take_over();
        for number in 0..3 {
            first.warn(&format!("first {number}"));
            second.warn(&format!("second {number}"));
            first.result(&format!("result of first {number}"));
            second.result(&format!("result of second {number}"));
        }
        assert_eq!(first_err.text(), "", "the display prints them");
        first.release();
        display.print_rest();
        assert_eq!(first_err.text(), "warning: first 0\nwarning: first 1\nwarning: first 2\n");
        assert_eq!(second_err.text(), "warning: second 0\nwarning: second 1\nwarning: second 2\n");
        assert_eq!(first_out.text(), "result of first 0\nresult of first 1\nresult of first 2\n");
        assert_eq!(second_out.text(), "result of second 0\nresult of second 1\nresult of second 2\n");
    }

    #[test]
    fn severity_and_tenant_are_data_in_both_forms() {
        let (console, _, err) = captured();
        console.for_tenant("contoso").error("no list");
        console.warn("error: is part of the text");
        assert_eq!(err.text(), "contoso: error: no list\nwarning: error: is part of the text\n");
        let (out, err) = (Captured::default(), Captured::default());
        let json = Console::over(Box::new(out), Box::new(err.clone()), false, LogFormat::Json, false);
        json.for_tenant("contoso").warn("slow");
        let line: serde_json::Value = serde_json::from_str(&err.text()).expect("one JSON object");
        assert_eq!(
            (&line["level"], &line["tenant"], &line["message"]),
            (&"WARN".into(), &"contoso".into(), &"slow".into())
        );
    }

    #[test]
    fn quiet_leaves_out_notes_and_keeps_the_rest() {
        let (out, err) = (Captured::default(), Captured::default());
        let quiet = Console::over(Box::new(out.clone()), Box::new(err.clone()), true, LogFormat::Text, false);
        quiet.note("left out");
        quiet.status("stopped");
        quiet.result("3 accepted");
        assert_eq!((out.text(), err.text()), ("3 accepted\n".to_owned(), "stopped\n".to_owned()));
    }
}
