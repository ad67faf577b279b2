//! The real client against scripted HTTP/2 frames: one attempt for each request, whatever the connection does.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use reprovision::auth::{Notices, TokenSource, Tokens};
use reprovision::engine::dispatch::Exchange;
use reprovision::graph::{Client, ClientConfig, Connections};
use reprovision::model::{Attempt, AttemptResult, ObjectKind, Reason, TransientFailure, UserId, WallClock};
use secrecy::SecretString;
use url::Url;

/// Of a client that runs into it. What is served after it must come within it, also where the machine is busy.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Of a client that knows what came before it, and more than one that runs into its own needs.
const PATIENCE: Duration = Duration::from_secs(30);
const BROKEN: AttemptResult = AttemptResult::Transient(TransientFailure::Broken);
const NOT_GRAPH: AttemptResult = AttemptResult::Transient(TransientFailure::NotGraph);
const LATE: AttemptResult = AttemptResult::Transient(TransientFailure::Timeout);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Error codes of RFC 9113, section 7.
const NO_ERROR: u32 = 0;
const REFUSED: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;
const HTTP_1_1_REQUIRED: u32 = 13;
/// `:status` in HPACK's static table.
const S204: u8 = 0x89;
const S200: u8 = 0x88;
const S404: u8 = 0x8d;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).expect("a short frame").to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// `content-length: n`, not indexed, by its name in the static table (28).
fn length(n: &str) -> Vec<u8> {
    [&[0x0f, 0x0d, n.len() as u8], n.as_bytes()].concat()
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

fn go_away(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

fn no_content(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &[S204])
}

/// What is written once a request has come on a stream, and whether the connection closes then: perhaps with a reset,
/// which may overtake what was written.
type Play = (Box<dyn Fn(u32) -> Vec<u8> + Send>, bool);

fn play(frames: impl Fn(u32) -> Vec<u8> + Send + 'static) -> Play {
    (Box::new(frames), false)
}

fn last(frames: impl Fn(u32) -> Vec<u8> + Send + 'static) -> Play {
    (Box::new(frames), true)
}

struct Server {
    root: Url,
    /// The connection of each request, in the order of arrival.
    seen: Arc<Mutex<Vec<usize>>>,
}

impl Server {
    /// `settings` opens every connection; each request gets the next play, afterwards 204.
    fn start(settings: Vec<u8>, plays: Vec<Play>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = seen.clone();
        let plays = Arc::new(Mutex::new(plays.into_iter()));
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (Ok(stream), seen, plays) = (stream, shared.clone(), plays.clone()) else { return };
                let settings = settings.clone();
                thread::spawn(move || {
                    // What the client does to its connection is its own affair.
                    let _ = serve(stream, &settings, || {
                        seen.lock().expect("no panic holds it").push(number);
                        plays.lock().expect("no panic holds it").next()
                    });
                });
            }
        });
        Self { root: Url::parse(&format!("http://{address}")).expect("a URL"), seen }
    }

    fn requests(&self) -> Vec<usize> {
        self.seen.lock().expect("no panic holds it").clone()
    }

    fn client(&self, timeout: Duration) -> Client {
        self.client_with(timeout, Tokens::new(TokenSource::fixed(SecretString::from("canary-token")), true))
    }

    fn client_with(&self, timeout: Duration, tokens: Tokens) -> Client {
        let config = ClientConfig {
            root: self.root.clone(),
            version: "beta".into(),
            kind: ObjectKind::Users,
            priority: "low",
        };
        // As `net` builds it, but for TLS, by which HTTP/2 is agreed on otherwise.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let connections = Connections::new(move || {
            let builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .timeout(timeout)
                .http2_prior_knowledge()
                .tls_certs_only([])
                .no_proxy();
            Ok(builder.build().expect("a client"))
        });
        let root = self.root.clone();
        let http1 = move || reprovision::net::client(&root, timeout, true);
        let connections = connections.expect("a client").or_http1(http1);
        Client::new(&config, connections, Arc::new(tokens), WallClock::System)
    }
}

