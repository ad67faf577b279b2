//! What the simulated tenant is like: parameters and expected ranges, as a scenario file holds them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// How a quota refills. Invented: Microsoft documents the amount, not the shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refill {
    /// Continuously.
    #[default]
    Bucket,
    /// The whole capacity at aligned instants.
    Window,
    /// Each write comes back one window later.
    Sliding,
}

/// How a 429 says how long to wait. All forms but `too_short` were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitForm {
    /// Whole seconds, rounded up.
    #[default]
    Integer,
    /// Three decimals.
    Fraction,
    /// An HTTP date.
    Date,
    /// In the message alone: "Please try after N seconds".
    Message,
    /// No wait at all.
    Absent,
    /// Always one second, whatever is left.
    #[serde(rename = "always_1")]
    AlwaysOne,
    /// Half of what is left, so that the next call is refused again.
    TooShort,
}

/// A scenario file. Everything has a default: no quota, no faults, every well-formed id exists.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// One line for people.
    pub title: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Writes a second of one app in the tenant that a client may plan with; 0 means no quota.
    pub writes_per_second: f64,
    /// Writes that the quota holds; 0 means the writes of one second.
    pub capacity: f64,
    /// Shape of the refill.
    pub refill: Refill,
    /// Length of a window in seconds, with `refill = "window"` or `"sliding"`.
    pub window_s: f64,
    /// Whether throttled requests are charged.
    pub charge_throttled: bool,
    /// Whether everything is refused until an announced wait is over.
    pub closed_while_waiting: bool,
    /// How a wait is announced.
    pub wait_form: WaitForm,
    /// Whether `x-ms-throttle-limit-percentage` is sent from 0.8 of the capacity on.
    pub percentage_header: bool,
    /// The other limits of the service.
    pub limits: Limits,
    /// After how many accepted requests an unannounced throttle begins.
    pub throttle_after: Vec<u64>,
    /// Its Retry-After in seconds, from and to.
    pub throttle_wait_s: [u64; 2],
    /// Answering time in milliseconds.
    pub latency_ms: u64,
    /// Shares of requests, 0 to 1, that meet a fault.
    pub faults: Faults,
    /// Shares of whole batches, 0 to 1, that meet a fault.
    pub batch: BatchFaults,
    /// Outages as seconds after the first request, from and to; every request is answered 503 without a wait.
    pub outages_s: Vec<[f64; 2]>,
    /// Times as seconds after the first request, from and to, in which something else writes to the tenant; every write is
    /// answered 409 `Directory_ConcurrencyViolation`.
    pub conflicts_s: Vec<[f64; 2]>,
    /// Whether an empty quota answers 503 without a wait, as nginx `limit_req` does, and not 429.
    pub throttle_with_503: bool,
    /// Share of ids that do not exist.
    pub missing: f64,
    /// Share of ids that are always answered 403.
    pub forbidden: f64,
    /// Share of ids that are always answered 401, with any token.
    pub unauthorized: f64,
    /// Number of the one request that is answered 401 although its token is good; 0: none.
    pub unauthorized_once: u64,
    /// What a gateway says that answers every request with 403; empty: there is none.
    pub gateway: String,
    /// Acceptances after which every action is answered 403, as when a role ends; 0: it never does.
    pub role_ends_after: u64,
    /// Whether errors repeat the `Authorization` header.
    pub echo: bool,
    /// Share of ids that are always answered 500.
    pub poisoned: f64,
    /// Connections are closed after so many requests; 0: never.
    pub close_after: u64,
    /// Tokens.
    pub token: TokenRules,
    /// Who is in the directory.
    pub objects: Objects,
    /// What is odd about what reads show.
    pub listing: Listing,
    /// What a client that behaves ends with: name of a ledger figure, from and to.
    pub expect: BTreeMap<String, [f64; 2]>,
}

/// Amounts as [requests or resource units, seconds]; absent: no limit. Documented: `samples/scenarios/documented.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
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
    /// Writes a second that other apps take from the tenant's limit.
    pub others_per_second: f64,
}

/// Shares of requests that meet each fault.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The connection is reset and nothing was done.
    pub reset_before: f64,
    /// The work was done and the connection is reset.
    pub reset_after: f64,
    /// 500 with an OData error.
    pub error_500: f64,
    /// 502 with a web page.
    pub html_502: f64,
    /// 503 with Retry-After.
    pub wait_503: f64,
    /// 503 without.
    pub plain_503: f64,
    /// 504 with an empty message.
    pub error_504: f64,
    /// 509, the bandwidth cap.
    pub error_509: f64,
    /// 409 or 423, in turn.
    pub busy: f64,
    /// 429 in turn with whole seconds, a fraction, a date, in the message only, without any wait.
    pub throttle_429: f64,
    /// 200 with a web page, as from a captive portal.
    pub html_200: f64,
    /// 200 with a JSON object that is not Graph's, as from a gateway.
    pub json_200: f64,
    /// 403 with plain text, as from a proxy.
    pub text_403: f64,
    /// 500 whose body ends before its length.
    pub cut_off: f64,
    /// 500 whose body comes in drops, over two seconds.
    pub slow: f64,
    /// 500 with four megabytes of body.
    pub huge: f64,
    /// 500 with bytes that are no UTF-8.
    pub not_utf8: f64,
    /// The work was done and the answer is a 429 all the same.
    pub done_429: f64,
    /// Seconds of the waits that faults announce, those of whole batches too; 0: one. A fraction is below the last of them.
    pub wait_s: u64,
}

