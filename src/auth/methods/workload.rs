//! `--auth workload`: a federated token in a file, as Kubernetes and other platforms write it.

use std::path::PathBuf;

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::SecretString;
use url::Url;

use crate::auth::assertion::AssertionSource;
use crate::auth::failure::Failure;
use crate::auth::plan::{Building, SignInPlan};
use crate::auth::secret_file::SecretFile;
use crate::auth::source::TokenSource;

pub(super) fn source<'a>(plan: &'a SignInPlan<'a>) -> Building<'a> {
    async move {
        let file = plan.environment.get("AZURE_FEDERATED_TOKEN_FILE").unwrap_or_default();
        TokenSource::assertions(plan, FederatedFile(PathBuf::from(file)))
    }
    .boxed()
}

#[derive(Debug)]
struct FederatedFile(PathBuf);

impl AssertionSource for FederatedFile {
    fn name(&self) -> &'static str {
        "workload identity"
    }

    fn assertion<'a>(&'a self, _: &'a str, _: &'a Url) -> BoxFuture<'a, Result<SecretString, Failure>> {
        async {
            let path = self.0.display();
            let text = SecretFile::text(&self.0).await.map_err(|error| {
                Failure::passing(format!("cannot read AZURE_FEDERATED_TOKEN_FILE {path}: {error}"))
            })?;
            match text.trim() {
                "" => Err(Failure::passing(format!("AZURE_FEDERATED_TOKEN_FILE {path} is empty"))),
                text => Ok(SecretString::from(text)),
            }
        }
        .boxed()
    }
}
