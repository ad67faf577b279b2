//! One HTTP client: rustls with ring, no redirects, no retries of its own; and which network fault an error is.

use std::error::Error as _;
use std::time::Duration;

use reqwest::Client;
use reqwest::tls::Certificate;
use url::{Host, Url};

use crate::error::Error;

/// Longest time for TCP and TLS together.
const CONNECT: Duration = Duration::from_secs(10);
/// Idle connections are closed before front ends do it.
const IDLE: Duration = Duration::from_secs(45);
/// HTTP/2 ping, so that a long pause does not hide a dead connection.
const PING: Duration = Duration::from_secs(20);

/// Builds the client for a root. `timeout` is for one whole request.
///
/// # Errors
/// `Error::Network` where TLS or a proxy cannot be set up.
pub fn client(root: &Url, timeout: Duration, http1: bool) -> Result<Client, Error> {
    // A second installation is no error: tests build many clients.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let build = |fallback: bool| {
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT)
            .timeout(timeout)
            .pool_idle_timeout(IDLE)
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(CONNECT)
            .http2_keep_alive_while_idle(true)
            .user_agent(concat!("reprovision/", env!("CARGO_PKG_VERSION")));
        if http1 {
            builder = builder.http1_only();
        }
        if is_loopback(root) {
            builder = builder.no_proxy().tls_certs_only([]);
        } else if fallback {
            let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
            builder = builder.tls_certs_only(roots.filter_map(|root| Certificate::from_der(root).ok()));
        }
        builder.build()
    };
    // A machine without a CA store gets the public roots that are built in.
    build(false).or_else(|_| build(true)).map_err(|error| Error::Network(chain(&error)))
}

/// Checks a Graph root: https, or http to a literal loopback address or `localhost` only.
///
/// # Errors
/// `Error::Usage` says what to give instead.
pub fn root(text: &str) -> Result<Url, Error> {
    let wrong =
        |why: &str| Error::Usage(format!("--endpoint {text:?} {why}, such as https://graph.microsoft.com"));
    let url =
        Url::parse(text).map_err(|error| wrong(&format!("is no URL ({error}): give the Graph root")))?;
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(wrong("must hold no user, query or fragment: give the Graph root"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(wrong(
            "would send the token in the clear: only https, or http to localhost: give the Graph root",
        )),
    }
}

/// A literal loopback address or `localhost`.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

/// Which network fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetFault {
    /// No answer in time.
    Timeout,
    /// No connection.
    Connect,
    /// The connection broke, or the answer could not be read.
    Broken,
}

/// Sorts an error and words it without the URL, which holds an id.
pub fn fault(error: reqwest::Error) -> (NetFault, String) {
    let error = error.without_url();
    let kind = if error.is_connect() {
        NetFault::Connect
    } else if error.is_timeout() {
        NetFault::Timeout
    } else {
        NetFault::Broken
    };
    (kind, chain(&error))
}

fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_to_loopback_only() {
        for good in
            ["https://graph.microsoft.com", "http://127.0.0.1:80", "http://[::1]:8", "http://localhost:9/"]
        {
            root(good).expect(good);
        }
        for bad in [
            "http://graph.microsoft.com",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1",
            "ftp://localhost",
            "https://u:p@h",
            "x",
        ] {
            assert!(root(bad).is_err(), "{bad}");
        }
    }
}
