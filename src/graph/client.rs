//! One request, exactly as Graph wants it, and its answer as an `Attempt`.

use std::fmt::{self, Write as _};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING,
};
use reqwest::{Method, Request, Version};
use tokio::time::timeout_at;
use url::{Origin, Url};
use uuid::Uuid;

use super::classify::{LONGEST_BODY, Meaning, classify, date_in};
use super::connections::Connections;
use crate::auth::{Token, Tokens};
use crate::model::{
    Attempt, AttemptResult, MAX_MESSAGE, ObjectKind, Text, TransientFailure, UserId, WallClock, action,
    sanitize,
};
use crate::net::{NetFault, fault, requires_http1};

/// Longest wait for the body of a throttled response. Its headers already contain the pause for all requests,
/// and its text usually arrives in the same packet.
const REFUSAL: Duration = Duration::from_secs(1);
/// `x-ms-throttle-limit-percentage` ends at 1.8 (`docs/graph.md#headers`); what is beyond is something else.
const PERCENTAGE: RangeInclusive<f64> = 0.0..=2.0;
/// Longest `request-id` that is kept, in characters: a GUID has 36.
const MAX_REQUEST_ID: usize = 80;
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const LIMIT_PERCENTAGE: HeaderName = HeaderName::from_static("x-ms-throttle-limit-percentage");
/// Bytes of the path of an action on an object id; longer ones make it grow.
const PATH: usize = 80;
/// Characters that are not encoded in a path segment. All others are percent-encoded once.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@').remove(b'!');

/// The configuration of a client.
#[derive(Debug)]
pub struct ClientConfig {
    /// Graph root without version.
    pub root: Url,
    /// `beta` or `v1.0`.
    pub version: String,
    /// Users, groups or contacts.
    pub kind: ObjectKind,
    /// `x-ms-throttle-priority`.
    pub priority: &'static str,
}

/// Sends one request at a time; cheap to share.
#[derive(Debug)]
pub struct Client {
    connections: Connections,
    /// Root with version. Parsed once: a host costs more to parse than all else of a request's target.
    base: Url,
    /// The only place where the token may go.
    pub(super) origin: Origin,
    pub(super) kind: ObjectKind,
    /// Headers of every request.
    fixed: HeaderMap,
    /// Headers of every write, with places for those that differ, so that filling them in moves nothing.
    posting: HeaderMap,
    tokens: Arc<Tokens>,
    wall: WallClock,
    clocks: Clocks,
}

/// The clock skew: how far the clock of the service was ahead of this machine in the last response with a
/// `Date`.
#[derive(Clone, Debug)]
pub struct Clocks(Arc<AtomicI64>);

impl Clocks {
    /// No answer yet.
    const UNKNOWN: i64 = i64::MIN;

    /// In whole seconds, because `Date` has no fractions; negative if the service is behind. `None` before
    /// the first `Date`.
    pub fn service_ahead(&self) -> Option<i64> {
        Some(self.0.load(Relaxed)).filter(|seconds| *seconds != Self::UNKNOWN)
    }
}

