//! Limits of the service: amounts that refill continuously, by aligned windows or by a sliding one.

use std::collections::VecDeque;
use std::time::Duration;

use super::scenario::{Refill, Scenario};

/// Longest announced wait in seconds (`rules.rs`).
const LONGEST_WAIT: f64 = 300.0;
/// How far below zero throttled requests can drive a quota, as a share of its capacity: the documented maximum of 1.8 × the limit.
const DEBT: f64 = 0.8;

/// What a request costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    pub(super) writes: f64,
    pub(super) units: f64,
}

/// What one limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    Writes,
    Units,
    Requests,
}

/// One limit.
#[derive(Debug)]
struct Bucket {
    scope: &'static str,
    counts: Counts,
    full: f64,
    rate: f64,
    refill: Refill,
    window: f64,
    level: f64,
    at: f64,
    taken: VecDeque<(f64, f64)>,
    /// Taken by others each second.
    drain: f64,
}

impl Bucket {
    fn new(scope: &'static str, counts: Counts, full: f64, rate: f64, refill: Refill, window: f64) -> Self {
        Self {
            scope,
            counts,
            full,
            rate,
            refill,
            window,
            level: full,
            at: 0.0,
            taken: VecDeque::new(),
            drain: 0.0,
        }
    }

    fn cost(&self, cost: Cost) -> f64 {
        match self.counts {
            Counts::Writes => cost.writes,
            Counts::Units => cost.units,
            Counts::Requests => 1.0,
        }
    }

    fn advance(&mut self, now: f64) {
        let passed = now - self.at;
        match self.refill {
            Refill::Bucket => {
                self.level =
                    (self.level + passed * (self.rate - self.drain)).clamp(-DEBT * self.full, self.full)
            }
            Refill::Window => {
                if (self.at / self.window).floor() < (now / self.window).floor() {
                    self.level = self.full;
                }
            }
            Refill::Sliding => {
                while self.taken.front().is_some_and(|(at, _)| at + self.window <= now) {
                    self.level += self.taken.pop_front().map_or(0.0, |(_, cost)| cost);
                }
                self.level = self.level.min(self.full);
            }
        }
        self.at = now;
    }

    /// Seconds until `cost` is there, after [`Bucket::advance`].
    fn wait(&self, cost: f64) -> f64 {
        match self.refill {
            Refill::Bucket => (cost - self.level) / (self.rate - self.drain).max(1e-6),
            Refill::Window => ((self.at / self.window).floor() + 1.0) * self.window - self.at,
            Refill::Sliding => {
                let mut level = self.level;
                for (at, given) in &self.taken {
                    level += given;
                    if level >= cost {
                        return at + self.window - self.at;
                    }
                }
                self.window
            }
        }
    }

    fn take(&mut self, cost: f64) {
        self.level -= cost;
        if self.refill == Refill::Sliding && cost > 0.0 {
            self.taken.push_back((self.at, cost));
        }
    }
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Refusal {
    /// Seconds until the cost is there, exact.
    pub(super) wait: f64,
    /// `<Scope>/<Limit>`.
    pub(super) scope: &'static str,
}

/// All limits of a scenario.
#[derive(Debug)]
pub(super) struct Quotas {
    buckets: Vec<Bucket>,
    charge_throttled: bool,
}

impl Quotas {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let mut buckets = Vec::new();
        if scenario.writes_per_second > 0.0 {
            buckets.push(Bucket::new(
                "Tenant_Application/Write",
                Counts::Writes,
                scenario.full(),
                scenario.writes_per_second,
                scenario.refill,
                scenario.window_s,
            ));
        }
        let limits = &scenario.limits;
        let others = [
            ("Tenant/Write", Counts::Writes, limits.tenant_writes),
            ("Application/Write", Counts::Writes, limits.app_writes),
            ("Tenant_Application/ReadWrite", Counts::Units, limits.resource_units),
            ("Application/ReadWrite", Counts::Units, limits.app_resource_units),
            ("Application/ReadWrite", Counts::Requests, limits.requests),
        ];
        for (scope, counts, limit) in others {
            if let Some([amount, seconds]) = limit {
                let mut bucket =
                    Bucket::new(scope, counts, amount, amount / seconds.max(1e-3), Refill::Bucket, seconds);
                if scope.starts_with("Tenant/") {
                    bucket.drain = limits.others_per_second;
                }
                buckets.push(bucket);
            }
        }
        Self { buckets, charge_throttled: scenario.charge_throttled }
    }

