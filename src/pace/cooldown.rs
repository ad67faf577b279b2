//! Cool-downs, one for each throttle scope. The end of a cool-down only moves later, and one probe follows
//! each.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::Scope;

/// Shortest pause if the service announces none.
const MIN_UNANNOUNCED: Duration = Duration::from_secs(1);
/// Longest pause that reprovision chooses itself (`docs/graph.md#throttled-answers`).
const MAX_UNANNOUNCED: Duration = Duration::from_secs(30);
/// Upper bound of the random extension of a pause, in milliseconds. It keeps several processes on one quota
/// from sending their probes at the same time. A pause is never shortened.
const JITTER_MS: u64 = 200;

/// The throttling event of one scope.
#[derive(Clone, Copy, Debug)]
struct ScopeCooldown {
    /// Earliest instant of the next request.
    until: Instant,
    /// When the first throttled response of this event arrived.
    since: Instant,
    /// Length of the present pause.
    length: Duration,
    /// Whether the service announced the pause.
    announced: bool,
}

/// The cool-downs of all scopes. A request may be sent only if all of them have ended.
#[derive(Debug)]
pub(super) struct Cooldowns {
    scopes: [Option<ScopeCooldown>; 3],
    random: Option<fastrand::Rng>,
    /// Longest announced pause since the last final response. The stall rule does not count it.
    pub(super) longest_announced: Duration,
    /// End of the announced pause that ends last.
    announced_until: Option<Instant>,
}

/// A cool-down, as the display and `state.json` show it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunningCooldown {
    /// Scope of the limit that was exceeded.
    pub scope: Scope,
    /// When it ends.
    pub until: Instant,
    /// Its whole length.
    pub length: Duration,
    /// Whether the service announced it.
    pub announced: bool,
}

impl Cooldowns {
    /// No cool-downs. Later ones are extended by a random time from `random`, or exact if it is `None`.
    pub(super) fn new(random: Option<fastrand::Rng>) -> Self {
        Self { scopes: [None; 3], random, longest_announced: Duration::ZERO, announced_until: None }
    }

    /// Records a throttled response to a request sent at `sent`. The pause is `announced`, or chosen if that
    /// is `None`. Never shortens a pause.
    pub(super) fn throttled(
        &mut self,
        scope: Scope,
        announced: Option<Duration>,
        sent: Instant,
        now: Instant,
    ) {
        let before = self.scopes[scope.index()];
        let since = before.map_or(now, |cooldown| cooldown.since);
        let probe_failed = before.is_some_and(|cooldown| sent >= cooldown.until);
        let mut wait = announced.unwrap_or(Duration::ZERO);
        if announced.is_none() || probe_failed {
            wait = wait.max((now - since) / 2).clamp(wait.max(MIN_UNANNOUNCED), wait.max(MAX_UNANNOUNCED));
        }
        let jitter = self.random.as_mut().map_or(0, |random| random.u64(0..JITTER_MS));
        let until = now + wait + Duration::from_millis(jitter);
        if let Some(wait) = announced {
            self.announce(wait, now);
        }
        let cooldown = match before {
            Some(cooldown) if cooldown.until >= until => ScopeCooldown { since, ..cooldown },
            _ => ScopeCooldown { until, since, length: wait, announced: announced.is_some() },
        };
        self.scopes[scope.index()] = Some(cooldown);
    }

    /// Restores a cool-down from `state.json` that had not ended when an earlier process did. Never shortens
    /// a pause.
    pub(super) fn restore(&mut self, scope: Scope, remaining: Duration, now: Instant) {
        let cooldown =
            ScopeCooldown { until: now + remaining, since: now, length: remaining, announced: true };
        self.announce(remaining, now);
        let place = &mut self.scopes[scope.index()];
        *place = Some(place.filter(|other| other.until >= cooldown.until).unwrap_or(cooldown));
    }

    /// Records a pause that the service announced, for a scope or for one user.
    pub(super) fn announce(&mut self, wait: Duration, now: Instant) {
        self.longest_announced = self.longest_announced.max(wait);
        self.announced_until = self.announced_until.max(Some(now + wait));
    }

    /// Records a final response. From now on the stall rule excludes only the rest of the announced pauses.
    pub(super) fn answered(&mut self, now: Instant) {
        let remaining = |until: Instant| until.saturating_duration_since(now);
        self.longest_announced = self.announced_until.map_or(Duration::ZERO, remaining);
    }

    /// Records a response to a request sent at `sent` that was not throttled. If it was the probe, all
    /// cool-downs are removed.
    pub(super) fn served(&mut self, sent: Instant) {
        if self.scopes.iter().flatten().all(|cooldown| sent >= cooldown.until) && self.is_active() {
            self.scopes = [None; 3];
        }
    }

    /// Returns whether any scope has a throttling event. If so, only a probe may be sent.
    pub(super) fn is_active(&self) -> bool {
        self.scopes.iter().any(Option::is_some)
    }

    /// The cool-down that ends last, if it has not ended at `now`.
    pub(super) fn running(&self, now: Instant) -> Option<RunningCooldown> {
        self.all().filter(|cooldown| cooldown.until > now).max_by_key(|cooldown| cooldown.until)
    }

