//! The proxy that the environment names, read as the HTTP client reads it: what that would silently ignore is an error.

use url::Url;

use crate::error::Error;

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
                "{variable} is no proxy address ({why}): http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT with special \
                 characters of both percent-encoded (@ is %40, # is %23, / is %2F)"
            ))
        }),
        None => Ok(()),
    }
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

/// What is no text keeps a character in the place of each such byte, by which it is refused as an address.
fn first_set(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
}

fn read(value: &str) -> Result<Url, &'static str> {
    let with_scheme = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let url = Url::parse(&with_scheme).map_err(|_| "it is no URL")?;
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
            ("http://ann:p#ss@proxy.example:8080", "no URL"),
            ("http://ann:12#ss@proxy.example:8080", "something follows"),
            ("http://ann:p/ss@proxy.example:8080", "no URL"),
            ("http://ann:p@ss@proxy.example:8080", "more than one @"),
            ("http://ann:p ss@proxy.example:8080", "blanks"),
            ("http://wpad.example/wpad.dat", "something follows"),
            ("ftp://proxy.example", "scheme"),
            ("http://", "no URL"),
        ] {
            let said = read(bad).expect_err(bad);
            assert!(said.contains(why), "{bad}: {said}");
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
