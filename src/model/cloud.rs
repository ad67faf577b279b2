//! The clouds: Graph root, sign-in host and token scope belong together (`docs/graph.md#clouds`).

/// One Microsoft cloud. A token of one is refused by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cloud {
    /// As `--cloud` names it.
    pub name: &'static str,
    /// Graph root without version.
    pub root: &'static str,
    /// Sign-in host.
    pub authority: &'static str,
    /// Audience of an assertion from elsewhere.
    pub federation: &'static str,
}

/// The public cloud, GCC included.
pub const GLOBAL: Cloud = Cloud {
    name: "global",
    root: "https://graph.microsoft.com",
    authority: "https://login.microsoftonline.com",
    federation: "api://AzureADTokenExchange",
};
/// US Government L4, GCC High.
pub const USGOV: Cloud = Cloud {
    name: "usgov",
    root: "https://graph.microsoft.us",
    authority: "https://login.microsoftonline.us",
    federation: "api://AzureADTokenExchangeUSGov",
};
/// US Government L5, DoD.
pub const USGOV_DOD: Cloud = Cloud {
    name: "usgov-dod",
    root: "https://dod-graph.microsoft.us",
    authority: "https://login.microsoftonline.us",
    federation: "api://AzureADTokenExchangeUSGov",
};
/// China, operated by 21Vianet.
pub const CHINA: Cloud = Cloud {
    name: "china",
    root: "https://microsoftgraph.chinacloudapi.cn",
    authority: "https://login.partner.microsoftonline.cn",
    federation: "api://AzureADTokenExchangeChina",
};

/// Sign-in hosts that have other names, and whose they are.
const OTHER_NAMES: [(&str, Cloud); 6] = [
    ("login.windows.net", GLOBAL),
    ("login.microsoft.com", GLOBAL),
    ("sts.windows.net", GLOBAL),
    ("login-us.microsoftonline.com", USGOV),
    ("login.usgovcloudapi.net", USGOV),
    ("login.chinacloudapi.cn", CHINA),
];

impl Default for Cloud {
    fn default() -> Self {
        GLOBAL
    }
}

impl Cloud {
    /// Whether a sign-in host, without scheme, belongs to this cloud; `None` for a host of no known cloud.
    pub fn owns_authority(&self, host: &str) -> Option<bool> {
        let named =
            |authority: &str, host: &str| authority.trim_start_matches("https://").eq_ignore_ascii_case(host);
        let known = CLOUDS.into_iter().find(|cloud| named(cloud.authority, host));
        let known = known.or_else(|| {
            OTHER_NAMES.into_iter().find(|(name, _)| named(name, host)).map(|(_, cloud)| cloud)
        })?;
        // Both clouds of the US Government sign in at one host.
        Some(known.authority == self.authority)
    }
}

/// All clouds.
pub const CLOUDS: [Cloud; 4] = [GLOBAL, USGOV, USGOV_DOD, CHINA];
