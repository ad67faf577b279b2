//! The claims challenge of continuous access evaluation, as a 401 carries it (`docs/graph.md#tokens`).

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use serde_json::{Map, Value};

/// Longest challenge in bytes, encoded; real ones are below 300.
const LONGEST: usize = 8 * 1024;
/// Senders pad or do not, as they like.
const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

/// The decoded claims of the first challenge that holds some: a JSON object, to be repeated in the next token
/// request.
pub(super) fn claims(headers: &HeaderMap) -> Option<Box<str>> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    values.filter_map(|value| decode(&parameter(value, "claims")?)).next()
}

fn decode(text: &str) -> Option<Box<str>> {
    let text = text.trim();
    if text.len() > LONGEST {
        return None;
    }
    let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()?;
    let json = String::from_utf8(bytes).ok()?;
    serde_json::from_str::<Map<String, Value>>(&json).ok()?;
    Some(json.into())
}

/// The value of a parameter, quoted or bare; what looks like one inside a quoted text is none.
fn parameter(value: &str, name: &str) -> Option<String> {
    let mut rest = value;
    while !rest.is_empty() {
        let end = rest.find([',', ' ', '\t', '=', '"']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let after = after.trim_start_matches([' ', '\t']);
        let Some(given) = after.strip_prefix('=') else {
            // A scheme, a comma, or a stray quote: on to the next word.
            rest = match after.strip_prefix('"') {
                Some(quoted) => unquote(quoted).1,
                None => after.trim_start_matches([',', ' ', '\t']),
            };
            continue;
        };
        let given = given.trim_start_matches([' ', '\t']);
        let (text, next) = match given.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = given.find([',', ' ', '\t']).unwrap_or(given.len());
                (given[..end].to_owned(), &given[end..])
            }
        };
        if word.eq_ignore_ascii_case(name) {
            return Some(text);
        }
        rest = next.trim_start_matches([',', ' ', '\t']);
    }
    None
}

/// The text up to the closing quote, and what follows it.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                text.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (text, &quoted[at + 1..]),
            _ => text.push(c),
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[&str]) -> Option<Box<str>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().expect("a value"));
        }
        claims(&headers)
    }

    #[test]
    fn claims_are_found_wherever_they_stand() {
        let json = r#"{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}"#;
        let plain = STANDARD.encode(json);
        let bare = plain.trim_end_matches('=').to_owned();
        let graph = r#"Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000""#;
        let challenge =
            |text: &str| format!(r#"Bearer realm="", error="insufficient_claims", claims="{text}""#);
        assert_eq!(of(&[graph]), None);
        assert_eq!(of(&[&challenge(&plain)]).as_deref(), Some(json));
        assert_eq!(of(&[&challenge(&bare)]).as_deref(), Some(json), "no padding");
        assert_eq!(of(&[graph, &challenge(&plain)]).as_deref(), Some(json), "in the second header");
        let joined = format!("{graph}, {}", challenge(&plain));
        assert_eq!(of(&[&joined]).as_deref(), Some(json), "two challenges in one header");
        assert_eq!(of(&[&format!("Bearer Claims = {bare}")]).as_deref(), Some(json), "bare, with blanks");
        let inside = format!(r#"Bearer error_description="claims=\"{bare}\"", claims="e30=""#);
        assert_eq!(of(&[&inside]).as_deref(), Some("{}"), "not inside a quoted text");
        let odd = r#"{"a":"??>>~~"}"#;
        let url_safe = URL_SAFE.encode(odd);
        assert!(url_safe.contains(['-', '_']));
        assert_eq!(of(&[&challenge(&url_safe)]).as_deref(), Some(odd));
    }

    #[test]
    fn what_is_no_challenge_is_none() {
        let long = STANDARD.encode(format!("{{\"a\":\"{}\"}}", "x".repeat(LONGEST)));
        for text in ["", "!!!", "bm8ganNvbg==", "W10=", "/////w==", &long] {
            assert_eq!(of(&[&format!("Bearer claims=\"{text}\"")]), None, "{text:.20}");
        }
        for value in [
            "",
            "Bearer",
            "Bearer claims",
            "Bearer claims=",
            "Bearer claims=\"e30",
            "\"claims=e30",
            "=,=\"\",",
        ] {
            let found = of(&[value]);
            assert!(found.is_none() || value.ends_with("\"e30"), "{value}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_a_panic(value in "[ -~]{0,200}") {
            let _ = parameter(&value, "claims");
        }

        #[test]
        fn separators_in_any_order_come_to_an_end(value in "[,=\" \\\\a]{0,60}") {
            let _ = parameter(&value, "claims");
        }
    }
}
