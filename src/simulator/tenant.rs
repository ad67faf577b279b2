//! The tenant as a state machine: time and a request in, an answer out. Keeps the ledger.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::scenario::{Refill, Scenario};

/// A request that comes this soon after a 429 left may have been under way already; it is no breach.
const ROUND_TRIP: Duration = Duration::from_millis(50);
/// Ids accepted twice that are named.
const NAMED: usize = 100;

/// What goes back over the wire.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// HTTP status; 0: the connection is reset.
    pub status: u16,
    /// Headers beside those that every answer has.
    pub headers: Vec<(&'static str, String)>,
    /// Body and its type.
    pub body: Option<(&'static str, String)>,
}

/// What arrived, and what was done about it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ledger {
    /// Requests.
    pub arrivals: u64,
    /// Answers by status; 0 are resets.
    pub by_status: BTreeMap<u16, u64>,
    /// Requests that came before an announced wait was over.
    pub breaches: u64,
    /// Requests that broke a rule of the protocol: no length, no token, a repeated client-request-id.
    pub rule_breaks: u64,
    /// Times the action ran.
    pub accepted: u64,
    /// Ids for which it ran more than once, the first of them.
    pub accepted_twice: Vec<String>,
    /// Most requests at the same time.
    pub highest_in_flight: u64,
    /// Most writes that arrived within one second.
    pub highest_per_second: u64,
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "arrived            {}", self.arrivals)?;
        writeln!(f, "answers            {:?}", self.by_status)?;
        writeln!(f, "work done          {}", self.accepted)?;
        writeln!(f, "done twice         {}", self.accepted_twice.len())?;
        writeln!(f, "Retry-After broken {}", self.breaches)?;
        writeln!(f, "rules broken       {}", self.rule_breaks)?;
        writeln!(f, "highest in flight  {}", self.highest_in_flight)?;
        write!(f, "highest per second {}", self.highest_per_second)
    }
}

/// One tenant and one app.
#[derive(Debug)]
pub struct Tenant {
    scenario: Scenario,
    random: fastrand::Rng,
    stock: f64,
    refilled: Duration,
    began: Option<Duration>,
    /// Announced waits: from (a round trip after the answer left) and to.
    barred: Option<(Duration, Duration)>,
    forced_until: Duration,
    throttles_left: Vec<u64>,
    turn: u64,
    second: (u64, u64),
    done: HashMap<String, u32>,
    /// What was counted so far.
    pub ledger: Ledger,
}

impl Tenant {
    /// A fresh tenant with a full stock.
    pub fn new(scenario: Scenario) -> Self {
        let mut throttles_left = scenario.throttle_after.clone();
        throttles_left.sort_unstable_by(|a, b| b.cmp(a));
        let stock = if scenario.stock > 0.0 { scenario.stock } else { scenario.writes_per_second.max(1.0) };
        Self {
            random: fastrand::Rng::with_seed(scenario.seed),
            stock,
            refilled: Duration::ZERO,
            began: None,
            barred: None,
            forced_until: Duration::ZERO,
            throttles_left,
            turn: 0,
            second: (0, 0),
            done: HashMap::new(),
            ledger: Ledger::default(),
            scenario,
        }
    }

    /// What it was made from.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// How often the action ran for an id, in lower case.
    pub fn accepted(&self) -> impl Iterator<Item = (&str, u32)> {
        self.done.iter().map(|(id, count)| (id.as_str(), *count))
    }

    /// Counts an answer that was decided before the action.
    pub fn refuse(&mut self, status: u16) {
        self.ledger.arrivals += 1;
        self.ledger.rule_breaks += 1;
        *self.ledger.by_status.entry(status).or_default() += 1;
    }

    /// The action for an id, at `now` since the start; `date` is the wall time in seconds since 1970.
    pub fn act(&mut self, now: Duration, date: u64, id: &str) -> Answer {
        let answer = self.decide(now, date, id);
        *self.ledger.by_status.entry(answer.status).or_default() += 1;
        answer
    }

