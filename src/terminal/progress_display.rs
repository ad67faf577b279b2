//! The display of a run: a bar on a terminal, a line a minute elsewhere. A thread that only reads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::console::Console;
use super::layout::{View, bar};
use super::status_line::StatusLine;
use crate::model::{Progress, ProgressForm, stamp};
use crate::report::human;

/// How often the display reads the progress.
const READ_EVERY: Duration = Duration::from_millis(250);
/// Without a terminal, one line is printed this often.
const LINE_EVERY: Duration = Duration::from_secs(60);
/// The rate that is shown is the average over this time.
const RATE_OVER: Duration = Duration::from_secs(30);

/// A display that runs until [`ProgressDisplay::finish`].
#[derive(Debug)]
pub struct ProgressDisplay {
    console: Console,
    over: Arc<AtomicBool>,
    ended: mpsc::Receiver<()>,
}

/// What the thread of a display works with.
struct Thread {
    form: ProgressForm,
    total: u64,
    simulated: bool,
    over: Arc<AtomicBool>,
}

impl Console {
    /// Shows what `read` returns, of `total` users. The display also prints the messages of this console from now on.
    pub fn show_progress(
        &self,
        form: ProgressForm,
        total: u64,
        simulated: bool,
        read: impl Fn() -> Progress + Send + 'static,
    ) -> ProgressDisplay {
        let (report, ended) = mpsc::channel();
        let lines = self.take_over();
        let over = Arc::new(AtomicBool::new(false));
        let shown = Thread { form, total, simulated, over: over.clone() };
        thread::spawn(move || {
            let mut drawn = StatusLine::new(shown.form == ProgressForm::Bar);
            let mut past = VecDeque::from([(Instant::now(), 0)]);
            let mut last_line = Instant::now();
            while !shown.over.load(Relaxed) {
                let view = View::at(Instant::now(), read(), shown.total, &mut past);
                match shown.form {
                    ProgressForm::Bar => {
                        drawn.show(&bar(&view, shown.total, shown.simulated, drawn.columns()));
                    }
                    ProgressForm::Lines | ProgressForm::Json if last_line.elapsed() >= LINE_EVERY => {
                        last_line = Instant::now();
                        lines.print(&mut drawn, &shown.line(&view));
                    }
                    _ => {}
                }
                lines.print_for(&mut drawn, READ_EVERY);
            }
            drawn.clear();
            lines.print_rest();
            let _ = report.send(());
        });
        ProgressDisplay { console: self.clone(), over, ended }
    }
}

impl ProgressDisplay {
    /// Ends the display: its lines are cleared and messages are printed directly again. [`ProgressDisplay::ended`] tells
    /// when that is done.
    pub fn finish(&self) {
        self.over.store(true, Relaxed);
        self.console.release();
    }

    /// Waits at most `time` until the display has ended; a blocked terminal may hold it.
    pub fn ended(&self, time: Duration) {
        // A thread that panicked has ended as well.
        let _ = self.ended.recv_timeout(time);
    }
}

impl View {
    fn at(now: Instant, progress: Progress, total: u64, past: &mut VecDeque<(Instant, u64)>) -> Self {
        let done = progress.answered;
        let sends = progress.waiting.is_none();
        // While nothing is sent the rate falls towards nothing, and the time left would only grow.
        if sends {
            past.push_back((now, done));
        }
        while past.len() > 2 && past.front().is_some_and(|(at, _)| now - *at > RATE_OVER) {
            past.pop_front();
        }
        let (since, before) = past.front().copied().unwrap_or((now, done));
        let rate = (done - before) as f64 / (now - since).as_secs_f64().max(0.001);
        let open = total.saturating_sub(done);
        let left = (sends && rate > 0.0).then(|| Duration::from_secs_f64((open as f64 / rate).min(1e9)));
        Self { progress, rate, left }
    }
}

impl Thread {
    fn line(&self, view: &View) -> String {
        let at = stamp(Timestamp::now());
        let Progress { answered, accepted, failed, throttled, in_flight, waiting } = &view.progress;
        if self.form == ProgressForm::Json {
            return serde_json::json!({
                "timestamp": &*at,
                "level": "INFO",
                "message": "progress",
                "simulated": self.simulated,
                "done": answered,
                "total": self.total,
                "accepted": accepted,
                "failed": failed,
                "in_flight": in_flight,
                "rate": (view.rate * 10.0).round() / 10.0,
                "eta_s": view.left.map(|left| left.as_secs()),
                "throttled": throttled,
                "waiting": waiting,
            })
            .to_string();
        }
        let simulated = if self.simulated { "SIMULATED " } else { "" };
        let eta = view.left.map_or_else(|| "unknown".to_owned(), |left| human(left).replace(' ', ""));
        let waiting = waiting.as_ref().map(|why| format!("  {why}")).unwrap_or_default();
        format!(
            "{at} {simulated}progress done={answered} total={} accepted={accepted} failed={failed} \
             in_flight={in_flight} rate={:.1}/s eta={eta} throttled={throttled}{waiting}",
            self.total, view.rate
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_left_is_shown_while_nothing_is_sent() {
        let begin = Instant::now();
        let second = |second| begin + Duration::from_secs(second);
        let mut past = VecDeque::from([(begin, 0)]);
        let mut left = |at, answered, waiting: Option<&str>| {
            let waiting = waiting.map(str::to_owned);
            let progress = Progress { answered, waiting, ..Progress::default() };
            View::at(second(at), progress, 1_000, &mut past).left
        };
        assert_eq!(left(10, 100, None), Some(Duration::from_secs(90)));
        for at in 11..300 {
            assert_eq!(left(at, 100, Some("Microsoft 365 does not answer")), None, "{at}");
        }
        // Two looks later the time without answers counts no more.
        left(300, 100, None);
        left(301, 110, None);
        assert_eq!(left(302, 120, None), Some(Duration::from_secs(88)));
    }
}
