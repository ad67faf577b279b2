//! The limits of the service: amounts that refill continuously, in aligned windows or in a sliding window.

use std::collections::VecDeque;
use std::time::Duration;

use super::scenario::{Refill, Scenario};

/// Longest announced pause, in seconds. Invented: see `rules.rs`.
const MAX_WAIT_SECS: f64 = 300.0;
/// How far below zero throttled requests can drive a quota, as a share of its capacity.
/// Documented: usage reaches at most 1.8 × the limit.
const MAX_DEBT_SHARE: f64 = 0.8;

/// What a request costs, in writes and in resource units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RequestCost {
    pub(super) writes: f64,
    pub(super) units: f64,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CountedUnit {
    Writes,
    Units,
    Requests,
}

/// The state of one limit.
#[derive(Debug)]
struct LimitState {
    scope: &'static str,
    counts: CountedUnit,
    capacity: f64,
    /// Amount that refills in a second, with [`Refill::Bucket`].
    rate: f64,
    refill: Refill,
    /// Length of a window, in seconds.
    window: f64,
    /// Amount that is left; below zero after charged throttled requests.
    level: f64,
    /// Instant of `level`, in seconds.
    at: f64,
    /// Instants and amounts of the requests in the sliding window.
    charged: VecDeque<(f64, f64)>,
    /// Amount that other apps use in a second.
    used_by_others: f64,
}

impl LimitState {
    fn new(
        scope: &'static str,
        counts: CountedUnit,
        capacity: f64,
        rate: f64,
        refill: Refill,
        window: f64,
    ) -> Self {
        Self {
            scope,
            counts,
            capacity,
            rate,
            refill,
            window,
            level: capacity,
            at: 0.0,
            charged: VecDeque::new(),
            used_by_others: 0.0,
        }
    }

    fn cost(&self, cost: RequestCost) -> f64 {
        match self.counts {
            CountedUnit::Writes => cost.writes,
            CountedUnit::Units => cost.units,
            CountedUnit::Requests => 1.0,
        }
    }

    /// Refills the limit up to `now`, in seconds.
    fn advance(&mut self, now: f64) {
        let passed = now - self.at;
        match self.refill {
            Refill::Bucket => {
                self.level = (self.level + passed * (self.rate - self.used_by_others))
                    .clamp(-MAX_DEBT_SHARE * self.capacity, self.capacity)
            }
            Refill::Window => {
                if (self.at / self.window).floor() < (now / self.window).floor() {
                    self.level = self.capacity;
                }
            }
            Refill::Sliding => {
                while self.charged.front().is_some_and(|(at, _)| at + self.window <= now) {
                    self.level += self.charged.pop_front().map_or(0.0, |(_, cost)| cost);
                }
                self.level = self.level.min(self.capacity);
            }
        }
        self.at = now;
    }

    /// Returns the seconds until `cost` fits. Call [`LimitState::advance`] first.
    fn wait(&self, cost: f64) -> f64 {
        match self.refill {
            Refill::Bucket => (cost - self.level) / (self.rate - self.used_by_others).max(1e-6),
            Refill::Window => ((self.at / self.window).floor() + 1.0) * self.window - self.at,
            Refill::Sliding => {
                let mut level = self.level;
                for (at, amount) in &self.charged {
                    level += amount;
                    if level >= cost {
                        return at + self.window - self.at;
                    }
                }
                self.window
            }
        }
    }

    fn charge(&mut self, cost: f64) {
        self.level -= cost;
        if self.refill == Refill::Sliding && cost > 0.0 {
            self.charged.push_back((self.at, cost));
        }
    }
}

/// A limit that a request does not fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct QuotaExceeded {
    /// Seconds until the request fits, not rounded.
    pub(super) wait: f64,
    /// The scope as the service names it: `<Scope>/<Limit>`.
    pub(super) scope: &'static str,
}

/// All limits of a scenario.
#[derive(Debug)]
pub(super) struct Quotas {
    limits: Vec<LimitState>,
    charge_throttled: bool,
}

