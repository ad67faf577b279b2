//! The ledger: counts requests, answers and accepted actions, and compares them with the scenario's ranges.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;

use super::scenario::Scenario;

/// Maximum number of ids in `accepted_twice`.
const MAX_NAMED_IDS: usize = 100;
/// Bounds of the time at the start of an announced pause in which requests are not breaches.
///
/// This time is half the pause, within these bounds.
/// Such a request was in flight, or the client had not read the response yet.
/// The end of a pause is checked exactly.
/// Measured: a second passed between sending and reading a response, with a hundredth of the CPU time needed.
const IN_FLIGHT_ALLOWANCE: RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(2);

/// A pause that an answer announces, while that answer is not sent yet.
#[derive(Clone, Debug)]
struct PendingPause {
    /// When the request was answered; identifies the answer.
    answered: Duration,
    wait: Duration,
}

impl PendingPause {
    fn until(&self) -> Duration {
        self.answered + self.wait
    }
}

/// The part of an announced pause in which every arriving write is a breach.
#[derive(Clone, Debug)]
struct EnforcedPause {
    from: Duration,
    until: Duration,
}

/// What the service counted; `/__ledger` sends it as JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ledger {
    /// Writes that arrived; each part of a batch counts.
    pub arrivals: u64,
    /// Well-formed batches that arrived.
    pub batches: u64,
    /// Answers by HTTP status; 0 is a connection reset.
    pub by_status: BTreeMap<u16, u64>,
    /// Writes that arrived before an announced pause was over.
    pub breaches: u64,
    /// Requests that broke a rule of the protocol: no Content-Length, no token, a repeated client-request-id.
    pub rule_breaks: u64,
    /// The first broken rule.
    pub first_rule_break: String,
    /// Times that the action ran.
    pub accepted: u64,
    /// Actions that were processed although the client got no response.
    pub response_lost: u64,
    /// Times that the action ran again for the same object.
    pub repeats: u64,
    /// The first objects for which the action ran more than once, by id.
    pub accepted_twice: Vec<String>,
    /// Reads that arrived, of pages and of single objects; each part of a batch counts.
    pub reads: u64,
    /// Tokens that were issued.
    pub tokens: u64,
    /// Highest number of requests in flight; each part of a batch counts.
    pub highest_in_flight: u64,
    /// Highest number of writes that arrived within one second of the clock.
    pub highest_per_second: u64,
    /// Seconds from the first to the last write.
    pub seconds: f64,
    /// The present second of the clock, and the writes that arrived in it.
    #[serde(skip)]
    second: (u64, u64),
    /// When the first write arrived.
    #[serde(skip)]
    first_arrival: Option<Duration>,
    #[serde(skip)]
    pending_pauses: Vec<PendingPause>,
    /// Disjoint spans: overlapping ones are merged, so there are few.
    #[serde(skip)]
    enforced_pauses: Vec<EnforcedPause>,
}

impl Ledger {
    /// Counts a write that arrived at `now`, and whether it breaches a pause.
    pub(super) fn record_arrival(&mut self, now: Duration) {
        self.arrivals += 1;
        self.seconds = (now - *self.first_arrival.get_or_insert(now)).as_secs_f64();
        self.enforced_pauses.retain(|pause| now < pause.until);
        self.breaches += u64::from(self.enforced_pauses.iter().any(|pause| pause.from < now));
        if self.second.0 != now.as_secs() {
            self.second = (now.as_secs(), 0);
        }
        self.second.1 += 1;
        self.highest_per_second = self.highest_per_second.max(self.second.1);
    }

    /// Returns the seconds from the first write to `now`; 0 before it.
    pub(super) fn seconds_since_first(&self, now: Duration) -> f64 {
        self.first_arrival.map_or(0.0, |first| (now - first).as_secs_f64())
    }

    /// Counts an answer by its `status`.
    pub(super) fn record_answer(&mut self, status: u16) {
        *self.by_status.entry(status).or_default() += 1;
    }

    /// Counts a broken rule of the protocol, and keeps the text of the first.
    pub(super) fn record_rule_break(&mut self, what: &str) {
        self.rule_breaks += 1;
        if self.first_rule_break.is_empty() {
            what.clone_into(&mut self.first_rule_break);
        }
    }

    /// Counts that the action ran for `id`, for which it has now run `times` times.
    pub(super) fn record_action(&mut self, id: &str, times: u32) {
        self.accepted += 1;
        self.repeats += u64::from(times > 1);
        if times == 2 && self.accepted_twice.len() < MAX_NAMED_IDS {
            self.accepted_twice.push(id.to_owned());
        }
    }

    /// Records that the answer made at `now` announces a pause of `wait`.
    /// Requests that arrive before it is sent are not breaches.
    pub(super) fn announce_pause(&mut self, now: Duration, wait: Duration) {
        // Some answers are never sent, because the client closed its connection.
        self.pending_pauses.retain(|pause| now < pause.until());
        self.pending_pauses.push(PendingPause { answered: now, wait });
    }

    /// Whether the answer made at `answered` announces a pause.
    pub(super) fn has_pending_pause(&self, answered: Duration) -> bool {
        self.pending_pauses.iter().any(|pause| pause.answered == answered)
    }

