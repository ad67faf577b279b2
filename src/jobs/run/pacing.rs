//! Builds the pace from flags, scenario and `state.json`, and estimates how long a run takes.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::model::RateLimit;
use crate::model::{Scope, stamp};
use crate::pace::{
    AdaptiveRate, Bounds, DOCUMENTED_RATE, FASTEST, LearnedRate, Pace, RateController, RunningCooldown,
    ThrottleStats, time_at_best,
};
use crate::report::{Limits, human};
use crate::rundir::{SavedRate, State};
use crate::stop::StopReason;
use crate::sys;

/// The settings of the pace.
#[derive(Clone, Copy, Debug)]
pub struct Pacing {
    /// `--rate`
    pub rate: Option<RateLimit>,
    /// `--initial-rate`
    pub initial: Option<f64>,
    /// Number of shards, from 1, that share both rates, because they share one quota.
    pub share: u32,
    /// Writes per second that fit the quota of the embedded simulator.
    pub simulated: Option<f64>,
}

impl Pacing {
    /// The pace as the last invocation left it, or a new one.
    pub(super) fn start(self, state: &State, in_flight: u16, batch: u16, now: Timestamp) -> Arc<Pace> {
        let bounds =
            Bounds { rate: self.ceiling(), in_flight: usize::from(in_flight), group: u32::from(batch) };
        let pace = Pace::new(self.controller(state, now), bounds, Some(fastrand::Rng::new()));
        for (scope, until, length) in &state.cooldowns {
            let left = until.duration_since(now);
            // A clock that was set back must not make a pause longer.
            let left = Duration::try_from(left).unwrap_or_default().min(Duration::from_millis(*length));
            if let Some(scope) = Scope::from_name(scope).filter(|_| !left.is_zero()) {
                pace.restore(scope, left);
            }
        }
        pace
    }

    fn controller(self, state: &State, now: Timestamp) -> RateController {
        if self.rate.is_some_and(|rate| rate.fixed) {
            return RateController::Fixed;
        }
        let (rate, now_here) = (self.first(), Instant::now());
        let fresh = match self.initial {
            None => AdaptiveRate::new(rate, now_here),
            Some(_) => AdaptiveRate::from_known(rate, now_here),
        };
        let learned = state.learned.as_ref().filter(|_| self.initial.is_none());
        let controller = match (learned, self.at_simulated()) {
            (Some(learned), _) => {
                // If the clock was set back, no time has passed.
                let away = Duration::try_from(now.duration_since(learned.last_sent)).unwrap_or_default();
                fresh.resume(LearnedRate { rate: learned.rate, burst: learned.credit }, away)
            }
            (None, Some(rate)) => fresh.resume(LearnedRate { rate: Some(rate), burst: 0.0 }, Duration::ZERO),
            (None, None) => fresh,
        };
        RateController::Adaptive(Box::new(controller))
    }

    /// The initial rate of a simulated run without a flag for it.
    fn at_simulated(self) -> Option<f64> {
        self.simulated.filter(|_| self.rate.is_none() && self.initial.is_none())
    }

    fn ceiling(self) -> f64 {
        self.rate.map_or(FASTEST, |rate| rate.per_second / f64::from(self.share))
    }

    /// The rate from which the search starts.
    fn first(self) -> f64 {
        self.initial.unwrap_or(DOCUMENTED_RATE) / f64::from(self.share)
    }

    /// `Time     about …`
    pub(super) fn time(self, users: u64) -> String {
        let steadily = |rate: f64| human(Duration::from_secs_f64(users as f64 / rate));
        match (self.rate, self.at_simulated()) {
            (Some(RateLimit { per_second, fixed: true }), _) => {
                let most = "; above the documented 20/s expect throttling";
                let note = if per_second > DOCUMENTED_RATE { most } else { "" };
                let rate = self.ceiling();
                format!("Time     about {} at {rate}/s{note}", steadily(rate))
            }
            (_, Some(rate)) => format!("Time     about {} at {rate}/s", steadily(rate)),
            _ => {
                let initial = self.first();
                let best = human(time_at_best(users, initial, self.ceiling()));
                let worst = steadily(initial.min(self.ceiling()));
                if best == worst {
                    format!("Time     about {best}")
                } else {
                    format!("Time     about {best} if the tenant's quota is fresh, {worst} if not")
                }
            }
        }
    }

    /// The settings in the form of `run.json`.
    pub(super) fn settings(self) -> serde_json::Value {
        serde_json::json!({
            "mode": if self.rate.is_some_and(|rate| rate.fixed) { "fixed" } else { "adaptive" },
            "rate": self.rate.map(|rate| rate.per_second),
            "initial_rate": self.initial,
        })
    }
}

/// The present state of the pace for `state.json`. `before` is what an earlier invocation learned.
pub(super) fn state_of(pace: &Pace, before: Option<SavedRate>, wall: Timestamp) -> State {
    let now = Instant::now();
    let cooldowns = pace.cooling().into_iter().filter_map(|cooling| {
        let left = SignedDuration::try_from(cooling.until.saturating_duration_since(now)).ok()?;
        let length = u64::try_from(cooling.length.as_millis()).ok()?;
        Some((cooling.scope.name().to_owned(), wall.checked_add(left).ok()?, length))
    });
    let learned = pace.learned().and_then(|(learned, last_sent)| {
        let ago = SignedDuration::try_from(now.saturating_duration_since(last_sent?)).ok()?;
        let last_sent = wall.checked_sub(ago).ok()?;
        Some(SavedRate { rate: learned.rate, credit: learned.burst, last_sent })
    });
    // One millisecond more, so that rounding does not shorten a pause.
    let since_boot = sys::since_boot()
        .and_then(|since| Some((since.boot, u64::try_from(since.passed.as_millis()).ok()? + 1)));
    State { cooldowns: cooldowns.collect(), learned: learned.or(before), saved_at: Some(wall), since_boot }
}

/// Why the run stops at a pause that is longer than `--max-wait`.
pub(super) fn long_pause(pace: &Pace, max_wait: Duration) -> Option<StopReason> {
    let long = |cooling: &RunningCooldown| cooling.announced && cooling.length > max_wait;
    let cooling = pace.cooling().into_iter().find(long)?;
    let left = cooling.until.saturating_duration_since(Instant::now());
    let end = Timestamp::now().saturating_add(left).unwrap_or(Timestamp::MAX);
    Some(StopReason::LongPause(format!(
        "Microsoft 365 asks for a pause of {} ({}), longer than --max-wait {}. Run the same command again after {}",
        human(left),
        cooling.scope.owner(),
        human(max_wait),
        stamp(end)
    )))
}

/// The throttling figures of the summary.
pub(super) fn limits_of(stats: &ThrottleStats) -> Limits {
    let throttled = Scope::ALL.into_iter().zip(stats.throttled).filter(|(_, count)| *count > 0);
    Limits {
        throttled: throttled.map(|(scope, count)| (scope.name().to_owned(), count)).collect(),
        pauses: stats.pauses,
        waited_s: stats.waited.as_secs_f64(),
        rate: stats.rate,
        used: stats.used,
    }
}
