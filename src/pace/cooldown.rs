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
    /// End of the announced wait that ends last.
    announced_until: Option<Instant>,
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
        Self { episodes: [None; 3], random, longest_announced: Duration::ZERO, announced_until: None }
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
            self.announce(wait, now);
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
        self.announce(remaining, now);
        let place = &mut self.episodes[scope.index()];
        *place = Some(place.filter(|other| other.until >= episode.until).unwrap_or(episode));
    }

    /// The service named a wait, for a scope or for one user.
    pub(super) fn announce(&mut self, wait: Duration, now: Instant) {
        self.longest_announced = self.longest_announced.max(wait);
        self.announced_until = self.announced_until.max(Some(now + wait));
    }

    /// A final answer came: of the announced waits only what is left of them is still left out of a silence.
    pub(super) fn answered(&mut self, now: Instant) {
        let left = |until: Instant| until.saturating_duration_since(now);
        self.longest_announced = self.announced_until.map_or(Duration::ZERO, left);
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Refused at `now` for a request that left at `sent`, both in seconds from the start: how long nothing may leave.
    fn wait(
        cooldowns: &mut Cooldowns,
        start: Instant,
        announced: Option<u32>,
        sent: u32,
        now: u32,
    ) -> Duration {
        let (sent, now) = (start + SECOND * sent, start + SECOND * now);
        cooldowns.refused(Scope::Tenant, announced.map(|wait| SECOND * wait), sent, now);
        cooldowns.running(now).map_or(Duration::ZERO, |cooling| cooling.until - now)
    }

    #[test]
    fn an_announced_wait_is_kept_to_the_instant_and_never_shortened() {
        let start = Instant::now();
        let mut cooldowns = Cooldowns::new(None);
        assert_eq!(wait(&mut cooldowns, start, Some(100), 0, 1), SECOND * 100);
        // What was on its way says less, nothing, and at last more: the end only moves later.
        assert_eq!(wait(&mut cooldowns, start, Some(5), 0, 50), SECOND * 51);
        assert_eq!(wait(&mut cooldowns, start, None, 0, 51), SECOND * 50);
        assert_eq!(wait(&mut cooldowns, start, Some(51), 0, 52), SECOND * 51);
        let cooling: Vec<_> = cooldowns.all().collect();
        let until = start + SECOND * 103;
        assert_eq!(cooling, [Cooling { scope: Scope::Tenant, until, length: SECOND * 51, announced: true }]);
        assert_eq!(cooldowns.longest_announced, SECOND * 100);
    }

    #[test]
    fn without_a_wait_each_failed_probe_waits_half_of_the_time_it_lasts() {
        let start = Instant::now();
        let mut cooldowns = Cooldowns::new(None);
        assert_eq!(wait(&mut cooldowns, start, None, 0, 0), SECOND);
        assert_eq!(wait(&mut cooldowns, start, None, 1, 1), SECOND, "never below a second");
        assert_eq!(wait(&mut cooldowns, start, None, 2, 8), SECOND * 4);
        assert_eq!(wait(&mut cooldowns, start, None, 12, 12), SECOND * 6);
        assert_eq!(wait(&mut cooldowns, start, None, 18, 100), SECOND * 30, "never above half a minute");
        assert_eq!(cooldowns.longest_announced, Duration::ZERO);
    }

    #[test]
    fn a_wait_that_was_too_short_is_stretched_for_the_probe_alone() {
        let start = Instant::now();
        let mut cooldowns = Cooldowns::new(None);
        assert_eq!(wait(&mut cooldowns, start, Some(2), 0, 0), SECOND * 2);
        // On its way before the wait was over: no probe.
        assert_eq!(wait(&mut cooldowns, start, Some(2), 1, 20), SECOND * 2);
        // The probe, which left as the wait ended.
        assert_eq!(wait(&mut cooldowns, start, Some(2), 22, 22), SECOND * 11);
        assert_eq!(wait(&mut cooldowns, start, Some(2), 33, 90), SECOND * 30);
        assert_eq!(wait(&mut cooldowns, start, Some(300), 120, 120), SECOND * 300);
    }

    #[test]
    fn only_an_answer_to_what_left_after_every_wait_ends_them() {
        let start = Instant::now();
        let mut cooldowns = Cooldowns::new(None);
        cooldowns.refused(Scope::Tenant, Some(SECOND * 10), start, start);
        cooldowns.refused(Scope::App, Some(SECOND * 20), start, start);
        assert_eq!(cooldowns.running(start).map(|cooling| cooling.scope), Some(Scope::App));
        let almost = start + SECOND * 20 - Duration::from_nanos(1);
        for sent in [start, start + SECOND * 10, almost] {
            cooldowns.served(sent);
            assert_eq!((cooldowns.is_shut(), cooldowns.all().count()), (true, 2));
        }
        assert!(cooldowns.running(almost).is_some());
        assert_eq!(cooldowns.running(start + SECOND * 20), None, "its time is over, and one may try");
        cooldowns.served(start + SECOND * 20);
        assert_eq!((cooldowns.is_shut(), cooldowns.all().count()), (false, 0));
    }

    #[test]
    fn chance_makes_a_wait_longer_and_never_shorter() {
        let start = Instant::now();
        let mut cooldowns = Cooldowns::new(Some(fastrand::Rng::with_seed(7)));
        let mut waits: Vec<_> = (0..100)
            .map(|_| {
                cooldowns.episodes = [None; 3];
                wait(&mut cooldowns, start, Some(5), 0, 0)
            })
            .collect();
        waits.sort_unstable();
        waits.dedup();
        assert!(
            waits[0] >= SECOND * 5 && waits[waits.len() - 1] < SECOND * 5 + Duration::from_millis(JITTER_MS)
        );
        assert!(waits.len() > 50, "{waits:?}");
    }
}