    fn decide(&mut self, now: Duration, date: u64, id: &str) -> Answer {
        self.count(now);
        let began = *self.began.get_or_insert(now);
        let since = (now - began).as_secs_f64();
        if self.scenario.outages_s.iter().any(|[from, to]| (*from..*to).contains(&since)) {
            return error(503, "ServiceUnavailable", "The service is unavailable.");
        }
        if now < self.forced_until {
            return self.throttled(now, (self.forced_until - now).as_secs() + 1, date, 0);
        }
        if self.throttles_left.last().is_some_and(|after| self.ledger.accepted >= *after) {
            self.throttles_left.pop();
            let [from, to] = self.scenario.throttle_wait_s;
            let wait = self.random.u64(from..=to);
            self.forced_until = now + Duration::from_secs(wait);
            return self.throttled(now, wait, date, 0);
        }
        if let Some(wait) = self.over_quota(now) {
            return self.throttled(now, wait, date, 0);
        }
        match self.fault() {
            "reset_before" => return Answer::default(),
            "reset_after" => {
                self.done(id);
                return Answer::default();
            }
            "500" => return error(500, "Service_InternalServerError", "Something went wrong \u{1b}[31m=1+1"),
            "502" => return html(502),
            "200" => return html(200),
            "503+" => {
                let mut answer = error(503, "ServiceUnavailable", "Try later.");
                answer.headers.push(("retry-after", "1".to_owned()));
                self.bar(now, Duration::from_secs(1));
                return answer;
            }
            "503" => return error(503, "UnknownError", ""),
            "429" => {
                self.turn += 1;
                return self.throttled(now, 1, date, self.turn);
            }
            _ => {}
        }
        if self.scenario.missing > 0.0 && share_of(id) < self.scenario.missing {
            let message = format!(
                "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
            );
            return error(404, "Request_ResourceNotFound", &message);
        }
        self.done(id);
        Answer { status: 204, ..Answer::default() }
    }

    fn count(&mut self, now: Duration) {
        self.ledger.arrivals += 1;
        if self.barred.is_some_and(|(from, to)| from < now && now < to) {
            self.ledger.breaches += 1;
        }
        if self.second.0 != now.as_secs() {
            self.second = (now.as_secs(), 0);
        }
        self.second.1 += 1;
        self.ledger.highest_per_second = self.ledger.highest_per_second.max(self.second.1);
    }

    fn done(&mut self, id: &str) {
        self.ledger.accepted += 1;
        let id = id.to_ascii_lowercase();
        let count = self.done.entry(id.clone()).or_default();
        *count += 1;
        if *count == 2 && self.ledger.accepted_twice.len() < NAMED {
            self.ledger.accepted_twice.push(id);
        }
    }

    /// Takes one write off the stock, or says how many seconds until there is one.
    fn over_quota(&mut self, now: Duration) -> Option<u64> {
        let rate = self.scenario.writes_per_second;
        if rate <= 0.0 {
            return None;
        }
        let full = if self.scenario.stock > 0.0 { self.scenario.stock } else { rate.max(1.0) };
        let wait = match self.scenario.refill {
            Refill::Bucket => {
                self.stock = (self.stock + (now - self.refilled).as_secs_f64() * rate).min(full);
                self.refilled = now;
                (1.0 - self.stock) / rate
            }
            Refill::Window => {
                let length = self.scenario.window_s;
                let window = (now.as_secs_f64() / length).floor();
                if (self.refilled.as_secs_f64() / length).floor() < window {
                    self.stock = full;
                }
                self.refilled = now;
                (window + 1.0) * length - now.as_secs_f64()
            }
        };
        if self.stock >= 1.0 {
            self.stock -= 1.0;
            return None;
        }
        if self.scenario.charge_refused {
            self.stock = (self.stock - 1.0).max(-0.8 * full);
        }
        Some(wait.ceil().clamp(1.0, 300.0) as u64)
    }

