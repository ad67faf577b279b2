//! One HTTP client: rustls with ring, no redirects, no retries of its own; and which network fault an error is.

mod proxy;

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Client;
use reqwest::tls::Certificate;
use url::{Host, Url};

pub use self::proxy::{ask_proxy, idle_exceptions, proxy_name};
use crate::error::Error;
use crate::sys;

/// What systems say of a name that the name service knows not to exist; of one that it cannot ask they say something else.
const UNKNOWN_NAME: [&str; 3] =
    ["Name or service not known", "nodename nor servname provided", "No such host is known"];
/// Longest time for TCP and TLS together.
const CONNECT: Duration = Duration::from_secs(10);
/// Idle connections are closed before front ends do it.
const IDLE: Duration = Duration::from_secs(45);
/// HTTP/2 ping, so that a long pause does not hide a dead connection.
const PING: Duration = Duration::from_secs(20);

/// How hosts are reached.
#[derive(Clone, Debug)]
pub struct Network {
    /// For one whole request.
    pub timeout: Duration,
    /// No HTTP/2.
    pub http1: bool,
    /// Trusted besides the machine's own.
    pub roots: Vec<Certificate>,
    /// Trusted in place of the machine's own, where there are any: what came through a pipe that `SSL_CERT_FILE` names. The
    /// library would read it for every client, and a pipe can be read once, and must not be waited for without end.
    pub machine: Option<Vec<Certificate>>,
}

impl Network {
    /// `ca_file`: PEM with one or more certificates; read here and now, and so is a pipe that `SSL_CERT_FILE` names.
    ///
    /// # Errors
    /// `Error::Usage` for a file that cannot be read or holds no certificate.
    pub fn new(timeout: Duration, http1: bool, ca_file: Option<&Path>) -> Result<Self, Error> {
        let roots = ca_file.map_or_else(|| Ok(Vec::new()), |file| certificates("--ca-file", file))?;
        let pipe = pipe_of_roots().map(|pipe| certificates(MACHINE_ROOTS, &pipe));
        Ok(Self { timeout, http1, roots, machine: pipe.transpose()? })
    }

    /// Without any file: to this machine itself.
    pub fn bare(timeout: Duration, http1: bool) -> Self {
        Self { timeout, http1, roots: Vec::new(), machine: None }
    }

    /// A client for one host. A loopback host is never reached through a proxy.
    ///
    /// # Errors
    /// `Error::Network` where TLS or a proxy cannot be set up, `Error::Usage` for a proxy address that cannot be read.
    pub fn client(&self, url: &Url) -> Result<Client, Error> {
        if !is_loopback(url) {
            proxy::check()?;
        }
        self.build(is_loopback(url), url.scheme() == "http" && is_loopback(url))
    }

    /// A client for an address of this machine's own network: no proxy, and no roots for plain HTTP.
    ///
    /// # Errors
    /// As [`Network::client`].
    pub fn direct(&self, url: &Url) -> Result<Client, Error> {
        self.build(true, url.scheme() == "http")
    }

    fn build(&self, direct: bool, plain: bool) -> Result<Client, Error> {
        // A second installation is no error: tests build many clients.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let build = |fallback: bool| {
            let mut builder = Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .connect_timeout(CONNECT)
                .timeout(self.timeout)
                .pool_idle_timeout(IDLE)
                .http2_keep_alive_interval(PING)
                .http2_keep_alive_timeout(CONNECT)
                .http2_keep_alive_while_idle(true)
                .user_agent(concat!("reprovision/", env!("CARGO_PKG_VERSION")));
            if self.http1 {
                builder = builder.http1_only();
            }
            if direct {
                builder = builder.no_proxy();
            }
            let own = self.roots.iter().cloned();
            if plain {
                // Plain HTTP needs no roots: a machine without a CA store is served too.
                builder = builder.tls_certs_only([]);
            } else if let Some(machine) = &self.machine {
                builder = builder.tls_certs_only(machine.iter().cloned().chain(own));
            } else if fallback {
                let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
                builder = builder
                    .tls_certs_only(roots.filter_map(|root| Certificate::from_der(root).ok()).chain(own));
            } else {
                builder = builder.tls_certs_merge(own);
            }
            builder.build()
        };
        // A machine without a CA store gets the public roots that are built in.
        build(false).or_else(|_| build(true)).map_err(|error| Error::Network(chain(&error)))
    }
}

/// Names the roots of the machine, where the library takes them from a file.
const MACHINE_ROOTS: &str = "SSL_CERT_FILE";

