//! Sign-in of a user, once. Later tokens come from a refresh token.

use std::sync::{Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};

use super::failure::Failure;
use super::host::{Grant, SignInHost};
use super::notices::Show;
use super::plan::SignInPlan;
use crate::error::Error;

/// A person at a keyboard, and the app through which they sign in.
#[derive(Debug)]
pub(super) struct Person {
    /// The sign-in host and the app.
    pub(super) host: SignInHost,
    /// `{Graph root}/.default offline_access`
    pub(super) scope: String,
    /// Shows what they have to do.
    pub(super) show: Show,
    /// Signs in again without them.
    refresh: Mutex<Option<SecretString>>,
}

impl Person {
    /// The user has not signed in yet.
    pub(super) fn new(plan: &SignInPlan<'_>) -> Result<Self, Error> {
        Ok(Self {
            host: plan.host(plan.tenant().unwrap_or("organizations"))?,
            scope: format!("{} offline_access", plan.scope()),
            show: plan.show.clone(),
            refresh: Mutex::default(),
        })
    }

    /// A token without the person, or by `sign_in` if they have not signed in yet.
    pub(super) async fn token(
        &self,
        claims: Option<&str>,
        sign_in: impl Future<Output = Result<Grant, Failure>>,
    ) -> Result<Grant, Failure> {
        let refresh = self.refresh.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let grant = match refresh {
            Some(refresh) => {
                let form = [
                    ("grant_type", "refresh_token"),
                    ("refresh_token", refresh.expose_secret()),
                    ("scope", &self.scope),
                ];
                self.host.token(&form, claims).await.map_err(|refused| refused.failure)?
            }
            None => sign_in.await?,
        };
        if let Some(refresh) = &grant.refresh {
            *self.refresh.lock().unwrap_or_else(PoisonError::into_inner) = Some(refresh.clone());
        }
        Ok(grant)
    }
}
