//! One request, exactly as Graph wants it, and its answer as an `Attempt`.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;
use uuid::Uuid;

use super::classify::{Meaning, classify};
use crate::auth::{Token, Tokens};
use crate::model::{Attempt, Fault, Kind, MAX_MESSAGE, ObjectKind, UserId, WallClock, neutral};
use crate::net::{NetFault, fault};

/// As much of an answer as is read: error bodies are below 2 KiB.
const LONGEST_BODY: usize = 64 * 1024;
/// What stays as it is in a path segment; all else is percent-encoded, once.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@').remove(b'!');

/// What a client needs to know.
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
    http: reqwest::Client,
    collection: String,
    fixed: HeaderMap,
    tokens: Arc<Tokens>,
    wall: WallClock,
}

impl Client {
    /// `http` comes from `net::client`.
    pub fn new(config: &ClientConfig, http: reqwest::Client, tokens: Arc<Tokens>, wall: WallClock) -> Self {
        let root = config.root.as_str().trim_end_matches('/');
        let mut fixed = HeaderMap::new();
        // Front ends may answer 411 to a POST without a length.
        fixed.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        fixed.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fixed.insert(ACCEPT, HeaderValue::from_static("application/json"));
        fixed.insert("x-ms-throttle-priority", HeaderValue::from_static(config.priority));
        Self {
            http,
            collection: format!("{root}/{}/{}", config.version, config.kind.path()),
            fixed,
            tokens,
            wall,
        }
    }

    /// The tokens it signs with.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Asks Microsoft 365 to retry one object. Bounded by the client's timeout.
    pub async fn retry_provisioning(&self, token: &Token, id: &UserId) -> Attempt {
        let client_request_id = Uuid::new_v4().to_string();
        let mut headers = self.fixed.clone();
        let bearer = format!("Bearer {}", token.expose());
        if let (Ok(mut bearer), Ok(own)) =
            (HeaderValue::from_str(&bearer), HeaderValue::from_str(&client_request_id))
        {
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
            headers.insert("client-request-id", own);
        }
        let (sent_at, started) = (self.wall.now(), Instant::now());
        let answer = self.http.post(self.target(id)).headers(headers).send().await;
        let mut attempt = Attempt {
            kind: Kind::Transient(Fault::Broken),
            status: None,
            code: "".into(),
            message: "".into(),
            client_request_id: client_request_id.into(),
            request_id: "".into(),
            sent_at,
            latency: started.elapsed(),
            throttle_percentage: None,
            token_generation: token.generation,
        };
        match answer {
            Ok(answer) => read(&mut attempt, answer).await,
            Err(error) => broken(&mut attempt, error),
        }
        attempt.latency = started.elapsed();
        attempt
    }

    /// The URL: the id is one encoded path segment, or a quoted key where it starts with `$`.
    fn target(&self, id: &UserId) -> String {
        let collection = &self.collection;
        if id.as_str().starts_with('$') {
            let quoted = id.as_str().replace('\'', "''");
            let key = utf8_percent_encode(&quoted, SEGMENT);
            format!("{collection}('{key}')/retryServiceProvisioning")
        } else {
            let key = utf8_percent_encode(id.as_str(), SEGMENT);
            format!("{collection}/{key}/retryServiceProvisioning")
        }
    }
}

async fn read(attempt: &mut Attempt, mut answer: reqwest::Response) {
    let status = answer.status().as_u16();
    attempt.status = Some(status);
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    attempt.request_id = neutral(header("request-id").unwrap_or(""), 80).into();
    attempt.throttle_percentage = header("x-ms-throttle-limit-percentage")
        .and_then(|text| text.parse().ok())
        .filter(|share: &f64| share.is_finite());
    let mut body = Vec::new();
    let mut cut_off = None;
    while body.len() < LONGEST_BODY {
        match answer.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(LONGEST_BODY - body.len())]),
            Ok(None) => break,
            Err(error) => {
                cut_off = Some(error);
                break;
            }
        }
    }
    let Meaning { kind, code, message } = classify(status, answer.headers(), &body, SystemTime::now());
    match cut_off {
        // The status is a yes, but the answer did not arrive whole: only a whole yes is a yes.
        Some(error) if kind == Kind::Accepted => broken(attempt, error),
        _ => (attempt.kind, attempt.code, attempt.message) = (kind, code, message),
    }
}

fn broken(attempt: &mut Attempt, error: reqwest::Error) {
    let (which, text) = fault(error);
    let (fault, code) = match which {
        NetFault::Timeout => (Fault::Timeout, "timeout"),
        NetFault::Connect => (Fault::Connect, "connect"),
        NetFault::Broken => (Fault::Broken, "broken"),
    };
    attempt.kind = Kind::Transient(fault);
    attempt.code = code.into();
    attempt.message = neutral(&text, MAX_MESSAGE).into();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::SecretString;

    use super::*;
    use crate::auth::TokenSource;

    fn client() -> Client {
        let root = Url::parse("http://127.0.0.1:9/").expect("a URL");
        let http = crate::net::client(&root, std::time::Duration::from_secs(1), true).expect("a client");
        let tokens = Tokens::new(TokenSource::Fixed(SecretString::from("t")), None, true);
        let config = ClientConfig { root, version: "beta".into(), kind: ObjectKind::Users, priority: "low" };
        Client::new(&config, http, Arc::new(tokens), WallClock::System)
    }

    #[test]
    fn odd_ids_are_one_segment() {
        let client = client();
        let path = |id: &str| {
            client.target(&UserId::parse(id).expect(id))["http://127.0.0.1:9/beta/users".len()..].to_owned()
        };
        let rest = "/retryServiceProvisioning";
        assert_eq!(path("a_b.com#EXT#@c.com"), format!("/a_b.com%23EXT%23@c.com{rest}"));
        assert_eq!(path("$x'y@c.com"), format!("('%24x%27%27y@c.com'){rest}"));
        assert_eq!(path("a+b^c@d"), format!("/a%2Bb%5Ec@d{rest}"));
    }

    proptest! {
        #[test]
        fn no_id_leaves_its_segment(cell in "[ -~]{1,40}@[ -~]{1,20}") {
            let client = client();
            if let Ok(id) = UserId::parse(&cell) {
                let url = Url::parse(&client.target(&id)).expect("a URL");
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
