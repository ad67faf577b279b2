//! The real client against scripted bytes: whatever comes over the wire becomes an attempt of the right kind, in bounded time.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use reprovision::auth::{TokenSource, Tokens};
use reprovision::engine::dispatch::{Dispatch, Exchange};
use reprovision::engine::retry::RetryPolicy;
use reprovision::engine::worker::Workers;
use reprovision::graph::{Client, ClientConfig, Connections};
use reprovision::model::{
    Attempt, AttemptResult, Event, ObjectKind, Outcome, Reason, Row, TransientFailure, UserId, WallClock,
};
use reprovision::pace::{Bounds, Pace, RateController};
use reprovision::stop::Stop;
use secrecy::SecretString;
use tokio::sync::{Semaphore, mpsc};
use url::Url;

/// Of a client that runs into it. What is served after it must come within it, also where the machine is busy.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);
/// Of a client that knows what came before it, and more than one that runs into its own needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// What the system's socket buffers may take in beside what the client reads.
const BUFFERS: usize = 16 * 1024 * 1024;
pub(crate) const NOT_GRAPH: AttemptResult = AttemptResult::Transient(TransientFailure::NotGraph);
pub(crate) const BROKEN: AttemptResult = AttemptResult::Transient(TransientFailure::Broken);
const LATE: AttemptResult = AttemptResult::Transient(TransientFailure::Timeout);
const NOT_FOUND: AttemptResult = AttemptResult::Rejected(Reason::NotFound);
/// What every script ends with once it has nothing more to say: an answer that no case expects.
const GONE: &[u8] = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n";

/// What the server does after it has read a request.
#[derive(Clone)]
pub(crate) enum Play {
    Say(Vec<u8>),
    /// A byte at a time.
    Drip(Vec<u8>, Duration),
    /// Again and again until the client goes away.
    Endless(Vec<u8>),
    /// RST.
    Reset,
    /// FIN.
    Close,
    /// Nothing, and the connection stays.
    Hang,
}

/// A final word of Graph.
pub(crate) const MISSING: &str =
    r#"{"error":{"code":"Request_ResourceNotFound","message":"Resource does not exist."}}"#;

fn missing() -> String {
    answer("404 Not Found", &format!("Content-Length: {}\r\n", MISSING.len()), MISSING)
}

pub(crate) fn say(text: impl AsRef<[u8]>) -> Vec<Play> {
    vec![Play::Say(text.as_ref().to_vec())]
}

#[derive(Default)]
struct Seen {
    /// Number of the connection and head of each request, in the order of arrival.
    requests: Vec<(usize, String)>,
    sent: usize,
}

pub(crate) struct Server {
    root: Url,
    seen: Arc<Mutex<Seen>>,
}

impl Server {
    /// Plays one script for each request, over all connections; afterwards `GONE`.
    pub(crate) fn start(scripts: Vec<Vec<Play>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = seen.clone();
        let scripts = Arc::new(Mutex::new(scripts.into_iter()));
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (Ok(stream), seen, scripts) = (stream, shared.clone(), scripts.clone()) else { return };
                thread::spawn(move || {
                    // What the client does to its connection is its own affair.
                    let _ =
                        serve(stream, number, &seen, || scripts.lock().expect("no panic holds it").next());
                });
            }
        });
        Self { root: Url::parse(&format!("http://{address}")).expect("a URL"), seen }
    }

    pub(crate) fn requests(&self) -> Vec<(usize, String)> {
        self.seen.lock().expect("no panic holds it").requests.clone()
    }

    fn sent(&self) -> usize {
        self.seen.lock().expect("no panic holds it").sent
    }

    fn client(&self) -> Client {
        self.client_with(PATIENCE)
    }

    pub(crate) fn client_with(&self, timeout: Duration) -> Client {
        let root = self.root.clone();
        let tokens = Tokens::new(TokenSource::fixed(SecretString::from("canary-token")), true);
        let config = ClientConfig {
            root: root.clone(),
            version: "beta".into(),
            kind: ObjectKind::Users,
            priority: "low",
        };
        let connections =
            Connections::new(move || reprovision::net::client(&root, timeout, false)).expect("a client");
        Client::new(&config, connections, Arc::new(tokens), WallClock::System)
    }
}

