//! The scenario of a simulated tenant: its parameters and expected ranges, as a scenario file holds them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// How a quota refills. Invented: Microsoft documents the amount, not how it refills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refill {
    /// Continuously.
    #[default]
    Bucket,
    /// The whole capacity at aligned instants.
    Window,
    /// Each write is available again one window later.
    Sliding,
}

/// How a 429 announces its pause. All forms but `too_short` were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfterForm {
    /// Whole seconds, rounded up.
    #[default]
    Integer,
    /// Three decimals.
    Fraction,
    /// An HTTP date.
    Date,
    /// Only in the message: "Please try after N seconds".
    Message,
    /// The pause is not announced.
    Absent,
    /// Always one second.
    #[serde(rename = "always_1")]
    AlwaysOne,
    /// Half of the pause, so that the next request is throttled again.
    TooShort,
}

/// A scenario file. Every key has a default: no quota, no faults, and every well-formed id exists.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Title of one line, which is shown.
    pub title: String,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Quota of one app in the tenant, in writes per second; 0: no quota.
    pub writes_per_second: f64,
    /// Capacity of the quota, in writes; 0: the writes of one second.
    pub capacity: f64,
    /// How the quota refills.
    pub refill: Refill,
    /// Length of a window in seconds, with `refill = "window"` or `"sliding"`.
    pub window_s: f64,
    /// Whether throttled requests are charged to the quota.
    pub charge_throttled: bool,
    /// Whether every request is throttled until an announced pause is over.
    pub closed_while_waiting: bool,
    /// How a pause is announced.
    pub wait_form: RetryAfterForm,
    /// Whether `x-ms-throttle-limit-percentage` is sent once 0.8 of a limit is used.
    pub percentage_header: bool,
    /// The other limits of the service.
    pub limits: ServiceLimits,
    /// Numbers of acceptances after which an unexpected pause begins.
    pub throttle_after: Vec<u64>,
    /// Length of these pauses in seconds, from and to.
    pub throttle_wait_s: [u64; 2],
    /// Time from the arrival of a request to its answer, in milliseconds.
    pub latency_ms: u64,
    /// Shares of requests, 0 to 1, that get a fault.
    pub faults: Faults,
    /// Shares of whole batches, 0 to 1, that get a fault.
    pub batch: BatchFaults,
    /// Outages in seconds after the first write, from and to.
    /// Every request is answered 503 without Retry-After.
    pub outages_s: Vec<[f64; 2]>,
    /// Spans in seconds after the first write, from and to, in which another program writes to the tenant.
    /// Every write is answered 409 `Directory_ConcurrencyViolation`.
    pub conflicts_s: Vec<[f64; 2]>,
    /// Whether an exhausted quota answers 503 without Retry-After instead of 429, as nginx `limit_req` does.
    pub throttle_with_503: bool,
    /// Share of ids that do not exist.
    pub missing: f64,
    /// Share of ids that are always answered 403.
    pub forbidden: f64,
    /// Share of ids that are always answered 401, even with a valid token.
    pub unauthorized: f64,
    /// Number of the request that is answered 401 although its token is valid; 0: none.
    pub unauthorized_once: u64,
    /// Text of a gateway that answers every request with 403; empty: no gateway.
    pub gateway: String,
    /// Number of acceptances after which every action is answered 403, as when a role expires; 0: never.
    pub role_ends_after: u64,
    /// Whether error messages repeat the `Authorization` header.
    pub echo: bool,
    /// Share of ids that are always answered 500.
    pub poisoned: f64,
    /// Number of requests after which a connection is closed; 0: never.
    pub close_after: u64,
    /// Rules of tokens and sign-in.
    pub token: TokenRules,
    /// The objects of the directory.
    pub objects: ObjectRules,
    /// Faults of pages and of objects in reads.
    pub listing: ListingFaults,
    /// Ranges in which a correct client ends: name of a ledger figure, from and to.
    pub expect: BTreeMap<String, [f64; 2]>,
}

/// Other limits, each as `[amount, seconds]`; absent: no limit.
///
/// `samples/scenarios/documented.toml` has the documented amounts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceLimits {
    /// Writes of all apps in the tenant.
    pub tenant_writes: Option<[f64; 2]>,
    /// Writes of the app over all tenants.
    pub app_writes: Option<[f64; 2]>,
    /// Resource units of the app in the tenant.
    pub resource_units: Option<[f64; 2]>,
    /// Resource units of the app over all tenants.
    pub app_resource_units: Option<[f64; 2]>,
    /// Requests of the app to any service.
    pub requests: Option<[f64; 2]>,
    /// Writes per second of other apps, which count toward the tenant's limit.
    pub others_per_second: f64,
}

