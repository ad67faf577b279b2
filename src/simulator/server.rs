//! The tenant behind HTTP on loopback, strict about what a front end is strict about.

use std::collections::HashSet;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::scenario::Scenario;
use super::tenant::{Answer, Ledger, Tenant};

/// The one token that is accepted. Opaque: nothing can be read in it.
const TOKEN: &str = "simulated-token-of-no-value";

#[derive(Debug)]
struct Shared {
    tenant: Mutex<(Tenant, HashSet<String>, u64)>,
    started: Instant,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, (Tenant, HashSet<String>, u64)> {
        self.tenant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running simulator; it ends when dropped.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Simulator {
    /// Listens on a loopback address; port 0 takes a free one.
    ///
    /// # Errors
    /// As the system says, and for an address that is not loopback.
    pub async fn start(scenario: Scenario, address: SocketAddr) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            return Err(io::Error::other("the simulator listens on loopback only"));
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            tenant: Mutex::new((Tenant::new(scenario), HashSet::new(), 0)),
            started: Instant::now(),
        });
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            loop {
                // A failed accept concerns one caller only.
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(connection(stream, serving.clone()));
                }
            }
        });
        Ok(Self { shared, address, task })
    }

    /// Graph root, without version.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A bearer token that it accepts.
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// What was counted so far.
    pub fn ledger(&self) -> Ledger {
        self.shared.lock().0.ledger.clone()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(Notify::new());
    let service = {
        let reset = reset.clone();
        service_fn(move |request| serve(request, shared.clone(), reset.clone()))
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
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path().starts_with("/__ledger") {
        return Ok(account(request.uri().path(), &shared));
    }
    let latency = {
        let mut shared = shared.lock();
        shared.2 += 1;
        let in_flight = shared.2;
        let ledger = &mut shared.0.ledger;
        ledger.highest_in_flight = ledger.highest_in_flight.max(in_flight);
        Duration::from_millis(shared.0.scenario().latency_ms)
    };
    let answer = judge(&request, &shared);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    shared.lock().2 -= 1;
    if answer.status == 0 {
        reset.notify_one();
        std::future::pending::<()>().await;
    }
    Ok(response(answer, request.headers().get("client-request-id")))
}

fn judge(request: &Request<Incoming>, shared: &Shared) -> Answer {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let mut locked = shared.lock();
    let (tenant, seen, _) = &mut *locked;
    let mut refuse = |status: u16, code: &str| {
        tenant.refuse(status);
        let body = serde_json::json!({ "error": { "code": code, "message": "" } });
        Answer { status, headers: Vec::new(), body: Some(("application/json", body.to_string())) }
    };
    let Some(id) = target(request.uri().path()) else { return refuse(404, "UnknownError") };
    if request.method() != hyper::Method::POST {
        return refuse(405, "Request_BadRequest");
    }
    if header("content-length") != Some("0") {
        return refuse(411, "");
    }
    if header("authorization").and_then(|value| value.strip_prefix("Bearer ")) != Some(TOKEN) {
        return refuse(401, "InvalidAuthenticationToken");
    }
    let own = header("client-request-id").unwrap_or("");
    if own.len() != 36 || !seen.insert(own.to_owned()) {
        return refuse(400, "Request_BadRequest");
    }
    if seen.len() > 100_000 {
        seen.clear();
    }
    if id.starts_with('$') && !request.uri().path().contains("('") {
        return refuse(400, "Request_BadRequest");
    }
    let date = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    tenant.act(shared.started.elapsed(), date, &id)
}

/// The id in `/{version}/{set}/{id}/retryServiceProvisioning` or `…/{set}('{id}')/…`, decoded once.
fn target(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/beta/").or_else(|| path.strip_prefix("/v1.0/"))?;
    let rest = rest.strip_suffix("/retryServiceProvisioning")?;
    let set = ["users", "groups", "contacts"].into_iter().find(|set| rest.starts_with(set))?;
    let key = &rest[set.len()..];
    let decoded =
        |key: &str| Some(percent_encoding::percent_decode_str(key).decode_utf8().ok()?.into_owned());
    let id = match key.strip_prefix("('").and_then(|key| key.strip_suffix("')")) {
        Some(key) => decoded(key)?.replace("''", "'"),
        None => decoded(key.strip_prefix('/').filter(|key| !key.contains('/'))?)?,
    };
    (!id.is_empty()).then_some(id)
}

fn response(answer: Answer, own: Option<&hyper::header::HeaderValue>) -> Response<Full<Bytes>> {
    let mut builder =
        Response::builder().status(answer.status).header("request-id", uuid::Uuid::new_v4().to_string());
    if let Some(own) = own {
        builder = builder.header("client-request-id", own);
    }
    for (name, value) in answer.headers {
        builder = builder.header(name, value);
    }
    let body = answer.body.map_or_else(Bytes::new, |(kind, text)| {
        if let Some(headers) = builder.headers_mut() {
            headers.insert("content-type", hyper::header::HeaderValue::from_static(kind));
        }
        Bytes::from(text)
    });
    builder.body(Full::new(body)).unwrap_or_default()
}

fn account(path: &str, shared: &Shared) -> Response<Full<Bytes>> {
    let shared = shared.lock();
    let text = if path == "/__ledger/accepted" {
        shared.0.accepted().map(|(id, count)| format!("{id},{count}\n")).collect()
    } else {
        serde_json::to_string(&shared.0.ledger).unwrap_or_default()
    };
    Response::new(Full::new(Bytes::from(text)))
}
