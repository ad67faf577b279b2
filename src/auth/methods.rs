//! The ways to sign in. A new one is a file in `methods/` and a row here.

mod azure_cli;
mod azure_devops;
mod browser;
mod certificate;
mod client_secret;
mod device_code;
mod github;
mod given_token;
mod managed_identity;
mod workload;

use futures::future::BoxFuture;

use super::plan::{Building, SignInPlan};
use crate::model::SignInMethod;

/// A way to sign in: how it is chosen and built.
#[derive(Debug)]
pub struct MethodRow {
    /// Its name and its help.
    pub method: SignInMethod,
    /// What announces it in the environment.
    pub(super) announced_by: AnnouncedBy,
    /// Variables that it also needs.
    pub(super) needs: &'static [&'static str],
    /// After the names of missing variables, in the message for `--auth`.
    pub(super) hint: &'static str,
    /// Values of `AZURE_TOKEN_CREDENTIALS` that allow it.
    pub(super) sdk_names: &'static [&'static str],
    /// Finds it without variables, after all others.
    pub(super) probe: Option<Probe>,
    /// Variables that no browser is given: it outlives this process and loads anything.
    pub(super) secrets: &'static [&'static str],
    pub(super) build: for<'a> fn(&'a SignInPlan<'a>) -> Building<'a>,
}

/// What announces a way to sign in.
#[derive(Debug)]
pub(super) enum AnnouncedBy {
    /// One of these variables holds the token itself, whatever `AZURE_TOKEN_CREDENTIALS` allows.
    Token([&'static str; 3]),
    /// All of these variables.
    Variables(&'static [&'static str]),
    /// Nothing: only `--auth` or a probe selects it.
    Nothing,
}

/// How a way to sign in is found that needs no variables.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) is_there: for<'a> fn(&'a SignInPlan<'a>) -> BoxFuture<'a, bool>,
    /// Why it was chosen.
    pub(super) because: &'static str,
    /// Why it was not.
    pub(super) not: &'static str,
}

const APP: &[&str] = &["AZURE_CLIENT_ID", "AZURE_TENANT_ID"];
const PUBLIC_CLIENT: &str = ": the id of an app with \"Allow public client flows\"; if your tenant uses Connect-MgGraph, its app \
                             \"Microsoft Graph Command Line Tools\" 14d82eec-204b-4c2f-b7e8-296a70dab67e serves";

/// The ways to sign in, in the order in which `auto` takes them.
pub static METHODS: [MethodRow; 10] = [
    MethodRow {
        method: SignInMethod { name: "token", help: "REPROVISION_TOKEN, --token-file or --token-command" },
        announced_by: AnnouncedBy::Token(given_token::VARIABLES),
        needs: &[],
        hint: ", --token-file or --token-command",
        sdk_names: &[],
        probe: None,
        secrets: &["REPROVISION_TOKEN"],
        build: given_token::source,
    },
    MethodRow {
        method: SignInMethod { name: "secret", help: "AZURE_CLIENT_SECRET" },
        announced_by: AnnouncedBy::Variables(&["AZURE_CLIENT_SECRET"]),
        needs: APP,
        hint: "",
        sdk_names: &["prod", "EnvironmentCredential"],
        probe: None,
        secrets: &["AZURE_CLIENT_SECRET", "AZURE_PASSWORD"],
        build: client_secret::source,
    },
    MethodRow {
        method: SignInMethod { name: "certificate", help: "AZURE_CLIENT_CERTIFICATE_PATH, PEM" },
        announced_by: AnnouncedBy::Variables(&["AZURE_CLIENT_CERTIFICATE_PATH"]),
        needs: APP,
        hint: "",
        sdk_names: &["prod", "EnvironmentCredential"],
        probe: None,
        secrets: &["AZURE_CLIENT_CERTIFICATE_PASSWORD"],
        build: certificate::source,
    },
    MethodRow {
        method: SignInMethod { name: "workload", help: "AZURE_FEDERATED_TOKEN_FILE" },
        announced_by: AnnouncedBy::Variables(&["AZURE_FEDERATED_TOKEN_FILE"]),
        needs: APP,
        hint: "",
        sdk_names: &["prod", "WorkloadIdentityCredential"],
        probe: None,
        secrets: &[],
        build: workload::source,
    },
    MethodRow {
        method: SignInMethod { name: "github", help: "The id token of a GitHub job" },
        announced_by: AnnouncedBy::Variables(&[
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        ]),
        needs: APP,
        hint: "",
        sdk_names: &["prod"],
        probe: None,
        secrets: &["ACTIONS_ID_TOKEN_REQUEST_TOKEN"],
        build: github::source,
    },
    MethodRow {
        method: SignInMethod { name: "azure-devops", help: "The id token of an Azure DevOps job" },
        announced_by: AnnouncedBy::Variables(&["SYSTEM_OIDCREQUESTURI", "SYSTEM_ACCESSTOKEN"]),
        needs: &["AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"],
        hint: "",
        sdk_names: &["prod", "AzurePipelinesCredential"],
        probe: None,
        secrets: &["SYSTEM_ACCESSTOKEN"],
        build: azure_devops::source,
    },
    MethodRow {
        method: SignInMethod {
            name: "managed-identity",
            help: "The identity of an Azure machine or app service; AZURE_CLIENT_ID for a user-assigned one",
        },
        announced_by: AnnouncedBy::Variables(&["IDENTITY_ENDPOINT", "IDENTITY_HEADER"]),
        needs: &[],
        hint: "",
        sdk_names: &["prod", "ManagedIdentityCredential"],
        probe: Some(Probe {
            is_there: managed_identity::is_there,
            because: "the machine's identity endpoint answers",
            not: "no identity endpoint answers on this machine",
        }),
        secrets: &["IDENTITY_HEADER"],
        build: managed_identity::source,
    },
    MethodRow {
        method: SignInMethod { name: "az", help: "The account signed in with az login" },
        announced_by: AnnouncedBy::Nothing,
        needs: &[],
        hint: "",
        sdk_names: &["dev", "AzureCliCredential"],
        probe: Some(Probe {
            is_there: azure_cli::is_there,
            because: "az is installed",
            not: "not installed, or not in PATH",
        }),
        secrets: &[],
        build: azure_cli::source,
    },
    MethodRow {
        method: SignInMethod {
            name: "browser",
            help: "A browser on this machine, with the app of --client-id",
        },
        announced_by: AnnouncedBy::Nothing,
        needs: &["AZURE_CLIENT_ID"],
        hint: PUBLIC_CLIENT,
        sdk_names: &[],
        probe: None,
        secrets: &[],
        build: browser::source,
    },
    MethodRow {
        method: SignInMethod {
            name: "device-code",
            help: "A code to enter in a browser elsewhere, with the app of --client-id",
        },
        announced_by: AnnouncedBy::Nothing,
        needs: &["AZURE_CLIENT_ID"],
        hint: PUBLIC_CLIENT,
        sdk_names: &[],
        probe: None,
        secrets: &[],
        build: device_code::source,
    },
];

impl MethodRow {
    /// The row of a method.
    pub(super) fn of(method: SignInMethod) -> Option<&'static Self> {
        METHODS.iter().find(|row| row.method == method)
    }
}

/// Variables with secrets, which other programs must not be given.
pub fn secret_variables() -> impl Iterator<Item = &'static str> {
    METHODS.iter().flat_map(|row| row.secrets).copied()
}
