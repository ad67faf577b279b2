//! How hosts are reached: one HTTP client per root, with the trusted certificates.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Client;
use reqwest::tls::Certificate;
use url::Url;

use super::address::is_loopback;
use super::fault::chain;
use super::proxy;
use crate::error::Error;
use crate::sys;

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
        // A second installation fails, which is expected: tests build many clients.
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
