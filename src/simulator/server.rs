//! The tenant behind HTTP on loopback, and its account for those who ask.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http_body_util::{BodyExt, Either, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::directory::Set;
use super::ledger::Ledger;
use super::scenario::Scenario;
use super::tenant::Tenant;
use super::wire::{Answer, Way};
use super::{credentials, identity, router, tls};

/// Longest request body that is read: a batch of twenty is below 8 KiB.
const LONGEST_BODY: usize = 1024 * 1024;
/// Pieces of a slow body, and the time between them.
const DROPS: usize = 20;
const BETWEEN_DROPS: Duration = Duration::from_millis(100);

type Body = Either<Full<Bytes>, StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>>;

#[derive(Debug)]
struct Shared {
    tenant: Mutex<Tenant>,
    in_flight: AtomicU64,
    /// Seconds that `/__advance` moved the time on.
    moved: AtomicU64,
    started: Instant,
    began: std::time::SystemTime,
    latency: Duration,
    close_after: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Tenant> {
        self.tenant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.started.elapsed() + Duration::from_secs(self.moved.load(Relaxed))
    }

    /// The tenant's own clock, moved on with the rest.
    fn date(&self) -> String {
        httpdate::fmt_http_date(self.began + self.now())
    }
}

/// A running simulator; it ends when dropped.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    authority: Option<String>,
    task: tokio::task::JoinHandle<()>,
}

impl Simulator {
    /// Listens on a loopback address; port 0 takes a free one.
    ///
    /// # Errors
    /// As the system says, and for an address that is not loopback.
    pub async fn start(scenario: Scenario, address: SocketAddr) -> io::Result<Self> {
        Self::listen(scenario, address, None).await
    }

    /// The same over TLS, with HTTP/2; [`Simulator::authority`] is what a client must trust.
    ///
    /// # Errors
    /// As [`Simulator::start`].
    pub async fn start_tls(scenario: Scenario, address: SocketAddr) -> io::Result<Self> {
        Self::listen(scenario, address, Some(tls::made_up()?)).await
    }

