//! The tenant as a state machine: time and a request in, an answer out.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use jiff::{SignedDuration, Timestamp};

use super::credentials;
use super::directory::{Census, Directory, Set, share_of};
use super::ledger::Ledger;
use super::quota::{Cost, Quotas};
use super::scenario::{Fault, Scenario, WaitForm, draw};
use super::token::{self, SignIn, Verdict};
use super::wire::{Answer, error, html, odd_body};

/// Ids of requests that are remembered, to see repeated ones.
const REMEMBERED: usize = 200_000;
/// Least and most seconds of an announced wait.
const WAITS: (f64, f64) = (1.0, 300.0);
const WRITE: Cost = Cost { writes: 1.0, units: 1.0 };

/// One tenant and one app.
#[derive(Debug)]
pub struct Tenant {
    pub(super) scenario: Scenario,
    pub(super) random: fastrand::Rng,
    quotas: Quotas,
    pub(super) directory: Directory,
    pub(super) sign_in: SignIn,
    epoch: Timestamp,
    forced_until: Duration,
    closed_until: Duration,
    throttles_left: Vec<u64>,
    turn: u64,
    /// Requests to Graph so far.
    pub(super) requests: u64,
    seen: HashSet<u128>,
    /// Requests for a next page, and pages given.
    pub(super) followed: u64,
    pub(super) paged: u64,
    /// What was counted so far.
    pub ledger: Ledger,
}

impl Tenant {
    /// A new tenant with an unused quota; `epoch` is the wall time of its instant zero.
    pub fn new(scenario: Scenario, epoch: Timestamp) -> Self {
        let mut throttles_left = scenario.throttle_after.clone();
        throttles_left.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            random: fastrand::Rng::with_seed(scenario.seed),
            quotas: Quotas::new(&scenario),
            directory: Directory::new(scenario.objects.clone(), epoch),
            sign_in: SignIn::new(scenario.token.clone(), epoch),
            epoch,
            forced_until: Duration::ZERO,
            closed_until: Duration::ZERO,
            throttles_left,
            turn: 0,
            requests: 0,
            seen: HashSet::new(),
            followed: 0,
            paged: 0,
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
        self.directory.accepted()
    }

    /// What became of the errors of a collection.
    pub fn census(&self, set: Set, now: Duration) -> Census {
        self.directory.census(set, now)
    }

    /// A bearer token that is good now.
    pub fn token(&mut self, now: Duration) -> String {
        if self.scenario.token.life_s == 0 && !self.scenario.token.challenge {
            return token::OPAQUE.to_owned();
        }
        self.sign_in.give(now, false).0
    }