/// Shares of requests that get each fault.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The connection is reset before the request is processed.
    pub reset_before: f64,
    /// The connection is reset after the request was processed.
    pub reset_after: f64,
    /// 500 with an OData error.
    pub error_500: f64,
    /// 502 with a web page.
    pub html_502: f64,
    /// 503 with Retry-After.
    pub wait_503: f64,
    /// 503 without Retry-After.
    pub plain_503: f64,
    /// 504 with an empty message.
    pub error_504: f64,
    /// 509, the bandwidth cap.
    pub error_509: f64,
    /// 409 and 423 in turn.
    pub busy: f64,
    /// 429 that announces its pause in turn as whole seconds, fraction, date, message only, and not at all.
    pub throttle_429: f64,
    /// 200 with a web page, as from a captive portal.
    pub html_200: f64,
    /// 200 with JSON that Graph does not send, as from a gateway.
    pub json_200: f64,
    /// 403 with plain text, as from a proxy.
    pub text_403: f64,
    /// 500 whose body is shorter than its Content-Length.
    pub cut_off: f64,
    /// 500 whose body arrives in small chunks, over two seconds.
    pub slow: f64,
    /// 500 with a body of four megabytes.
    pub huge: f64,
    /// 500 with a body that is not UTF-8.
    pub not_utf8: f64,
    /// 429 for a request that was processed.
    pub done_429: f64,
    /// Pause that faults of requests and batches announce, in seconds; 0: one second.
    /// A fraction is 0.751 seconds less.
    pub wait_s: u64,
}

/// Shares of whole batches that get each fault.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchFaults {
    /// One part that was processed is missing in the answer.
    pub missing: f64,
    /// One part is in the answer twice.
    pub doubled: f64,
    /// The answer has a part that was not requested.
    pub unknown: f64,
    /// The JSON holds an unquoted web page.
    pub raw_html: f64,
    /// The JSON ends in the middle.
    pub cut_off: f64,
    /// The whole batch is answered 429 with Retry-After.
    pub whole_429: f64,
    /// The whole batch is answered 424, with all its parts.
    pub whole_424: f64,
    /// The whole batch is answered 503.
    pub whole_503: f64,
    /// The whole batch is answered 502 with a web page.
    pub html_502: f64,
}

/// Rules of tokens and sign-in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenRules {
    /// Lifetime in seconds; 0: 3,599 as in the documented sample, and the printed token never expires.
    pub life_s: u64,
    /// Whether a token that was requested without claims is answered with a claims challenge.
    pub challenge: bool,
    /// Permissions in the token; empty: all that the action needs.
    pub roles: Vec<String>,
    /// Scopes of a signed-in user instead of permissions of the app; empty: permissions.
    pub scopes: String,
    /// Seconds after which tokens are revoked, even before they expire; 0: never.
    pub revoked_after_s: u64,
    /// AADSTS code with which token requests are rejected; 0: none.
    pub refuse: u64,
    /// Number of issued tokens after which `refuse` applies.
    pub refuse_after: u64,
    /// Tenant in the tokens; empty: the tenant of the simulator.
    pub tenant: String,
    /// Number of issued tokens after which `tenant` applies.
    pub tenant_after: u64,
    /// Statuses of the next answers to token requests; 200 is the page of a captive portal.
    pub faults: Vec<u16>,
    /// Number of issued tokens after which `faults` apply.
    pub faults_after: u64,
    /// Retry-After of `faults` in seconds; 0: none.
    pub faults_wait_s: u64,
    /// Statuses of the first answers of the managed identity endpoints.
    pub identity_faults: Vec<u16>,
    /// Retry-After of `identity_faults` in seconds; 0: one second for a 429, none for other statuses.
    pub identity_wait_s: u64,
    /// Whether sign-in errors hold only the `error` field.
    pub bare_errors: bool,
    /// Number of polls for a device code that are answered as pending.
    pub pending: u64,
}

/// The objects of the directory.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectRules {
    /// Number of users.
    /// If there are no users, groups or contacts, every well-formed id exists and no page lists any.
    pub users: u64,
    /// Number of groups.
    pub groups: u64,
    /// Number of contacts.
    pub contacts: u64,
    /// Share of objects with an unresolved error.
    pub broken: f64,
    /// Share of objects with an error whose error comes back after a retry.
    pub fails_again: f64,
    /// Share of objects that get an error later, within `later_days`.
    pub later: f64,
    /// Days in which objects get a later error.
    pub later_days: u64,
    /// Seconds from an acceptance to its effect, from and to.
    pub effect_s: [u64; 2],
    /// Share of objects that also have a directory-sync or license error, which the action does not clear.
    pub other_errors: f64,
    /// Share of errors whose detail is not well-formed XML.
    pub broken_xml: f64,
    /// Whether well-formed ids outside the directory also exist, so that any list can be tried.
    /// Each has an error if `broken` is above 0.
    pub unknown_ids_exist: bool,
}

