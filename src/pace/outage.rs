//! The outage breaker: when nobody is answered, pause instead of failing users.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

/// Different users who must fail in a row, with no final answer between, before the run pauses.
pub const USERS_IN_A_ROW: usize = 20;
/// One probe this often while paused.
pub const PROBE_EVERY: Duration = Duration::from_secs(30);

/// The streak of transient failures, and the pause it led to.
#[derive(Debug, Default)]
pub(super) struct Outage {
    failed: HashSet<u64>,
    streak: u64,
    paused: Option<Pause>,
    forgiven: Vec<u64>,
}

/// Sending is paused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    /// When it began.
    pub(super) since: Instant,
    /// When the next probe may leave.
    pub(super) next_probe: Instant,
}

impl Outage {
    /// A user failed transiently. Returns the number of the streak, to be kept with the attempt.
    pub(super) fn failed(&mut self, row: u64, now: Instant) -> u64 {
        if self.paused.is_none() {
            self.failed.insert(row);
            if self.failed.len() >= USERS_IN_A_ROW {
                self.paused = Some(Pause { since: now, next_probe: now + PROBE_EVERY });
                self.forgiven.push(self.streak);
            }
        }
        self.streak
    }

    /// Somebody was answered for good: the streak is over, and so is the pause.
    pub(super) fn answered(&mut self) {
        if !self.failed.is_empty() {
            self.failed.clear();
            self.streak += 1;
        }
        self.paused = None;
    }

    /// A probe leaves now.
    pub(super) fn probed(&mut self, now: Instant) {
        if let Some(pause) = &mut self.paused {
            pause.next_probe = now + PROBE_EVERY;
        }
    }

    /// The pause, if one is on.
    pub(super) fn paused(&self) -> Option<Pause> {
        self.paused
    }

    /// Whether the attempts of this streak count against nobody.
    pub(super) fn is_forgiven(&self, streak: u64) -> bool {
        self.forgiven.contains(&streak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn twenty_different_users_in_a_row_are_an_outage_and_forgiven() {
        let now = Instant::now();
        let mut outage = Outage::default();
        for row in 0..19 {
            outage.failed(row, now);
        }
        for _ in 0..100 {
            outage.failed(7, now);
        }
        assert!(outage.paused().is_none(), "nineteen users, however often");
        let streak = outage.failed(19, now);
        let pause = outage.paused().expect("the twentieth");
        assert_eq!((pause.since, pause.next_probe), (now, now + PROBE_EVERY));
        assert!(outage.is_forgiven(streak));
        outage.probed(now + PROBE_EVERY);
        assert_eq!(outage.failed(20, now + PROBE_EVERY), streak, "a failed probe belongs to the same streak");
        let next = outage.paused().map(|pause| pause.next_probe);
        assert_eq!(next, Some(now + 2 * PROBE_EVERY), "one probe each 30 s");
        outage.answered();
        assert!(outage.paused().is_none());
        let streak = outage.failed(1, now);
        assert!(!outage.is_forgiven(streak), "a new streak counts");
    }

    #[tokio::test(start_paused = true)]
    async fn one_answer_between_ends_the_streak() {
        let now = Instant::now();
        let mut outage = Outage::default();
        for row in 0..400 {
            if row % 19 == 0 {
                outage.answered();
            }
            outage.failed(row, now);
        }
        assert!(outage.paused().is_none());
    }
}
