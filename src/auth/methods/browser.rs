//! `--auth browser`: a person signs in in a browser, with PKCE and a loopback redirect
//! (`docs/graph.md#tokens`).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt;
use futures::future::BoxFuture;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use url::Url;

use crate::auth::failure::Failure;
use crate::auth::host::Grant;
use crate::auth::person::Person;
use crate::auth::plan::{Building, SignInPlan};
use crate::auth::source::{Credential, TokenSource};
use crate::model::sanitize;

/// A person who has not signed in by then has gone away.
const BROWSER_WAIT: Duration = Duration::from_secs(300);
/// Longest request line and headers that a browser may send us.
const LONGEST: usize = 16 * 1024;
/// After a connection that could not be taken.
const BREATH: Duration = Duration::from_millis(100);
/// A browser that opens a connection and says nothing.
const SILENT: Duration = Duration::from_secs(5);

pub(super) fn source<'a>(plan: &'a SignInPlan<'a>) -> Building<'a> {
    async move { Ok(TokenSource::new(Browser { person: Person::new(plan)?, open: plan.open })) }.boxed()
}

#[derive(Debug)]
struct Browser {
    person: Person,
    /// Opens a browser; false: it could not.
    open: fn(&str) -> bool,
}

impl Credential for Browser {
    fn name(&self) -> &'static str {
        "browser"
    }

    fn fetch<'a>(&'a self, claims: Option<&'a str>) -> BoxFuture<'a, Result<Grant, Failure>> {
        self.person.token(claims, self.sign_in(claims)).boxed()
    }
}

impl Browser {
    async fn sign_in(&self, claims: Option<&str>) -> Result<Grant, Failure> {
        let own = |error: std::io::Error| {
            Failure::Final(format!("cannot listen for the browser on loopback: {error}"))
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(own)?;
        let port = listener.local_addr().map_err(own)?.port();
        let redirect = format!("http://localhost:{port}");
        let (state, verifier) = (unguessable()?, unguessable()?);
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.expose_secret().as_bytes()));
        let mut url = self.person.host.url("authorize");
        url.query_pairs_mut()
            .append_pair("client_id", &self.person.host.client_id)
            .append_pair("response_type", "code")
            .append_pair("redirect_uri", &redirect)
            .append_pair("response_mode", "query")
            .append_pair("scope", &self.person.scope)
            .append_pair("state", state.expose_secret())
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("prompt", "select_account");
        if let Some(claims) = claims {
            url.query_pairs_mut().append_pair("claims", claims);
        }
        let opened = (self.open)(url.as_str());
        let lead = if opened { "Sign in in the browser. If none has opened, open" } else { "Sign in: open" };
        self.person.show.text(&format!("{lead} on this machine:\n  {url}"));
        let end = Instant::now() + BROWSER_WAIT;
        let code = loop {
            let stream = tokio::select! {
                () = sleep_until(end) => {
                    return Err(Failure::Final("nobody signed in within five minutes; run the same command again".to_owned()));
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(_) => {
                        // Out of handles, perhaps: not without end, and not without a breath.
                        sleep(BREATH).await;
                        continue;
                    }
                },
            };
            if let Ok(Some(answered)) = timeout(SILENT, redirected(stream, state.expose_secret())).await {
                break answered?;
            }
        };
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose_secret()),
            ("redirect_uri", &redirect),
            ("code_verifier", verifier.expose_secret()),
            ("scope", &self.person.scope),
        ];
        self.person.host.token(&form, claims).await.map_err(|refused| refused.failure)
    }
}

/// 256 bits, as PKCE wants them.
fn unguessable() -> Result<SecretString, Failure> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Failure::Final("this machine gives no random numbers".to_owned()))?;
    Ok(SecretString::from(URL_SAFE_NO_PAD.encode(bytes)))
}

/// Reads what the browser was sent back with; `None` for anything that is not for us, such as an icon.
async fn redirected(mut stream: TcpStream, state: &str) -> Option<Result<SecretString, Failure>> {
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n") && read.len() < LONGEST {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await {
            Ok(length @ 1..) => read.extend_from_slice(&piece[..length]),
            _ => break,
        }
    }
    let line = String::from_utf8_lossy(&read);
    let target = line.strip_prefix("GET ")?.split(' ').next()?;
    let url = Url::parse("http://localhost").ok()?.join(target).ok()?;
    let field =
        |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let ours = field("state").as_deref() == Some(state);
    let (page, answer) = match (ours, field("code"), field("error")) {
        (true, Some(code), _) => ("Signed in. You may close this page.", Some(Ok(SecretString::from(code)))),
        (true, None, Some(error)) => {
            let said = field("error_description").unwrap_or(error);
            let said = sanitize(said.lines().next().unwrap_or_default(), 300);
            (
                "Not signed in. You may close this page.",
                Some(Err(Failure::Final(format!("the sign-in failed: {said}; nothing was sent")))),
            )
        }
        _ => ("Nothing here.", None),
    };
    let status = if answer.is_some() { "200 OK" } else { "404 Not Found" };
    let length = page.len();
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{page}"
    );
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
    answer
}
