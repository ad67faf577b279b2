//! `--auth device-code`: a person enters a code in a browser elsewhere (`docs/graph.md#tokens`).

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use crate::auth::failure::Failure;
use crate::auth::host::{Grant, Refused};
use crate::auth::person::Person;
use crate::auth::plan::{Building, SignInPlan};
use crate::auth::source::{Credential, TokenSource};
use crate::model::sanitize;

/// `slow_down` adds so much (RFC 8628).
const SLOWER: Duration = Duration::from_secs(5);
/// Between polls where the host names no interval (RFC 8628).
const INTERVAL: u64 = 5;

pub(super) fn source<'a>(plan: &'a SignInPlan<'a>) -> Building<'a> {
    async move { Ok(TokenSource::new(DeviceCode { person: Person::new(plan)? })) }.boxed()
}

#[derive(Debug)]
struct DeviceCode {
    person: Person,
}

#[derive(Deserialize)]
struct Device {
    device_code: String,
    user_code: String,
    verification_uri: String,
    expires_in: Option<u64>,
    interval: Option<u64>,
}

impl Credential for DeviceCode {
    fn name(&self) -> &'static str {
        "device code"
    }

    fn fetch<'a>(&'a self, claims: Option<&'a str>) -> BoxFuture<'a, Result<Grant, Failure>> {
        self.person.token(claims, self.sign_in(claims)).boxed()
    }
}

impl DeviceCode {
    async fn sign_in(&self, claims: Option<&str>) -> Result<Grant, Failure> {
        let form = [("client_id", self.person.host.client_id.as_str()), ("scope", &self.person.scope)];
        let (device, _): (Device, _) =
            self.person.host.post("devicecode", &form).await.map_err(|refused| refused.failure)?;
        let device_code = SecretString::from(device.device_code);
        self.person.show.text(&format!(
            "Sign in: open {} and enter the code {}",
            sanitize(&device.verification_uri, 200),
            sanitize(&device.user_code, 40)
        ));
        let end = Instant::now() + Duration::from_secs(device.expires_in.unwrap_or(900).min(3_600));
        let mut interval = Duration::from_secs(device.interval.unwrap_or(INTERVAL).clamp(1, 60));
        let mut rest = interval;
        while Instant::now() < end {
            // Whatever the host asks for, the code is worth nothing after its end.
            sleep_until((Instant::now() + rest).min(end)).await;
            rest = interval;
            let form = [
                ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
                ("device_code", device_code.expose_secret()),
            ];
            match self.person.host.token(&form, claims).await {
                Ok(grant) => return Ok(grant),
                Err(Refused { error, failure }) => match (error.as_str(), failure) {
                    ("authorization_pending", _) => {}
                    ("slow_down", _) => {
                        interval += SLOWER;
                        rest = interval;
                    }
                    ("authorization_declined" | "access_denied", _) => {
                        return Err(Failure::Final("the sign-in was declined; nothing was sent".to_owned()));
                    }
                    ("expired_token", _) => break,
                    (_, Failure::Passing { after, .. }) => rest = interval.max(after.unwrap_or_default()),
                    (_, failure) => return Err(failure),
                },
            }
        }
        Err(Failure::Final("nobody entered the code in time; run the same command again".to_owned()))
    }
}
