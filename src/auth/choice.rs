//! Which way to sign in: what the environment offers, in a fixed order, and why not the others.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::Future;
use std::path::Path;

use super::outside::AzureCli;
use crate::error::Error;
use crate::model::SignInMethod;

/// How the variables begin that are about the sign-in.
const SIGN_IN: [&str; 2] = ["AZURE_", "REPROVISION_"];

/// The environment variables, and what the flags say instead of some of them.
#[derive(Clone, Default)]
pub struct Surroundings {
    variables: BTreeMap<String, String>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Some of the values are secrets.
        out.debug_set().entries(self.variables.keys()).finish()
    }
}

impl Surroundings {
    /// Of this process; a variable that is empty counts as unset.
    ///
    /// # Errors
    /// `Error::Usage` names a variable about the sign-in that is no text, never its value. Others of that kind count as unset.
    pub fn of_process() -> Result<Self, Error> {
        Self::of(std::env::vars_os())
    }

    fn of(all: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, Error> {
        let mut variables = BTreeMap::new();
        for (name, value) in all {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) if value.is_empty() => {}
                Ok(value) => drop(variables.insert(name, value)),
                Err(_) if SIGN_IN.iter().any(|begins| name.starts_with(begins)) => {
                    return Err(Error::Usage(format!(
                        "{name} is not valid text (UTF-8): set it again, or unset it; nothing was sent"
                    )));
                }
                Err(_) => {}
            }
        }
        Ok(Self { variables })
    }

    /// A flag that stands for a variable wins over it.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.variables.insert(name.to_owned(), value.to_owned());
        }
    }

    /// A variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    fn lacks<'a>(&self, names: &[&'a str]) -> Vec<&'a str> {
        names.iter().copied().filter(|name| self.get(name).is_none()).collect()
    }

    /// Whether a program of that name is in `PATH`.
    fn has_program(&self, name: &str) -> bool {
        let path = self.get("PATH").or_else(|| self.get("Path")).unwrap_or_default();
        std::env::split_paths(path).any(|folder| folder.join(Path::new(name)).is_file())
    }
}

/// What `auto` took, and what it says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Taken.
    pub kind: SignInMethod,
    /// The variable, flag or program that offered it.
    pub because: String,
    /// Offered as well; with nobody to look, `--auth` must name one.
    pub also: Vec<SignInMethod>,
    /// What was begun and does not suffice, or is left out on purpose: why.
    pub not: Vec<String>,
    /// Nothing announces these.
    pub absent: Vec<SignInMethod>,
}

/// What decides on a way: the variable that announces it, and what it needs besides.
const ANNOUNCED: [(SignInMethod, &[&str], &[&str]); 6] = [
    (SignInMethod::Secret, &["AZURE_CLIENT_SECRET"], &["AZURE_CLIENT_ID", "AZURE_TENANT_ID"]),
    (SignInMethod::Certificate, &["AZURE_CLIENT_CERTIFICATE_PATH"], &["AZURE_CLIENT_ID", "AZURE_TENANT_ID"]),
    (SignInMethod::Workload, &["AZURE_FEDERATED_TOKEN_FILE"], &["AZURE_CLIENT_ID", "AZURE_TENANT_ID"]),
    (
        SignInMethod::GitHub,
        &["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"],
        &["AZURE_CLIENT_ID", "AZURE_TENANT_ID"],
    ),
    (
        SignInMethod::AzureDevOps,
        &["SYSTEM_OIDCREQUESTURI", "SYSTEM_ACCESSTOKEN"],
        &["AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"],
    ),
    (SignInMethod::ManagedIdentity, &["IDENTITY_ENDPOINT", "IDENTITY_HEADER"], &[]),
];

/// What a way still needs; empty: nothing. For `--auth KIND`.
pub(super) fn needs(kind: SignInMethod, around: &Surroundings) -> Vec<&'static str> {
    match kind {
        SignInMethod::Token if TOKENS.iter().all(|name| around.get(name).is_none()) => vec![TOKENS[0]],
        SignInMethod::Browser | SignInMethod::DeviceCode => around.lacks(&["AZURE_CLIENT_ID"]),
        // The machine's own endpoint needs no variable.
        SignInMethod::ManagedIdentity => Vec::new(),
        _ => {
            let row = ANNOUNCED.iter().find(|(known, ..)| *known == kind);
            row.map(|(_, first, second)| around.lacks(&[*first, *second].concat())).unwrap_or_default()
        }
    }
}

