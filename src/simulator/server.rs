//! The server: the simulated tenant over HTTP on loopback, and the paths that report its counters.

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

use super::directory::Collection;
use super::ledger::Ledger;
use super::scenario::Scenario;
use super::tenant::Tenant;
use super::wire::{BodyDelivery, SimulatedResponse};
use super::{credentials, identity, router, tls};

/// Longest request body that is read, in bytes. A batch of twenty is below 8 KiB.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Number of chunks of a slow body.
const SLOW_BODY_CHUNKS: usize = 20;
/// Time before each chunk of a slow body.
const SLOW_BODY_INTERVAL: Duration = Duration::from_millis(100);

type ResponseBody = Either<Full<Bytes>, StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>>;

/// What all connections share.
#[derive(Debug)]
struct ServerState {
    tenant: Mutex<Tenant>,
    /// Requests in flight; each part of a batch counts.
    in_flight: AtomicU64,
    /// Seconds by which `/__advance` advanced the clock.
    advanced_secs: AtomicU64,
    started: Instant,
    /// Wall time of `started`.
    started_at: std::time::SystemTime,
    latency: Duration,
    /// Requests after which a connection is closed; 0: never.
    close_after: u64,
}

impl ServerState {
    fn lock(&self) -> MutexGuard<'_, Tenant> {
        self.tenant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time since the start, with what `/__advance` added.
    fn now(&self) -> Duration {
        self.started.elapsed() + Duration::from_secs(self.advanced_secs.load(Relaxed))
    }

    /// Returns the tenant's wall time as a `Date` header.
    fn date(&self) -> String {
        httpdate::fmt_http_date(self.started_at + self.now())
    }
}

/// A running simulator, which ends when it is dropped.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<ServerState>,
    address: SocketAddr,
    authority: Option<String>,
    task: tokio::task::JoinHandle<()>,
}

impl Simulator {
    /// Starts a simulator on a loopback address. Port 0 takes a free port.
    ///
    /// # Errors
    /// An address that is not loopback, and errors of the system.
    pub async fn start(scenario: Scenario, address: SocketAddr) -> io::Result<Self> {
        Self::listen(scenario, address, None).await
    }

    /// Starts a simulator with TLS and HTTP/2. A client must trust its [`Simulator::authority`].
    ///
    /// # Errors
    /// As [`Simulator::start`].
    pub async fn start_tls(scenario: Scenario, address: SocketAddr) -> io::Result<Self> {
        Self::listen(scenario, address, Some(tls::create_acceptor()?)).await
    }

    async fn listen(
        scenario: Scenario,
        address: SocketAddr,
        tls: Option<(TlsAcceptor, String)>,
    ) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            return Err(io::Error::other("the simulator listens on loopback only"));
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(ServerState {
            latency: Duration::from_millis(scenario.latency_ms),
            close_after: scenario.close_after,
            tenant: Mutex::new(Tenant::new(scenario, Timestamp::now())),
            in_flight: AtomicU64::new(0),
            advanced_secs: AtomicU64::new(0),
            started: Instant::now(),
            started_at: std::time::SystemTime::now(),
        });
        let (acceptor, authority) = tls.unzip();
        let for_task = shared.clone();
        let task = tokio::spawn(async move {
            loop {
                // A failed accept affects one client only.
                if let Ok((stream, _)) = listener.accept().await {
                    let _ = stream.set_nodelay(true);
                    let shared = for_task.clone();
                    match acceptor.clone() {
                        None => drop(tokio::spawn(connection(stream, shared))),
                        Some(acceptor) => drop(tokio::spawn(async move {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                connection(stream, shared).await;
                            }
                        })),
                    }
                }
            }
        });
        Ok(Self { shared, address, authority, task })
    }

    /// Returns the Graph root without version. It is also the sign-in host.
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Returns the authority of the certificate in PEM, if the simulator has TLS.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Returns the `X-IDENTITY-HEADER` of the App Service endpoint, and the job token of the CI endpoints.
    pub fn keys(&self) -> (&'static str, &'static str) {
        (identity::IDENTITY_KEY, identity::JOB_TOKEN)
    }

    /// Returns a bearer token that is valid now.
    pub fn token(&self) -> String {
        let now = self.shared.now();
        self.shared.lock().token(now)
    }

    /// Returns the id of the tenant.
    pub fn tenant_id(&self) -> &'static str {
        credentials::TENANT
    }

    /// Returns the client id of the app, and its secret.
    pub fn app(&self) -> (&'static str, &'static str) {
        (credentials::APP, credentials::SECRET)
    }

    /// Records that an earlier simulator accepted the action for `id` at `at`.
    /// Its effect on the error is the same.
    pub fn record_earlier_acceptance(&self, collection: Collection, id: &str, at: Timestamp) {
        self.shared.lock().directory.record_earlier_acceptance(collection, id, at);
    }

    /// Returns the counters so far.
    pub fn ledger(&self) -> Ledger {
        self.shared.lock().ledger.clone()
    }

    /// Returns the human-readable ledger, and the figures outside the ranges of the scenario.
    pub fn report(&self) -> String {
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

    /// Returns a text for each figure outside its range in the scenario.
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

/// Serves one connection until it ends or a fault resets it.
async fn connection<S>(stream: S, shared: Arc<ServerState>)
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
        // An error of the connection affects its client only.
        _ = server.serve_connection(TokioIo::new(stream), service) => {}
        () = reset.notified() => {}
    }
}