    /// Drops the pauses of the answer made at `answered`: the client cannot read it, so it cannot keep them.
    pub(super) fn discard_pauses(&mut self, answered: Duration) {
        self.pending_pauses.retain(|pause| pause.answered != answered);
    }

    /// Enforces the pauses of the answer made at `answered`, which is sent at `now` and reaches the client
    /// after `latency`.
    pub(super) fn enforce_pauses(&mut self, answered: Duration, now: Duration, latency: Duration) {
        for pending in self.pending_pauses.extract_if(.., |pause| pause.answered == answered) {
            let from = now
                + latency
                + (pending.wait / 2).clamp(*IN_FLIGHT_ALLOWANCE.start(), *IN_FLIGHT_ALLOWANCE.end());
            let until = pending.until();
            match self.enforced_pauses.iter_mut().find(|pause| from <= pause.until && pause.from <= until) {
                Some(pause) => {
                    *pause = EnforcedPause { from: pause.from.min(from), until: pause.until.max(until) };
                }
                None => self.enforced_pauses.push(EnforcedPause { from, until }),
            }
        }
    }

    /// Returns a text for each figure outside its range in `scenario`; empty if all are within.
    pub fn unexpected(&self, scenario: &Scenario) -> Vec<String> {
        let throttled = self.by_status.get(&429).copied().unwrap_or(0);
        let figure = |name: &str| -> Option<f64> {
            Some(match name {
                "arrivals" => self.arrivals as f64,
                "accepted" => self.accepted as f64,
                "breaches" => self.breaches as f64,
                "rule_breaks" => self.rule_breaks as f64,
                "repeats" => self.repeats as f64,
                "throttled" => throttled as f64,
                "throttled_share" => throttled as f64 / (self.arrivals.max(1)) as f64,
                "highest_in_flight" => self.highest_in_flight as f64,
                "highest_per_second" => self.highest_per_second as f64,
                "seconds" => self.seconds,
                "tokens" => self.tokens as f64,
                // `status_409` is the number of answers with that status.
                _ => {
                    let status = name.strip_prefix("status_")?.parse().ok()?;
                    self.by_status.get(&status).copied().unwrap_or(0) as f64
                }
            })
        };
        let outside = scenario.expect.iter().filter_map(|(name, [from, to])| match figure(name) {
            None => Some(format!("{name} is not a figure of the ledger")),
            Some(value) if (*from..=*to).contains(&value) => None,
            Some(value) => Some(format!("{name} is {value}, expected {from} to {to}")),
        });
        outside.collect()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_status: Vec<_> =
            self.by_status.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        let batches = if self.batches > 0 { format!(", {} batches", self.batches) } else { String::new() };
        writeln!(f, "arrived            {} in {:.1} s{batches}", self.arrivals, self.seconds)?;
        writeln!(f, "answers            {} (0 is a reset)", by_status.join(", "))?;
        writeln!(f, "processed          {}, response lost {}", self.accepted, self.response_lost)?;
        writeln!(f, "processed twice    {}", self.repeats)?;
        writeln!(f, "Retry-After broken {}", self.breaches)?;
        writeln!(f, "rules broken       {} {}", self.rule_breaks, self.first_rule_break)?;
        writeln!(f, "highest in flight  {}", self.highest_in_flight)?;
        write!(f, "highest per second {}", self.highest_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Enforces `waits`, each as the time of its answer and the announced pause.
    /// Returns the enforced pauses from and to.
    /// All are in milliseconds, and each answer is sent immediately.
    fn enforced(waits: &[(u32, u32)]) -> Vec<(u128, u128)> {
        let mut ledger = Ledger::default();
        for (answered, wait) in waits {
            ledger.announce_pause(MS * *answered, MS * *wait);
            ledger.enforce_pauses(MS * *answered, MS * *answered, Duration::ZERO);
        }
        ledger.enforced_pauses.iter().map(|pause| (pause.from.as_millis(), pause.until.as_millis())).collect()
    }

    #[test]
    fn requests_in_the_first_half_of_a_pause_are_not_breaches() {
        assert_eq!(enforced(&[(0, 249)]), [(200, 249)], "never shorter");
        assert_eq!(enforced(&[(0, 1_000)]), [(500, 1_000)]);
        assert_eq!(enforced(&[(0, 4_000)]), [(2_000, 4_000)]);
        assert_eq!(enforced(&[(0, 300_000)]), [(2_000, 300_000)], "never longer");
    }

    #[test]
    fn overlapping_pauses_are_merged_and_others_are_not() {
        assert_eq!(enforced(&[(0, 300_000), (100, 1_000)]), [(2_000, 300_000), (600, 1_100)]);
        assert_eq!(enforced(&[(0, 300_000), (1_900, 1_000)]), [(2_000, 300_000)]);
        assert_eq!(enforced(&[(0, 1_000), (200, 2_000)]), [(500, 1_000), (1_200, 2_200)]);
        assert_eq!(enforced(&[(0, 1_000), (200, 1_000)]), [(500, 1_200)]);
        assert_eq!(enforced(&[(0, 300_000), (0, 4_000)]), [(2_000, 300_000)], "two parts of one batch");
    }
}
