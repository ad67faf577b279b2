//! A client secret for a token, by the form post that every sign-in host of Entra takes (`docs/graph.md#tokens`).

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::model::neutral;

/// Longest text of a sign-in error that is shown, in characters.
const SHOWN: usize = 300;

/// What is posted where.
#[derive(Debug)]
pub struct Exchange {
    /// `net::client`, bounded by its timeout.
    pub http: reqwest::Client,
    /// `https://{host}/{tenant}/oauth2/v2.0/token`
    pub url: Url,
    /// The app.
    pub client_id: String,
    /// Its secret.
    pub secret: SecretString,
    /// `{Graph root}/.default`
    pub scope: String,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    error_description: Option<String>,
}

impl Exchange {
    /// One post.
    pub(super) async fn token(&self) -> Result<String, String> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.client_id),
            ("client_secret", self.secret.expose_secret()),
            ("scope", &self.scope),
        ];
        let host = self.url.host_str().unwrap_or("the sign-in host");
        let answer = self.http.post(self.url.clone()).form(&form).send().await;
        let answer = answer.map_err(|error| format!("sign-in at {host}: {}", crate::net::fault(error).1))?;
        let status = answer.status();
        let bytes = answer
            .bytes()
            .await
            .map_err(|error| format!("sign-in at {host}: {}", crate::net::fault(error).1))?;
        let read: Option<Answer> = serde_json::from_slice(&bytes).ok();
        match read {
            Some(Answer { access_token: Some(token), .. }) if status.is_success() => Ok(token),
            Some(Answer { error_description: Some(text), .. }) => {
                let first = text.lines().next().unwrap_or_default();
                Err(format!("sign-in at {host} failed: {}", neutral(first, SHOWN)))
            }
            _ => Err(format!("sign-in at {host} failed with HTTP {} and no explanation", status.as_u16())),
        }
    }
}