fn serve(
    mut stream: TcpStream,
    number: usize,
    seen: &Mutex<Seen>,
    next: impl Fn() -> Option<Vec<Play>>,
) -> io::Result<()> {
    let count = |bytes: usize| seen.lock().expect("no panic holds it").sent += bytes;
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte)? == 0 {
                return Ok(());
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        stream.read_exact(&mut vec![0; length.unwrap_or(0)])?;
        seen.lock().expect("no panic holds it").requests.push((number, head));
        for play in next().unwrap_or_else(|| say(GONE)) {
            match play {
                Play::Say(bytes) => {
                    stream.write_all(&bytes)?;
                    count(bytes.len());
                }
                Play::Drip(bytes, pause) => {
                    for byte in bytes {
                        stream.write_all(&[byte])?;
                        thread::sleep(pause);
                    }
                }
                Play::Endless(bytes) => loop {
                    stream.write_all(&bytes)?;
                    count(bytes.len());
                },
                Play::Reset => {
                    // Unread bytes turn a close into a reset; without them only the option does.
                    return rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))
                        .map_err(io::Error::from);
                }
                Play::Close => return stream.shutdown(Shutdown::Both),
                Play::Hang => {
                    // Until the client goes away.
                    let _ = stream.read(&mut [0]);
                    return Ok(());
                }
            }
        }
    }
}

pub(crate) fn id() -> UserId {
    UserId::parse("Ann_x.org#EXT#@contoso.com").expect("an id")
}

async fn send(client: &Client) -> Attempt {
    let pass = client.prepare().await.expect("a token");
    let began = Instant::now();
    let attempt = client.send(&pass, &id()).await;
    assert!(began.elapsed() < PATIENCE, "{:?} for one request", began.elapsed());
    assert!(!format!("{attempt:?}").contains("canary"), "the token in an attempt");
    attempt
}

/// One request that is answered by the script, and one behind it that must not be answered by what is left of it.
async fn judged(script: Vec<Play>) -> Attempt {
    judged_within(PATIENCE, script).await
}

async fn judged_within(timeout: Duration, script: Vec<Play>) -> Attempt {
    let server = Server::start(vec![script, say(missing())]);
    let client = server.client_with(timeout);
    let attempt = send(&client).await;
    let mut next = send(&client).await;
    if next.kind == BROKEN {
        // It left on the connection that the script had closed, and nobody read it.
        next = send(&client).await;
    }
    assert_eq!(next.kind, NOT_FOUND, "the next answer, after {:?}", attempt.kind);
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "one request each: {requests:?}");
    // Informational answers are read and forgotten until the time is over; all else is taken to a bound.
    assert!(attempt.kind == LATE || server.sent() < BUFFERS, "{} bytes were taken", server.sent());
    attempt
}

pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}\r\n{body}")
}

#[tokio::test]
async fn request_bytes_match_the_documented_request() {
    let ok = answer("204 No Content", "Set-Cookie: a=b\r\nAlt-Svc: h3=\":443\"\r\n", "");
    let server = Server::start(vec![say(&ok), say(&ok)]);
    let client = server.client();
    let attempts = [send(&client).await, send(&client).await];
    let requests = server.requests();
    assert_eq!(requests.iter().map(|(connection, _)| *connection).collect::<Vec<_>>(), [0, 0], "kept alive");
    for (attempt, (_, head)) in attempts.iter().zip(&requests) {
        let mut lines: Vec<_> = head.trim_end().split("\r\n").collect();
        assert_eq!(
            lines.remove(0),
            "POST /beta/users/Ann_x.org%23EXT%23@contoso.com/retryServiceProvisioning HTTP/1.1"
        );
        lines.sort_unstable();
        let host = server.root.as_str().trim_start_matches("http://").trim_end_matches('/');
        let expected = [
            "accept-encoding: gzip".to_owned(),
            "accept: application/json".to_owned(),
            "authorization: Bearer canary-token".to_owned(),
            format!("client-request-id: {}", attempt.client_request_id),
            "content-length: 0".to_owned(),
            "content-type: application/json".to_owned(),
            format!("host: {host}"),
            format!("user-agent: reprovision/{}", env!("CARGO_PKG_VERSION")),
            "x-ms-throttle-priority: low".to_owned(),
        ];
        assert_eq!(lines, expected);
    }
    assert_ne!(attempts[0].client_request_id, attempts[1].client_request_id);
}

