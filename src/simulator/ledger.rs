//! What arrived, what was done about it, and whether that is what the scenario expects.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;

use super::scenario::Scenario;

/// Ids accepted twice that are named.
const NAMED: usize = 100;
/// Requests that arrive in the first half of a wait are not breaches, within these bounds. They were in flight, or the client
/// had not read the response yet. Measured on a machine that gives client and simulator a hundredth of the time they need: a
/// second passed between sending and reading a response. The end of a wait is judged exactly.
const UNDER_WAY: RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(2);

/// A wait that an answer announces, until that answer leaves.
#[derive(Clone, Debug)]
struct Unsent {
    /// When the request was judged.
    judged: Duration,
    wait: Duration,
}

impl Unsent {
    fn until(&self) -> Duration {
        self.judged + self.wait
    }
}

/// A time in which nothing may arrive.
#[derive(Clone, Debug)]
struct Barred {
    from: Duration,
    until: Duration,
}

/// The account of the service itself.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ledger {
    /// Requests; of a batch its parts.
    pub arrivals: u64,
    /// Batches.
    pub batches: u64,
    /// Answers by status; 0 are resets.
    pub by_status: BTreeMap<u16, u64>,
    /// Requests that came before an announced wait was over.
    pub breaches: u64,
    /// Requests that broke a rule of the protocol: no length, no token, a repeated client-request-id.
    pub rule_breaks: u64,
    /// What the first of them was.
    pub first_rule_break: String,
    /// Times the action ran.
    pub accepted: u64,
    /// Actions that were processed although the client got no response.
    pub response_lost: u64,
    /// Times it ran for an id for which it had run before.
    pub repeats: u64,
    /// Ids for which it ran more than once, the first of them.
    pub accepted_twice: Vec<String>,
    /// Pages and single objects read.
    pub reads: u64,
    /// Tokens given out.
    pub tokens: u64,
    /// Most requests at the same time, parts of a batch counted each.
    pub highest_in_flight: u64,
    /// Most writes that arrived within one second of the clock.
    pub highest_per_second: u64,
    /// Seconds from the first to the last arrival.
    pub seconds: f64,
    #[serde(skip)]
    second: (u64, u64),
    #[serde(skip)]
    began: Option<Duration>,
    #[serde(skip)]
    unsent: Vec<Unsent>,
    /// Apart from each other, and few: what overlaps is one.
    #[serde(skip)]
    barred: Vec<Barred>,
}

impl Ledger {
    /// A write arrived.
    pub(super) fn arrived(&mut self, now: Duration) {
        self.arrivals += 1;
        self.seconds = (now - *self.began.get_or_insert(now)).as_secs_f64();
        self.barred.retain(|barred| now < barred.until);
        self.breaches += u64::from(self.barred.iter().any(|barred| barred.from < now));
        if self.second.0 != now.as_secs() {
            self.second = (now.as_secs(), 0);
        }
        self.second.1 += 1;
        self.highest_per_second = self.highest_per_second.max(self.second.1);
    }

    /// Since the first write.
    pub(super) fn since_first(&self, now: Duration) -> f64 {
        self.began.map_or(0.0, |began| (now - began).as_secs_f64())
    }

    pub(super) fn answered(&mut self, status: u16) {
        *self.by_status.entry(status).or_default() += 1;
    }

    pub(super) fn broke_a_rule(&mut self, what: &str) {
        self.rule_breaks += 1;
        if self.first_rule_break.is_empty() {
            what.clone_into(&mut self.first_rule_break);
        }
    }

    pub(super) fn done(&mut self, id: &str, times: u32) {
        self.accepted += 1;
        self.repeats += u64::from(times > 1);
        if times == 2 && self.accepted_twice.len() < NAMED {
            self.accepted_twice.push(id.to_owned());
        }
    }

    /// The response to the request judged at `now` announces a wait. Requests that arrive before it is sent are not breaches.
    pub(super) fn announced(&mut self, now: Duration, wait: Duration) {
        // Some never leave, because the client is gone.
        self.unsent.retain(|unsent| now < unsent.until());
        self.unsent.push(Unsent { judged: now, wait });
    }