/// Shares of whole batches that meet each fault.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchFaults {
    /// One part is left out of the answer; its work was done.
    pub missing: f64,
    /// One part comes twice.
    pub doubled: f64,
    /// A part that nobody asked for is added.
    pub unknown: f64,
    /// A web page stands raw inside the JSON.
    pub raw_html: f64,
    /// The JSON ends in the middle.
    pub cut_off: f64,
    /// The whole call is answered 429 with Retry-After.
    pub whole_429: f64,
    /// The whole call is answered 424, with all its parts.
    pub whole_424: f64,
    /// The whole call is answered 503.
    pub whole_503: f64,
    /// The whole call is answered 502 with a web page.
    pub html_502: f64,
}

/// How tokens live.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenRules {
    /// Life in seconds; 0: 3,599 as in the documented sample, and the printed token never dies.
    pub life_s: u64,
    /// Whether the first request of a client is answered with a claims challenge.
    pub challenge: bool,
    /// Permissions in the token; empty: all that the action needs.
    pub roles: Vec<String>,
    /// Scopes of a signed-in person instead of an app's permissions.
    pub scopes: String,
    /// Tokens die after so many seconds whatever they say; 0: when they say.
    pub revoked_after_s: u64,
    /// AADSTS code that token requests are refused with; 0: none.
    pub refuse: u64,
    /// … once so many tokens were given.
    pub refuse_after: u64,
    /// Tenant in the tokens; empty: the simulator's own.
    pub tenant: String,
    /// … once so many tokens were given.
    pub tenant_after: u64,
    /// Statuses of answers to token requests, once `faults_after` tokens were given; 200 is a captive portal's page.
    pub faults: Vec<u16>,
    /// See `faults`.
    pub faults_after: u64,
    /// The wait in seconds that they ask for; 0: none.
    pub faults_wait_s: u64,
    /// Statuses of the first answers of the managed identity endpoints.
    pub identity_faults: Vec<u16>,
    /// The wait in seconds that they ask for; 0: a second, with a 429 only.
    pub identity_wait_s: u64,
    /// Whether errors of the sign-in come as their code alone.
    pub bare_errors: bool,
    /// So many polls for a device code are answered that the person is not there yet.
    pub pending: u64,
}

/// Who is in the directory.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Objects {
    /// Made-up users; 0: every well-formed id exists and none is listed.
    pub users: u64,
    /// Made-up groups.
    pub groups: u64,
    /// Made-up contacts.
    pub contacts: u64,
    /// Share of objects with an unresolved error.
    pub broken: f64,
    /// Share of the broken ones whose error comes back after a retry.
    pub fails_again: f64,
    /// Share of objects that break later, over `later_days`.
    pub later: f64,
    /// Days over which they break.
    pub later_days: u64,
    /// Seconds from an acceptance to its effect, from and to.
    pub effect_s: [u64; 2],
    /// Share of objects with a directory-sync or licence error besides, which the action does not clear.
    pub other_errors: f64,
    /// Share of errors whose detail is not well-formed XML.
    pub broken_xml: f64,
    /// Whether well-formed ids outside the directory exist too, so that a list of one's own can be tried: each has an error
    /// where `broken` is above 0.
    pub unknown_ids_exist: bool,
}

/// What is odd about pages and about the objects that reads show.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listing {
    /// Largest `$top` that is not refused; 0: 999.
    pub largest_page: u64,
    /// Share of objects without `serviceProvisioningErrors`, although it was asked for.
    pub absent: f64,
    /// Share of objects where it is null.
    pub null: f64,
    /// Share of objects whose own read is answered 403; they stand on pages.
    pub forbidden: f64,
    /// Share of objects behind which a null stands on the page.
    pub null_objects: f64,
    /// Each page but the first begins with so many objects of the page before.
    pub overlap: u64,
    /// Every second page is empty.
    pub empty_pages: bool,
    /// Links to the next page are relative.
    pub relative_links: bool,
    /// The last page has a link that is empty.
    pub empty_last_link: bool,
    /// Which requests for a next page, from 1, find that its token has expired.
    pub expired: Vec<u64>,
    /// Which pages, from 1, have a link that leads to another host.
    pub foreign: Vec<u64>,
}

impl Scenario {
    /// Capacity of the write quota of one app in the tenant.
    pub fn full(&self) -> f64 {
        if self.capacity > 0.0 { self.capacity } else { self.writes_per_second.max(1.0) }
    }
}

impl Faults {
    /// Seconds of the waits that they announce.
    pub(super) fn wait(&self) -> u64 {
        self.wait_s.max(1)
    }

    /// Every fault with its name, in a fixed order.
    pub(super) fn shares(&self) -> [(f64, Fault); 18] {
        [
            (self.reset_before, Fault::ResetBefore),
            (self.reset_after, Fault::ResetAfter),
            (self.error_500, Fault::Status(500)),
            (self.html_502, Fault::Html(502)),
            (self.html_200, Fault::Html(200)),
            (self.json_200, Fault::Json200),
            (self.text_403, Fault::Text403),
            (self.wait_503, Fault::Wait503),
            (self.plain_503, Fault::Status(503)),
            (self.error_504, Fault::Status(504)),
            (self.error_509, Fault::Status(509)),
            (self.busy, Fault::Busy),
            (self.throttle_429, Fault::Throttle),
            (self.cut_off, Fault::CutOff),
            (self.slow, Fault::Slow),
            (self.huge, Fault::Huge),
            (self.not_utf8, Fault::NotUtf8),
            (self.done_429, Fault::Done429),
        ]
    }
}

impl BatchFaults {
    /// Every fault with its name, in a fixed order.
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
pub(super) enum Fault {
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

/// Draws from shares; `None` where no fault is met.
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