    /// Checks the `client-request-id`; what is wrong with it.
    pub(super) fn own_id(&mut self, request: &Request<Bytes>) -> Option<&'static str> {
        let Some(own) = header(request, "client-request-id").and_then(|own| uuid::Uuid::parse_str(own).ok())
        else {
            return Some("no client-request-id");
        };
        if self.seen.len() >= REMEMBERED {
            self.seen.clear();
        }
        (!self.seen.insert(own.as_u128())).then_some("a client-request-id used before")
    }

    /// The action for an id, without the checks of the protocol.
    pub fn act(&mut self, now: Duration, set: Set, id: &str) -> Answer {
        let answer = self.decide(now, set, id);
        self.ledger.answered(answer.status);
        answer
    }

    fn decide(&mut self, now: Duration, set: Set, id: &str) -> Answer {
        self.ledger.arrived(now);
        if let Some(answer) = self.gate(now, WRITE) {
            return answer;
        }
        if during(&self.scenario.conflicts_s, self.ledger.since_first(now)) {
            return error(409, "Directory_ConcurrencyViolation", "Conflicting update.");
        }
        if let Some((answer, done)) = self.fault(now) {
            if done {
                self.done_without_response(set, id, now);
            }
            return answer;
        }
        if share_of(id, "poisoned") < self.scenario.poisoned {
            return error(500, "Service_InternalServerError", "This object always fails.");
        }
        if share_of(id, "forbidden") < self.scenario.forbidden {
            return error(
                403,
                "Authorization_RequestDenied",
                "Insufficient privileges to complete the operation.",
            );
        }
        let ends = self.scenario.role_ends_after;
        if ends > 0 && self.ledger.accepted >= ends {
            return token::refusal(Verdict::Forbidden);
        }
        let Some(found) = self.resolve(set, id) else { return not_found(id) };
        let times = self.directory.accept(&found, now);
        self.ledger.done(&found, times);
        let answer = Answer::status(204).with("x-ms-resource-unit", "1");
        self.with_percentage(answer)
    }

    /// A fault that a request meets, and whether its work was done all the same.
    pub(super) fn fault(&mut self, now: Duration) -> Option<(Answer, bool)> {
        let wait = self.scenario.faults.wait();
        let answer = match draw(&mut self.random, &self.scenario.faults.shares())? {
            Fault::ResetBefore => Answer::default(),
            Fault::ResetAfter => return Some((Answer::default(), true)),
            Fault::Done429 => {
                let answer = self.throttled(now, wait as f64, "Tenant_Application/Write", WaitForm::Integer);
                return Some((answer, true));
            }
            Fault::Status(500) => {
                error(500, "Service_InternalServerError", "Something went wrong \u{1b}[31m=1+1")
            }
            Fault::Status(status) => error(status, "UnknownError", ""),
            Fault::Html(status) => html(status),
            Fault::Wait503 => {
                self.ledger.announced(now, Duration::from_secs(wait));
                error(503, "ServiceUnavailable", "Try later.").with("retry-after", wait.to_string())
            }
            Fault::Busy => {
                self.turn += 1;
                match self.turn.is_multiple_of(2) {
                    true => error(409, "Directory_ConcurrencyViolation", "Conflicting update."),
                    false => error(423, "Locked", "The object is locked."),
                }
            }
            Fault::Throttle => {
                self.turn += 1;
                let forms = [
                    WaitForm::Integer,
                    WaitForm::Fraction,
                    WaitForm::Date,
                    WaitForm::Message,
                    WaitForm::Absent,
                ];
                let form = forms[(self.turn % 5) as usize];
                let wait = wait as f64 - if form == WaitForm::Fraction { 0.751 } else { 0.0 };
                self.throttled(now, wait, "Tenant_Application/Write", form)
            }
            fault @ (Fault::Json200
            | Fault::Text403
            | Fault::CutOff
            | Fault::Slow
            | Fault::Huge
            | Fault::NotUtf8) => odd_body(fault),
        };
        Some((answer, false))
    }

    /// The object that an id means, if it is there.
    pub(super) fn resolve(&self, set: Set, id: &str) -> Option<String> {
        self.directory.resolve(set, id).filter(|_| share_of(id, "missing") >= self.scenario.missing)
    }

    /// Outages, forced throttles and quotas; `None` lets the request through.
    pub(super) fn gate(&mut self, now: Duration, cost: Cost) -> Option<Answer> {
        let since = self.ledger.since_first(now);
        if during(&self.scenario.outages_s, since) {
            return Some(error(503, "ServiceUnavailable", "The service is unavailable."));
        }
        let form = self.scenario.wait_form;
        if now < self.forced_until {
            let left = (self.forced_until - now).as_secs_f64();
            return Some(self.throttled(now, left, "Tenant_Application/Write", form));
        }
        if self.throttles_left.last().is_some_and(|after| self.ledger.accepted >= *after) {
            self.throttles_left.pop();
            let [from, to] = self.scenario.throttle_wait_s;
            let wait = self.random.u64(from..=to);
            self.forced_until = now + Duration::from_secs(wait);
            return Some(self.throttled(now, wait as f64, "Tenant_Application/Write", form));
        }
        let refused = self.quotas.take(now, cost).err();
        if now < self.closed_until {
            let left = (self.closed_until - now).as_secs_f64();
            return Some(self.throttled(now, left, "Tenant_Application/Write", form));
        }
        refused.map(|refused| {
            if self.scenario.throttle_with_503 {
                return error(503, "ServiceUnavailable", "Service Temporarily Unavailable");
            }
            if self.scenario.closed_while_waiting {
                let whole = (refused.wait - 1e-6).ceil().clamp(WAITS.0, WAITS.1);
                self.closed_until = now + Duration::from_secs_f64(whole);
            }
            self.throttled(now, refused.wait, refused.scope, form)
        })
    }

    /// Adds how much of the tightest limit is used, from 0.8 on.
    pub(super) fn with_percentage(&self, answer: Answer) -> Answer {
        let used = self.quotas.used();
        if self.scenario.percentage_header && used >= 0.8 {
            return answer.with("x-ms-throttle-limit-percentage", format!("{used:.2}"));
        }
        answer
    }

    fn done_without_response(&mut self, set: Set, id: &str, now: Duration) {
        if let Some(found) = self.directory.resolve(set, id) {
            let times = self.directory.accept(&found, now);
            self.ledger.done(&found, times);
            self.ledger.response_lost += 1;
        }
    }

    /// A 429 that says its wait in the given form.
    pub(super) fn throttled(&mut self, now: Duration, exact: f64, scope: &str, form: WaitForm) -> Answer {
        let whole = (exact - 1e-6).ceil().clamp(WAITS.0, WAITS.1);
        let message = "Too many requests from Identifier:51a51a51 under category:aadgraph.app.tenant_large. Please try again later.";
        let mut answer = error(429, "TooManyRequests", message);
        let announced = match form {
            WaitForm::Integer => {
                answer = answer.with("retry-after", whole.to_string());
                whole
            }
            WaitForm::AlwaysOne => {
                answer = answer.with("retry-after", "1");
                1.0
            }
            WaitForm::TooShort => {
                let half = (whole / 2.0).floor().max(1.0);
                answer = answer.with("retry-after", half.to_string());
                half
            }
            WaitForm::Fraction => {
                let exact = (exact * 1000.0 - 1e-6).ceil() / 1000.0;
                answer = answer.with("retry-after", format!("{exact:.3}"));
                exact
            }
            WaitForm::Date => {
                let wall = self.epoch + SignedDuration::try_from(now).unwrap_or_default();
                let http = |at: i64| {
                    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(at.max(0) as u64))
                };
                answer = answer
                    .with("date", http(wall.as_second()))
                    .with("retry-after", http(wall.as_second() + whole as i64));
                whole
            }
            WaitForm::Message => {
                answer = error(
                    429,
                    "Request_ThrottledTemporarily",
                    &format!("Your request is throttled temporarily. Please try after {whole} seconds."),
                );
                whole
            }
            WaitForm::Absent => 0.0,
        };
        if announced > 0.0 {
            self.ledger.announced(now, Duration::from_secs_f64(announced));
        }
        answer
            .with("x-ms-throttle-scope", format!("{scope}/{}/{}", credentials::APP, credentials::TENANT))
            .with("x-ms-throttle-information", "WriteLimitExceeded")
    }

    /// An answer to a request that breaks a rule; counted.
    pub(super) fn broke(&mut self, status: u16, code: &str, what: &str) -> Answer {
        self.ledger.broke_a_rule(what);
        self.ledger.answered(status);
        let message =
            if status == 405 { "Specified HTTP method is not allowed for the request target." } else { "" };
        error(status, code, message)
    }
}

