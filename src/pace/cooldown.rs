//! Cool-downs, one for each throttling scope. Their end can only move to a later instant, and one probe follows each.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::Scope;

/// Shortest pause if the service does not name one.
const SHORTEST_UNANNOUNCED: Duration = Duration::from_secs(1);
/// Longest pause that the service did not name (`docs/graph.md#throttled-answers`).
const LONGEST_UNANNOUNCED: Duration = Duration::from_secs(30);
/// Largest random delay of a probe, in milliseconds, so that several processes on one quota do not probe together.
const JITTER_MS: u64 = 200;

/// The cool-down of one scope.
#[derive(Clone, Copy, Debug)]
struct ScopeCooldown {
    /// Nothing is sent before.
    until: Instant,
    /// When the first throttled response arrived.
    since: Instant,
    /// Length of the current pause.
    length: Duration,
    /// Whether the service named the pause.
    announced: bool,
}

/// The cool-downs of all scopes. Requests are sent only while none of them is active.
#[derive(Debug)]
pub(super) struct Cooldowns {
    scopes: [Option<ScopeCooldown>; 3],
    random: Option<fastrand::Rng>,
    /// Longest announced pause since the last final response. `--max-stall` does not count it.
    pub(super) longest_announced: Duration,
    /// End of the announced pause that ends last.
    announced_until: Option<Instant>,
}

/// A cool-down as files and the progress display show it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunningCooldown {
    /// The scope of the limit.
    pub scope: Scope,
    /// When it ends.
    pub until: Instant,
    /// Its whole length.
    pub length: Duration,
    /// Whether the service named the pause.
    pub announced: bool,
}

impl Cooldowns {
    /// Without cool-downs. `random` delays the probes; `None` is exact.
    pub(super) fn new(random: Option<fastrand::Rng>) -> Self {
        Self { scopes: [None; 3], random, longest_announced: Duration::ZERO, announced_until: None }
    }

    /// Records a throttled response to a request sent at `sent`. It never shortens the current pause.
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
            wait = wait
                .max((now - since) / 2)
                .clamp(wait.max(SHORTEST_UNANNOUNCED), wait.max(LONGEST_UNANNOUNCED));
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

    /// Restores a cool-down from `state.json` that was active when an earlier process ended. It never shortens another.
    pub(super) fn restore(&mut self, scope: Scope, remaining: Duration, now: Instant) {
        let cooldown =
            ScopeCooldown { until: now + remaining, since: now, length: remaining, announced: true };
        self.announce(remaining, now);
        let place = &mut self.scopes[scope.index()];
        *place = Some(place.filter(|other| other.until >= cooldown.until).unwrap_or(cooldown));
    }

    /// Records a pause that the service named, for a scope or for one user.
    pub(super) fn announce(&mut self, wait: Duration, now: Instant) {
        self.longest_announced = self.longest_announced.max(wait);
        self.announced_until = self.announced_until.max(Some(now + wait));
    }

    /// Records a final response. From now on `--max-stall` leaves out only the rest of the announced pauses.
    pub(super) fn answered(&mut self, now: Instant) {
        let left = |until: Instant| until.saturating_duration_since(now);
        self.longest_announced = self.announced_until.map_or(Duration::ZERO, left);
    }

    /// Records that a request sent at `sent` was served. If it was the probe, all cool-downs end.
    pub(super) fn served(&mut self, sent: Instant) {
        if self.scopes.iter().flatten().all(|cooldown| sent >= cooldown.until) && self.is_shut() {
            self.scopes = [None; 3];
        }
    }

    /// Whether any cool-down is active. Then only a probe may be sent.
    pub(super) fn is_shut(&self) -> bool {
        self.scopes.iter().any(Option::is_some)
    }

    /// The cool-down that ends last, if its time is not over.
    pub(super) fn running(&self, now: Instant) -> Option<RunningCooldown> {
        self.all().filter(|cooling| cooling.until > now).max_by_key(|cooling| cooling.until)
    }