/// Answers one request after the latency of the scenario.
async fn serve(
    request: Request<Incoming>,
    shared: Arc<ServerState>,
    reset: Arc<Notify>,
    served: Arc<AtomicU64>,
) -> Result<Response<ResponseBody>, Infallible> {
    let (head, body) = request.into_parts();
    let client_request_id = head.headers.get("client-request-id").cloned();
    let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
        return Ok(plain(413, "the request body is too long"));
    };
    let request = Request::from_parts(head, body.to_bytes());
    if request.uri().path().starts_with("/__") {
        return Ok(control(&request, &shared));
    }
    // Each part of a batch counts as a user in flight.
    let users = match request.uri().path().ends_with("$batch") {
        true => request.body().windows(8).filter(|window| window == b"\"method\"").count() as u64,
        false => 1,
    };
    let in_flight = shared.in_flight.fetch_add(users, Relaxed) + users;
    let (answered, answer, announces_pause) = {
        let mut tenant = shared.lock();
        tenant.ledger.highest_in_flight = tenant.ledger.highest_in_flight.max(in_flight);
        // The time is read under the lock, so that it never goes back between two requests.
        let now = shared.now();
        let answer = router::answer(&mut tenant, now, &request);
        (now, answer, tenant.ledger.has_pending_pause(now))
    };
    if !shared.latency.is_zero() {
        tokio::time::sleep(shared.latency).await;
    }
    if announces_pause {
        let mut tenant = shared.lock();
        tenant.ledger.enforce_pauses(answered, shared.now(), shared.latency);
    }
    shared.in_flight.fetch_sub(users, Relaxed);
    if answer.status == 0 {
        reset.notify_one();
        std::future::pending::<()>().await;
    }
    let mut response = response(answer, client_request_id, shared.date());
    if shared.close_after > 0
        && served.fetch_add(1, Relaxed) + 1 >= shared.close_after
        && request.version() < hyper::Version::HTTP_2
    {
        response.headers_mut().insert("connection", hyper::header::HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Turns an answer into an HTTP response with the headers of every response.
fn response(
    answer: SimulatedResponse,
    client_request_id: Option<hyper::header::HeaderValue>,
    date: String,
) -> Response<ResponseBody> {
    let request_id = uuid::Uuid::new_v4().to_string();
    let mut builder = Response::builder()
        .status(answer.status)
        .header("request-id", &request_id)
        .header("cache-control", "no-cache")
        .header("strict-transport-security", "max-age=31536000")
        .header("x-ms-ags-diagnostic", r#"{"ServerInfo":{"DataCenter":"Simulated","Slice":"E","Ring":"0","ScaleUnit":"000","RoleInstance":"SIM"}}"#);
    builder = match client_request_id {
        Some(id) => builder.header("client-request-id", id),
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
    let body = match answer.delivery {
        BodyDelivery::Whole => Either::Left(Full::new(Bytes::from(bytes))),
        BodyDelivery::CutOff => {
            builder = builder.header("content-length", bytes.len() + 100);
            let pieces = [Ok(Frame::data(Bytes::from(bytes))), Err(io::Error::other("cut off on purpose"))];
            Either::Right(StreamBody::new(stream::iter(pieces).boxed()))
        }
        BodyDelivery::Slow => {
            let size = bytes.len().div_ceil(SLOW_BODY_CHUNKS).max(1);
            let chunks: Vec<_> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
            let slow = stream::iter(chunks).then(|chunk| async move {
                tokio::time::sleep(SLOW_BODY_INTERVAL).await;
                Ok(Frame::data(chunk))
            });
            Either::Right(StreamBody::new(slow.boxed()))
        }
    };
    builder.body(body).unwrap_or_else(|_| plain(500, "the simulator made a response that cannot be sent"))
}

/// A response with plain text.
fn plain(status: u16, text: &str) -> Response<ResponseBody> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(text.to_owned()))));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}

/// Answers the paths of the simulator itself.
///
/// They are `/__ledger`, `/__ledger/accepted`, `/__ledger/errors`, and `/__advance?SECONDS`.
fn control(request: &Request<Bytes>, shared: &ServerState) -> Response<ResponseBody> {
    let now = shared.now();
    let tenant = shared.lock();
    let text = match request.uri().path() {
        "/__ledger" => serde_json::to_string(&tenant.ledger).unwrap_or_default(),
        "/__ledger/accepted" => tenant.accepted().map(|(id, count)| format!("{id},{count}\n")).collect(),
        "/__ledger/errors" => {
            let counts = Collection::ALL.map(|(collection, name)| {
                (name.to_owned(), serde_json::json!(tenant.error_counts(collection, now)))
            });
            serde_json::Value::Object(counts.into_iter().collect()).to_string()
        }
        "/__advance" => match request.uri().query().and_then(|seconds| seconds.parse::<u64>().ok()) {
            Some(seconds) => {
                shared.advanced_secs.fetch_add(seconds, Relaxed);
                "clock advanced".to_owned()
            }
            None => return plain(400, "/__advance?SECONDS"),
        },
        _ => return plain(404, "unknown path"),
    };
    plain(200, &text)
}