fn serve(mut stream: TcpStream, settings: &[u8], next: impl Fn() -> Option<Play>) -> io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface)?;
    if preface.starts_with(b"POST ") {
        // A client that went back to HTTP/1.1. No request of these tests has a body.
        let mut head = preface.to_vec();
        loop {
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                head.push(byte[0]);
            }
            head.clear();
            next();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        }
    }
    stream.write_all(&frame(SETTINGS, 0, 0, settings))?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, s0, s1, s2, s3] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload)?;
        match kind {
            SETTINGS if flags & ACK == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, &[]))?,
            PING if flags & ACK == 0 => stream.write_all(&frame(PING, ACK, 0, &payload))?,
            HEADERS if flags & END_STREAM != 0 => {
                let (frames, closes) = next().unwrap_or_else(|| play(no_content));
                stream.write_all(&frames(u32::from_be_bytes([s0, s1, s2, s3])))?;
                if closes {
                    return Ok(());
                }
            }
            _ => {}
        }
    }
}

async fn send(client: &Client) -> Attempt {
    let id = UserId::parse("ann@contoso.com").expect("an id");
    let pass = client.prepare().await.expect("a token");
    let began = Instant::now();
    let attempt = client.send(&pass, &id).await;
    assert!(began.elapsed() < PATIENCE, "{:?} for one request", began.elapsed());
    attempt
}

