//! `--auth azure-devops`: the id token of an Azure DevOps job.

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
        let mut url = plan.issuer("SYSTEM_OIDCREQUESTURI")?;
        let connection = plan.environment.get("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID").unwrap_or_default();
        url.query_pairs_mut()
            .append_pair("api-version", "7.1")
            .append_pair("serviceConnectionId", connection);
        let token = plan.secret("SYSTEM_ACCESSTOKEN");
        let issuer = AssertionIssuer { http: plan.network.client(&url)?, url, token };
        TokenSource::assertions(plan, AzureDevOpsJob(issuer))
    }
    .boxed()
}

#[derive(Debug)]
struct AzureDevOpsJob(AssertionIssuer);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdToken {
    oidc_token: String,
}

impl AssertionSource for AzureDevOpsJob {
    fn name(&self) -> &'static str {
        "Azure DevOps workload identity"
    }

    fn assertion<'a>(&'a self, _: &'a str, _: &'a Url) -> BoxFuture<'a, Result<SecretString, Failure>> {
        async {
            let request = self
                .0
                .http
                .post(self.0.url.clone())
                .header("content-type", "application/json")
                .header("content-length", "0")
                .header("x-tfs-fedauthredirect", "Suppress");
            let needs =
                "the step needs env: SYSTEM_ACCESSTOKEN: $(System.AccessToken) and its service connection";
            let given: IdToken = self.0.fetch(request, "Azure DevOps' id token", needs).await?;
            Ok(SecretString::from(given.oidc_token))
        }
        .boxed()
    }
}