/// All in a file of PEM; `given` is where the file was named.
fn certificates(given: &str, file: &Path) -> Result<Vec<Certificate>, Error> {
    let wrong = |what: String| Error::Usage(format!("{given} {}: {what}", file.display()));
    let text = sys::read_settings(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let roots = Certificate::from_pem_bundle(&text).map_err(|_| {
        wrong("is not PEM: convert it with openssl x509 -inform der -in FILE -out FILE.pem".into())
    })?;
    if roots.is_empty() {
        return Err(wrong("holds no certificate (-----BEGIN CERTIFICATE-----)".into()));
    }
    Ok(roots)
}

/// What `SSL_CERT_FILE` names, if it is a pipe.
#[cfg(all(unix, not(target_vendor = "apple")))]
fn pipe_of_roots() -> Option<PathBuf> {
    use std::os::unix::fs::FileTypeExt;
    let file = PathBuf::from(std::env::var_os(MACHINE_ROOTS)?);
    std::fs::metadata(&file).is_ok_and(|found| found.file_type().is_fifo()).then_some(file)
}

/// Other systems have stores, and read no such file.
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn pipe_of_roots() -> Option<PathBuf> {
    None
}

/// Builds the client for a root with the machine's own roots. `timeout` is for one whole request.
///
/// # Errors
/// `Error::Network` where TLS or a proxy cannot be set up.
pub fn client(root: &Url, timeout: Duration, http1: bool) -> Result<Client, Error> {
    Network::bare(timeout, http1).client(root)
}

/// Checks a Graph root: https, or http to a literal loopback address or `localhost` only.
///
/// # Errors
/// `Error::Usage` says what to give instead.
pub fn root(text: &str) -> Result<Url, Error> {
    let wrong = |why: &str| {
        let shown = without_user(text);
        Error::Usage(format!("--endpoint {shown:?} {why}, such as https://graph.microsoft.com"))
    };
    let url =
        Url::parse(text).map_err(|error| wrong(&format!("is no URL ({error}): give the Graph root")))?;
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(wrong("must hold no user, query or fragment: give the Graph root"));
    }
    if url
        .path_segments()
        .and_then(|mut path| path.rfind(|part| !part.is_empty()))
        .is_some_and(|last| matches!(last, "beta" | "v1.0"))
    {
        return Err(wrong("ends with a version: leave that to --api-version and give the Graph root"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(wrong(
            "would send the token in the clear: only https, or http to localhost: give the Graph root",
        )),
    }
}

/// What may be shown of an address: user and password, which stand before an `@`, and a query may be secrets.
pub fn without_user(text: &str) -> &str {
    let bare = text.rsplit_once('@').map_or(text, |(_, host)| host);
    bare.split(['?', '#']).next().unwrap_or_default()
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
    /// As [`Lasting::Route`].
    NoRoute,
    /// As [`Lasting::Access`].
    NoAccess,
}

/// Whether another try may overcome a network error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// It may pass.
    No,
    /// There is no way to the host: a proxy that does not answer, a name that does not exist.
    Route,
    /// The way is barred: a certificate, a proxy that wants another password.
    Access,
}

/// Sorts an error and words it without the URL, which holds an id.
pub fn fault(error: reqwest::Error) -> (NetFault, String) {
    let error = error.without_url();
    let (text, lasting) = words(&error);
    let kind = match lasting {
        Lasting::Route => NetFault::NoRoute,
        Lasting::Access => NetFault::NoAccess,
        Lasting::No if error.is_connect() => NetFault::Connect,
        Lasting::No if error.is_timeout() => NetFault::Timeout,
        Lasting::No => NetFault::Broken,
    };
    (kind, text)
}

/// A network error in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong, and what to do where that is known.
    pub text: String,
    /// Whether trying again may change it.
    pub lasting: Lasting,
}

/// Words an error of a request to a host of ours; only the host of the URL is named.
pub fn trouble(error: reqwest::Error, url: &Url) -> Trouble {
    let (text, lasting) = words(&error.without_url());
    let host = url.host_str().unwrap_or_default();
    Trouble { text: format!("{host}: {text}"), lasting }
}

