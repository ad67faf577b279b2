//! `--auth github`: the id token of a GitHub job.

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::auth::assertion::{AssertionIssuer, AssertionSource};
use crate::auth::failure::Failure;
use crate::auth::plan::{Building, SignInPlan};
use crate::auth::source::TokenSource;

pub(super) fn source<'a>(plan: &'a SignInPlan<'a>) -> Building<'a> {
    async move {
        let mut url = plan.issuer("ACTIONS_ID_TOKEN_REQUEST_URL")?;
        url.query_pairs_mut().append_pair("audience", plan.federation);
        let token = plan.secret("ACTIONS_ID_TOKEN_REQUEST_TOKEN");
        let issuer = AssertionIssuer { http: plan.network.client(&url)?, url, token };
        TokenSource::assertions(plan, GitHubJob(issuer))
    }
    .boxed()
}

#[derive(Debug)]
struct GitHubJob(AssertionIssuer);

#[derive(Deserialize)]
struct IdToken {
    value: String,
}

impl AssertionSource for GitHubJob {
    fn name(&self) -> &'static str {
        "GitHub workload identity"
    }

    fn assertion<'a>(&'a self, _: &'a str, _: &'a Url) -> BoxFuture<'a, Result<SecretString, Failure>> {
        async {
            let request = self.0.http.get(self.0.url.clone());
            let needs = "the job needs permissions: id-token: write";
            let given: IdToken = self.0.fetch(request, "GitHub's id token", needs).await?;
            Ok(SecretString::from(given.value))
        }
        .boxed()
    }
}