    /// Takes the cost off every limit, or none: the first empty one refuses.
    pub(super) fn take(&mut self, now: Duration, cost: Cost) -> Result<(), Refusal> {
        let now = now.as_secs_f64();
        let mut refusal = None;
        for bucket in &mut self.buckets {
            bucket.advance(now);
            let needed = bucket.cost(cost);
            if needed > 0.0 && bucket.level + 1e-9 < needed && refusal.is_none() {
                refusal = Some(Refusal {
                    wait: bucket.wait(needed).clamp(1e-3, LONGEST_WAIT),
                    scope: bucket.scope,
                });
            }
        }
        if refusal.is_none() || self.charge_throttled {
            for bucket in &mut self.buckets {
                let needed = bucket.cost(cost);
                if refusal.is_none() || bucket.level - needed >= -DEBT * bucket.full {
                    bucket.take(needed);
                }
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    /// How much of the tightest limit is used, 0 to 1.8.
    pub(super) fn used(&self) -> f64 {
        self.buckets.iter().map(|bucket| 1.0 - bucket.level / bucket.full).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: Cost = Cost { writes: 1.0, units: 1.0 };

    fn quotas(text: &str) -> Quotas {
        Quotas::new(&Scenario::parse(text).expect("a scenario"))
    }

    fn served(quotas: &mut Quotas, at: f64, tries: usize) -> usize {
        (0..tries).filter(|_| quotas.take(Duration::from_secs_f64(at), WRITE).is_ok()).count()
    }

    #[test]
    fn each_shape_refills_in_its_way() {
        let mut bucket = quotas("writes_per_second = 20.0\ncapacity = 100.0");
        assert_eq!((served(&mut bucket, 0.0, 200), served(&mut bucket, 2.0, 200)), (100, 40));
        let mut window =
            quotas("writes_per_second = 1.0\ncapacity = 3.0\nrefill = 'window'\nwindow_s = 10.0");
        assert_eq!(
            (served(&mut window, 1.0, 9), served(&mut window, 9.9, 9), served(&mut window, 10.0, 9)),
            (3, 0, 3)
        );
        let mut sliding =
            quotas("writes_per_second = 1.0\ncapacity = 3.0\nrefill = 'sliding'\nwindow_s = 10.0");
        assert_eq!(
            (served(&mut sliding, 1.0, 1), served(&mut sliding, 5.0, 9), served(&mut sliding, 10.0, 9)),
            (1, 2, 0)
        );
        let refused = sliding.take(Duration::from_secs(10), WRITE).expect_err("empty");
        assert!((refused.wait - 1.0).abs() < 1e-9, "the write at 1 s comes back at 11 s");
        assert_eq!(served(&mut sliding, 11.0, 9), 1);
    }

    #[test]
    fn refused_requests_are_charged_down_to_the_documented_ceiling() {
        let mut charged = quotas("writes_per_second = 1.0\ncapacity = 10.0\ncharge_throttled = true");
        assert_eq!(served(&mut charged, 0.0, 100), 10);
        assert!((charged.used() - 1.8).abs() < 1e-9);
        let wait = charged.take(Duration::ZERO, WRITE).expect_err("in debt").wait;
        assert!((wait - 9.0).abs() < 1e-9, "{wait}");
    }

    #[test]
    fn the_first_empty_limit_names_its_scope() {
        let mut both = quotas("[limits]\ntenant_writes = [5.0, 1.0]\nresource_units = [3.0, 1.0]");
        assert_eq!(served(&mut both, 0.0, 3), 3);
        assert_eq!(
            both.take(Duration::ZERO, WRITE).expect_err("empty").scope,
            "Tenant_Application/ReadWrite"
        );
        assert!(
            both.take(Duration::ZERO, Cost { writes: 0.0, units: 0.0 }).is_ok(),
            "nothing needed, nothing refused"
        );
    }
}
