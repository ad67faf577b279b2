//! The outage breaker: pauses the run instead of failing users when the service does not answer.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

/// Different users who must fail in a row, without a final response in between, before the run pauses.
pub const USERS_IN_A_ROW: usize = 20;
/// How many of these users must be failing for the first time. Some objects always fail. At the end of a list only they are
/// left, and their failures do not mean that the service is down. A quarter is enough, because users who fail for the first time
/// follow each other only in an outage.
const NEW_AMONG_THEM: usize = USERS_IN_A_ROW / 4;
/// Interval between two probes during an outage.
pub const PROBE_EVERY: Duration = Duration::from_secs(30);

/// The current streak of transient failures, and the pause it caused.
#[derive(Debug, Default)]
pub(super) struct Outage {
    failed: HashSet<u64>,
    /// How many of them failed for the first time.
    new: usize,
    /// Rows that failed in an earlier streak that was not an outage, and got no final response since. Eight bytes for each row.
    before: HashSet<u64>,
    streak: u64,
    paused: Option<Pause>,
    /// Numbers of the streaks that were outages.
    outages: Vec<u64>,
}

/// The pause during an outage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    /// When the outage was recognized.
    pub(super) since: Instant,
    /// When the next probe may be sent.
    pub(super) next_probe: Instant,
}

impl Outage {
    /// Records a transient failure of a row. Returns the number of the streak, which is kept with the attempt.
    pub(super) fn failed(&mut self, row: u64, now: Instant) -> u64 {
        if self.paused.is_none() {
            self.new += usize::from(self.failed.insert(row) && !self.before.contains(&row));
            if self.failed.len() >= USERS_IN_A_ROW && self.new >= NEW_AMONG_THEM {
                self.paused = Some(Pause { since: now, next_probe: now + PROBE_EVERY });
                self.outages.push(self.streak);
            }
        }
        self.streak
    }

    /// Records a final response for a row. It ends the streak and the pause.
    pub(super) fn answered(&mut self, row: u64) {
        if !self.failed.is_empty() {
            let streak = self.failed.drain();
            if !self.outages.contains(&self.streak) {
                self.before.extend(streak);
            }
            self.new = 0;
            self.streak += 1;
        }
        self.before.remove(&row);
        self.paused = None;
    }

    /// Records that a probe is sent now.
    pub(super) fn probed(&mut self, now: Instant) {
        if let Some(pause) = &mut self.paused {
            pause.next_probe = now + PROBE_EVERY;
        }
    }

    /// The pause, if there is an outage.
    pub(super) fn paused(&self) -> Option<Pause> {
        self.paused
    }

    /// Whether a streak was an outage. Its attempts do not count for any user.
    pub(super) fn was_outage(&self, streak: u64) -> bool {
        self.outages.contains(&streak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn twenty_different_users_in_a_row_are_an_outage() {
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
        assert!(outage.was_outage(streak));
        outage.probed(now + PROBE_EVERY);
        assert_eq!(outage.failed(20, now + PROBE_EVERY), streak, "a failed probe belongs to the same streak");
        let next = outage.paused().map(|pause| pause.next_probe);
        assert_eq!(next, Some(now + 2 * PROBE_EVERY), "one probe each 30 s");
        outage.answered(20);
        assert!(outage.paused().is_none());
        let streak = outage.failed(1, now);
        assert!(!outage.was_outage(streak), "a new streak counts");
    }

    #[tokio::test(start_paused = true)]
    async fn one_final_response_ends_the_streak() {
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
    async fn users_who_always_fail_are_not_an_outage_at_the_end() {
        let now = Instant::now();
        let mut outage = Outage::default();
        // Two hundred of them among users who get a response, then only these.
        for row in 0..200 {
            outage.failed(row, now);
            outage.answered(1_000 + row);
        }
        for row in 0..200 {
            let streak = outage.failed(row, now);
            assert!(outage.paused().is_none() && !outage.was_outage(streak), "{row}");
        }
        // A few more users who fail for the first time make it an outage.
        for row in 300..304 {
            outage.failed(row, now);
            assert!(outage.paused().is_none(), "{row}");
        }
        outage.failed(304, now);
        assert!(outage.paused().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn failure_in_an_outage_does_not_count_as_an_earlier_failure() {
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
        assert!(outage.before.is_empty(), "rows with a final response are not kept");
        twenty(&mut outage);
        assert!(outage.paused().is_some());
    }
}
