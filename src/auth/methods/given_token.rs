//! `--auth token`: a token that somebody else fetched, as a text, a file or a command that prints it.

use std::path::{Path, PathBuf};

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};

use crate::auth::external_program;
use crate::auth::failure::Failure;
use crate::auth::host::Grant;
use crate::auth::plan::{Building, SignInPlan};
use crate::auth::secret_file::SecretFile;
use crate::auth::source::{Credential, TokenSource};
use crate::error::Error;

/// The variables that give a token; the last two are flags too.
pub(super) const VARIABLES: [&str; 3] =
    ["REPROVISION_TOKEN", "REPROVISION_TOKEN_FILE", "REPROVISION_TOKEN_COMMAND"];

pub(super) fn source<'a>(plan: &'a SignInPlan<'a>) -> Building<'a> {
    async move {
        match VARIABLES.map(|name| plan.environment.get(name)) {
            [Some(token), None, None] => Ok(TokenSource::fixed(SecretString::from(token))),
            [None, Some(file), None] => {
                // A pipe gives its token once, so that only a file is looked at.
                if Path::new(file).is_file()
                    && let Ok(read) = SecretFile::beside(Path::new(file)).await
                {
                    plan.warn_of(&read, file);
                }
                Ok(TokenSource::file(file))
            }
            [None, None, Some(line)] => Ok(TokenSource::new(TokenCommand(line.to_owned()))),
            _ => Err(Error::Usage(
                "more than one of REPROVISION_TOKEN, --token-file and --token-command: choose one".to_owned(),
            )),
        }
    }
    .boxed()
}

impl TokenSource {
    /// A token that cannot be renewed.
    pub fn fixed(token: SecretString) -> Self {
        Self::new(FixedToken(token))
    }

    /// A file that is read again when a new token is needed.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(TokenFile(path.into()))
    }
}

/// `REPROVISION_TOKEN`: cannot be renewed.
#[derive(Debug)]
struct FixedToken(SecretString);

impl Credential for FixedToken {
    fn name(&self) -> &'static str {
        "REPROVISION_TOKEN"
    }

    fn may_renew(&self) -> bool {
        false
    }

    fn fetch<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<Grant, Failure>> {
        async { Ok(Grant::bare(self.0.expose_secret())) }.boxed()
    }
}

/// `--token-file`: read again when a new one is needed.
#[derive(Debug)]
struct TokenFile(PathBuf);

impl Credential for TokenFile {
    fn name(&self) -> &'static str {
        "--token-file"
    }

    fn may_follow(&self) -> bool {
        true
    }

    fn fetch<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<Grant, Failure>> {
        async {
            let text = SecretFile::text(&self.0).await.map_err(|error| {
                Failure::passing(format!("cannot read --token-file {}: {error}", self.0.display()))
            })?;
            Ok(Grant::bare(&text))
        }
        .boxed()
    }
}

/// `--token-command`: run again when a new one is needed.
#[derive(Debug)]
struct TokenCommand(String);

impl Credential for TokenCommand {
    fn name(&self) -> &'static str {
        "--token-command"
    }

    fn may_follow(&self) -> bool {
        true
    }

    fn fetch<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<Grant, Failure>> {
        async { Ok(Grant::bare(&external_program::run(&self.0).await?)) }.boxed()
    }
}
