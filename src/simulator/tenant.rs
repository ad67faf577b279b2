//! The simulated tenant as a state machine: takes the time and a request, and returns a response.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use jiff::{SignedDuration, Timestamp};

use super::credentials;
use super::directory::{Collection, Directory, ErrorCounts, share_of};
use super::ledger::Ledger;
use super::quota::{Quotas, RequestCost};
use super::scenario::{RequestFault, RetryAfterForm, Scenario, draw};
use super::token::{self, TokenIssuer, TokenStatus};
use super::wire::{SimulatedResponse, error, html, odd_body};

/// Number of request ids that are kept to detect repeated ones.
const MAX_REQUEST_IDS: usize = 200_000;
/// Shortest and longest announced pause, in seconds.
const ANNOUNCED_SECS: (f64, f64) = (1.0, 300.0);
/// Cost of the action.
const WRITE: RequestCost = RequestCost { writes: 1.0, units: 1.0 };

/// The simulated tenant, with one app.
#[derive(Debug)]
pub struct Tenant {
    pub(super) scenario: Scenario,
    pub(super) random: fastrand::Rng,
    quotas: Quotas,
    pub(super) directory: Directory,
    pub(super) token_issuer: TokenIssuer,
    /// Wall time of the start.
    epoch: Timestamp,
    /// End of the pause that `throttle_after` began.
    forced_pause_until: Duration,
    /// End of the pause in which everything is throttled, with `closed_while_waiting`.
    closed_until: Duration,
    /// Acceptances after which pauses begin, the next one last.
    remaining_throttles: Vec<u64>,
    /// Counter of the faults that alternate between forms.
    fault_turn: u64,
    /// Requests to Graph so far.
    pub(super) requests: u64,
    /// Values of `client-request-id` that were used.
    request_ids: HashSet<u128>,
    /// Requests for a next page so far.
    pub(super) next_page_requests: u64,
    /// Pages sent so far.
    pub(super) pages_sent: u64,
    /// The counters so far.
    pub ledger: Ledger,
}

