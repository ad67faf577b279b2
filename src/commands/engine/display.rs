//! What a person or a job sees while it runs: a thread that only reads.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::layout::bar;
use super::{Counters, LOOK_EVERY};
use crate::model::stamp;
use crate::pace::{Pace, Waiting};
use crate::report::human;
use crate::stop::Stop;
use crate::terminal::console::Screen;
use crate::terminal::status_line::Footer;

/// Without a terminal: one line a minute.
const LINE_EVERY: Duration = Duration::from_secs(60);
/// The rate shown is that of so long.
const RATE_OVER: Duration = Duration::from_secs(30);

/// Said instead of what is waited for, which no longer matters.
const STOPPING: &str = "stopping; Ctrl-C ends at once";

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
    pub(super) pace: Arc<Pace>,
    pub(super) counters: Arc<Counters>,
    pub(super) stop: Stop,
}

/// One look at the run.
pub(super) struct Look {
    pub(super) done: u64,
    pub(super) accepted: u64,
    pub(super) failed: u64,
    pub(super) throttled: u64,
    /// Sent and not answered yet.
    pub(super) in_flight: usize,
    pub(super) rate: f64,
    /// Time left at this rate; `None` as long as there is none.
    pub(super) left: Option<Duration>,
    /// Why nothing is sent, and for how long.
    pub(super) waiting: Option<String>,
}

/// Starts the thread; the receiver hears when it has ended.
pub(super) fn show(shown: Shown) -> mpsc::Receiver<()> {
    let (ended, hears) = mpsc::channel();
    let runtime = tokio::runtime::Handle::current();
    let screen = Screen::take();
    thread::spawn(move || {
        let _inside = runtime.enter();
        let mut footer = Footer::new(shown.form == Form::Bar);
        let mut past = VecDeque::from([(Instant::now(), 0)]);
        let mut last_line = Instant::now();
        while !shown.counters.over.load(Relaxed) {
            let look = shown.look(&mut past);
            match shown.form {
                Form::Bar => footer.show(&bar(&look, shown.to_do, shown.simulated, footer.columns())),
                Form::Lines | Form::Json if last_line.elapsed() >= LINE_EVERY => {
                    last_line = Instant::now();
                    screen.print(&mut footer, &shown.line(&look));
                }
                _ => {}
            }
            screen.print_for(&mut footer, LOOK_EVERY);
        }
        footer.clear();
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
            in_flight: self.pace.in_flight(),
            rate,
            left: (rate > 0.0).then(|| Duration::from_secs_f64((open as f64 / rate).min(1e9))),
            waiting: match self.stop.is_running() {
                true => waiting(self.pace.waiting()),
                false => Some(STOPPING.to_owned()),
            },
        }
    }

    fn line(&self, look: &Look) -> String {
        let at = stamp(Timestamp::now());
        if self.form == Form::Json {
            return serde_json::json!({
                "timestamp": &*at,
                "level": "INFO",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::{Bounds, Law};
    use crate::stop::Why;

    #[tokio::test(start_paused = true)]
    async fn while_it_stops_the_bar_says_so() {
        let shown = Shown {
            form: Form::Bar,
            to_do: 3,
            simulated: false,
            pace: Pace::new(Law::Fixed, Bounds::default(), None),
            counters: Arc::default(),
            stop: Stop::new(),
        };
        assert_eq!(shown.look(&mut VecDeque::new()).waiting, None);
        shown.stop.drain(Why::Interrupted);
        assert_eq!(shown.look(&mut VecDeque::new()).waiting.as_deref(), Some(STOPPING));
    }
}