    async fn listen(
        scenario: Scenario,
        address: SocketAddr,
        secured: Option<(TlsAcceptor, String)>,
    ) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            return Err(io::Error::other("the simulator listens on loopback only"));
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            latency: Duration::from_millis(scenario.latency_ms),
            close_after: scenario.close_after,
            tenant: Mutex::new(Tenant::new(scenario, Timestamp::now())),
            in_flight: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            started: Instant::now(),
            began: std::time::SystemTime::now(),
        });
        let (acceptor, authority) = secured.unzip();
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            loop {
                // A failed accept concerns one caller only.
                if let Ok((stream, _)) = listener.accept().await {
                    let _ = stream.set_nodelay(true);
                    let serving = serving.clone();
                    match acceptor.clone() {
                        None => drop(tokio::spawn(connection(stream, serving))),
                        Some(acceptor) => drop(tokio::spawn(async move {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                connection(stream, serving).await;
                            }
                        })),
                    }
                }
            }
        });
        Ok(Self { shared, address, authority, task })
    }

    /// Graph root, without version; also the sign-in host.
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The authority of its certificate in PEM, where it speaks TLS.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// What its app service endpoint wants as `X-IDENTITY-HEADER`, and its CI endpoints as a job's token.
    pub fn keys(&self) -> (&'static str, &'static str) {
        (identity::IDENTITY_KEY, identity::JOB_TOKEN)
    }

    /// A bearer token that it accepts now.
    pub fn token(&self) -> String {
        let now = self.shared.now();
        self.shared.lock().token(now)
    }

    /// Its one tenant.
    pub fn tenant_id(&self) -> &'static str {
        credentials::TENANT
    }

    /// Its one app, and the secret of no value.
    pub fn app(&self) -> (&'static str, &'static str) {
        (credentials::APP, credentials::SECRET)
    }

    /// The action ran for this id in a tenant that was started before this one: it counts as if it had been here.
    pub fn remember(&self, set: Set, id: &str, at: Timestamp) {
        self.shared.lock().directory.remember(set, id, at);
    }

    /// What was counted so far.
    pub fn ledger(&self) -> Ledger {
        self.shared.lock().ledger.clone()
    }

    /// The ledger and how it compares with what the scenario expects, for people.
    pub fn account(&self) -> String {
        let mut text = self.ledger().to_string();
        let unexpected = self.unexpected();
        if unexpected.is_empty() {
            text.push_str("\nas expected        yes");
        }
        for figure in unexpected {
            text.push_str("\nnot as expected    ");
            text.push_str(&figure);
        }
        text
    }

    /// What lies outside the ranges that the scenario expects.
    pub fn unexpected(&self) -> Vec<String> {
        let tenant = self.shared.lock();
        tenant.ledger.unexpected(tenant.scenario())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection<S>(stream: S, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let reset = Arc::new(Notify::new());
    let served = Arc::new(AtomicU64::new(0));
    let service = {
        let reset = reset.clone();
        service_fn(move |request| serve(request, shared.clone(), reset.clone(), served.clone()))
    };
    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    tokio::select! {
        // What a client does to its connection is its own affair.
        _ = server.serve_connection(TokioIo::new(stream), service) => {}
        () = reset.notified() => {}
    }
}

async fn serve(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    reset: Arc<Notify>,
    served: Arc<AtomicU64>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let own = head.headers.get("client-request-id").cloned();
    let Ok(body) = Limited::new(body, LONGEST_BODY).collect().await else {
        return Ok(plain(413, "the request is too long"));
    };
    let request = Request::from_parts(head, body.to_bytes());
    if request.uri().path().starts_with("/__") {
        return Ok(account(&request, &shared));
    }
    // Each part of a batch counts.
    let users = match request.uri().path().ends_with("$batch") {
        true => request.body().windows(8).filter(|window| window == b"\"method\"").count() as u64,
        false => 1,
    };
    let in_flight = shared.in_flight.fetch_add(users, Relaxed) + users;
    let (judged, answer, announces) = {
        let mut tenant = shared.lock();
        tenant.ledger.highest_in_flight = tenant.ledger.highest_in_flight.max(in_flight);
        // The time is read under the lock, so that it only moves on.
        let now = shared.now();
        let answer = router::answer(&mut tenant, now, &request);
        (now, answer, tenant.ledger.announces(now))
    };
    if !shared.latency.is_zero() {
        tokio::time::sleep(shared.latency).await;
    }
    if announces {
        let mut tenant = shared.lock();
        tenant.ledger.left(judged, shared.now(), shared.latency);
    }
    shared.in_flight.fetch_sub(users, Relaxed);
    if answer.status == 0 {
        reset.notify_one();
        std::future::pending::<()>().await;
    }
    let mut response = response(answer, own, shared.date());
    if shared.close_after > 0
        && served.fetch_add(1, Relaxed) + 1 >= shared.close_after
        && request.version() < hyper::Version::HTTP_2
    {
        response.headers_mut().insert("connection", hyper::header::HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn response(answer: Answer, own: Option<hyper::header::HeaderValue>, date: String) -> Response<Body> {
    let request_id = uuid::Uuid::new_v4().to_string();
    let mut builder = Response::builder()
        .status(answer.status)
        .header("request-id", &request_id)
        .header("cache-control", "no-cache")
        .header("strict-transport-security", "max-age=31536000")
        .header("x-ms-ags-diagnostic", r#"{"ServerInfo":{"DataCenter":"Simulated","Slice":"E","Ring":"0","ScaleUnit":"000","RoleInstance":"SIM"}}"#);
    builder = match own {
        Some(own) => builder.header("client-request-id", own),
        None => builder.header("client-request-id", &request_id),
    };
    if answer.headers.iter().all(|(name, _)| *name != "date") {
        builder = builder.header("date", date);
    }
    for (name, value) in answer.headers {
        builder = builder.header(name, value);
    }
    let (kind, bytes) = answer.body;
    if !bytes.is_empty() {
        builder = builder.header("content-type", kind);
    }
    let body = match answer.way {
        Way::Whole => Either::Left(Full::new(Bytes::from(bytes))),
        Way::CutOff => {
            builder = builder.header("content-length", bytes.len() + 100);
            let pieces = [Ok(Frame::data(Bytes::from(bytes))), Err(io::Error::other("cut off on purpose"))];
            Either::Right(StreamBody::new(stream::iter(pieces).boxed()))
        }
        Way::Slow => {
            let size = bytes.len().div_ceil(DROPS).max(1);
            let drops: Vec<_> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
            let slow = stream::iter(drops).then(|drop| async move {
                tokio::time::sleep(BETWEEN_DROPS).await;
                Ok(Frame::data(drop))
            });
            Either::Right(StreamBody::new(slow.boxed()))
        }
    };
    builder.body(body).unwrap_or_else(|_| plain(500, "the simulator made an answer that cannot be sent"))
}

fn plain(status: u16, text: &str) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(text.to_owned()))));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}

/// `/__ledger`, `/__ledger/accepted`, `/__ledger/errors`, and `/__advance?SECONDS`.
fn account(request: &Request<Bytes>, shared: &Shared) -> Response<Body> {
    let now = shared.now();
    let tenant = shared.lock();
    let text = match request.uri().path() {
        "/__ledger" => serde_json::to_string(&tenant.ledger).unwrap_or_default(),
        "/__ledger/accepted" => tenant.accepted().map(|(id, count)| format!("{id},{count}\n")).collect(),
        "/__ledger/errors" => {
            let census =
                Set::ALL.map(|(set, name)| (name.to_owned(), serde_json::json!(tenant.census(set, now))));
            serde_json::Value::Object(census.into_iter().collect()).to_string()
        }
        "/__advance" => match request.uri().query().and_then(|seconds| seconds.parse::<u64>().ok()) {
            Some(seconds) => {
                shared.moved.fetch_add(seconds, Relaxed);
                "moved on".to_owned()
            }
            None => return plain(400, "/__advance?SECONDS"),
        },
        _ => return plain(404, "nothing here"),
    };
    plain(200, &text)
}
