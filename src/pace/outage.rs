//! The outage breaker: when nobody is answered, pause instead of failing users.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

/// Different users who must fail in a row, with no final answer between, before the run pauses.
pub const USERS_IN_A_ROW: usize = 20;
/// So many of them must not have failed before while others were answered. Some objects fail always; at the end of a list
/// they are alone, and their failures say nothing about the service. A quarter: users who fail for the first time come in
/// a row only where nobody is answered.
const NEW_AMONG_THEM: usize = USERS_IN_A_ROW / 4;
/// One probe this often while paused.
pub const PROBE_EVERY: Duration = Duration::from_secs(30);

/// The streak of transient failures, and the pause it led to.
#[derive(Debug, Default)]
pub(super) struct Outage {
    failed: HashSet<u64>,
    /// How many of them had not failed before.
    new: usize,
    /// Who failed in an earlier streak that was no outage, and was not answered since: a word for each.
    before: HashSet<u64>,
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
            self.new += usize::from(self.failed.insert(row) && !self.before.contains(&row));
            if self.failed.len() >= USERS_IN_A_ROW && self.new >= NEW_AMONG_THEM {
                self.paused = Some(Pause { since: now, next_probe: now + PROBE_EVERY });
                self.forgiven.push(self.streak);
            }
        }
        self.streak
    }

    /// Somebody was answered for good: the streak is over, and so is the pause.
    pub(super) fn answered(&mut self, row: u64) {
        if !self.failed.is_empty() {
            let streak = self.failed.drain();
            if !self.forgiven.contains(&self.streak) {
                self.before.extend(streak);
            }
            self.new = 0;
            self.streak += 1;
        }
        self.before.remove(&row);
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
        outage.answered(20);
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
                outage.answered(row);
            }
            outage.failed(row, now);
        }
        assert!(outage.paused().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn users_who_fail_always_are_no_outage_when_they_are_alone_at_the_end() {
        let now = Instant::now();
        let mut outage = Outage::default();
        // Two hundred of them among users who are answered, then nobody else.
        for row in 0..200 {
            outage.failed(row, now);
            outage.answered(1_000 + row);
        }
        for row in 0..200 {
            let streak = outage.failed(row, now);
            assert!(outage.paused().is_none() && !outage.is_forgiven(streak), "{row}");
        }
        // A few who fail for the first time beside them say that nobody is answered.
        for row in 300..304 {
            outage.failed(row, now);
            assert!(outage.paused().is_none(), "{row}");
        }
        outage.failed(304, now);
        assert!(outage.paused().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_failed_in_an_outage_or_was_answered_since_counts_as_new() {
        let now = Instant::now();
        let mut outage = Outage::default();
        let twenty = |outage: &mut Outage| (0..20).for_each(|row| _ = outage.failed(row, now));
        twenty(&mut outage);
        outage.answered(100);
        twenty(&mut outage);
        assert!(outage.paused().is_some(), "the first was an outage too");
        outage.answered(100);
        for row in 0..20 {
            outage.failed(row, now);
            outage.answered(row);
        }
        assert!(outage.before.is_empty(), "nobody who was answered is kept");
        twenty(&mut outage);
        assert!(outage.paused().is_some());
    }
}
