//! Cool-downs per throttle scope: instants that only move later, and one probe after each.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::Scope;

/// Least wait when the service names none.
const SHORTEST_OWN: Duration = Duration::from_secs(1);
/// Longest wait of our own making (`docs/graph.md#throttled-answers`).
const LONGEST_OWN: Duration = Duration::from_secs(30);
/// Added at random so that several processes on one quota do not probe in step; never early.
const JITTER_MS: u64 = 200;

/// One scope's state.
#[derive(Clone, Copy, Debug)]
struct Episode {
    /// Nothing is sent before.
    until: Instant,
    /// When the first refusal of this episode came.
    since: Instant,
    /// Length of the wait now running.
    length: Duration,
    /// Whether the service named it.
    announced: bool,
}

/// All scopes together: sending needs every one of them open.
#[derive(Debug)]
pub(super) struct Cooldowns {
    episodes: [Option<Episode>; 3],
    random: Option<fastrand::Rng>,
    /// Longest announced wait since the last final answer: what the stall rule leaves out.
    pub(super) longest_announced: Duration,
}

/// A cool-down as files and displays show it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cooling {
    /// Whose limit.
    pub scope: Scope,
    /// When it ends.
    pub until: Instant,
    /// Its whole length.
    pub length: Duration,
    /// Whether the service named it.
    pub announced: bool,
}

impl Cooldowns {
    /// With jitter from `random`, or exact without.
    pub(super) fn new(random: Option<fastrand::Rng>) -> Self {
        Self { episodes: [None; 3], random, longest_announced: Duration::ZERO }
    }

    /// A refusal with or without a wait, for a request sent at `sent`. Never shortens a running wait.
    pub(super) fn refused(&mut self, scope: Scope, announced: Option<Duration>, sent: Instant, now: Instant) {
        let before = self.episodes[scope.index()];
        let since = before.map_or(now, |episode| episode.since);
        let probe_failed = before.is_some_and(|episode| sent >= episode.until);
        let mut wait = announced.unwrap_or(Duration::ZERO);
        if announced.is_none() || probe_failed {
            wait = wait.max((now - since) / 2).clamp(wait.max(SHORTEST_OWN), wait.max(LONGEST_OWN));
        }
        let jitter = self.random.as_mut().map_or(0, |random| random.u64(0..JITTER_MS));
        let until = now + wait + Duration::from_millis(jitter);
        if let Some(wait) = announced {
            self.longest_announced = self.longest_announced.max(wait);
        }
        let episode = match before {
            Some(episode) if episode.until >= until => Episode { since, ..episode },
            _ => Episode { until, since, length: wait, announced: announced.is_some() },
        };
        self.episodes[scope.index()] = Some(episode);
    }

    /// From `state.json`: a cool-down that was running when an earlier process ended. Never shortens another.
    pub(super) fn restore(&mut self, scope: Scope, remaining: Duration, now: Instant) {
        let episode = Episode { until: now + remaining, since: now, length: remaining, announced: true };
        self.longest_announced = self.longest_announced.max(remaining);
        let place = &mut self.episodes[scope.index()];
        *place = Some(place.filter(|other| other.until >= episode.until).unwrap_or(episode));
    }

    /// A request sent at `sent` was not refused: if it was the probe, every episode is over.
    pub(super) fn served(&mut self, sent: Instant) {
        if self.episodes.iter().flatten().all(|episode| sent >= episode.until) && self.is_shut() {
            self.episodes = [None; 3];
        }
    }

    /// Whether any scope is in an episode: only a probe may leave.
    pub(super) fn is_shut(&self) -> bool {
        self.episodes.iter().any(Option::is_some)
    }

    /// The cool-down that ends last, if one is still running.
    pub(super) fn running(&self, now: Instant) -> Option<Cooling> {
        self.all().filter(|cooling| cooling.until > now).max_by_key(|cooling| cooling.until)
    }

    /// All cool-downs of the present episode, whether or not their time is over.
    pub(super) fn all(&self) -> impl Iterator<Item = Cooling> + '_ {
        Scope::ALL.into_iter().zip(self.episodes).filter_map(|(scope, episode)| {
            let Episode { until, length, announced, .. } = episode?;
            Some(Cooling { scope, until, length, announced })
        })
    }
}
