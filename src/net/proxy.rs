//! The proxy that the environment names, read as the HTTP client reads it: what that would silently ignore is an error.

use std::time::Duration;

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use super::address::is_loopback;
use crate::error::Error;

/// Longest time for one look at a proxy.
const ASKED: Duration = Duration::from_secs(10);
/// Longest head of a proxy's answer that is read.
const LONGEST_HEAD: usize = 16 * 1024;

/// In the client's order; of a pair the first that is set counts, even if it is empty.
const VARIABLES: [[&str; 2]; 2] = [["HTTPS_PROXY", "https_proxy"], ["ALL_PROXY", "all_proxy"]];
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];
const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// Refuses an address that the client could not read: it would go without the proxy and say nothing. Exceptions that it
/// could not read would go through the proxy.
///
/// # Errors
/// `Error::Usage` names the variable, never its value: that may hold a password.
pub(super) fn check() -> Result<(), Error> {
    let exceptions =
        EXCEPTIONS.into_iter().find_map(|name| std::env::var_os(name).map(|value| (name, value)));
    if let Some((variable, _)) = exceptions.filter(|(_, value)| value.to_str().is_none()) {
        return Err(Error::Usage(format!(
            "{variable} is not valid text: write host names and addresses, separated with commas"
        )));
    }
    match named() {
        Some((variable, value)) => read(&value).map(drop).map_err(|why| {
            Error::Usage(format!(
                "{variable} is not a proxy address ({why}). Write http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT with special \
                 characters of both percent-encoded (@ is %40, # is %23, / is %2F)"
            ))
        }),
        None => Ok(()),
    }
}

