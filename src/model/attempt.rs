//! What one exchange with the service came to.

use std::time::Duration;

use jiff::Timestamp;

use super::Text;

/// One request for one user and the answer to it, already classified.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// What it means for the user.
    pub kind: AttemptResult,
    /// HTTP status, where an answer came.
    pub status: Option<u16>,
    /// Graph's error code, or the name of a network fault (`timeout`, `connect`, …); empty on success.
    pub code: Box<str>,
    /// Message for people: no control characters, at most 300 characters; empty on success.
    pub message: Box<str>,
    /// The `client-request-id` that was sent; fresh for every attempt.
    pub client_request_id: Text,
    /// The `request-id` of the answer; empty where none came.
    pub request_id: Text,
    /// Wall time of sending.
    pub sent_at: Timestamp,
    /// From sending to the end of the answer.
    pub latency: Duration,
    /// The readable wait of the answer, whatever its status, above zero and at most 24 h; counted from receipt.
    pub retry_after: Option<Duration>,
    /// `x-ms-throttle-limit-percentage`, where sent: 0.8 to 1.8 (`docs/graph.md#headers`).
    pub throttle_percentage: Option<f64>,
    /// Which token it was sent with: counts up by one with every renewal.
    pub token_generation: u64,
}

/// What an attempt means. Decided from status, headers and error code alone.
#[derive(Clone, Debug, PartialEq)]
pub enum AttemptResult {
    /// The service accepted the request (204, or another 2xx of the one list in `graph::classify`).
    Accepted,
    /// 429, or a 503 or 504 that names a wait. Says nothing about this user and uses up none of his attempts.
    Throttled(Throttle),
    /// Another try may serve the user: 408, 5xx without a wait, network faults, 200 with HTML.
    Transient(TransientFailure),
    /// 409 or 423: the object is busy; worth a few tries only.
    Busy,
    /// 401. Whether a renewal helps is decided by the token cache.
    Unauthorized {
        /// Decoded claims of a challenge in `WWW-Authenticate`, to be repeated in the next token request.
        claims: Option<Box<str>>,
    },
    /// Final for this user.
    Rejected(super::Reason),
}

/// What a throttled answer said beside its wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// Whose limit it was.
    pub scope: Scope,
    /// Whether the answer was a 429 (quota) and not a 503 or 504 with a wait (those do not change the learned rate).
    pub quota: bool,
}

/// Whose limit was hit: the first part of `x-ms-throttle-scope`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// This app in this tenant; also what an absent or unknown scope is taken for.
    #[default]
    AppInTenant,
    /// All apps in the tenant together.
    Tenant,
    /// This app over all tenants.
    App,
}

impl Scope {
    /// All scopes, in the order of [`Scope::index`].
    pub const ALL: [Self; 3] = [Self::AppInTenant, Self::Tenant, Self::App];

    /// Position in [`Scope::ALL`].
    pub fn index(self) -> usize {
        match self {
            Self::AppInTenant => 0,
            Self::Tenant => 1,
            Self::App => 2,
        }
    }

    /// Stable name, as files hold it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AppInTenant => "app_in_tenant",
            Self::Tenant => "tenant",
            Self::App => "app",
        }
    }

    /// The inverse of [`Scope::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// For people: whose limit it was.
    pub fn owner(self) -> &'static str {
        match self {
            Self::AppInTenant => "your app's limit in this tenant",
            Self::Tenant => "this tenant's limit for all apps",
            Self::App => "your app's limit over all tenants",
        }
    }
}

/// Why a transient attempt failed, in classes that decide how it is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransientFailure {
    /// The service answered 408, 500, 502, 504, 509 or the like.
    Server,
    /// 503: to be tried again over a new connection (`docs/graph.md#errors`).
    Unavailable,
    /// No answer in time.
    Timeout,
    /// No connection: DNS, TCP, TLS, proxy.
    Connect,
    /// The service cannot be reached: a proxy that does not answer, a name that does not exist.
    NoRoute,
    /// The way to the service is barred: a certificate, a proxy that wants another password.
    NoAccess,
    /// The connection broke, or the answer could not be read to its end.
    Broken,
    /// HTTP/2 was refused (`HTTP_1_1_REQUIRED`) before anything was done; requests use HTTP/1.1 from now on.
    Http2Refused,
    /// An answer that Graph does not give: a login page, a redirect, HTML with 200.
    NotGraph,
}

impl Attempt {
    /// One of which nothing but its meaning is known: no answer, no words, sent at the epoch with the first token. The
    /// rest is filled in by who knows it.
    pub fn of(kind: AttemptResult) -> Self {
        Self {
            kind,
            status: None,
            code: "".into(),
            message: "".into(),
            client_request_id: "".into(),
            request_id: "".into(),
            sent_at: Timestamp::UNIX_EPOCH,
            latency: Duration::ZERO,
            retry_after: None,
            throttle_percentage: None,
            token_generation: 1,
        }
    }
}

impl From<AttemptResult> for Attempt {
    fn from(kind: AttemptResult) -> Self {
        Self::of(kind)
    }
}
