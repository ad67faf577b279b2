//! Outage detection: if many different users fail in a row, only probes are sent, so that the users do not
//! fail.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

/// Number of different users that must fail in a row, without a final response in between, before an outage
/// begins.
pub const USERS_IN_A_ROW: usize = 20;
/// Number of these users that must be failing for the first time. Some objects always fail. At the end of a
/// list only they are left, and their failures do not mean that the service is down. A quarter is enough:
/// users fail for the first time in a row only if no user is answered.
const MIN_FIRST_FAILURES: usize = USERS_IN_A_ROW / 4;
/// Time between two probes during an outage.
pub const PROBE_EVERY: Duration = Duration::from_secs(30);

/// The present streak of transient failures, and the outage that it became.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Rows that failed in the present streak.
    failed: HashSet<u64>,
    /// Number of those rows that failed for the first time.
    first_failures: usize,
    /// Rows that failed in an earlier streak that was not an outage, and were not answered since. One word
    /// per row.
    failed_before: HashSet<u64>,
    /// Number of the present streak.
    streak: u64,
    active: Option<ActiveOutage>,
    /// Numbers of the streaks that were outages.
    outages: Vec<u64>,
}

/// An outage that is not over.
#[derive(Clone, Copy, Debug)]
pub(super) struct ActiveOutage {
    /// When it began.
    pub(super) since: Instant,
    /// Earliest instant of the next probe.
    pub(super) next_probe: Instant,
}

impl Outage {
    /// Records a transient failure of a user. Returns the number of the streak, which is kept with the
    /// attempt.
    pub(super) fn record_failure(&mut self, row: u64, now: Instant) -> u64 {
        if self.active.is_none() {
            self.first_failures += usize::from(self.failed.insert(row) && !self.failed_before.contains(&row));
            if self.failed.len() >= USERS_IN_A_ROW && self.first_failures >= MIN_FIRST_FAILURES {
                self.active = Some(ActiveOutage { since: now, next_probe: now + PROBE_EVERY });
                self.outages.push(self.streak);
            }
        }
        self.streak
    }

    /// Records a final response to a user. It ends the streak and the outage.
    pub(super) fn record_answer(&mut self, row: u64) {
        if !self.failed.is_empty() {
            let streak = self.failed.drain();
            if !self.outages.contains(&self.streak) {
                self.failed_before.extend(streak);
            }
            self.first_failures = 0;
            self.streak += 1;
        }
        self.failed_before.remove(&row);
        self.active = None;
    }

    /// Records that a probe was sent.
    pub(super) fn record_probe(&mut self, now: Instant) {
        if let Some(outage) = &mut self.active {
            outage.next_probe = now + PROBE_EVERY;
        }
    }

    /// The present outage, if there is one.
    pub(super) fn active(&self) -> Option<ActiveOutage> {
        self.active
    }

    /// Returns whether a streak was an outage. The attempts of an outage do not count for their users.
    pub(super) fn was_outage(&self, streak: u64) -> bool {
        self.outages.contains(&streak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn twenty_different_users_that_fail_in_a_row_are_an_outage() {
        let now = Instant::now();
        let mut outage = Outage::default();
        for row in 0..19 {
            outage.record_failure(row, now);
        }
        for _ in 0..100 {
            outage.record_failure(7, now);
        }
        assert!(outage.active().is_none(), "nineteen users, many times");
        let streak = outage.record_failure(19, now);
        let active = outage.active().expect("the twentieth user");
        assert_eq!((active.since, active.next_probe), (now, now + PROBE_EVERY));
        assert!(outage.was_outage(streak));
        outage.record_probe(now + PROBE_EVERY);
        let again = outage.record_failure(20, now + PROBE_EVERY);
        assert_eq!(again, streak, "a failed probe belongs to the same streak");
        let next = outage.active().map(|active| active.next_probe);
        assert_eq!(next, Some(now + 2 * PROBE_EVERY), "one probe each 30 s");
        outage.record_answer(20);
        assert!(outage.active().is_none());
        let streak = outage.record_failure(1, now);
        assert!(!outage.was_outage(streak), "a new streak counts");
    }

    #[tokio::test(start_paused = true)]
    async fn one_final_response_ends_the_streak() {
        let now = Instant::now();
        let mut outage = Outage::default();
        for row in 0..400 {
            if row % 19 == 0 {
                outage.record_answer(row);
            }
            outage.record_failure(row, now);
        }
        assert!(outage.active().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn users_that_always_fail_at_end_of_list_are_not_an_outage() {
        let now = Instant::now();
        let mut outage = Outage::default();
        // 200 such users among users that are answered, then only these.
        for row in 0..200 {
            outage.record_failure(row, now);
            outage.record_answer(1_000 + row);
        }
        for row in 0..200 {
            let streak = outage.record_failure(row, now);
            assert!(outage.active().is_none() && !outage.was_outage(streak), "{row}");
        }
        // Five more users that fail for the first time show that no user is answered.
        for row in 300..304 {
            outage.record_failure(row, now);
            assert!(outage.active().is_none(), "{row}");
        }
        outage.record_failure(304, now);
        assert!(outage.active().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn failure_counts_as_first_after_an_outage_or_an_answer() {
        let now = Instant::now();
        let mut outage = Outage::default();
        let twenty = |outage: &mut Outage| (0..20).for_each(|row| _ = outage.record_failure(row, now));
        twenty(&mut outage);
        outage.record_answer(100);
        twenty(&mut outage);
        assert!(outage.active().is_some(), "the first streak was an outage too");
        outage.record_answer(100);
        for row in 0..20 {
            outage.record_failure(row, now);
            outage.record_answer(row);
        }
        assert!(outage.failed_before.is_empty(), "answered users are removed");
        twenty(&mut outage);
        assert!(outage.active().is_some());
    }
}