/// Whether one of the spans, from and to in seconds, holds the instant.
fn during(spans: &[[f64; 2]], at: f64) -> bool {
    spans.iter().any(|[from, to]| (*from..*to).contains(&at))
}

pub(super) fn not_found(id: &str) -> Answer {
    error(
        404,
        "Request_ResourceNotFound",
        &format!(
            "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
        ),
    )
}

/// A header's text.
pub(super) fn header<'a>(request: &'a Request<Bytes>, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The id in a key, percent-decoded once; whether it stood in quotes.
pub(super) fn decoded(key: &str) -> Option<(String, bool)> {
    let decode =
        |text: &str| Some(percent_encoding::percent_decode_str(text).decode_utf8().ok()?.into_owned());
    let (id, quoted) = match key.strip_prefix("('").and_then(|key| key.strip_suffix("')")) {
        Some(key) => (decode(key)?.replace("''", "'"), true),
        None => (decode(key.strip_prefix('/').filter(|key| !key.contains('/'))?)?, false),
    };
    (!id.is_empty()).then_some((id, quoted))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(in crate::simulator) fn tenant(text: &str) -> Tenant {
        Tenant::new(Scenario::parse(text).expect("a scenario"), Timestamp::UNIX_EPOCH)
    }

    /// Status of a write, and the breaches so far.
    fn arrives_at(tenant: &mut Tenant, ms: u64) -> (u16, u64) {
        let status = tenant.act(Duration::from_millis(ms), Set::Users, "a@b").status;
        (status, tenant.ledger.breaches)
    }

    #[test]
    fn early_requests_are_breaches_and_those_under_way_are_not() {
        let mut tenant = tenant("throttle_after = [0]\nthrottle_wait_s = [3, 3]");
        let ms = Duration::from_millis;
        assert_eq!(arrives_at(&mut tenant, 0), (429, 0));
        assert_eq!(arrives_at(&mut tenant, 900), (429, 0), "the first answer has not left");
        tenant.ledger.left(ms(0), ms(1_000), ms(50));
        assert_eq!(
            arrives_at(&mut tenant, 2_550),
            (429, 0),
            "under way when the answer came, or it is not read"
        );
        assert_eq!(arrives_at(&mut tenant, 2_551), (429, 1));
        assert_eq!(arrives_at(&mut tenant, 2_999), (429, 2));
        assert_eq!(arrives_at(&mut tenant, 3_000), (204, 2), "over; what was announced later has not left");
        tenant.ledger.left(ms(2_999), ms(3_001), ms(50));
        assert_eq!(arrives_at(&mut tenant, 3_551), (204, 2), "half of the second announced at 2,999");
        assert_eq!(arrives_at(&mut tenant, 3_552), (204, 3));
    }

    #[test]
    fn a_wait_is_said_in_every_form() {
        let said = |form: &str| {
            let mut tenant =
                tenant(&format!("writes_per_second = 0.1\ncapacity = 1.0\nwait_form = '{form}'"));
            tenant.act(Duration::from_secs(1), Set::Users, "a");
            let answer = tenant.act(Duration::from_millis(1_500), Set::Users, "b");
            assert_eq!(answer.status, 429);
            let header = answer
                .headers
                .iter()
                .find(|(name, _)| *name == "retry-after")
                .map(|(_, value)| value.clone());
            (header, String::from_utf8(answer.body.1).expect("UTF-8").contains("after 10 seconds"))
        };
        let wait = |text: &str| (Some(text.to_owned()), false);
        assert_eq!(said("integer"), wait("10"));
        assert_eq!(said("fraction"), wait("9.500"));
        assert_eq!(said("date"), wait("Thu, 01 Jan 1970 00:00:11 GMT"));
        assert_eq!(said("always_1"), wait("1"));
        assert_eq!(said("too_short"), wait("5"));
        assert_eq!(said("message"), (None, true));
        assert_eq!(said("absent"), (None, false));
    }

    #[test]
    fn closed_means_closed_until_the_announced_wait_is_over() {
        let mut tenant = tenant("writes_per_second = 1.0\ncapacity = 1.0\nclosed_while_waiting = true");
        let mut at = |ms: u64| tenant.act(Duration::from_millis(ms), Set::Users, "a").status;
        assert_eq!([at(0), at(0), at(900), at(1_000)], [204, 429, 429, 204]);
    }
}