    fn fault(&mut self) -> &'static str {
        let faults = &self.scenario.faults;
        let table = [
            (faults.reset_before, "reset_before"),
            (faults.reset_after, "reset_after"),
            (faults.error_500, "500"),
            (faults.html_502, "502"),
            (faults.html_200, "200"),
            (faults.wait_503, "503+"),
            (faults.plain_503, "503"),
            (faults.throttle_429, "429"),
        ];
        let mut at = self.random.f64();
        for (share, name) in table {
            if at < share {
                return name;
            }
            at -= share;
        }
        ""
    }

    fn bar(&mut self, now: Duration, wait: Duration) {
        let to = self.barred.map_or(Duration::ZERO, |(_, to)| to).max(now + wait);
        let from = match self.barred {
            Some((from, to)) if now < to => from,
            // The answer leaves after the latency; what was sent until it arrives is not to blame.
            _ => now + ROUND_TRIP + 2 * Duration::from_millis(self.scenario.latency_ms),
        };
        self.barred = Some((from, to));
    }

    /// A 429; `form` 0 is the usual one, others go round all that were seen.
    fn throttled(&mut self, now: Duration, wait: u64, date: u64, form: u64) -> Answer {
        let mut answer =
            error(429, "TooManyRequests", "Too many requests under category:aadgraph.app.tenant_large.");
        answer.headers.push(("x-ms-throttle-scope", "Tenant_Application/Write/app/tenant".to_owned()));
        answer.headers.push(("x-ms-throttle-information", "WriteLimitExceeded".to_owned()));
        let mut announced = Duration::from_secs(wait);
        match form % 5 {
            0 => answer.headers.push(("retry-after", wait.to_string())),
            1 => {
                announced = Duration::from_millis(249);
                answer.headers.push(("retry-after", "0.249".to_owned()));
            }
            2 => {
                let at = std::time::UNIX_EPOCH + Duration::from_secs(date + wait);
                answer.headers.push(("retry-after", httpdate::fmt_http_date(at)));
            }
            3 => {
                answer.body = error(
                    429,
                    "Request_ThrottledTemporarily",
                    &format!("Your request is throttled temporarily. Please try after {wait} seconds."),
                )
                .body;
            }
            _ => announced = Duration::ZERO,
        }
        self.bar(now, announced);
        answer
    }
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = serde_json::json!({ "error": { "code": code, "message": message, "innerError": {} } });
    Answer { status, headers: Vec::new(), body: Some(("application/json", body.to_string())) }
}

fn html(status: u16) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: Some(("text/html", "<!doctype html><h1>Sign in to the network</h1>".to_owned())),
    }
}

/// A number from 0 to 1 that an id always has.
fn share_of(id: &str) -> f64 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(text: &str) -> Tenant {
        Tenant::new(Scenario::parse(text).expect("a scenario"))
    }

    #[test]
    fn a_bucket_gives_its_stock_and_then_its_rate() {
        let mut tenant = tenant("writes_per_second = 20.0\nstock = 100.0");
        let accepted = |tenant: &mut Tenant, at: u64| {
            (0..200)
                .filter(|n| tenant.act(Duration::from_secs(at), 0, &format!("{at}-{n}@x")).status == 204)
                .count()
        };
        assert_eq!(accepted(&mut tenant, 0), 100);
        assert_eq!(accepted(&mut tenant, 2), 40);
    }

    #[test]
    fn a_window_opens_at_its_instant_and_says_when() {
        let mut tenant = tenant("writes_per_second = 1.0\nstock = 3.0\nrefill = 'window'\nwindow_s = 10.0");
        let mut at = |s: u64| tenant.act(Duration::from_secs(s), 0, "a@b");
        assert_eq!([at(1).status, at(1).status, at(1).status], [204; 3]);
        let refused = at(4);
        assert_eq!(refused.status, 429);
        assert!(refused.headers.contains(&("retry-after", "6".to_owned())));
        assert_eq!(at(10).status, 204);
    }

    #[test]
    fn early_requests_are_breaches_and_those_under_way_are_not() {
        let mut tenant = tenant("throttle_after = [0]\nthrottle_wait_s = [3, 3]");
        let at = |tenant: &mut Tenant, ms| tenant.act(Duration::from_millis(ms), 0, "a@b").status;
        assert_eq!(at(&mut tenant, 0), 429);
        at(&mut tenant, 40);
        assert_eq!(tenant.ledger.breaches, 0);
        at(&mut tenant, 2_000);
        assert_eq!(tenant.ledger.breaches, 1);
    }
}
