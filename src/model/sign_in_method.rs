//! The ways to sign in.

/// The ways to sign in, in the order in which `auto` takes them; the last two only when named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SignInMethod {
    Token,
    Secret,
    Certificate,
    Workload,
    GitHub,
    AzureDevOps,
    ManagedIdentity,
    AzureCli,
    Browser,
    DeviceCode,
}

impl SignInMethod {
    /// All ways, in the order of the choice.
    pub const ALL: [Self; 10] = [
        Self::Token,
        Self::Secret,
        Self::Certificate,
        Self::Workload,
        Self::GitHub,
        Self::AzureDevOps,
        Self::ManagedIdentity,
        Self::AzureCli,
        Self::Browser,
        Self::DeviceCode,
    ];

    /// As `--auth` takes it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Secret => "secret",
            Self::Certificate => "certificate",
            Self::Workload => "workload",
            Self::GitHub => "github",
            Self::AzureDevOps => "azure-devops",
            Self::ManagedIdentity => "managed-identity",
            Self::AzureCli => "az",
            Self::Browser => "browser",
            Self::DeviceCode => "device-code",
        }
    }

    /// What it uses, as completions and the manual show it.
    pub fn help(self) -> &'static str {
        match self {
            Self::Token => "REPROVISION_TOKEN, --token-file or --token-command",
            Self::Secret => "AZURE_CLIENT_SECRET",
            Self::Certificate => "AZURE_CLIENT_CERTIFICATE_PATH, PEM",
            Self::Workload => "AZURE_FEDERATED_TOKEN_FILE",
            Self::GitHub => "The id token of a GitHub job",
            Self::AzureDevOps => "The id token of an Azure DevOps job",
            Self::ManagedIdentity => {
                "The identity of an Azure machine or app service; AZURE_CLIENT_ID for a user-assigned one"
            }
            Self::AzureCli => "The account signed in with az login",
            Self::Browser => "A browser on this machine, with the app of --client-id",
            Self::DeviceCode => "A code to enter in a browser elsewhere, with the app of --client-id",
        }
    }
}
