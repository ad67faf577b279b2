//! The progress of a run for the display.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::time::Instant;

use super::counters::Counters;
use crate::model::Progress;
use crate::pace::{Pace, SendState};
use crate::report::human;
use crate::stop::Stop;

/// Shown instead of a pause, because a run that stops does not wait for it any more.
const STOPPING: &str = "stopping; Ctrl-C ends at once";

/// Returns a function that reads the present progress.
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
            true => waiting(pace.send_state()),
            false => Some(STOPPING.to_owned()),
        },
    }
}

fn waiting(waiting: SendState) -> Option<String> {
    let until = |instant: Instant| human(instant.saturating_duration_since(Instant::now()));
    match waiting {
        SendState::Open => None,
        SendState::CoolDown(cooling) => Some(format!(
            "paused by Microsoft 365 ({}): {} left",
            cooling.scope.owner(),
            until(cooling.until)
        )),
        SendState::Outage { since, next_probe } => Some(format!(
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
    use crate::stop::StopReason;

    #[tokio::test(start_paused = true)]
    async fn a_run_that_stops_shows_that_instead_of_its_wait() {
        let (pace, stop) = (Pace::new(RateController::Fixed, Bounds::default(), None), Stop::new());
        let read = reader(pace, Arc::default(), stop.clone());
        assert_eq!(read().waiting, None);
        stop.drain(StopReason::Interrupted);
        assert_eq!(read().waiting.as_deref(), Some(STOPPING));
    }
}
