//! What a network error is, in words without the URL, which holds an id.

use std::error::Error as _;

use url::Url;

use super::proxy::proxy_name;

/// What systems say of a name that the name service knows not to exist; of one that it cannot ask they say something else.
const UNKNOWN_NAME: [&str; 3] =
    ["Name or service not known", "nodename nor servname provided", "No such host is known"];
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
/// the cause belongs to a library of the library, so its text is compared; `tests/cli/raw_h2.rs` holds it.
pub fn requires_http1(error: &reqwest::Error) -> bool {
    chain(error).contains("endpoint requires HTTP/1.1")
}

pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
