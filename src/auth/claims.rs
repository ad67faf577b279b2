//! What a token says of itself. Unverified: for checks and messages only (`docs/graph.md#tokens`).

use serde::Deserialize;

/// The claims we look at; all may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// Tenant.
    pub tid: Option<String>,
    /// App, v1.0 tokens.
    pub appid: Option<String>,
    /// App, v2.0 tokens.
    pub azp: Option<String>,
    /// Audience.
    pub aud: Option<String>,
    /// End of life, seconds since 1970.
    pub exp: Option<i64>,
    /// Begin of life, seconds since 1970.
    pub iat: Option<i64>,
}

impl Claims {
    /// Reads the middle part of a JWT; `None` for anything else.
    pub fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (_, body, _) = (parts.next()?, parts.next()?, parts.next()?);
        serde_json::from_slice(&base64url(body)?).ok()
    }

    /// The app, whichever claim names it.
    pub fn app(&self) -> Option<&str> {
        self.appid.as_deref().or(self.azp.as_deref())
    }

    /// Whether the token is meant for a Microsoft host.
    pub fn is_for_microsoft(&self) -> bool {
        self.aud
            .as_deref()
            .is_some_and(|aud| aud.contains("microsoft") || aud.starts_with("00000003-0000-0000-c000"))
    }
}

fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwt_is_read_and_anything_else_is_not() {
        // {"tid":"t","appid":"a","exp":12}
        let claims = Claims::read("e30.eyJ0aWQiOiJ0IiwiYXBwaWQiOiJhIiwiZXhwIjoxMn0.x").expect("claims");
        assert_eq!((claims.tid.as_deref(), claims.app(), claims.exp), (Some("t"), Some("a"), Some(12)));
        assert_eq!(Claims::read("opaque"), None);
        assert_eq!(Claims::read("a.!!.c"), None);
    }
}