/// An answer as far as it came, judged.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) attempt: Attempt,
    /// Empty where no answer came.
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Client {
    /// One for all workers.
    pub fn new(
        config: &ClientConfig,
        connections: Connections,
        tokens: Arc<Tokens>,
        wall: WallClock,
    ) -> Self {
        let mut base = config.root.clone();
        base.set_path(&format!("{}/{}", base.path().trim_end_matches('/'), config.version));
        let mut fixed = HeaderMap::new();
        fixed.insert(ACCEPT, HeaderValue::from_static("application/json"));
        fixed.insert("x-ms-throttle-priority", HeaderValue::from_static(config.priority));
        let mut posting = fixed.clone();
        posting.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Front ends may answer 411 to a POST without a length.
        posting.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        posting.insert(AUTHORIZATION, HeaderValue::from_static(""));
        posting.insert(CLIENT_REQUEST_ID, HeaderValue::from_static(""));
        Self {
            connections,
            base,
            origin: config.root.origin(),
            kind: config.kind,
            fixed,
            posting,
            tokens,
            wall,
            clocks: Clocks(Arc::new(AtomicI64::new(Clocks::UNKNOWN))),
        }
    }

    /// The tokens it signs with.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The clock skew, derived from responses.
    pub fn clocks(&self) -> Clocks {
        self.clocks.clone()
    }

    /// Asks Microsoft 365 to retry one object. Bounded by the client's timeout.
    pub async fn retry_provisioning(&self, token: &Token, id: &UserId) -> Attempt {
        let method = Method::from_bytes(action::METHOD.as_bytes()).expect("a token of HTTP");
        let path = ActionPath(self.kind, id);
        self.write(token, method, path, Vec::new(), LONGEST_BODY, classify).await.attempt
    }

    /// Users, groups or contacts below root and version.
    pub(super) fn collection(&self) -> Url {
        below(&self.base, format_args!("/{}", self.kind.path()))
    }

    /// Sends JSON, or nothing at all, to a path below root and version whose segments are encoded.
    pub(super) async fn write(
        &self,
        token: &Token,
        method: Method,
        path: impl fmt::Display,
        body: Vec<u8>,
        longest: usize,
        meaning: impl FnOnce(u16, &HeaderMap, &[u8], SystemTime) -> Meaning,
    ) -> Answered {
        let mut request = Request::new(method, below(&self.base, path));
        request.headers_mut().clone_from(&self.posting);
        if !body.is_empty() {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            *request.body_mut() = Some(body.into());
        }
        self.exchange(token, request, longest, meaning).await
    }

    /// Reads a URL, which lies on the origin of the endpoint.
    pub(super) async fn read(
        &self,
        token: &Token,
        url: Url,
        longest: usize,
        meaning: impl FnOnce(u16, &HeaderMap, &[u8], SystemTime) -> Meaning,
    ) -> Answered {
        let mut request = Request::new(Method::GET, url);
        request.headers_mut().clone_from(&self.fixed);
        self.exchange(token, request, longest, meaning).await
    }

    /// Signs, sends and reads at most `longest` bytes of the answer. Only a whole yes stays a yes.
    async fn exchange(
        &self,
        token: &Token,
        mut request: Request,
        longest: usize,
        meaning: impl FnOnce(u16, &HeaderMap, &[u8], SystemTime) -> Meaning,
    ) -> Answered {
        let mut attempt = self.unsent(token);
        attempt.client_request_id = fresh_id();
        let own = HeaderValue::from_str(&attempt.client_request_id).expect("hexadecimal digits and hyphens");
        request.headers_mut().insert(AUTHORIZATION, token.bearer().clone());
        request.headers_mut().insert(CLIENT_REQUEST_ID, own);
        let (http, generation) = self.connections.current();
        let started = Instant::now();
        let (headers, body) = match http.execute(request).await {
            Ok(answer) => read(&mut attempt, answer, longest, meaning).await,
            Err(error) => {
                let http1 = requires_http1(&error).then(|| self.connections.use_http1()).flatten();
                broken(&mut attempt, error);
                if let Some(first) = http1 {
                    attempt.kind = AttemptResult::Transient(TransientFailure::Http2Refused);
                    if first {
                        let host = self.base.host_str().unwrap_or_default();
                        self.tokens.warn(&format!(
                            "{host} refuses HTTP/2 (HTTP_1_1_REQUIRED). All further requests use HTTP/1.1. Add --http1 to \
                             use it from the start"
                        ));
                    }
                }
                (HeaderMap::new(), Vec::new())
            }
        };
        attempt.latency = started.elapsed();
        if let Some(date) = date_in(&headers) {
            let ahead = date.as_second() - self.wall.now().as_second();
            self.clocks.0.store(ahead, Relaxed);
            self.tokens.clock_seen(-ahead);
        }
        // After a 503 Microsoft advises a new connection; one that let a request time out may carry no
        // others.
        if attempt.status == Some(503) || attempt.kind == AttemptResult::Transient(TransientFailure::Timeout)
        {
            self.connections.leave(generation);
        }
        Answered { attempt, headers, body }
    }

    /// An attempt that nothing is known of yet.
    pub(super) fn unsent(&self, token: &Token) -> Attempt {
        Attempt {
            sent_at: self.wall.now(),
            token_generation: token.generation,
            ..Attempt::of(AttemptResult::Transient(TransientFailure::Broken))
        }
    }
}