    /// The cool-downs of the present throttling event. They include those that have ended but whose probe is
    /// missing.
    pub(super) fn all(&self) -> impl Iterator<Item = RunningCooldown> + '_ {
        Scope::ALL.into_iter().zip(self.scopes).filter_map(|(scope, cooldown)| {
            let ScopeCooldown { until, length, announced, .. } = cooldown?;
            Some(RunningCooldown { scope, until, length, announced })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Records a throttled response at `now` to a request sent at `sent`, both in seconds from `start`.
    /// Returns the remaining pause.
    fn pause_after(
        cooldowns: &mut Cooldowns,
        start: Instant,
        announced: Option<u32>,
        sent: u32,
        now: u32,
    ) -> Duration {
        let (sent, now) = (start + SECOND * sent, start + SECOND * now);
        cooldowns.throttled(Scope::Tenant, announced.map(|wait| SECOND * wait), sent, now);
        cooldowns.running(now).map_or(Duration::ZERO, |cooldown| cooldown.until - now)
    }

    #[test]
    fn announced_pause_is_kept_exactly_and_never_shortened() {
        let start = Instant::now();
        let mut cooldowns = Cooldowns::new(None);
        assert_eq!(pause_after(&mut cooldowns, start, Some(100), 0, 1), SECOND * 100);
        // Requests in flight announce a shorter pause, none, and then a longer one. The end only moves later.
        assert_eq!(pause_after(&mut cooldowns, start, Some(5), 0, 50), SECOND * 51);
        assert_eq!(pause_after(&mut cooldowns, start, None, 0, 51), SECOND * 50);
        assert_eq!(pause_after(&mut cooldowns, start, Some(51), 0, 52), SECOND * 51);
        let all: Vec<_> = cooldowns.all().collect();
        let until = start + SECOND * 103;
        assert_eq!(
            all,
            [RunningCooldown { scope: Scope::Tenant, until, length: SECOND * 51, announced: true }]
        );
        assert_eq!(cooldowns.longest_announced, SECOND * 100);
    }

    #[test]
    fn unannounced_pause_is_half_of_the_event_after_each_probe() {
        let start = Instant::now();
        let mut cooldowns = Cooldowns::new(None);
        assert_eq!(pause_after(&mut cooldowns, start, None, 0, 0), SECOND);
        assert_eq!(pause_after(&mut cooldowns, start, None, 1, 1), SECOND, "never below a second");
        assert_eq!(pause_after(&mut cooldowns, start, None, 2, 8), SECOND * 4);
        assert_eq!(pause_after(&mut cooldowns, start, None, 12, 12), SECOND * 6);
        assert_eq!(pause_after(&mut cooldowns, start, None, 18, 100), SECOND * 30, "never above 30 s");
        assert_eq!(cooldowns.longest_announced, Duration::ZERO);
    }

    #[test]
    fn only_a_throttled_probe_extends_a_short_announced_pause() {
        let start = Instant::now();
        let mut cooldowns = Cooldowns::new(None);
        assert_eq!(pause_after(&mut cooldowns, start, Some(2), 0, 0), SECOND * 2);
        // Sent before the pause was over: not a probe.
        assert_eq!(pause_after(&mut cooldowns, start, Some(2), 1, 20), SECOND * 2);
        // The probe, sent when the pause ended.
        assert_eq!(pause_after(&mut cooldowns, start, Some(2), 22, 22), SECOND * 11);
        assert_eq!(pause_after(&mut cooldowns, start, Some(2), 33, 90), SECOND * 30);
        assert_eq!(pause_after(&mut cooldowns, start, Some(300), 120, 120), SECOND * 300);
    }

    #[test]
    fn request_sent_after_every_pause_ends_all_cooldowns() {
        let start = Instant::now();
        let mut cooldowns = Cooldowns::new(None);
        cooldowns.throttled(Scope::Tenant, Some(SECOND * 10), start, start);
        cooldowns.throttled(Scope::App, Some(SECOND * 20), start, start);
        assert_eq!(cooldowns.running(start).map(|cooldown| cooldown.scope), Some(Scope::App));
        let almost = start + SECOND * 20 - Duration::from_nanos(1);
        for sent in [start, start + SECOND * 10, almost] {
            cooldowns.served(sent);
            assert_eq!((cooldowns.is_active(), cooldowns.all().count()), (true, 2));
        }
        assert!(cooldowns.running(almost).is_some());
        assert_eq!(cooldowns.running(start + SECOND * 20), None, "the pause is over: a probe may be sent");
        cooldowns.served(start + SECOND * 20);
        assert_eq!((cooldowns.is_active(), cooldowns.all().count()), (false, 0));
    }

    #[test]
    fn jitter_extends_a_pause_and_never_shortens_it() {
        let start = Instant::now();
        let mut cooldowns = Cooldowns::new(Some(fastrand::Rng::with_seed(7)));
        let mut pauses: Vec<_> = (0..100)
            .map(|_| {
                cooldowns.scopes = [None; 3];
                pause_after(&mut cooldowns, start, Some(5), 0, 0)
            })
            .collect();
        pauses.sort_unstable();
        pauses.dedup();
        assert!(
            pauses[0] >= SECOND * 5
                && pauses[pauses.len() - 1] < SECOND * 5 + Duration::from_millis(JITTER_MS)
        );
        assert!(pauses.len() > 50, "{pauses:?}");
    }
}