/// How a token is given outright; the last two are flags too.
pub(super) const TOKENS: [&str; 3] =
    ["REPROVISION_TOKEN", "REPROVISION_TOKEN_FILE", "REPROVISION_TOKEN_COMMAND"];

/// Takes the first way that the environment offers. `machine` tells whether the machine's own identity endpoint
/// answers; asked only where no variable decides.
///
/// # Errors
/// A sentence for a value of `AZURE_TOKEN_CREDENTIALS` that means nothing here, or what each way lacks.
pub async fn choose(around: &Surroundings, machine: impl Future<Output = bool>) -> Result<Choice, String> {
    let allowed = allowed(around)?;
    let is_allowed = |kind: SignInMethod| {
        kind == SignInMethod::Token || allowed.as_ref().is_none_or(|list| list.contains(&kind))
    };
    let (mut offered, mut not, mut absent, mut unset) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    if let Some(name) = TOKENS.iter().find(|name| around.get(name).is_some()) {
        offered.push((SignInMethod::Token, (*name).to_owned()));
    }
    for (kind, announced, besides) in ANNOUNCED {
        let (missing, incomplete) = (around.lacks(announced), around.lacks(besides));
        let flag = kind.flag();
        if !is_allowed(kind) {
            not.push(format!("{flag}: AZURE_TOKEN_CREDENTIALS leaves it out"));
        } else if missing.len() == announced.len() {
            absent.push(kind);
            if kind != SignInMethod::ManagedIdentity {
                unset.push(format!("{flag}: {} is not set", announced[0]));
            }
        } else if !missing.is_empty() {
            not.push(format!("{flag}: {} is not set", missing.join(" and ")));
        } else if !incomplete.is_empty() {
            not.push(format!("{flag}: {} is set, {} is not", announced[0], incomplete.join(" and ")));
        } else {
            offered.push((kind, announced[0].to_owned()));
        }
    }
    if let Some((kind, because)) = offered.first().cloned() {
        let also = offered[1..].iter().map(|(kind, _)| *kind).collect();
        return Ok(Choice { kind, because, also, not, absent });
    }
    if is_allowed(SignInMethod::ManagedIdentity) {
        if machine.await {
            let because = "the machine's identity endpoint answers".to_owned();
            absent.retain(|kind| *kind != SignInMethod::ManagedIdentity);
            return Ok(Choice {
                kind: SignInMethod::ManagedIdentity,
                because,
                also: Vec::new(),
                not,
                absent,
            });
        }
        unset.push("managed-identity: no identity endpoint answers on this machine".to_owned());
    }
    if is_allowed(SignInMethod::AzureCli) {
        if around.has_program(AzureCli::PROGRAM) {
            let because = "az is installed".to_owned();
            return Ok(Choice { kind: SignInMethod::AzureCli, because, also: Vec::new(), not, absent });
        }
        unset.push("az: not installed, or not in PATH".to_owned());
    }
    Err(format!(
        "no way to sign in. The quickest: install Azure CLI, az login, then the same command with --auth az; or --auth browser, \
         --auth device-code; or set REPROVISION_TOKEN. What was looked at:\n  {}",
        [not, unset].concat().join("\n  ")
    ))
}

