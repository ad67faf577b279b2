//! From flags, scenario and `state.json` to the pace, and how long it will take.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::model::RateLimit;
use crate::model::{Scope, stamp};
use crate::pace::{
    Adaptive, Bounds, Cooling, DOCUMENTED_RATE, FASTEST, Learned, Pace, RateController, Waits, time_at_best,
};
use crate::report::{Limits, human};
use crate::rundir::{SavedRate, State};
use crate::stop::Why;
use crate::sys;

/// What was asked about the pace.
#[derive(Clone, Copy, Debug)]
pub struct Pacing {
    /// `--rate`
    pub rate: Option<RateLimit>,
    /// `--initial-rate`
    pub initial: Option<f64>,
    /// Into how many shards both are split, from 1: the service gives one quota to all of them.
    pub share: u32,
    /// Writes per second that fit the quota of the embedded simulator.
    pub simulated: Option<f64>,
}

impl Pacing {
    /// The pace as it stood when the run was left, or a fresh one.
    pub(super) fn start(self, state: &State, in_flight: u16, batch: u16, now: Timestamp) -> Arc<Pace> {
        let bounds =
            Bounds { rate: self.ceiling(), in_flight: usize::from(in_flight), group: u32::from(batch) };
        let pace = Pace::new(self.controller(state, now), bounds, Some(fastrand::Rng::new()));
        for (scope, until, length) in &state.cooldowns {
            let left = until.duration_since(now);
            // A clock that went backwards must not make a wait longer than it was.
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
            None => Adaptive::new(rate, now_here),
            Some(_) => Adaptive::with_initial_rate(rate, now_here),
        };
        let learned = state.learned.as_ref().filter(|_| self.initial.is_none());
        let controller = match (learned, self.at_simulated()) {
            (Some(learned), _) => {
                // A clock that went backwards counts as no time away.
                let away = Duration::try_from(now.duration_since(learned.last_sent)).unwrap_or_default();
                fresh.resume(Learned { rate: learned.rate, credit: learned.credit }, away)
            }
            (None, Some(rate)) => fresh.resume(Learned { rate: Some(rate), credit: 0.0 }, Duration::ZERO),
            (None, None) => fresh,
        };
        RateController::Adaptive(Box::new(controller))
    }

    /// The rate at which a simulated run starts when nothing else was asked.
    fn at_simulated(self) -> Option<f64> {
        self.simulated.filter(|_| self.rate.is_none() && self.initial.is_none())
    }

    fn ceiling(self) -> f64 {
        self.rate.map_or(FASTEST, |rate| rate.per_second / f64::from(self.share))
    }

    /// What the search for the rate starts from.
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

    /// As `run.json` keeps it.
    pub(super) fn settings(self) -> serde_json::Value {
        serde_json::json!({
            "mode": if self.rate.is_some_and(|rate| rate.fixed) { "fixed" } else { "adaptive" },
            "rate": self.rate.map(|rate| rate.per_second),
            "initial_rate": self.initial,
        })
    }
}

/// What `state.json` keeps of the pace at this moment; `before` is what an earlier call learned.
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
        Some(SavedRate { rate: learned.rate, credit: learned.credit, last_sent })
    });
    // A millisecond too much, so that rounding makes no wait shorter.
    let since_boot = sys::since_boot()
        .and_then(|since| Some((since.boot, u64::try_from(since.passed.as_millis()).ok()? + 1)));
    State { cooldowns: cooldowns.collect(), learned: learned.or(before), saved_at: Some(wall), since_boot }
}

/// Why a pause that the service asked for is not waited for: it is longer than `--max-wait`.
pub(super) fn long_pause(pace: &Pace, max_wait: Duration) -> Option<Why> {
    let long = |cooling: &Cooling| cooling.announced && cooling.length > max_wait;
    let cooling = pace.cooling().into_iter().find(long)?;
    let left = cooling.until.saturating_duration_since(Instant::now());
    let end = Timestamp::now().saturating_add(left).unwrap_or(Timestamp::MAX);
    Some(Why::LongPause(format!(
        "Microsoft 365 asks for a pause of {} ({}), longer than --max-wait {}. Run the same command again after {}",
        human(left),
        cooling.scope.owner(),
        human(max_wait),
        stamp(end)
    )))
}

/// The limits as the summary tells them.
pub(super) fn limits_of(waits: &Waits) -> Limits {
    let throttled = Scope::ALL.into_iter().zip(waits.refused).filter(|(_, count)| *count > 0);
    Limits {
        throttled: throttled.map(|(scope, count)| (scope.name().to_owned(), count)).collect(),
        pauses: waits.spells,
        waited_s: waits.waited.as_secs_f64(),
        rate: waits.rate,
        used: waits.used,
    }
}
