//! From the chosen way and the environment to a source of tokens.

use super::choice::needs;
use super::methods::MethodRow;
use super::plan::SignInPlan;
use super::source::TokenSource;
use crate::error::Error;
use crate::model::SignInMethod;

impl SignInPlan<'_> {
    /// The source of tokens for a way to sign in.
    ///
    /// # Errors
    /// `Error::Usage` for what is missing or malformed, `Error::SignIn` for a certificate that cannot be used.
    pub async fn source(&self, method: SignInMethod) -> Result<TokenSource, Error> {
        let row = MethodRow::of(method)
            .ok_or_else(|| Error::Usage(format!("--auth {}: there is no such way", method.name)))?;
        let missing = needs(row, self.environment);
        if !missing.is_empty() {
            return Err(Error::Usage(format!(
                "--auth {} needs {}{} (reprovision help sign-in)",
                method.name,
                missing.join(" and "),
                row.hint
            )));
        }
        (row.build)(self).await
    }

    /// Whether a way to sign in is found without variables.
    pub async fn is_there(&self, row: &MethodRow) -> bool {
        match &row.probe {
            Some(probe) => (probe.is_there)(self).await,
            None => false,
        }
    }
}