/// Asks the proxy once for a connection to a host, before the client does so for every connection. A wrong password that is
/// tried a hundred times locks the account in many companies, and only this response names what the proxy accepts instead. A
/// response that cannot be read is left to the client.
///
/// # Errors
/// `Error::SignIn` where the proxy wants another sign-in.
pub async fn ask_proxy(url: &Url) -> Result<(), Error> {
    if is_loopback(url) {
        return Ok(());
    }
    let asked = async {
        let destination: Uri = url.as_str().parse().ok()?;
        let way = Matcher::from_system().intercept(&destination)?;
        if way.uri().scheme_str() != Some("http") {
            return None;
        }
        let host = format!("{}:{}", url.host_str()?, url.port_or_known_default()?);
        let authorization = way.basic_auth().and_then(|value| value.to_str().ok());
        let line =
            authorization.map_or_else(String::new, |value| format!("Proxy-Authorization: {value}\r\n"));
        let address = (way.uri().host()?.trim_matches(['[', ']']), way.uri().port_u16().unwrap_or(80));
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream
            .write_all(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{line}\r\n").as_bytes())
            .await
            .ok()?;
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < LONGEST_HEAD {
            if stream.read_buf(&mut head).await.ok()? == 0 {
                break;
            }
        }
        unwelcome(&String::from_utf8_lossy(&head), authorization.is_some())
    };
    match timeout(ASKED, asked).await {
        Ok(Some(text)) => Err(Error::SignIn(text)),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// What to say of a proxy that wants another sign-in; `None` for any other answer.
fn unwelcome(head: &str, with_password: bool) -> Option<String> {
    let mut lines = head.lines();
    // Some proxies answer a wrong password with 401.
    let status = lines.next()?.split(' ').nth(1).filter(|status| matches!(*status, "401" | "407"))?;
    let proxy = proxy_name().unwrap_or_else(|| "the proxy".to_owned());
    let mut offers: Vec<&str> = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authenticate"))
        .filter_map(|(_, value)| value.split([' ', ',']).find(|word| !word.is_empty()))
        .collect();
    offers.dedup();
    let has = |kind: &str| offers.iter().any(|offer| offer.eq_ignore_ascii_case(kind));
    Some(if !offers.is_empty() && !has("basic") {
        let kinds: Vec<_> = ["Negotiate", "NTLM", "Kerberos", "Digest", "Bearer"]
            .into_iter()
            .filter(|kind| has(kind))
            .collect();
        let kinds = if kinds.is_empty() { "a kind of sign-in".to_owned() } else { kinds.join(" and ") };
        format!(
            "{proxy} accepts only {kinds} ({status}), which reprovision does not speak. Start a local proxy that does, such as cntlm or \
             px, and name it in HTTPS_PROXY; or have the host allowed without a sign-in, or name it in NO_PROXY if it can be \
             reached directly. Nothing was sent"
        )
    } else if with_password {
        format!(
            "{proxy} rejects the user and password in HTTPS_PROXY ({status}). It was asked once, so that the account is not locked. \
             Correct them, special characters percent-encoded. Nothing was sent"
        )
    } else {
        format!(
            "{proxy} wants a user and a password ({status}): HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT, special characters \
             percent-encoded. Nothing was sent"
        )
    })
}

/// Host and port, without user and password.
pub fn proxy_name() -> Option<String> {
    let url = read(&named()?.1).ok()?;
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let kind = if url.scheme().starts_with("socks") { "SOCKS proxy" } else { "proxy" };
    Some(format!("the {kind} {}{port}", url.host_str()?))
}

/// Entries of `NO_PROXY` that fit no host, with what to write instead.
pub fn idle_exceptions() -> Vec<String> {
    let list = first_set(&EXCEPTIONS).unwrap_or_default();
    list.split(',').map(str::trim).filter_map(idle).collect()
}

fn idle(entry: &str) -> Option<String> {
    let bare = entry.split_once("://").map_or(entry, |(_, host)| host);
    let host = match bare.rsplit_once(':') {
        // A colon in an IPv6 address is none before a port.
        Some((host, port)) if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => bare,
    };
    let better = host.strip_prefix('*').filter(|rest| !rest.is_empty()).unwrap_or(host);
    let better = better.trim_end_matches('/').trim_start_matches('[').trim_end_matches(']');
    let blanks = entry.contains(char::is_whitespace);
    (better != entry || blanks).then(|| match blanks {
        true => format!("{entry:?}: separate with commas"),
        false => format!("{entry:?}: write {better}"),
    })
}

fn named() -> Option<(&'static str, String)> {
    VARIABLES.iter().find_map(|pair| {
        let name = pair.iter().find(|name| std::env::var_os(name).is_some())?;
        first_set(pair).filter(|value| !value.is_empty()).map(|value| (*name, value))
    })
}

/// Bytes that are not UTF-8 become replacement characters, so that the value is rejected as an address.
fn first_set(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
}

fn read(value: &str) -> Result<Url, &'static str> {
    let with_scheme = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let url = Url::parse(&with_scheme).map_err(|_| "it is not a URL")?;
    if !SCHEMES.contains(&url.scheme()) {
        return Err("its scheme is neither http, https nor socks5");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("it names no host");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("something follows host and port");
    }
    if value.matches('@').count() > 1 {
        return Err("there is more than one @");
    }
    // What the client reads it with takes no other characters.
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it holds blanks or letters beyond ASCII");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_addresses_are_read_and_unreadable_ones_are_named() {
        for good in [
            "http://proxy.example:8080",
            "http://proxy.example:8080/",
            "proxy.example:8080",
            "proxy.example",
            "http://ann:p%40ss%23%2F@proxy.example:8080",
            "ann:secret@10.0.0.1:3128",
            "https://proxy.example",
            "http://[::1]:3128",
            "socks5h://proxy.example:1080",
        ] {
            read(good).unwrap_or_else(|why| panic!("{good}: {why}"));
        }
        for (bad, why) in [
            ("http://ann:p#ss@proxy.example:8080", "not a URL"),
            ("http://ann:12#ss@proxy.example:8080", "something follows"),
            ("http://ann:p/ss@proxy.example:8080", "not a URL"),
            ("http://ann:p@ss@proxy.example:8080", "more than one @"),
            ("http://ann:p ss@proxy.example:8080", "blanks"),
            ("http://wpad.example/wpad.dat", "something follows"),
            ("ftp://proxy.example", "scheme"),
            ("http://", "not a URL"),
        ] {
            let said = read(bad).expect_err(bad);
            assert!(said.contains(why), "{bad}: {said}");
        }
    }

    #[test]
    fn kinds_of_sign_in_of_a_proxy_are_named_with_what_works_instead() {
        let head = |offers: &[&str]| {
            let lines: String =
                offers.iter().map(|offer| format!("Proxy-authenticate: {offer}\r\n")).collect();
            format!("HTTP/1.1 407 Authentication Required\r\n{lines}\r\n")
        };
        for (offers, with_password, part) in [
            (&["Negotiate", "NTLM"][..], false, "accepts only Negotiate and NTLM (407)"),
            (&["NTLM TlRMTVNTUAAC"], true, "cntlm"),
            (&["Hawk id=1"], true, "accepts only a kind of sign-in"),
            (&["Negotiate", "Basic realm=\"x\""], false, "wants a user and a password (407)"),
            (&["basic realm=\"x\""], true, "rejects the user and password"),
            (&[], false, "wants a user and a password (407)"),
        ] {
            let text = unwelcome(&head(offers), with_password).expect("a refusal");
            assert!(text.contains(part), "{text}");
        }
        let wrong = unwelcome("HTTP/1.0 401 Unauthorized\r\n\r\n", true).expect("a refusal");
        assert!(wrong.contains("rejects the user and password in HTTPS_PROXY (401)"), "{wrong}");
        for other in ["", "HTTP/1.1 200 Connection established\r\n\r\n", "HTTP/1.1 403 No\r\n\r\n", "407"] {
            assert_eq!(unwelcome(other, true), None);
        }
    }

    #[test]
    fn exceptions_that_fit_no_host_are_told_with_what_fits() {
        for idle_one in [
            ("*.example.com", "write .example.com"),
            ("graph.example:443", "write graph.example"),
            ("https://graph.example", "write graph.example"),
            ("[::1]", "write ::1"),
            ("a.example b.example", "separate with commas"),
        ] {
            let said = idle(idle_one.0).expect(idle_one.0);
            assert!(said.contains(idle_one.1), "{said}");
        }
        for fits in ["*", ".example.com", "example.com", "10.0.0.0/8", "::1", "2001:db8::/32", ""] {
            assert_eq!(idle(fits), None, "{fits}");
        }
    }
}