    /// All cool-downs that no probe has ended yet.
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

    /// Throttles a request sent at `sent` at the instant `now`, both in seconds from the start. Returns the length of the pause.
    fn wait(
        cooldowns: &mut Cooldowns,
        start: Instant,
        announced: Option<u32>,
        sent: u32,
        now: u32,
    ) -> Duration {
        let (sent, now) = (start + SECOND * sent, start + SECOND * now);
        cooldowns.throttled(Scope::Tenant, announced.map(|wait| SECOND * wait), sent, now);
        cooldowns.running(now).map_or(Duration::ZERO, |cooling| cooling.until - now)
    }

    #[test]
    fn announced_pause_is_kept_exactly_and_never_shortened() {
        let start = Instant::now();
        let mut cooldowns = Cooldowns::new(None);
        assert_eq!(wait(&mut cooldowns, start, Some(100), 0, 1), SECOND * 100);
        // Requests in flight announce less, nothing, and finally more: the end can only move to a later instant.
        assert_eq!(wait(&mut cooldowns, start, Some(5), 0, 50), SECOND * 51);
        assert_eq!(wait(&mut cooldowns, start, None, 0, 51), SECOND * 50);
        assert_eq!(wait(&mut cooldowns, start, Some(51), 0, 52), SECOND * 51);
        let cooling: Vec<_> = cooldowns.all().collect();
        let until = start + SECOND * 103;
        assert_eq!(
            cooling,
            [RunningCooldown { scope: Scope::Tenant, until, length: SECOND * 51, announced: true }]
        );
        assert_eq!(cooldowns.longest_announced, SECOND * 100);
    }

    #[test]
    fn unannounced_pause_is_half_of_the_time_since_the_first_429() {
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
    fn too_short_pause_is_stretched_only_after_a_failed_probe() {
        let start = Instant::now();
        let mut cooldowns = Cooldowns::new(None);
        assert_eq!(wait(&mut cooldowns, start, Some(2), 0, 0), SECOND * 2);
        // Sent before the pause was over, so not a probe.
        assert_eq!(wait(&mut cooldowns, start, Some(2), 1, 20), SECOND * 2);
        // The probe, sent when the pause ended.
        assert_eq!(wait(&mut cooldowns, start, Some(2), 22, 22), SECOND * 11);
        assert_eq!(wait(&mut cooldowns, start, Some(2), 33, 90), SECOND * 30);
        assert_eq!(wait(&mut cooldowns, start, Some(300), 120, 120), SECOND * 300);
    }

    #[test]
    fn only_a_request_sent_after_every_pause_ends_the_cooldowns() {
        let start = Instant::now();
        let mut cooldowns = Cooldowns::new(None);
        cooldowns.throttled(Scope::Tenant, Some(SECOND * 10), start, start);
        cooldowns.throttled(Scope::App, Some(SECOND * 20), start, start);
        assert_eq!(cooldowns.running(start).map(|cooling| cooling.scope), Some(Scope::App));
        let almost = start + SECOND * 20 - Duration::from_nanos(1);
        for sent in [start, start + SECOND * 10, almost] {
            cooldowns.served(sent);
            assert_eq!((cooldowns.is_shut(), cooldowns.all().count()), (true, 2));
        }
        assert!(cooldowns.running(almost).is_some());
        assert_eq!(cooldowns.running(start + SECOND * 20), None, "its time is over, and a probe may be sent");
        cooldowns.served(start + SECOND * 20);
        assert_eq!((cooldowns.is_shut(), cooldowns.all().count()), (false, 0));
    }

    #[test]
    fn jitter_makes_a_pause_longer_and_never_shorter() {
        let start = Instant::now();
        let mut cooldowns = Cooldowns::new(Some(fastrand::Rng::with_seed(7)));
        let mut waits: Vec<_> = (0..100)
            .map(|_| {
                cooldowns.scopes = [None; 3];
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
