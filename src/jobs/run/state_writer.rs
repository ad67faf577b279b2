//! Keeps `state.json`: within 50 ms of a cool-down, within a second of what the pace learned, and once more
//! at the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::counters::Counters;
use super::pacing::state_of;
use super::panic_guard::Alarm;
use crate::pace::Pace;
use crate::rundir::{Lock, SavedRate};
use crate::terminal::Console;

/// `state.json` follows the cool-downs within 50 ms.
const EVERY: Duration = Duration::from_millis(40);
/// What the pace learned follows within a second.
const LEARNED_EVERY: Duration = Duration::from_secs(1);

/// `before` is what an earlier call learned: kept where this call sends nothing or its controller does not
/// measure.
pub(super) fn keep(
    pace: Arc<Pace>,
    (folder, lock): (PathBuf, Lock),
    before: Option<SavedRate>,
    counters: Arc<Counters>,
    alarm: Alarm,
    console: Console,
) -> thread::JoinHandle<()> {
    let runtime = tokio::runtime::Handle::current();
    thread::spawn(move || {
        // Without it a pause that was asked for would be forgotten by a restart.
        let _alarm = alarm;
        let _held = lock;
        let _inside = runtime.enter();
        let mut saved: Option<Vec<Instant>> = None;
        let mut learned = (None, std::time::Instant::now());
        let mut warned = false;
        loop {
            let over = counters.over.load(Relaxed);
            let ends: Vec<_> = pace.cooling().iter().map(|cooling| cooling.until).collect();
            let sent = pace.learned().and_then(|(_, last_sent)| last_sent);
            let learning = sent != learned.0 && learned.1.elapsed() >= LEARNED_EVERY;
            if over || learning || saved.as_ref() != Some(&ends) {
                // The results are the truth; without this file a restart may only be less polite.
                if let Err(error) = state_of(&pace, before, Timestamp::now()).write(&folder)
                    && !std::mem::replace(&mut warned, true)
                {
                    console.warn(&error.chain());
                }
                saved = Some(ends);
                learned = (sent, std::time::Instant::now());
            }
            if over {
                return;
            }
            thread::park_timeout(EVERY);
        }
    })
}
