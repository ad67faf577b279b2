//! The stop monitor: stops the run after a signal, a deadline, a stall or a pause that is too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::counters::{Counters, LOOK_EVERY};
use super::pacing::long_pause;
use crate::pace::{Pace, SendState};
use crate::report::human;
use crate::stop::{Stop, StopReason};
use crate::sys::{Signal, Signals};
use crate::terminal::Console;

pub(super) struct Watch {
    pub(super) pace: Arc<Pace>,
    pub(super) counters: Arc<Counters>,
    pub(super) stop: Stop,
    pub(super) console: Console,
    pub(super) max_stall: Duration,
    pub(super) max_wait: Duration,
    pub(super) deadline: Option<Instant>,
    /// Set by a second signal.
    pub(super) at_once: Arc<AtomicBool>,
}

impl Watch {
    /// Never ends by itself.
    pub(super) async fn over(self, mut signals: Signals) {
        let mut signalled = false;
        let mut outage = None;
        loop {
            tokio::select! {
                signal = signals.next() => {
                    if std::mem::replace(&mut signalled, true) {
                        self.at_once.store(true, Relaxed);
                        self.stop.abort(None);
                    } else {
                        self.stop.drain(why(signal));
                        self.console.status("stopping: waiting up to 10 s for requests in flight. Press Ctrl-C again to exit immediately");
                    }
                }
                () = sleep(LOOK_EVERY) => {}
            }
            if self.stop.is_running()
                && let Some(why) = long_pause(&self.pace, self.max_wait)
                    .or_else(|| overdue(&self.pace, &self.counters, self.deadline, self.max_stall))
            {
                self.stop.drain(why);
            }
            if let SendState::Outage { since, .. } = self.pace.send_state()
                && outage.replace(since) != Some(since)
                && self.stop.is_running()
            {
                self.console.warn(&begun(&self.counters, self.max_stall));
            }
        }
    }
}

/// An outage has begun. Where nobody was ever answered, the first fault was told when it came.
fn begun(counters: &Counters, max_stall: Duration) -> String {
    let cause = match &*counters.trouble() {
        trouble if !trouble.is_empty() && counters.answered.load(Relaxed) > 0 => {
            format!(": {}", trouble.trim_end_matches('.'))
        }
        _ => String::new(),
    };
    format!(
        "Microsoft 365 does not answer{cause}; one try every 30 s from now on, for at most {} (--max-stall)",
        human(max_stall)
    )
}

/// The stop reason for a signal.
pub(super) fn why(signal: Signal) -> StopReason {
    match signal {
        Signal::Interrupt => StopReason::Interrupted,
        Signal::Terminate => StopReason::Terminated,
    }
}

fn overdue(
    pace: &Pace,
    counters: &Counters,
    deadline: Option<Instant>,
    max_stall: Duration,
) -> Option<StopReason> {
    if let Some(end) = deadline {
        if let SendState::CoolDown(cooling) = pace.send_state()
            && cooling.announced
            && cooling.until > end
        {
            let left = human(cooling.until.saturating_duration_since(Instant::now()));
            return Some(StopReason::Deadline(format!(
                "Microsoft 365 asks for a pause of {left} more ({}), and --deadline ends before that",
                cooling.scope.owner()
            )));
        }
        if Instant::now() >= end {
            return Some(StopReason::Deadline("--deadline has passed".to_owned()));
        }
    }
    (pace.silent_for() > max_stall).then(|| {
        let last = match &*counters.trouble() {
            "" => String::new(),
            trouble => format!("; the last try: {trouble}"),
        };
        StopReason::Stalled(format!("no answer for any user for {} (--max-stall){last}", human(max_stall)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attempt, AttemptResult, Scope, Throttle};
    use crate::pace::{Bounds, RateController};

    const STALL: Duration = Duration::from_secs(600);

    /// A pace whose first request was refused so.
    async fn refused(retry_after: Option<Duration>) -> Arc<Pace> {
        let pace = Pace::new(RateController::Fixed, Bounds::default(), None);
        let mut ticket = pace.admit(1).await;
        let throttle = Throttle { scope: Scope::default(), quota: true };
        let attempt = Attempt { retry_after, ..Attempt::of(AttemptResult::Throttled(throttle)) };
        pace.settle(&mut ticket, 1, &attempt);
        pace
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_wait_that_was_announced_ends_a_run_before_its_deadline() {
        let counters = Counters::default();
        let end = Instant::now() + Duration::from_millis(500);
        let own = refused(None).await;
        assert_eq!(overdue(&own, &counters, Some(end), STALL), None, "a second of our own making");
        let announced = refused(Some(Duration::from_secs(41))).await;
        let said = overdue(&announced, &counters, Some(end), STALL);
        assert!(
            matches!(&said, Some(StopReason::Deadline(text)) if text.contains("a pause of 41 s more")),
            "{said:?}"
        );
        assert_eq!(overdue(&announced, &counters, Some(end + Duration::from_secs(60)), STALL), None);
        sleep(Duration::from_millis(500)).await;
        assert_eq!(
            overdue(&own, &counters, Some(end), STALL),
            Some(StopReason::Deadline("--deadline has passed".to_owned()))
        );
    }

    #[test]
    fn an_outage_is_told_with_its_cause_unless_that_was_told_before() {
        let counters = Counters::default();
        *counters.trouble.lock().expect("nobody panicked") = "the VPN is down.".into();
        let end = "; one try every 30 s from now on, for at most 10 min (--max-stall)";
        let begin = "Microsoft 365 does not answer";
        assert_eq!(begun(&counters, STALL), format!("{begin}{end}"));
        counters.answered.store(1, Relaxed);
        assert_eq!(begun(&counters, STALL), format!("{begin}: the VPN is down{end}"));
    }

    #[tokio::test(start_paused = true)]
    async fn announced_pause_above_the_longest_ends_the_run() {
        let (hour, second) = (Duration::from_secs(3_600), Duration::from_secs(1));
        assert_eq!(long_pause(&*refused(Some(hour)).await, hour), None);
        assert_eq!(long_pause(&*refused(None).await, Duration::ZERO), None, "a pause of our own making");
        let pace = refused(Some(hour + second)).await;
        let said = |pace: &Pace| match long_pause(pace, hour) {
            Some(StopReason::LongPause(text)) => text,
            other => panic!("{other:?}"),
        };
        let text = said(&pace);
        let asked = "Microsoft 365 asks for a pause of 1 h 0 min (your app's limit in this tenant), longer than --max-wait 1 h 0 min.";
        assert!(text.starts_with(asked) && text.contains(" again after 20"), "{text}");
        // What is left of it for a later invocation.
        let later = Pace::new(RateController::Fixed, Bounds::default(), None);
        later.restore(Scope::Tenant, hour + second);
        assert!(said(&later).contains("this tenant's limit for all apps"));
        sleep(second).await;
        let later = Pace::new(RateController::Fixed, Bounds::default(), None);
        later.restore(Scope::Tenant, hour);
        assert_eq!(long_pause(&later, hour), None, "short enough by now");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_silence_without_the_wait_that_was_announced() {
        let counters = Counters::default();
        let pace = refused(Some(Duration::from_secs(3_600))).await;
        sleep(Duration::from_secs(3_600) + STALL).await;
        assert_eq!(overdue(&pace, &counters, None, STALL), None);
        sleep(Duration::from_secs(1)).await;
        assert!(matches!(overdue(&pace, &counters, None, STALL), Some(StopReason::Stalled(_))));
    }
}
