//! The claims of a token. They are not verified and serve only for checks and messages
//! (`docs/graph.md#tokens`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// The claims that are read. Each may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Audience; of several the first.
    pub aud: Option<String>,
    /// End of life, seconds since 1970.
    pub exp: Option<i64>,
    /// Begin of life, seconds since 1970.
    pub iat: Option<i64>,
    /// Permissions of an app.
    pub roles: Vec<String>,
    /// Permissions that a user lent to an app, separated by blanks.
    pub scp: Option<String>,
}

impl Claims {
    /// Reads the middle part of a JWT; `None` for anything else. A claim of an odd type is missing: it must
    /// not hide the tenant beside it.
    pub fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (_, body, _) = (parts.next()?, parts.next()?, parts.next()?);
        let bytes = URL_SAFE_NO_PAD.decode(body.trim_end_matches('=')).ok()?;
        let all: Map<String, Value> = serde_json::from_slice(&bytes).ok()?;
        let list = |name: &str| all.get(name).and_then(Value::as_array).into_iter().flatten();
        let text = |name: &str| all.get(name).and_then(Value::as_str).map(str::to_owned);
        let time = |name: &str| {
            let number = all.get(name)?;
            number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64))
        };
        Some(Self {
            tid: text("tid"),
            appid: text("appid"),
            azp: text("azp"),
            app_displayname: text("app_displayname"),
            upn: text("upn"),
            preferred_username: text("preferred_username"),
            aud: text("aud").or_else(|| list("aud").next()?.as_str().map(str::to_owned)),
            exp: time("exp"),
            iat: time("iat"),
            roles: list("roles").filter_map(|role| role.as_str().map(str::to_owned)).collect(),
            scp: text("scp"),
        })
    }

    /// The app, whichever claim names it.
    pub fn app(&self) -> Option<&str> {
        self.appid.as_deref().or(self.azp.as_deref())
    }

    /// The signed-in user, from the first claim that names one. The token of an app has none.
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
        let odd = r#"{"tid":"t","aud":["https://graph.microsoft.com"],"exp":1.5e3,"roles":"one","scp":7,"upn":null}"#;
        let claims = Claims::read(&format!("e30.{}.x", URL_SAFE_NO_PAD.encode(odd))).expect("claims");
        assert_eq!((claims.tid.as_deref(), claims.exp), (Some("t"), Some(1_500)));
        assert!(claims.is_for_microsoft() && claims.roles.is_empty() && claims.scp.is_none());
        assert_eq!(Claims::read("opaque"), None);
        assert_eq!(Claims::read("a.!!.c"), None);
    }
}
