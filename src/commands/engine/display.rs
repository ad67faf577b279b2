//! What a person or a job sees while it runs: a thread that only reads.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{Counters, LOOK_EVERY};
use crate::commands::screen::Screen;
use crate::model::stamp;
use crate::pace::{Pace, Waiting};
use crate::report::{human, thousands};

/// Without a terminal: one line a minute.
const LINE_EVERY: Duration = Duration::from_secs(60);
/// The rate shown is that of so long.
const RATE_OVER: Duration = Duration::from_secs(30);

/// How the display shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Form {
    /// A bar, redrawn in place.
    Bar,
    /// A line a minute.
    Lines,
    /// The same as JSON.
    Json,
    /// Nothing.
    None,
}

/// What is shown and where it is read.
pub(super) struct Shown {
    pub(super) form: Form,
    pub(super) to_do: u64,
    pub(super) simulated: bool,
    pub(super) concurrency: usize,
    pub(super) permits: Arc<Semaphore>,
    pub(super) pace: Arc<Pace>,
    pub(super) counters: Arc<Counters>,
}

/// One look at the run.
struct Look {
    done: u64,
    accepted: u64,
    failed: u64,
    throttled: u64,
    in_flight: usize,
    rate: f64,
    /// Time left at this rate; `None` as long as there is none.
    left: Option<Duration>,
    waiting: Option<String>,
}

/// Starts the thread; the receiver hears when it has ended.
pub(super) fn show(shown: Shown) -> mpsc::Receiver<()> {
    let (ended, hears) = mpsc::channel();
    let runtime = tokio::runtime::Handle::current();
    let screen = Screen::take();
    thread::spawn(move || {
        let _inside = runtime.enter();
        let bar = match shown.form {
            Form::Bar => ProgressBar::new(shown.to_do),
            _ => ProgressBar::hidden(),
        };
        let template = if shown.simulated {
            "  SIMULATED  {human_pos} / {human_len}  {percent} %  {wide_bar}  {msg}\n  {prefix}"
        } else {
            "  {human_pos} / {human_len}  {percent} %  {wide_bar}  {msg}\n  {prefix}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let mut past = VecDeque::from([(Instant::now(), 0)]);
        let mut last_line = Instant::now();
        while !shown.counters.over.load(Relaxed) {
            let look = shown.look(&mut past);
            match shown.form {
                Form::Bar => {
                    bar.set_position(look.done);
                    bar.set_message(look.pace());
                    bar.set_prefix(look.counts());
                }
                Form::Lines | Form::Json if last_line.elapsed() >= LINE_EVERY => {
                    last_line = Instant::now();
                    screen.print(&bar, &shown.line(&look));
                }
                _ => {}
            }
            screen.print_for(&bar, LOOK_EVERY);
        }
        bar.finish_and_clear();
        screen.print_rest();
        let _ = ended.send(());
    });
    hears
}

impl Shown {
    fn look(&self, past: &mut VecDeque<(Instant, u64)>) -> Look {
        let now = Instant::now();
        let done = self.counters.answered.load(Relaxed);
        past.push_back((now, done));
        while past.len() > 2 && past.front().is_some_and(|(at, _)| now - *at > RATE_OVER) {
            past.pop_front();
        }
        let (since, before) = past.front().copied().unwrap_or((now, done));
        let rate = (done - before) as f64 / (now - since).as_secs_f64().max(0.001);
        let open = self.to_do.saturating_sub(done);
        Look {
            done,
            accepted: self.counters.accepted.load(Relaxed),
            failed: self.counters.failed.load(Relaxed),
            throttled: self.counters.throttled.load(Relaxed),
            in_flight: self.concurrency.saturating_sub(self.permits.available_permits()),
            rate,
            left: (rate > 0.0).then(|| Duration::from_secs_f64((open as f64 / rate).min(1e9))),
            waiting: waiting(self.pace.waiting()),
        }
    }

    fn line(&self, look: &Look) -> String {
        let at = stamp(Timestamp::now());
        if self.form == Form::Json {
            return serde_json::json!({
                "timestamp": &*at,
                "message": "progress",
                "simulated": self.simulated,
                "done": look.done,
                "total": self.to_do,
                "accepted": look.accepted,
                "failed": look.failed,
                "in_flight": look.in_flight,
                "rate": (look.rate * 10.0).round() / 10.0,
                "eta_s": look.left.map(|left| left.as_secs()),
                "throttled": look.throttled,
                "waiting": look.waiting,
            })
            .to_string();
        }
        let simulated = if self.simulated { "SIMULATED " } else { "" };
        let eta = look.left.map_or_else(|| "unknown".to_owned(), |left| human(left).replace(' ', ""));
        let waiting = look.waiting.as_ref().map(|why| format!("  {why}")).unwrap_or_default();
        format!(
            "{at} {simulated}progress done={} total={} accepted={} failed={} in_flight={} rate={:.1}/s eta={eta} throttled={}{waiting}",
            look.done, self.to_do, look.accepted, look.failed, look.in_flight, look.rate, look.throttled
        )
    }
}

impl Look {
    fn pace(&self) -> String {
        match self.left {
            Some(left) => format!("{:.1}/s  {} left", self.rate, human(left)),
            None => String::new(),
        }
    }

    fn counts(&self) -> String {
        let counts = format!(
            "accepted {}  failed {}  in flight {}",
            thousands(self.accepted),
            thousands(self.failed),
            self.in_flight
        );
        match &self.waiting {
            Some(why) => format!("{counts}  {why}"),
            None => format!("{counts}  Ctrl-C stops safely"),
        }
    }
}

fn waiting(waiting: Waiting) -> Option<String> {
    let until = |instant: Instant| human(instant.saturating_duration_since(Instant::now()));
    match waiting {
        Waiting::No => None,
        Waiting::CoolDown(cooling) => Some(format!(
            "paused by Microsoft 365 ({}): {} left",
            cooling.scope.owner(),
            until(cooling.until)
        )),
        Waiting::Outage { since, next_probe } => Some(format!(
            "Microsoft 365 does not answer (for {}); trying again in {}",
            human(since.elapsed()),
            until(next_probe)
        )),
    }
}