    /// Whether the answer to what was judged then announces a wait.
    pub(super) fn announces(&self, judged: Duration) -> bool {
        self.unsent.iter().any(|unsent| unsent.judged == judged)
    }

    /// The answer to what was judged then is spoilt: nobody can keep a wait that he was not told.
    pub(super) fn unsay(&mut self, judged: Duration) {
        self.unsent.retain(|unsent| unsent.judged != judged);
    }

    /// The answer to what was judged then leaves now, for a client as far away as `latency`.
    pub(super) fn left(&mut self, judged: Duration, now: Duration, latency: Duration) {
        for unsent in self.unsent.extract_if(.., |unsent| unsent.judged == judged) {
            let from = now + latency + (unsent.wait / 2).clamp(*UNDER_WAY.start(), *UNDER_WAY.end());
            let until = unsent.until();
            match self.barred.iter_mut().find(|barred| from <= barred.until && barred.from <= until) {
                Some(barred) => {
                    *barred = Barred { from: barred.from.min(from), until: barred.until.max(until) };
                }
                None => self.barred.push(Barred { from, until }),
            }
        }
    }

    /// What lies outside the ranges of the scenario; empty: all as expected.
    pub fn unexpected(&self, scenario: &Scenario) -> Vec<String> {
        let refused = self.by_status.get(&429).copied().unwrap_or(0);
        let figure = |name: &str| -> Option<f64> {
            Some(match name {
                "arrivals" => self.arrivals as f64,
                "accepted" => self.accepted as f64,
                "breaches" => self.breaches as f64,
                "rule_breaks" => self.rule_breaks as f64,
                "repeats" => self.repeats as f64,
                "refused" => refused as f64,
                "throttled_share" => refused as f64 / (self.arrivals.max(1)) as f64,
                "highest_in_flight" => self.highest_in_flight as f64,
                "highest_per_second" => self.highest_per_second as f64,
                "seconds" => self.seconds,
                "tokens" => self.tokens as f64,
                // `status_409`: answers with it.
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
        writeln!(f, "done twice         {}", self.repeats)?;
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

    /// Waits as the instants from which and until which nothing may arrive, in milliseconds; each was judged at 0 or
    /// later and left at once.
    fn barred(waits: &[(u32, u32)]) -> Vec<(u128, u128)> {
        let mut ledger = Ledger::default();
        for (judged, wait) in waits {
            ledger.announced(MS * *judged, MS * *wait);
            ledger.left(MS * *judged, MS * *judged, Duration::ZERO);
        }
        ledger.barred.iter().map(|barred| (barred.from.as_millis(), barred.until.as_millis())).collect()
    }

    #[test]
    fn the_first_half_of_a_wait_is_left_to_what_is_under_way_within_bounds() {
        assert_eq!(barred(&[(0, 249)]), [(200, 249)], "never shorter");
        assert_eq!(barred(&[(0, 1_000)]), [(500, 1_000)]);
        assert_eq!(barred(&[(0, 4_000)]), [(2_000, 4_000)]);
        assert_eq!(barred(&[(0, 300_000)]), [(2_000, 300_000)], "never longer");
    }

    #[test]
    fn waits_that_overlap_are_one_and_others_are_not() {
        assert_eq!(barred(&[(0, 300_000), (100, 1_000)]), [(2_000, 300_000), (600, 1_100)]);
        assert_eq!(barred(&[(0, 300_000), (1_900, 1_000)]), [(2_000, 300_000)]);
        assert_eq!(barred(&[(0, 1_000), (200, 2_000)]), [(500, 1_000), (1_200, 2_200)]);
        assert_eq!(barred(&[(0, 1_000), (200, 1_000)]), [(500, 1_200)]);
        assert_eq!(barred(&[(0, 300_000), (0, 4_000)]), [(2_000, 300_000)], "two parts of one batch");
    }
}
