//! `doctor`: what a run would meet, checked one by one; nothing is written to the tenant.

use reqwest::header::AUTHORIZATION;
use serde::Serialize;
use url::Url;

use crate::auth::{Notices, Permitted, permitted, said_of_clock};
use crate::error::{Error, Exit};
use crate::model::{ObjectKind, action};
use crate::net::{Network, ask_proxy, idle_exceptions, is_loopback, proxy_name, trouble};
use crate::session::{Endpoint, ServiceOptions, Session, network};
use crate::terminal::Console;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Failed,
}

#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    state: State,
    text: String,
}

/// The checks so far.
#[derive(Debug, Default, Serialize)]
struct Findings {
    checks: Vec<Check>,
}

impl Findings {
    fn note(&mut self, check: &'static str, state: State, text: impl Into<String>) {
        self.checks.push(Check { check, state, text: text.into() });
    }

    fn text(&self) -> String {
        let line = |check: &Check| {
            let state = match check.state {
                State::Ok => "ok",
                State::Warning => "warning",
                State::Failed => "failed",
            };
            format!("{state:<8} {:<12} {}", check.check, check.text.replace('\n', "\n                      "))
        };
        self.checks.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// The plan of `doctor`.
#[derive(Clone, Debug)]
pub struct DoctorPlan {
    /// Which service, as whom.
    pub options: ServiceOptions,
    /// Kind of object whose permissions are checked.
    pub kind: ObjectKind,
    /// One JSON document instead of lines.
    pub json: bool,
}

/// Checks one after the other, and prints what was found.
///
/// # Errors
/// `Error::Usage` or `Error::Network` for settings with which no check is possible; `Error::Internal`.
pub async fn doctor(plan: &DoctorPlan, console: &Console) -> Result<Exit, Error> {
    let options = &plan.options;
    let place = Endpoint::locate(options).await?;
    let network = network(options).await?;
    let mut found = Findings::default();
    if place.simulator.is_some() {
        found.note("simulated", State::Ok, "SIMULATED  none of this is about a real tenant");
    }
    let root = place.root.clone();
    let idle = if is_loopback(&root) { Vec::new() } else { idle_exceptions() };
    match idle.is_empty() {
        true => found.note("proxy", State::Ok, through(&root)),
        false => {
            let text =
                format!("{}; NO_PROXY has entries that fit no host: {}", through(&root), idle.join(", "));
            found.note("proxy", State::Warning, text);
        }
    }
    if reach(&mut found, &network, &root).await {
        let signed_in = Session::sign_in(options, place, false, Notices::silent(), console).await;
        let current = match signed_in {
            Ok(connection) => match connection.tokens.current().await {
                Ok(token) => Ok((connection, token)),
                Err(text) => Err(text),
            },
            Err(error @ Error::SignIn(_)) => Err(error.chain()),
            Err(error) => return Err(error),
        };
        match current {
            Err(text) => found.note("sign-in", State::Failed, text),
            Ok((connection, token)) => {
                found.note("sign-in", State::Ok, connection.signed_in());
                tenant(&mut found, options.tenant.as_deref(), &connection);
                let kind = plan.kind;
                if permissions(&mut found, &connection, kind) {
                    read(&mut found, &network, &options.api_version, &connection, token.bearer(), kind).await;
                }
            }
        }
    }
    let failed = found.checks.iter().any(|check| check.state == State::Failed);
    match plan.json {
        true => console.result(
            &serde_json::to_string_pretty(&found).map_err(|error| Error::Internal(error.to_string()))?,
        ),
        false => console.result(&found.text()),
    }
    Ok(if failed { Exit::SignIn } else { Exit::Done })
}

fn through(root: &Url) -> String {
    match proxy_name() {
        _ if is_loopback(root) => "none: a loopback address is reached directly".to_owned(),
        Some(name) => format!("{name}, unless NO_PROXY names the host"),
        None => "none in the environment; the system's own settings count".to_owned(),
    }
}

/// Name, connection, TLS, and the service's clock. Whether going on makes sense.
async fn reach(found: &mut Findings, network: &Network, root: &Url) -> bool {
    let host = root.host_str().unwrap_or_default();
    let http = match network.client(root) {
        Ok(http) => http,
        Err(error) => {
            found.note("network", State::Failed, error.chain());
            return false;
        }
    };
    if let Err(error) = ask_proxy(root).await {
        found.note("network", State::Failed, error.chain());
        return false;
    }
    // Without a token: the service refuses, which is an answer.
    let answer = match http.get(root.clone()).send().await {
        Ok(answer) => answer,
        Err(error) => {
            found.note("network", State::Failed, trouble(error, root).text);
            return false;
        }
    };
    let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let status = answer.status();
    if status == 511 || status == 200 && kind.starts_with("text/html") {
        let text = format!(
            "{host}: a web page answers (HTTP {}): a captive portal, or a proxy's login page? Open a browser once, or set HTTPS_PROXY",
            status.as_u16()
        );
        found.note("network", State::Failed, text);
        return false;
    }
    let secured = if root.scheme() == "https" { "TLS, " } else { "no TLS (loopback), " };
    found.note("network", State::Ok, format!("{host} answers: {secured}{:?}", answer.version()));
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
    match date.and_then(|date| httpdate::parse_http_date(date).ok()) {
        None => found.note("clock", State::Warning, "the answer has no Date to compare with"),
        Some(date) => match said_of_clock(date, jiff::Timestamp::now()) {
            None => found.note("clock", State::Ok, "within a minute of the service's"),
            Some(text) => found.note("clock", State::Warning, text),
        },
    }
    true
}

fn tenant(found: &mut Findings, asked: Option<&str>, connection: &Session) {
    match (&connection.claims.tid, asked, connection.simulator.is_some()) {
        (Some(tid), _, true) => found.note("tenant", State::Ok, format!("{tid}, the simulator's")),
        (Some(tid), Some(asked), _) => {
            found.note("tenant", State::Ok, format!("{tid}, as asked for by --tenant {asked}"))
        }
        (Some(tid), None, _) => found.note(
            "tenant",
            State::Warning,
            format!("{tid}, the token's; --tenant was not given, and --yes needs it"),
        ),
        (None, ..) => found.note(
            "tenant",
            State::Warning,
            "the token cannot be read, so its tenant is not compared with --tenant",
        ),
    }
}

/// Checks the permissions for each command. Returns whether a read may be sent.
fn permissions(found: &mut Findings, connection: &Session, kind: ObjectKind) -> bool {
    let claims = &connection.claims;
    match permitted(claims, kind, true) {
        Permitted::Yes(by) => {
            found.note("run", State::Ok, format!("{} {} is permitted by {by}", action::DOING, kind.plural()))
        }
        Permitted::Perhaps(text) => found.note("run", State::Warning, text),
        Permitted::No(text) => found.note("run", State::Failed, text),
    }
    match permitted(claims, kind, false) {
        Permitted::Yes(by) => {
            found.note("find, verify", State::Ok, format!("reading {} is permitted by {by}", kind.plural()));
            true
        }
        Permitted::Perhaps(text) => {
            found.note("find, verify", State::Warning, text);
            true
        }
        // `run` alone needs no permission to read, and least privilege is not an error.
        Permitted::No(text) => {
            found.note("find, verify", State::Warning, text);
            false
        }
    }
}

/// One harmless read of one object's id.
async fn read(
    found: &mut Findings,
    network: &Network,
    version: &str,
    connection: &Session,
    bearer: &reqwest::header::HeaderValue,
    kind: ObjectKind,
) {
    let mut url = connection.root.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend([version, kind.path()]);
    }
    url.query_pairs_mut().append_pair("$select", "id").append_pair("$top", "1");
    let answer = match network.client(&url) {
        Ok(http) => {
            let own = uuid::Uuid::new_v4().to_string();
            http.get(url.clone())
                .header(AUTHORIZATION, bearer.clone())
                .header("client-request-id", own)
                .send()
                .await
        }
        Err(error) => return found.note("read", State::Failed, error.chain()),
    };
    match answer {
        Err(error) => found.note("read", State::Failed, trouble(error, &url).text),
        Ok(answer) => match answer.status().as_u16() {
            200 => found.note("read", State::Ok, format!("one of the {} was read", kind.plural())),
            401 => found.note(
                "read",
                State::Failed,
                "the token was rejected (401). Sign in again, and check that the token is for Microsoft Graph of this cloud",
            ),
            403 => found.note("read", State::Failed, connection.missing_permission(kind, false)),
            429 => {
                found.note("read", State::Warning, "Microsoft 365 asks this app to wait (429); sign-in works")
            }
            status => found.note(
                "read",
                State::Warning,
                format!("HTTP {status}: Microsoft 365 has trouble, or the endpoint is not Graph"),
            ),
        },
    }
}
