//! What the display shows of a run that is being driven.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::time::Instant;

use super::counters::Counters;
use crate::model::Progress;
use crate::pace::{Pace, Waiting};
use crate::report::human;
use crate::stop::Stop;

/// Shown instead of what is waited for, because a run that stops no longer waits for it.
const STOPPING: &str = "stopping; Ctrl-C ends at once";

/// Reads where the run stands, each time it is called.
pub(super) fn reader(
    pace: Arc<Pace>,
    counters: Arc<Counters>,
    stop: Stop,
) -> impl Fn() -> Progress + Send + 'static {
    move || Progress {
        answered: counters.answered.load(Relaxed),
        accepted: counters.accepted.load(Relaxed),
        failed: counters.failed.load(Relaxed),
        throttled: counters.throttled.load(Relaxed),
        in_flight: pace.in_flight(),
        waiting: match stop.is_running() {
            true => waiting(pace.waiting()),
            false => Some(STOPPING.to_owned()),
        },
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
    use crate::pace::{Bounds, RateController};
    use crate::stop::Why;

    #[tokio::test(start_paused = true)]
    async fn a_run_that_stops_shows_that_instead_of_its_wait() {
        let (pace, stop) = (Pace::new(RateController::Fixed, Bounds::default(), None), Stop::new());
        let read = reader(pace, Arc::default(), stop.clone());
        assert_eq!(read().waiting, None);
        stop.drain(Why::Interrupted);
        assert_eq!(read().waiting.as_deref(), Some(STOPPING));
    }
}
