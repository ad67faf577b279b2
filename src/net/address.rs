//! Addresses that the user gives: which are allowed, and what of them may be shown.

use url::{Host, Url};

use crate::error::Error;

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
        Url::parse(text).map_err(|error| wrong(&format!("is not a URL ({error}). Give the Graph root")))?;
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