/// A new `client-request-id`, for the report and for the header.
pub(super) fn fresh_id() -> Text {
    // Its use is to be found again in logs, so that a generator without system calls is good enough.
    let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
    let mut buffer = Uuid::encode_buffer();
    let text: &str = id.hyphenated().encode_lower(&mut buffer);
    text.into()
}

/// `/users/{id}`: the path of an object below root and version. The id is one encoded segment, or a quoted
/// key where it starts with `$` (`docs/graph.md#the-action`).
pub fn object_path(kind: ObjectKind, id: &UserId) -> String {
    ObjectPath(kind, id).to_string()
}

struct ObjectPath<'a>(ObjectKind, &'a UserId);

impl fmt::Display for ObjectPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(kind, id) = self;
        f.write_str("/")?;
        f.write_str(kind.path())?;
        if id.is_guid() {
            // The usual case has nothing to encode.
            f.write_str("/")?;
            f.write_str(id.as_str())
        } else if id.as_str().starts_with('$') {
            let quoted = id.as_str().replace('\'', "''");
            write!(f, "('{}')", utf8_percent_encode(&quoted, SEGMENT))
        } else {
            write!(f, "/{}", utf8_percent_encode(id.as_str(), SEGMENT))
        }
    }
}

/// Root and version with a path whose segments are encoded: nothing in it can reach the host or the query.
fn below(base: &Url, path: impl fmt::Display) -> Url {
    let mut url = base.clone();
    let mut whole = String::with_capacity(url.path().len() + PATH);
    // Writing into a String cannot fail.
    let _ = write!(whole, "{}{path}", url.path());
    url.set_path(&whole);
    url
}

/// The path of the action on an object.
pub(super) struct ActionPath<'a>(pub(super) ObjectKind, pub(super) &'a UserId);

impl fmt::Display for ActionPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ObjectPath(self.0, self.1).fmt(f)?;
        f.write_str(action::PATH)
    }
}