#[tokio::test]
async fn http2_response_is_read_by_frames_and_never_sent_twice() {
    let body = |status: u8, claimed: &'static str, sent: &'static str| {
        move |stream| {
            let headers = frame(HEADERS, END_HEADERS, stream, &[&[status], &*length(claimed)].concat());
            [headers, frame(DATA, END_STREAM, stream, sent.as_bytes())].concat()
        }
    };
    let open = |stream| frame(HEADERS, END_HEADERS, stream, &[S200]);
    let pings = |stream| [frame(PING, 0, 0, &[0; 8]).repeat(2_000), no_content(stream)].concat();
    let long = |stream| {
        // A literal header `x` of a megabyte, over many frames.
        let first = frame(HEADERS, 0, stream, &[S204, 0x00, 0x01, b'x', 0x7f, 0x81, 0xff, 0x3f]);
        let more = frame(CONTINUATION, 0, stream, &vec![b'y'; 16_000]).repeat(66);
        [first, more, frame(CONTINUATION, END_HEADERS, stream, b"")].concat()
    };
    let cases: [(&str, Play, AttemptResult); 20] = [
        ("204", play(no_content), AttemptResult::Accepted),
        ("200", play(body(S200, "0", "")), AttemptResult::Accepted),
        ("200 {}", play(body(S200, "2", "{}")), NOT_GRAPH),
        ("204 with a body", play(body(S204, "2", "{}")), NOT_GRAPH),
        (
            "404",
            play(body(S404, "30", r#"{"error":{"code":"UnknownXX"}}"#)),
            AttemptResult::Rejected(Reason::NotFound),
        ),
        ("404 {}", play(body(S404, "2", "{}")), NOT_GRAPH),
        ("200 shorter than its length", play(body(S200, "9", "{}")), BROKEN),
        ("200 longer than its length", play(body(S200, "1", "{}")), BROKEN),
        (
            "200 without an end",
            last(move |stream| [open(stream), frame(DATA, 0, stream, b"{}")].concat()),
            BROKEN,
        ),
        ("200 cancelled", play(move |stream| [open(stream), reset(stream, CANCEL)].concat()), BROKEN),
        ("refused", play(|stream| reset(stream, REFUSED)), BROKEN),
        ("cancelled", play(|stream| reset(stream, CANCEL)), BROKEN),
        ("go away, nothing was done", last(|_| go_away(0, NO_ERROR)), BROKEN),
        ("go away and calm down", last(|_| go_away(0, ENHANCE_YOUR_CALM)), BROKEN),
        (
            "go away behind the answer",
            play(|stream| [no_content(stream), go_away(stream, NO_ERROR)].concat()),
            AttemptResult::Accepted,
        ),
        ("closed", last(|_| Vec::new()), BROKEN),
        ("silence", play(|_| Vec::new()), LATE),
        ("two thousand pings", play(pings), AttemptResult::Accepted),
        ("a header of a megabyte", last(long), BROKEN),
        ("no frames", last(|_| b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()), BROKEN),
    ];
    for (name, script, expected) in cases {
        let server = Server::start(Vec::new(), vec![script]);
        let client = server.client(if expected == LATE { TIMEOUT } else { PATIENCE });
        let attempt = send(&client).await;
        assert_eq!(attempt.kind, expected, "{name}: {}", attempt.message);
        assert_eq!(server.requests().len(), 1, "{name}: sent once");
        let mut next = send(&client).await;
        if next.kind == BROKEN {
            // It met a connection that was just closing.
            next = send(&client).await;
        }
        assert_eq!(next.kind, AttemptResult::Accepted, "the next one, after {name}: {}", next.message);
    }
}

#[tokio::test]
async fn queued_http2_stream_costs_the_timeout_and_no_more() {
    // SETTINGS_MAX_CONCURRENT_STREAMS = 1, and no stream is ever answered.
    let silent = (0..10).map(|_| play(|_| Vec::new())).collect();
    let server = Server::start(vec![0, 3, 0, 0, 0, 1], silent);
    let client = server.client(TIMEOUT);
    let attempts = futures::future::join_all((0..5).map(|_| send(&client))).await;
    assert!(attempts.iter().all(|attempt| attempt.kind == LATE), "{attempts:?}");
}

#[tokio::test]
async fn next_request_after_a_timeout_uses_a_new_connection() {
    let server = Server::start(Vec::new(), vec![play(no_content), play(|_| Vec::new())]);
    let client = server.client(TIMEOUT);
    let kinds = [send(&client).await.kind, send(&client).await.kind, send(&client).await.kind];
    assert_eq!(kinds, [AttemptResult::Accepted, LATE, AttemptResult::Accepted]);
    assert_eq!(server.requests(), [0, 0, 1], "one connection carries all until it is left");
}

#[tokio::test]
async fn refused_http2_is_replaced_by_http1_for_the_rest() {
    // The connection stays open: where it is closed behind the refusal, a request may meet the closed connection first.
    let refusals: [fn() -> Play; 2] =
        [|| play(|stream| reset(stream, HTTP_1_1_REQUIRED)), || play(|_| go_away(0, HTTP_1_1_REQUIRED))];
    for (number, refusal) in refusals.into_iter().enumerate() {
        // Five users are in flight; each gets the refusal.
        let server = Server::start(Vec::new(), (0..5).map(|_| refusal()).collect());
        let (told, inbox) = std::sync::mpsc::channel();
        let notices = Notices::to(move |_, text| told.send(text.to_owned()).unwrap_or_default());
        let source = TokenSource::fixed(SecretString::from("canary-token"));
        let client = server.client_with(PATIENCE, Tokens::telling(source, true, notices));
        let first = futures::future::join_all((0..5).map(|_| send(&client))).await;
        for attempt in first {
            // One that came after the switch is served.
            let refused = attempt.kind == AttemptResult::Transient(TransientFailure::Http2Refused);
            assert!(refused || attempt.kind == AttemptResult::Accepted, "{number}: {attempt:?}");
        }
        let begun = server.requests().len();
        for _ in 0..3 {
            assert_eq!(send(&client).await.kind, AttemptResult::Accepted, "{number}");
        }
        let later = &server.requests()[begun..];
        assert!(later.len() == 3 && later.windows(2).all(|pair| pair[0] == pair[1]), "{number}: {later:?}");
        let said: Vec<String> = inbox.try_iter().collect();
        assert!(
            said.len() == 1 && said[0].contains("All further requests use HTTP/1.1"),
            "{number}: {said:?}"
        );
    }
}
