//! Signals, deadline and stall: who stops the run from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Counters, LOOK_EVERY};
use crate::commands::screen::tell;
use crate::pace::{Pace, Waiting};
use crate::report::human;
use crate::stop::{Stop, Why};
use crate::sys::{Signal, Signals};

pub(super) struct Watch {
    pub(super) pace: Arc<Pace>,
    pub(super) counters: Arc<Counters>,
    pub(super) stop: Stop,
    pub(super) max_stall: Duration,
    pub(super) deadline: Option<Instant>,
    pub(super) signals: Signals,
    /// Set by a second signal.
    pub(super) at_once: Arc<AtomicBool>,
}

/// Never ends by itself.
pub(super) async fn watch(mut watch: Watch) {
    let mut signalled = false;
    loop {
        tokio::select! {
            signal = watch.signals.next() => {
                if std::mem::replace(&mut signalled, true) {
                    watch.at_once.store(true, Relaxed);
                    watch.stop.abort(None);
                } else {
                    watch.stop.drain(why(signal));
                    tell("stopping: waiting at most 10 s for what is in flight; once more ends at once");
                }
            }
            () = sleep(LOOK_EVERY) => {}
        }
        if watch.stop.is_running()
            && let Some(why) = overdue(&watch)
        {
            watch.stop.drain(why);
        }
    }
}

/// What a signal asks for.
pub(super) fn why(signal: Signal) -> Why {
    match signal {
        Signal::Interrupt => Why::Interrupted,
        Signal::Terminate => Why::Terminated,
    }
}

fn overdue(watch: &Watch) -> Option<Why> {
    let Watch { pace, deadline, max_stall, .. } = watch;
    if let Some(end) = *deadline {
        if let Waiting::CoolDown(cooling) = pace.waiting()
            && cooling.until > end
        {
            let left = human(cooling.until.saturating_duration_since(Instant::now()));
            return Some(Why::Deadline(format!(
                "Microsoft 365 asks for a pause of {left} more ({}), and --deadline is over before that",
                cooling.scope.owner()
            )));
        }
        if Instant::now() >= end {
            return Some(Why::Deadline("--deadline is over".to_owned()));
        }
    }
    (pace.silent_for() > *max_stall).then(|| {
        let last = match &*watch.counters.trouble() {
            "" => String::new(),
            trouble => format!("; the last try: {trouble}"),
        };
        Why::Stalled(format!("no answer for any user for {} (--max-stall){last}", human(*max_stall)))
    })
}