async fn read(
    attempt: &mut Attempt,
    mut answer: reqwest::Response,
    longest: usize,
    meaning: impl FnOnce(u16, &HeaderMap, &[u8], SystemTime) -> Meaning,
) -> (HeaderMap, Vec<u8>) {
    let status = answer.status().as_u16();
    attempt.status = Some(status);
    let headers = std::mem::take(answer.headers_mut());
    // Without these headers the body ends with the connection, so an empty body looks like one that was cut
    // off.
    let ends = answer.version() == Version::HTTP_2
        || [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| headers.contains_key(name));
    told(attempt, &headers);
    let mut body = Vec::new();
    let mut cut_off = None;
    let mut too_long = false;
    let refused = !(200..300).contains(&status);
    let until = refused.then(|| tokio::time::Instant::now() + REFUSAL);
    loop {
        let chunk = match until {
            Some(until) => match timeout_at(until, answer.chunk()).await {
                Ok(chunk) => chunk,
                Err(_) => break,
            },
            None => answer.chunk().await,
        };
        match chunk {
            Ok(Some(chunk)) => {
                let room = longest - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                // The rest is not read: dropping the answer closes its connection.
                too_long = chunk.len() > room;
                if too_long {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                cut_off = Some(error);
                break;
            }
        }
    }
    let Meaning { kind, code, message, retry_after } = meaning(status, &headers, &body, SystemTime::now());
    attempt.retry_after = retry_after;
    match cut_off {
        // The status is a yes, but the answer did not arrive whole: only a whole yes is a yes.
        Some(error) if !refused => broken(attempt, error),
        None if kind == AttemptResult::Accepted && body.is_empty() && status != 204 && !ends => {
            attempt.code = "broken".into();
            attempt.message = format!("HTTP {status} without a body and without its length").into();
        }
        None if too_long && !refused => {
            attempt.code = "too_long".into();
            attempt.message =
                format!("the answer is longer than {} KiB: not read any further", longest / 1024).into();
        }
        _ => (attempt.kind, attempt.code, attempt.message) = (kind, code, message),
    }
    (headers, body)
}

/// Reads the headers that do not decide about the status. Headers of a part take precedence over those of its
/// batch.
pub(super) fn told(attempt: &mut Attempt, headers: &HeaderMap) {
    let header = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(id) = header(&REQUEST_ID) {
        attempt.request_id = sanitize(id, MAX_REQUEST_ID).into();
    }
    let share = header(&LIMIT_PERCENTAGE).and_then(|text| text.trim().parse().ok());
    attempt.throttle_percentage =
        share.filter(|share| PERCENTAGE.contains(share)).or(attempt.throttle_percentage);
}

fn broken(attempt: &mut Attempt, error: reqwest::Error) {
    let (which, text) = fault(error);
    let (fault, code) = match which {
        NetFault::Timeout => (TransientFailure::Timeout, "timeout"),
        NetFault::Connect => (TransientFailure::Connect, "connect"),
        NetFault::NoRoute => (TransientFailure::NoRoute, "connect"),
        NetFault::NoAccess => (TransientFailure::NoAccess, "connect"),
        NetFault::Broken => (TransientFailure::Broken, "broken"),
    };
    attempt.kind = AttemptResult::Transient(fault);
    attempt.code = code.into();
    attempt.message = sanitize(&text, MAX_MESSAGE).into();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_object_id_is_encoded_as_any_id_would_be() {
        let guid = UserId::parse("{1F0C0000-0000-4000-8000-0000000009B2}").expect("a GUID");
        let encoded = utf8_percent_encode(guid.as_str(), SEGMENT);
        assert_eq!(object_path(ObjectKind::Groups, &guid), format!("/groups/{encoded}"));
        assert!(
            ActionPath(ObjectKind::Users, &guid).to_string().ends_with("0009b2/retryServiceProvisioning")
        );
    }

    #[test]
    fn the_share_of_the_limit_is_read_and_nothing_else_is_taken_for_one() {
        let share = |text: &'static str, of_the_batch| {
            let headers = HeaderMap::from_iter([(LIMIT_PERCENTAGE, HeaderValue::from_static(text))]);
            let mut attempt = Attempt {
                throttle_percentage: of_the_batch,
                ..Attempt::of(AttemptResult::Transient(TransientFailure::Timeout))
            };
            told(&mut attempt, &headers);
            attempt.throttle_percentage
        };
        for (text, expected) in [("0.80", 0.8), ("1", 1.0), (" 1.8 ", 1.8), ("0", 0.0)] {
            assert_eq!(share(text, Some(0.9)), Some(expected), "{text}");
        }
        for odd in ["", "85", "85%", "-0.1", "NaN", "inf", "0,9", "0.9, 0.8"] {
            assert_eq!((share(odd, None), share(odd, Some(0.9))), (None, Some(0.9)), "{odd}");
        }
    }

    #[test]
    fn odd_ids_are_one_segment() {
        let path = |id: &str| ActionPath(ObjectKind::Users, &UserId::parse(id).expect(id)).to_string();
        let rest = "/retryServiceProvisioning";
        assert_eq!(path("a_b.com#EXT#@c.com"), format!("/users/a_b.com%23EXT%23@c.com{rest}"));
        assert_eq!(path("$x'y@c.com"), format!("/users('%24x%27%27y@c.com'){rest}"));
        assert_eq!(path("a+b^c@d"), format!("/users/a%2Bb%5Ec@d{rest}"));
    }

    proptest! {
        #[test]
        fn no_id_leaves_its_segment(cell in "[ -~]{1,40}@[ -~]{1,20}") {
            if let Ok(id) = UserId::parse(&cell) {
                let base = Url::parse("http://127.0.0.1:9/beta").expect("a URL");
                let url = below(&base, ActionPath(ObjectKind::Users, &id));
                prop_assert_eq!(url.host_str(), Some("127.0.0.1"));
                let segments: Vec<_> = url.path_segments().expect("segments").collect();
                prop_assert_eq!(url.query(), None);
                prop_assert_eq!(url.fragment(), None);
                prop_assert_eq!(segments[0], "beta");
                prop_assert_eq!(*segments.last().expect("one"), "retryServiceProvisioning");
                if !cell.starts_with('$') {
                    prop_assert_eq!(segments.len(), 4);
                    let back = percent_encoding::percent_decode_str(segments[2]).decode_utf8().expect("UTF-8");
                    prop_assert_eq!(back.as_ref(), id.as_str());
                }
            }
        }
    }
}