#[tokio::test]
async fn only_complete_success_responses_are_accepted() {
    let continues = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000);
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let no_content = answer("204 No Content", "", "");
    let cases = [
        ("204", no_content.clone(), AttemptResult::Accepted),
        ("204 after a thousand 100s", continues + &no_content, AttemptResult::Accepted),
        ("204 after early hints", format!("{hints}{no_content}"), AttemptResult::Accepted),
        (
            "204 with a length and a body",
            answer("204 No Content", "Content-Length: 5\r\n", "hello"),
            AttemptResult::Accepted,
        ),
        (
            "204 with a page",
            answer("204 No Content", "Content-Type: text/html\r\n", "<html>"),
            AttemptResult::Accepted,
        ),
        ("200 without a body", answer("200 OK", "Content-Length: 0\r\n", ""), AttemptResult::Accepted),
        ("200 with a blank", answer("200 OK", "Content-Length: 2\r\n", "\r\n"), AttemptResult::Accepted),
        (
            "200 in chunks",
            answer("200 OK", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            AttemptResult::Accepted,
        ),
        ("202", answer("202 Accepted", "Content-Length: 0\r\nLocation: /x\r\n", ""), AttemptResult::Accepted),
        ("200 that ends with the connection", answer("200 OK", "", ""), BROKEN),
        ("200 {}", answer("200 OK", "Content-Length: 2\r\n", "{}"), NOT_GRAPH),
        (
            "200 {} in chunks",
            answer("200 OK", "Transfer-Encoding: chunked\r\n", "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"),
            NOT_GRAPH,
        ),
        (
            "200 typed as a page",
            answer("200 OK", "Content-Type: Text/HTML\r\nContent-Length: 0\r\n", ""),
            NOT_GRAPH,
        ),
        (
            "200 with an error of version 3",
            answer("200 OK", "Content-Length: 18\r\n", r#"{"odata.error":{}}"#),
            NOT_GRAPH,
        ),
        ("202 with text", answer("202 Accepted", "Content-Length: 2\r\n", "OK"), NOT_GRAPH),
        ("201", answer("201 Created", "Content-Length: 2\r\n", "{}"), NOT_GRAPH),
        ("206", answer("206 Partial Content", "Content-Length: 2\r\n", "{}"), NOT_GRAPH),
        (
            "200 with a page",
            answer("200 OK", "Content-Length: 6\r\nContent-Type: text/html\r\n", "<html>"),
            NOT_GRAPH,
        ),
        ("200 with an error", answer("200 OK", "Content-Length: 12\r\n", r#"{"error":{}}"#), NOT_GRAPH),
        ("200 cut off in a chunk", answer("200 OK", "Transfer-Encoding: chunked\r\n", "5\r\n{"), BROKEN),
        (
            "200 without the last chunk",
            answer("200 OK", "Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n"),
            BROKEN,
        ),
        ("200 shorter than its length", answer("200 OK", "Content-Length: 9\r\n", "{}"), BROKEN),
        ("101", answer("101 Switching Protocols", "Upgrade: x\r\nConnection: upgrade\r\n", ""), NOT_GRAPH),
        ("nothing", String::new(), BROKEN),
    ];
    for (name, bytes, expected) in cases {
        let attempt = judged(vec![Play::Say(bytes.into_bytes()), Play::Close]).await;
        assert_eq!(attempt.kind, expected, "{name}: {}", attempt.message);
    }
}

#[tokio::test]
async fn bytes_that_are_not_http_are_a_network_failure() {
    let many: String = (0..101).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(1024 * 1024));
    let cases: [(&str, Vec<u8>); 22] = [
        ("two lengths", answer("200 OK", "Content-Length: 2\r\nContent-Length: 3\r\n", "{}").into()),
        ("a length below zero", answer("200 OK", "Content-Length: -2\r\n", "{}").into()),
        (
            "a bad chunk size",
            answer("200 OK", "Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n").into(),
        ),
        (
            "a chunk size that overflows",
            answer("200 OK", "Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n{}").into(),
        ),
        ("NUL in a header", answer("204 No Content", "x: a\0b\r\n", "").into()),
        ("a blank before the colon", answer("204 No Content", "x : a\r\n", "").into()),
        ("a folded header", answer("204 No Content", "x: a\r\n b\r\n", "").into()),
        ("101 headers", answer("204 No Content", &many, "").into()),
        ("a header of a megabyte", answer("204 No Content", &long, "").into()),
        ("status 000", b"HTTP/1.1 000 Nothing\r\n\r\n".to_vec()),
        ("status 99", b"HTTP/1.1 99 Low\r\n\r\n".to_vec()),
        ("status 2040", b"HTTP/1.1 2040 High\r\n\r\n".to_vec()),
        ("status abc", b"HTTP/1.1 abc\r\n\r\n".to_vec()),
        ("no status", b"HTTP/1.1\r\n\r\n".to_vec()),
        ("HTTP/3", b"HTTP/3 204 No Content\r\n\r\n".to_vec()),
        ("HTTP/2 in text", b"HTTP/2.0 204 No Content\r\n\r\n".to_vec()),
        ("a radio station", b"ICY 200 OK\r\n\r\n".to_vec()),
        ("HTTP/0.9", b"<html>hello</html>".to_vec()),
        ("SSH", b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".to_vec()),
        ("a TLS alert", b"\x15\x03\x01\x00\x02\x02\x28".to_vec()),
        ("an HTTP/2 frame", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec()),
        ("zeros", vec![0; 100]),
    ];
    for (name, bytes) in cases {
        let attempt = judged(vec![Play::Say(bytes), Play::Close]).await;
        assert_eq!((attempt.kind, &*attempt.code), (BROKEN, "broken"), "{name}");
        assert_eq!(attempt.status.unwrap_or(200), 200, "{name}");
    }
}

#[tokio::test]
async fn unusual_but_complete_responses_are_classified() {
    let cases = [
        ("HTTP/1.0 204", "HTTP/1.0 204 No Content\r\n\r\n".to_owned(), AttemptResult::Accepted),
        (
            "HTTP/1.0 200 with its length",
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
            AttemptResult::Accepted,
        ),
        ("HTTP/1.0 200 to the end", "HTTP/1.0 200 OK\r\n\r\n".to_owned(), BROKEN),
        ("HTTP/1.0 200 cut off", "HTTP/1.0 200 OK\r\n\r\n{".to_owned(), NOT_GRAPH),
        ("a reason in UTF-8", missing().replace("Not Found", "N\u{e4}chtes Mal"), NOT_FOUND),
        ("no reason", missing().replace(" Not Found", ""), NOT_FOUND),
        ("status 600", answer("600 Odd", "Content-Length: 0\r\n", ""), NOT_GRAPH),
        ("status 999", answer("999 Odd", "Content-Length: 0\r\n", ""), NOT_GRAPH),
        ("404 cut off", answer("404 Not Found", "Content-Length: 90\r\n", r#"{"error":{"co"#), NOT_GRAPH),
        (
            "404 compressed, it says",
            answer("404 Not Found", "Content-Encoding: gzip\r\nContent-Length: 4\r\n", "what"),
            NOT_GRAPH,
        ),
        (
            "200 compressed, it says",
            answer("200 OK", "Content-Encoding: gzip\r\nContent-Length: 2\r\n", "{}"),
            BROKEN,
        ),
        (
            "404 in another encoding",
            answer("404 Not Found", "Content-Encoding: br\r\nContent-Length: 4\r\n", "what"),
            NOT_GRAPH,
        ),
    ];
    for (name, bytes, expected) in cases {
        let attempt = judged(vec![Play::Say(bytes.into_bytes()), Play::Close]).await;
        assert_eq!(attempt.kind, expected, "{name}: {}", attempt.message);
    }
}

#[tokio::test]
async fn bytes_after_a_response_are_not_read_as_a_response() {
    let second = answer("200 OK", "Content-Length: 2\r\n", "{}");
    for first in [
        answer("204 No Content", "", ""),
        answer("204 No Content", &format!("Content-Length: {}\r\n", second.len()), ""),
        answer("404 Not Found", "Content-Length: 0\r\n", ""),
        answer("404 Not Found", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        answer("404 Not Found", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ] {
        // `judged` looks at the answer to the request behind it. The connection stays open on the server's side.
        let attempt = judged(vec![Play::Say(format!("{first}{second}").into_bytes()), Play::Hang]).await;
        assert!(matches!(attempt.kind, AttemptResult::Accepted | NOT_GRAPH), "{:?}", attempt.kind);
    }
}

/// Zeros, a thousand to one: a fixed Huffman block of a literal 0 and matches of 258 bytes at distance 1.
fn bomb(megabytes: usize) -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let (mut held, mut count) = (0_u64, 0);
    let mut put = |code: u64, length: u32| {
        // Huffman codes go in from their highest bit.
        held |= (code.reverse_bits() >> (64 - length)) << count;
        count += length;
        while count >= 8 {
            bytes.push(held as u8);
            (held, count) = (held >> 8, count - 8);
        }
    };
    put(0b110, 3);
    put(0b0011_0000, 8);
    for _ in 0..megabytes * 1024 * 1024 / 258 {
        put(0b1100_0101, 8);
        put(0, 5);
    }
    put(0, 32);
    bytes
}

#[tokio::test]
async fn endless_and_decompressing_bodies_are_not_read() {
    let chunk = |size: usize| format!("{size:x}\r\n{}\r\n", "y".repeat(size)).into_bytes();
    for (status, expected) in [
        ("404 Not Found", NOT_GRAPH),
        ("500 Oops", AttemptResult::Transient(TransientFailure::Server)),
        ("200 OK", BROKEN),
    ] {
        let head = answer(status, "Transfer-Encoding: chunked\r\n", "");
        let attempt = judged(vec![Play::Say(head.into_bytes()), Play::Endless(chunk(16 * 1024))]).await;
        assert_eq!(attempt.kind, expected, "{status}");
        assert_eq!(&*attempt.code == "too_long", expected == BROKEN, "{status}");
    }
    let head = answer("200 OK", "Content-Length: 10000000000\r\n", "{");
    let attempt = judged(vec![Play::Say(head.into_bytes()), Play::Endless(vec![b' '; 16 * 1024])]).await;
    assert_eq!((attempt.kind, &*attempt.code), (BROKEN, "too_long"), "ten gigabytes");
    for (status, expected) in [("404 Not Found", NOT_GRAPH), ("200 OK", BROKEN)] {
        let body = bomb(512);
        let bytes =
            answer(status, &format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", body.len()), "");
        let attempt = judged(vec![Play::Say([bytes.as_bytes(), &body].concat()), Play::Close]).await;
        assert_eq!(attempt.kind, expected, "a bomb with {status}");
        assert_eq!(&*attempt.code == "too_long", expected == BROKEN, "a bomb with {status}");
    }
    let endless = Play::Endless(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100));
    let attempt = judged_within(TIMEOUT, vec![endless]).await;
    assert_eq!(attempt.kind, LATE, "100s without end");
}

#[tokio::test]
async fn slow_or_silent_server_costs_the_timeout_and_no_more() {
    let ok = answer("204 No Content", "", "");
    let pause = Duration::from_millis(100);
    let body = answer("200 OK", "Content-Length: 2000\r\n", "");
    for (name, script) in [
        ("a dripping head", vec![Play::Drip(ok.into_bytes(), pause)]),
        ("a dripping body", vec![Play::Say(body.clone().into_bytes()), Play::Drip(vec![b' '; 2_000], pause)]),
        ("no answer at all", vec![Play::Hang]),
        ("half a head", vec![Play::Say(b"HTTP/1.1 204 No".to_vec()), Play::Hang]),
        ("half a body", vec![Play::Say(body.into_bytes()), Play::Hang]),
    ] {
        let began = Instant::now();
        let attempt = judged_within(TIMEOUT, script).await;
        assert_eq!((attempt.kind, &*attempt.code), (LATE, "timeout"), "{name}: {}", attempt.message);
        assert!(began.elapsed() >= TIMEOUT, "{name}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn connection_resets_and_refusals_are_network_failures() {
    let half = answer("200 OK", "Content-Length: 9\r\n", "{");
    for script in [vec![Play::Reset], vec![Play::Say(half.into_bytes()), Play::Reset], vec![Play::Close]] {
        assert_eq!(judged(script).await.kind, BROKEN);
    }
    let server = Server::start(Vec::new());
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("an address");
    let nobody = Server { root: Url::parse(&format!("http://{free}")).expect("a URL"), seen: server.seen };
    let attempt = send(&nobody.client()).await;
    assert_eq!(
        (attempt.kind, &*attempt.code),
        (AttemptResult::Transient(TransientFailure::Connect), "connect")
    );
    assert!(!attempt.message.contains("Ann_x"), "the id in a message: {}", attempt.message);
}

#[tokio::test]
async fn redirect_is_not_followed_and_gets_no_token() {
    let elsewhere = Server::start(Vec::new());
    for status in [300, 301, 302, 303, 307, 308] {
        for location in
            ["/login".to_owned(), elsewhere.root.to_string(), format!("//{}", &elsewhere.root.as_str()[7..])]
        {
            let headers = format!("Location: {location}\r\nContent-Length: 0\r\n");
            let attempt = judged(say(answer(&format!("{status} Elsewhere"), &headers, ""))).await;
            assert_eq!((attempt.kind, attempt.status), (NOT_GRAPH, Some(status)), "{location}");
        }
    }
    assert_eq!(elsewhere.requests(), []);
}

#[tokio::test]
async fn next_request_after_a_503_uses_a_new_connection() {
    let down = answer("503 Service Unavailable", "Content-Length: 0\r\n", "");
    let ok = answer("204 No Content", "", "");
    let server = Server::start(vec![say(&ok), say(&down), say(&ok)]);
    let client = server.client();
    // New connections are opened at most twice a second; the first are as young as the test.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let kinds = [send(&client).await.kind, send(&client).await.kind, send(&client).await.kind];
    assert_eq!(
        kinds,
        [
            AttemptResult::Accepted,
            AttemptResult::Transient(TransientFailure::Unavailable),
            AttemptResult::Accepted
        ]
    );
    let connections: Vec<_> = server.requests().into_iter().map(|(connection, _)| connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn connection_closed_while_idle_costs_at_most_one_retry() {
    let ok = answer("204 No Content", "", "");
    // The first user is served; the second finds the connection closed before he writes, or after.
    let before = vec![vec![Play::Say(ok.clone().into_bytes()), Play::Close], say(&ok)];
    let after = vec![say(&ok), vec![Play::Close], say(&ok)];
    for scripts in [before, after] {
        let server = Server::start(scripts);
        let stop = Stop::new();
        let (events, mut inbox) = mpsc::channel(16);
        let workers = Arc::new(Workers {
            dispatch: Dispatch::new(
                server.client(),
                Pace::new(RateController::Fixed, Bounds::default(), None),
                stop.clone(),
            ),
            policy: RetryPolicy { max_attempts: 6, jitter: 0.0, max_wait: Duration::MAX },
            permits: Arc::new(Semaphore::new(2)),
            wall: WallClock::System,
            stop,
            events,
        });
        for number in 1..=2 {
            workers
                .clone()
                .work(Row { number, line: number + 1, shown: id().as_str().into(), id: id() })
                .await;
        }
        drop(workers);
        let mut records = Vec::new();
        while let Some(event) = inbox.recv().await {
            if let Event::Finished(finished) = event {
                records.push(finished.record);
            }
        }
        assert!(records.iter().all(|record| record.outcome == Outcome::Accepted), "{records:?}");
        assert!(records[0].attempts == 1 && records[1].attempts <= 2, "{records:?}");
    }
}