/// `AZURE_TOKEN_CREDENTIALS` as every Azure SDK means it.
fn allowed(around: &Surroundings) -> Result<Option<Vec<SignInMethod>>, String> {
    let Some(value) = around.get("AZURE_TOKEN_CREDENTIALS") else { return Ok(None) };
    Ok(Some(match value.trim().to_ascii_lowercase().as_str() {
        "prod" => vec![
            SignInMethod::Secret,
            SignInMethod::Certificate,
            SignInMethod::Workload,
            SignInMethod::GitHub,
            SignInMethod::AzureDevOps,
            SignInMethod::ManagedIdentity,
        ],
        "dev" => vec![SignInMethod::AzureCli],
        "environmentcredential" => vec![SignInMethod::Secret, SignInMethod::Certificate],
        "workloadidentitycredential" => vec![SignInMethod::Workload],
        "managedidentitycredential" => vec![SignInMethod::ManagedIdentity],
        "azureclicredential" => vec![SignInMethod::AzureCli],
        "azurepipelinescredential" => vec![SignInMethod::AzureDevOps],
        _ => {
            return Err(format!(
                "AZURE_TOKEN_CREDENTIALS={value:?} names no way to sign in that reprovision has: prod, dev, EnvironmentCredential, \
                 WorkloadIdentityCredential, ManagedIdentityCredential, AzureCliCredential, AzurePipelinesCredential; or give --auth"
            ));
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(variables: &[(&str, &str)]) -> Surroundings {
        let mut around = Surroundings::default();
        for (name, value) in variables {
            around.set(name, Some(value));
        }
        around
    }

    const APP: [(&str, &str); 2] = [("AZURE_CLIENT_ID", "a"), ("AZURE_TENANT_ID", "t")];

    async fn chosen(variables: &[(&str, &str)], machine: bool) -> Result<Choice, String> {
        choose(&around(&[&APP, variables].concat()), async { machine }).await
    }

    #[test]
    fn no_value_is_printed() {
        let shown = format!("{:?}", around(&[("AZURE_CLIENT_SECRET", "canary")]));
        assert_eq!(shown, r#"{"AZURE_CLIENT_SECRET"}"#);
    }

    #[tokio::test]
    async fn the_order_is_fixed_and_every_other_offer_is_said() {
        let all = [
            ("IDENTITY_ENDPOINT", "e"),
            ("IDENTITY_HEADER", "h"),
            ("SYSTEM_OIDCREQUESTURI", "u"),
            ("SYSTEM_ACCESSTOKEN", "t"),
            ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "c"),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", "u"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t"),
            ("AZURE_FEDERATED_TOKEN_FILE", "f"),
            ("AZURE_CLIENT_CERTIFICATE_PATH", "c"),
            ("AZURE_CLIENT_SECRET", "s"),
            ("REPROVISION_TOKEN", "t"),
        ];
        let found = chosen(&all, true).await.expect("chosen");
        assert_eq!((found.kind, found.because.as_str()), (SignInMethod::Token, "REPROVISION_TOKEN"));
        let order: Vec<SignInMethod> = std::iter::once(found.kind).chain(found.also).collect();
        assert_eq!(
            order,
            [
                SignInMethod::Token,
                SignInMethod::Secret,
                SignInMethod::Certificate,
                SignInMethod::Workload,
                SignInMethod::GitHub,
                SignInMethod::AzureDevOps,
                SignInMethod::ManagedIdentity
            ]
        );
        assert!(found.not.is_empty() && found.absent.is_empty());
    }

    #[tokio::test]
    async fn an_incomplete_offer_is_none_and_says_what_is_missing() {
        let variables = [("AZURE_CLIENT_SECRET", "s"), ("AZURE_TENANT_ID", "t")];
        let found = choose(&around(&variables), async { true }).await.expect("chosen");
        assert_eq!(found.kind, SignInMethod::ManagedIdentity);
        assert_eq!(found.not, ["secret: AZURE_CLIENT_SECRET is set, AZURE_CLIENT_ID is not"]);
        assert_eq!(
            found.absent,
            [
                SignInMethod::Certificate,
                SignInMethod::Workload,
                SignInMethod::GitHub,
                SignInMethod::AzureDevOps
            ]
        );
        let none = choose(&around(&[]), async { false }).await.expect_err("nothing there");
        assert!(none.contains("az: not installed"), "{none}");
    }

    #[tokio::test]
    async fn azure_token_credentials_narrows_the_choice() {
        let secret = ("AZURE_CLIENT_SECRET", "s");
        let found = chosen(&[secret, ("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")], true).await;
        assert_eq!(found.expect("chosen").kind, SignInMethod::ManagedIdentity);
        let found = chosen(&[secret, ("AZURE_TOKEN_CREDENTIALS", "prod")], true).await;
        assert_eq!(found.expect("chosen").kind, SignInMethod::Secret);
        assert!(chosen(&[("AZURE_TOKEN_CREDENTIALS", "VisualStudioCredential")], true).await.is_err());
    }
}
