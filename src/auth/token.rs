//! A bearer token: its secret, its claims and when it expires.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::claims::Claims;
use super::host::Grant;
use super::redact::redact;
use crate::model::Attempt;

/// Renewed this long before its end, at most …
const EARLY: Duration = Duration::from_secs(300);
/// … or this share of its life, if that is less.
const EARLY_SHARE: u32 = 5;
/// A bearer token with its number.
#[derive(Debug)]
pub struct Token {
    pub(super) secret: SecretString,
    /// Made once: a run of a million requests signs each of them with it.
    pub(super) bearer: HeaderValue,
    /// Counts up by one with every renewal.
    pub generation: u64,
    /// The claims of the token.
    pub claims: Claims,
    pub(super) life: Option<Life>,
    pub(super) fetched: Instant,
}

/// When the token expires, by two clocks. One stops while the machine sleeps, the other may be set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) whole: Duration,
    ends: Instant,
    ends_by_wall: Timestamp,
}

impl Life {
    /// `None`: longer than a time can be.
    pub(super) fn new(whole: Duration, now: Instant, wall: Timestamp) -> Option<Self> {
        let ends_by_wall = wall.checked_add(jiff::SignedDuration::try_from(whole).ok()?).ok()?;
        Some(Self { whole, ends: now + whole, ends_by_wall })
    }

    pub(super) fn left(&self, now: Instant, wall: Timestamp) -> Duration {
        let by_wall = Duration::try_from(self.ends_by_wall.duration_since(wall)).unwrap_or_default();
        self.left_awake(now).min(by_wall)
    }

    /// The expiry by the monotonic clock.
    pub(super) fn left_awake(&self, now: Instant) -> Duration {
        self.ends.saturating_duration_since(now)
    }

    /// Remaining lifetime at which the next token is fetched.
    pub(super) fn is_due(&self, left: Duration) -> bool {
        left <= EARLY.min(self.whole / EARLY_SHARE)
    }
}

impl Token {
    /// The `Authorization` header it goes into; hidden from logs.
    pub fn bearer(&self) -> &HeaderValue {
        &self.bearer
    }

    pub(super) fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    /// The same token again, where only the wall clock says that it ends: that clock was set, or the machine
    /// slept and the next 401 will tell. `grant` may know what is left of it.
    pub(super) fn lives_on(&self, grant: &Grant, now: Instant, wall: Timestamp) -> Option<Self> {
        let life = self.life?;
        let left = grant.life.unwrap_or_else(|| life.left_awake(now));
        if life.is_due(left) {
            return None;
        }
        Some(Self {
            secret: self.secret.clone(),
            bearer: self.bearer.clone(),
            generation: self.generation,
            claims: self.claims.clone(),
            life: Some(Life { whole: life.whole, ..Life::new(left, now, wall)? }),
            fetched: self.fetched,
        })
    }
}

impl Token {
    /// Removes the token from a text of the service, which may repeat the request.
    pub fn hide_in(&self, attempt: &mut Attempt) {
        for text in [&mut attempt.code, &mut attempt.message] {
            if !text.is_empty() {
                *text = redact(text, &[self.expose()]).into();
            }
        }
        if !attempt.request_id.is_empty() {
            attempt.request_id = redact(&attempt.request_id, &[self.expose()]).into();
        }
    }
}