impl Tenant {
    /// Creates a tenant with an unused quota; `epoch` is the wall time of its start.
    pub fn new(scenario: Scenario, epoch: Timestamp) -> Self {
        let mut remaining_throttles = scenario.throttle_after.clone();
        remaining_throttles.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            random: fastrand::Rng::with_seed(scenario.seed),
            quotas: Quotas::new(&scenario),
            directory: Directory::new(scenario.objects.clone(), epoch),
            token_issuer: TokenIssuer::new(scenario.token.clone(), epoch),
            epoch,
            forced_pause_until: Duration::ZERO,
            closed_until: Duration::ZERO,
            remaining_throttles,
            fault_turn: 0,
            requests: 0,
            request_ids: HashSet::new(),
            next_page_requests: 0,
            pages_sent: 0,
            ledger: Ledger::default(),
            scenario,
        }
    }

    /// Returns the scenario of this tenant.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Object ids for which the action ran, in lower case, with the number of times.
    pub fn accepted(&self) -> impl Iterator<Item = (&str, u32)> {
        self.directory.accepted()
    }

    /// Counts the objects of a collection by the state of their error at `now`.
    pub fn error_counts(&self, collection: Collection, now: Duration) -> ErrorCounts {
        self.directory.error_counts(collection, now)
    }

    /// Returns a bearer token that is valid at `now`.
    pub fn token(&mut self, now: Duration) -> String {
        if self.scenario.token.life_s == 0 && !self.scenario.token.challenge {
            return token::OPAQUE_TOKEN.to_owned();
        }
        self.token_issuer.issue(now, false).0
    }

    /// Checks the `client-request-id`. Returns the broken rule, if any.
    pub(super) fn check_request_id(&mut self, request: &Request<Bytes>) -> Option<&'static str> {
        let Some(id) = header(request, "client-request-id").and_then(|id| uuid::Uuid::parse_str(id).ok())
        else {
            return Some("no client-request-id");
        };
        if self.request_ids.len() >= MAX_REQUEST_IDS {
            self.request_ids.clear();
        }
        (!self.request_ids.insert(id.as_u128())).then_some("a client-request-id used before")
    }

    /// Runs the action for `id` at `now`, without the checks of the protocol. Returns the response.
    pub fn run_action(&mut self, now: Duration, collection: Collection, id: &str) -> SimulatedResponse {
        let answer = self.decide(now, collection, id);
        self.ledger.record_answer(answer.status);
        answer
    }

    fn decide(&mut self, now: Duration, collection: Collection, id: &str) -> SimulatedResponse {
        self.ledger.record_arrival(now);
        if let Some(answer) = self.check_limits(now, WRITE) {
            return answer;
        }
        if during(&self.scenario.conflicts_s, self.ledger.seconds_since_first(now)) {
            return error(409, "Directory_ConcurrencyViolation", "Conflicting update.");
        }
        if let Some((answer, done)) = self.draw_fault(now) {
            if done {
                self.accept_without_response(collection, id, now);
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
            return token::rejection(TokenStatus::Forbidden);
        }
        let Some(found) = self.resolve(collection, id) else { return not_found(id) };
        let times = self.directory.accept(&found, now);
        self.ledger.record_action(&found, times);
        let answer = SimulatedResponse::status(204).with("x-ms-resource-unit", "1");
        self.with_percentage(answer)
    }

    /// Draws a fault for a request. Returns its response, and whether the request is processed anyway.
    pub(super) fn draw_fault(&mut self, now: Duration) -> Option<(SimulatedResponse, bool)> {
        let wait = self.scenario.faults.wait_secs();
        let answer = match draw(&mut self.random, &self.scenario.faults.shares())? {
            RequestFault::ResetBefore => SimulatedResponse::default(),
            RequestFault::ResetAfter => return Some((SimulatedResponse::default(), true)),
            RequestFault::Done429 => {
                let answer =
                    self.throttled(now, wait as f64, "Tenant_Application/Write", RetryAfterForm::Integer);
                return Some((answer, true));
            }
            RequestFault::Status(500) => {
                error(500, "Service_InternalServerError", "Something went wrong \u{1b}[31m=1+1")
            }
            RequestFault::Status(status) => error(status, "UnknownError", ""),
            RequestFault::Html(status) => html(status),
            RequestFault::Wait503 => {
                self.ledger.announce_pause(now, Duration::from_secs(wait));
                error(503, "ServiceUnavailable", "Try later.").with("retry-after", wait.to_string())
            }
            RequestFault::Busy => {
                self.fault_turn += 1;
                match self.fault_turn.is_multiple_of(2) {
                    true => error(409, "Directory_ConcurrencyViolation", "Conflicting update."),
                    false => error(423, "Locked", "The object is locked."),
                }
            }
            RequestFault::Throttle => {
                self.fault_turn += 1;
                let forms = [
                    RetryAfterForm::Integer,
                    RetryAfterForm::Fraction,
                    RetryAfterForm::Date,
                    RetryAfterForm::Message,
                    RetryAfterForm::Absent,
                ];
                let form = forms[(self.fault_turn % 5) as usize];
                let wait = wait as f64 - if form == RetryAfterForm::Fraction { 0.751 } else { 0.0 };
                self.throttled(now, wait, "Tenant_Application/Write", form)
            }
            fault @ (RequestFault::Json200
            | RequestFault::Text403
            | RequestFault::CutOff
            | RequestFault::Slow
            | RequestFault::Huge
            | RequestFault::NotUtf8) => odd_body(fault),
        };
        Some((answer, false))
    }

    /// Returns the object id of an object id or UPN, if the object exists.
    pub(super) fn resolve(&self, collection: Collection, id: &str) -> Option<String> {
        self.directory.resolve(collection, id).filter(|_| share_of(id, "missing") >= self.scenario.missing)
    }

    /// Checks outages, forced pauses and quotas. Returns `None` if the request is served.
    pub(super) fn check_limits(&mut self, now: Duration, cost: RequestCost) -> Option<SimulatedResponse> {
        let since = self.ledger.seconds_since_first(now);
        if during(&self.scenario.outages_s, since) {
            return Some(error(503, "ServiceUnavailable", "The service is unavailable."));
        }
        let form = self.scenario.wait_form;
        if now < self.forced_pause_until {
            let left = (self.forced_pause_until - now).as_secs_f64();
            return Some(self.throttled(now, left, "Tenant_Application/Write", form));
        }
        if self.remaining_throttles.last().is_some_and(|after| self.ledger.accepted >= *after) {
            self.remaining_throttles.pop();
            let [from, to] = self.scenario.throttle_wait_s;
            let wait = self.random.u64(from..=to);
            self.forced_pause_until = now + Duration::from_secs(wait);
            return Some(self.throttled(now, wait as f64, "Tenant_Application/Write", form));
        }
        let exceeded = self.quotas.charge(now, cost).err();
        if now < self.closed_until {
            let left = (self.closed_until - now).as_secs_f64();
            return Some(self.throttled(now, left, "Tenant_Application/Write", form));
        }
        exceeded.map(|exceeded| {
            if self.scenario.throttle_with_503 {
                return error(503, "ServiceUnavailable", "Service Temporarily Unavailable");
            }
            if self.scenario.closed_while_waiting {
                let whole = (exceeded.wait - 1e-6).ceil().clamp(ANNOUNCED_SECS.0, ANNOUNCED_SECS.1);
                self.closed_until = now + Duration::from_secs_f64(whole);
            }
            self.throttled(now, exceeded.wait, exceeded.scope, form)
        })
    }

    /// Adds the used share of the limit that is used most, from 0.8 on.
    pub(super) fn with_percentage(&self, answer: SimulatedResponse) -> SimulatedResponse {
        let used = self.quotas.used();
        if self.scenario.percentage_header && used >= 0.8 {
            return answer.with("x-ms-throttle-limit-percentage", format!("{used:.2}"));
        }
        answer
    }

    /// Runs the action for `id` of a request whose client gets no success response.
    fn accept_without_response(&mut self, collection: Collection, id: &str, now: Duration) {
        if let Some(found) = self.directory.resolve(collection, id) {
            let times = self.directory.accept(&found, now);
            self.ledger.record_action(&found, times);
            self.ledger.response_lost += 1;
        }
    }

    /// Returns a 429 that announces a pause of `exact` seconds in the given form.
    pub(super) fn throttled(
        &mut self,
        now: Duration,
        exact: f64,
        scope: &str,
        form: RetryAfterForm,
    ) -> SimulatedResponse {
        let whole = (exact - 1e-6).ceil().clamp(ANNOUNCED_SECS.0, ANNOUNCED_SECS.1);
        let message = "Too many requests from Identifier:51a51a51 under category:aadgraph.app.tenant_large. Please try again later.";
        let mut answer = error(429, "TooManyRequests", message);
        let announced = match form {
            RetryAfterForm::Integer => {
                answer = answer.with("retry-after", whole.to_string());
                whole
            }
            RetryAfterForm::AlwaysOne => {
                answer = answer.with("retry-after", "1");
                1.0
            }
            RetryAfterForm::TooShort => {
                let half = (whole / 2.0).floor().max(1.0);
                answer = answer.with("retry-after", half.to_string());
                half
            }
            RetryAfterForm::Fraction => {
                let exact = (exact * 1000.0 - 1e-6).ceil() / 1000.0;
                answer = answer.with("retry-after", format!("{exact:.3}"));
                exact
            }
            RetryAfterForm::Date => {
                let wall = self.epoch + SignedDuration::try_from(now).unwrap_or_default();
                let http = |at: i64| {
                    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(at.max(0) as u64))
                };
                answer = answer
                    .with("date", http(wall.as_second()))
                    .with("retry-after", http(wall.as_second() + whole as i64));
                whole
            }
            RetryAfterForm::Message => {
                answer = error(
                    429,
                    "Request_ThrottledTemporarily",
                    &format!("Your request is throttled temporarily. Please try after {whole} seconds."),
                );
                whole
            }
            RetryAfterForm::Absent => 0.0,
        };
        if announced > 0.0 {
            self.ledger.announce_pause(now, Duration::from_secs_f64(announced));
        }
        answer
            .with("x-ms-throttle-scope", format!("{scope}/{}/{}", credentials::APP, credentials::TENANT))
            .with("x-ms-throttle-information", "WriteLimitExceeded")
    }

    /// Counts that a request broke the rule `what`. Returns the error.
    pub(super) fn reject_rule_break(&mut self, status: u16, code: &str, what: &str) -> SimulatedResponse {
        self.ledger.record_rule_break(what);
        self.ledger.record_answer(status);
        let message =
            if status == 405 { "Specified HTTP method is not allowed for the request target." } else { "" };
        error(status, code, message)
    }
}

