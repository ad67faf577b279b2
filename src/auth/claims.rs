//! What a token says of itself. Unverified: for checks and messages only (`docs/graph.md#tokens`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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
    /// Name of the app, where the sign-in host adds it.
    pub app_displayname: Option<String>,
    /// Sign-in name of the user, v1.0 tokens.
    pub upn: Option<String>,
    /// Sign-in name of the user, v2.0 tokens.
    pub preferred_username: Option<String>,
    /// Audience.
    pub aud: Option<String>,
    /// End of life, seconds since 1970.
    pub exp: Option<i64>,
    /// Begin of life, seconds since 1970.
    pub iat: Option<i64>,
    /// Permissions of an app.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Permissions that a user lent to an app, separated by blanks.
    pub scp: Option<String>,
}

impl Claims {
    /// Reads the middle part of a JWT; `None` for anything else.
    pub fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (_, body, _) = (parts.next()?, parts.next()?, parts.next()?);
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body.trim_end_matches('=')).ok()?).ok()
    }

    /// The app, whichever claim names it.
    pub fn app(&self) -> Option<&str> {
        self.appid.as_deref().or(self.azp.as_deref())
    }

    /// The user who signed in, whichever claim names him; an app's own token has none.
    pub fn user(&self) -> Option<&str> {
        self.upn.as_deref().or(self.preferred_username.as_deref())
    }

    /// Whether the token is meant for a Microsoft host.
    pub fn is_for_microsoft(&self) -> bool {
        self.aud
            .as_deref()
            .is_some_and(|aud| aud.contains("microsoft") || aud.starts_with("00000003-0000-0000-c000"))
    }
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