impl Quotas {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let mut states = Vec::new();
        if scenario.writes_per_second > 0.0 {
            states.push(LimitState::new(
                "Tenant_Application/Write",
                CountedUnit::Writes,
                scenario.write_capacity(),
                scenario.writes_per_second,
                scenario.refill,
                scenario.window_s,
            ));
        }
        let limits = &scenario.limits;
        let others = [
            ("Tenant/Write", CountedUnit::Writes, limits.tenant_writes),
            ("Application/Write", CountedUnit::Writes, limits.app_writes),
            ("Tenant_Application/ReadWrite", CountedUnit::Units, limits.resource_units),
            ("Application/ReadWrite", CountedUnit::Units, limits.app_resource_units),
            ("Application/ReadWrite", CountedUnit::Requests, limits.requests),
        ];
        for (scope, counts, limit) in others {
            if let Some([amount, seconds]) = limit {
                let mut state = LimitState::new(
                    scope,
                    counts,
                    amount,
                    amount / seconds.max(1e-3),
                    Refill::Bucket,
                    seconds,
                );
                if scope.starts_with("Tenant/") {
                    state.used_by_others = limits.others_per_second;
                }
                states.push(state);
            }
        }
        Self { limits: states, charge_throttled: scenario.charge_throttled }
    }

    /// Charges `cost` to every limit at `now`.
    ///
    /// # Errors
    /// The first limit that `cost` does not fit.
    /// Then nothing is charged, unless the scenario charges throttled requests.
    pub(super) fn charge(&mut self, now: Duration, cost: RequestCost) -> Result<(), QuotaExceeded> {
        let now = now.as_secs_f64();
        let mut exceeded = None;
        for limit in &mut self.limits {
            limit.advance(now);
            let needed = limit.cost(cost);
            if needed > 0.0 && limit.level + 1e-9 < needed && exceeded.is_none() {
                exceeded = Some(QuotaExceeded {
                    wait: limit.wait(needed).clamp(1e-3, MAX_WAIT_SECS),
                    scope: limit.scope,
                });
            }
        }
        if exceeded.is_none() || self.charge_throttled {
            for limit in &mut self.limits {
                let needed = limit.cost(cost);
                if exceeded.is_none() || limit.level - needed >= -MAX_DEBT_SHARE * limit.capacity {
                    limit.charge(needed);
                }
            }
        }
        exceeded.map_or(Ok(()), Err)
    }

    /// Returns the used share of the limit that is used most, 0 to 1.8.
    pub(super) fn used(&self) -> f64 {
        self.limits.iter().map(|limit| 1.0 - limit.level / limit.capacity).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: RequestCost = RequestCost { writes: 1.0, units: 1.0 };

    fn quotas(text: &str) -> Quotas {
        Quotas::new(&Scenario::parse(text).expect("a scenario"))
    }

    /// Returns how many of `requests` writes are served at `at` seconds.
    fn served(quotas: &mut Quotas, at: f64, requests: usize) -> usize {
        (0..requests).filter(|_| quotas.charge(Duration::from_secs_f64(at), WRITE).is_ok()).count()
    }

    #[test]
    fn bucket_window_and_sliding_window_refill_differently() {
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
        let throttled = sliding.charge(Duration::from_secs(10), WRITE).expect_err("empty");
        assert!((throttled.wait - 1.0).abs() < 1e-9, "the write at 1 s leaves the window at 11 s");
        assert_eq!(served(&mut sliding, 11.0, 9), 1);
    }

    #[test]
    fn throttled_requests_are_charged_up_to_the_documented_maximum() {
        let mut charged = quotas("writes_per_second = 1.0\ncapacity = 10.0\ncharge_throttled = true");
        assert_eq!(served(&mut charged, 0.0, 100), 10);
        assert!((charged.used() - 1.8).abs() < 1e-9);
        let wait = charged.charge(Duration::ZERO, WRITE).expect_err("below zero").wait;
        assert!((wait - 9.0).abs() < 1e-9, "{wait}");
    }

    #[test]
    fn first_exhausted_limit_names_its_scope() {
        let mut both = quotas("[limits]\ntenant_writes = [5.0, 1.0]\nresource_units = [3.0, 1.0]");
        assert_eq!(served(&mut both, 0.0, 3), 3);
        assert_eq!(
            both.charge(Duration::ZERO, WRITE).expect_err("empty").scope,
            "Tenant_Application/ReadWrite"
        );
        assert!(
            both.charge(Duration::ZERO, RequestCost { writes: 0.0, units: 0.0 }).is_ok(),
            "a request without cost is served"
        );
    }
}