/// Faults of pages and of objects in reads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListingFaults {
    /// Largest `$top` that is not rejected; 0: 999.
    pub largest_page: u64,
    /// Share of objects without `serviceProvisioningErrors`, although it was selected.
    pub absent: f64,
    /// Share of objects whose `serviceProvisioningErrors` is null.
    pub null: f64,
    /// Share of objects whose single read is answered 403; pages contain them.
    pub forbidden: f64,
    /// Share of objects that are followed by a null on the page.
    pub null_objects: f64,
    /// Number of objects of the previous page with which each page begins.
    pub overlap: u64,
    /// Whether every second page is empty.
    pub empty_pages: bool,
    /// Whether links to the next page are relative.
    pub relative_links: bool,
    /// Whether the last page has an empty link to the next page.
    pub empty_last_link: bool,
    /// Numbers, from 1, of the requests for a next page that are answered that the page token has expired.
    pub expired: Vec<u64>,
    /// Numbers, from 1, of the pages whose link leads to another host.
    pub foreign: Vec<u64>,
}

impl Scenario {
    /// Returns the capacity of the write quota of one app in the tenant.
    pub fn write_capacity(&self) -> f64 {
        if self.capacity > 0.0 { self.capacity } else { self.writes_per_second.max(1.0) }
    }
}

impl Faults {
    /// Returns the pause that faults announce, in seconds.
    pub(super) fn wait_secs(&self) -> u64 {
        self.wait_s.max(1)
    }

    /// Returns every fault with its share, in a fixed order.
    pub(super) fn shares(&self) -> [(f64, RequestFault); 18] {
        [
            (self.reset_before, RequestFault::ResetBefore),
            (self.reset_after, RequestFault::ResetAfter),
            (self.error_500, RequestFault::Status(500)),
            (self.html_502, RequestFault::Html(502)),
            (self.html_200, RequestFault::Html(200)),
            (self.json_200, RequestFault::Json200),
            (self.text_403, RequestFault::Text403),
            (self.wait_503, RequestFault::Wait503),
            (self.plain_503, RequestFault::Status(503)),
            (self.error_504, RequestFault::Status(504)),
            (self.error_509, RequestFault::Status(509)),
            (self.busy, RequestFault::Busy),
            (self.throttle_429, RequestFault::Throttle),
            (self.cut_off, RequestFault::CutOff),
            (self.slow, RequestFault::Slow),
            (self.huge, RequestFault::Huge),
            (self.not_utf8, RequestFault::NotUtf8),
            (self.done_429, RequestFault::Done429),
        ]
    }
}

impl BatchFaults {
    /// Returns every fault with its share, in a fixed order.
    pub(super) fn shares(&self) -> [(f64, BatchFault); 9] {
        [
            (self.missing, BatchFault::Missing),
            (self.doubled, BatchFault::Doubled),
            (self.unknown, BatchFault::Unknown),
            (self.raw_html, BatchFault::RawHtml),
            (self.cut_off, BatchFault::CutOff),
            (self.whole_429, BatchFault::Whole429),
            (self.whole_424, BatchFault::Whole424),
            (self.whole_503, BatchFault::Whole503),
            (self.html_502, BatchFault::Html502),
        ]
    }
}

/// A fault of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestFault {
    ResetBefore,
    ResetAfter,
    Status(u16),
    Html(u16),
    Json200,
    Text403,
    Wait503,
    Busy,
    Throttle,
    CutOff,
    Slow,
    Huge,
    NotUtf8,
    Done429,
}

/// A fault of a whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchFault {
    Missing,
    Doubled,
    Unknown,
    RawHtml,
    CutOff,
    Whole429,
    Whole424,
    Whole503,
    Html502,
}

/// Draws a fault from `shares`; `None` if no fault is drawn.
pub(super) fn draw<T: Copy>(random: &mut fastrand::Rng, shares: &[(f64, T)]) -> Option<T> {
    let mut at = random.f64();
    for (share, what) in shares {
        if at < *share {
            return Some(*what);
        }
        at -= share;
    }
    None
}