/// Whether `at` is within one of the spans, all in seconds.
fn during(spans: &[[f64; 2]], at: f64) -> bool {
    spans.iter().any(|[from, to]| (*from..*to).contains(&at))
}

/// The 404 for an object that does not exist.
pub(super) fn not_found(id: &str) -> SimulatedResponse {
    error(
        404,
        "Request_ResourceNotFound",
        &format!(
            "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
        ),
    )
}

/// Returns the value of a header, if it is text.
pub(super) fn header<'a>(request: &'a Request<Bytes>, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Returns the id in a key of a path, percent-decoded once, and whether it was in quotes.
pub(super) fn decode_key(key: &str) -> Option<(String, bool)> {
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

    /// Sends a write at `ms`. Returns its status and the breaches so far.
    fn arrives_at(tenant: &mut Tenant, ms: u64) -> (u16, u64) {
        let status = tenant.run_action(Duration::from_millis(ms), Collection::Users, "a@b").status;
        (status, tenant.ledger.breaches)
    }

    #[test]
    fn early_requests_are_breaches_and_those_in_flight_are_not() {
        let mut tenant = tenant("throttle_after = [0]\nthrottle_wait_s = [3, 3]");
        let ms = Duration::from_millis;
        assert_eq!(arrives_at(&mut tenant, 0), (429, 0));
        assert_eq!(arrives_at(&mut tenant, 900), (429, 0), "the first answer is not sent yet");
        tenant.ledger.enforce_pauses(ms(0), ms(1_000), ms(50));
        assert_eq!(
            arrives_at(&mut tenant, 2_550),
            (429, 0),
            "in flight when the answer arrived, or the answer is not read yet"
        );
        assert_eq!(arrives_at(&mut tenant, 2_551), (429, 1));
        assert_eq!(arrives_at(&mut tenant, 2_999), (429, 2));
        assert_eq!(
            arrives_at(&mut tenant, 3_000),
            (204, 2),
            "the pause is over; the answers that announce later pauses are not sent yet"
        );
        tenant.ledger.enforce_pauses(ms(2_999), ms(3_001), ms(50));
        assert_eq!(
            arrives_at(&mut tenant, 3_551),
            (204, 2),
            "half of the pause of 1 s that was announced at 2,999 ms"
        );
        assert_eq!(arrives_at(&mut tenant, 3_552), (204, 3));
    }

    #[test]
    fn pause_is_announced_in_every_form() {
        let announced = |form: &str| {
            let mut tenant =
                tenant(&format!("writes_per_second = 0.1\ncapacity = 1.0\nwait_form = '{form}'"));
            tenant.run_action(Duration::from_secs(1), Collection::Users, "a");
            let answer = tenant.run_action(Duration::from_millis(1_500), Collection::Users, "b");
            assert_eq!(answer.status, 429);
            let header = answer
                .headers
                .iter()
                .find(|(name, _)| *name == "retry-after")
                .map(|(_, value)| value.clone());
            (header, String::from_utf8(answer.body.1).expect("UTF-8").contains("after 10 seconds"))
        };
        let wait = |text: &str| (Some(text.to_owned()), false);
        assert_eq!(announced("integer"), wait("10"));
        assert_eq!(announced("fraction"), wait("9.500"));
        assert_eq!(announced("date"), wait("Thu, 01 Jan 1970 00:00:11 GMT"));
        assert_eq!(announced("always_1"), wait("1"));
        assert_eq!(announced("too_short"), wait("5"));
        assert_eq!(announced("message"), (None, true));
        assert_eq!(announced("absent"), (None, false));
    }

    #[test]
    fn closed_while_waiting_throttles_until_the_pause_is_over() {
        let mut tenant = tenant("writes_per_second = 1.0\ncapacity = 1.0\nclosed_while_waiting = true");
        let mut at = |ms: u64| tenant.run_action(Duration::from_millis(ms), Collection::Users, "a").status;
        assert_eq!([at(0), at(0), at(900), at(1_000)], [204, 429, 429, 204]);
    }
}