fn words(error: &reqwest::Error) -> (String, Lasting) {
    let whole = chain(error);
    if let Some((text, lasts)) = tls(error) {
        return (text, if lasts { Lasting::Access } else { Lasting::No });
    }
    let has = |part: &str| whole.contains(part);
    let proxy = || proxy_name().unwrap_or_else(|| "the proxy".to_owned());
    if has("proxy authorization required") {
        return (
            format!(
                "{} wants a user and a password (407): HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT, special characters percent-encoded",
                proxy()
            ),
            Lasting::Access,
        );
    }
    if has("tunnel error: unsuccessful") || has("tunnel error: unexpected end") {
        return (
            format!(
                "{} refused to connect to this host: a wrong user or password in HTTPS_PROXY, or the host must be allowed there or named in NO_PROXY",
                proxy()
            ),
            Lasting::Access,
        );
    }
    if has("SOCKS error: failed to create underlying") {
        return (
            format!("{} does not answer: check HTTPS_PROXY or ALL_PROXY ({whole})", proxy()),
            Lasting::Route,
        );
    }
    if has("SOCKS error") {
        return (
            format!(
                "{} refused to connect to this host: a wrong user or password in HTTPS_PROXY or ALL_PROXY, or the host must be \
                 allowed there ({whole})",
                proxy()
            ),
            Lasting::Access,
        );
    }
    if has("tunnel error") {
        return (format!("{} does not answer: check HTTPS_PROXY ({whole})", proxy()), Lasting::Route);
    }
    if has("Connection refused") || has("actively refused") {
        return (
            format!("nothing listens there: is the address right, or does a firewall refuse? ({whole})"),
            Lasting::No,
        );
    }
    if has("dns error") {
        let lasting = if UNKNOWN_NAME.iter().any(|text| has(text)) { Lasting::Route } else { Lasting::No };
        return (format!("the name cannot be resolved: is the network or VPN up? ({whole})"), lasting);
    }
    if error.is_timeout() {
        let limit = if error.is_connect() {
            "no connection in time: a firewall, or a proxy that HTTPS_PROXY must name?"
        } else {
            "no answer in time"
        };
        return (format!("{limit} ({whole})"), Lasting::No);
    }
    (whole, Lasting::No)
}

/// The TLS error among the causes: input and output wrap it, perhaps more than once.
fn dig<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = cause.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    let wrapped = cause.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
    wrapped.and_then(|inner| dig(inner)).or_else(|| dig(cause.source()?))
}

/// What TLS says, dug out of the wrapping errors.
fn tls(error: &reqwest::Error) -> Option<(String, bool)> {
    use rustls::{AlertDescription as Alert, CertificateError as Bad};
    let found = dig(error.source()?)?;
    let text = match found {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::UnknownIssuer => {
                "the certificate was signed by an authority that this machine does not know: a company proxy that opens TLS? \
                 Give its CA with --ca-file (PEM) or SSL_CERT_FILE"
            }
            Bad::ExpiredContext { time, not_after } => {
                let text = format!(
                    "the certificate expired on {}; this machine's clock says {}: if that is right, the server's owner must renew it",
                    day(*not_after),
                    day(*time)
                );
                return Some((text, true));
            }
            Bad::NotValidYetContext { time, not_before } => {
                let text = format!(
                    "the certificate is not valid before {}; this machine's clock says {}: is it wrong?",
                    day(*not_before),
                    day(*time)
                );
                return Some((text, true));
            }
            Bad::Expired => "the certificate has expired: or is this machine's clock wrong?",
            Bad::NotValidYet => "the certificate is not valid yet: is this machine's clock wrong?",
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                "the certificate is for another host: a captive portal or a proxy that opens TLS?"
            }
            Bad::Revoked => "the certificate has been revoked",
            _ => return Some((format!("the certificate is not accepted: {found}"), true)),
        },
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(Alert::ProtocolVersion | Alert::HandshakeFailure) => {
            "no TLS version or cipher in common: the server, or a proxy that opens TLS, is too old (TLS 1.2 is the least)"
        }
        rustls::Error::AlertReceived(Alert::CertificateRequired) => {
            "the server asks for a client certificate, which reprovision does not give"
        }
        rustls::Error::InvalidMessage(_) => {
            "the other side does not speak TLS: is this an http port, or a proxy that HTTPS_PROXY must name?"
        }
        _ => return Some((format!("TLS: {found}"), false)),
    };
    Some((text.to_owned(), true))
}

fn day(at: rustls::pki_types::UnixTime) -> String {
    let time =
        i64::try_from(at.as_secs()).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "another age".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}

/// Whether the server refused HTTP/2 (`HTTP_1_1_REQUIRED`): the same request may be sent again over HTTP/1.1. The type of
/// the cause belongs to a library of the library, so its text is compared; `tests/it/raw_h2.rs` holds it.
pub fn requires_http1(error: &reqwest::Error) -> bool {
    chain(error).contains("endpoint requires HTTP/1.1")
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
            "https://graph.microsoft.com/beta",
            "https://graph.microsoft.com/v1.0/",
            "x",
        ] {
            assert!(root(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_that_is_refused_is_shown_without_what_may_be_secret() {
        for bad in
            ["https://ann:canary@h", "ftp://ann:canary@h/", "https://ann:can@ary@h:x", "https://h?key=canary"]
        {
            let said = root(bad).expect_err(bad).chain();
            assert!(said.contains("--endpoint ") && !said.contains("can") && !said.contains("ann"), "{said}");
        }
    }
}
