//! The clouds: Graph root, sign-in host and token scope belong together (`docs/graph.md#clouds`).

/// One cloud. A token of one is refused by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cloud {
    /// As `--cloud` names it.
    pub name: &'static str,
    /// Graph root without version.
    pub root: &'static str,
    /// Sign-in host.
    pub authority: &'static str,
    /// Scope of an app token.
    pub scope: &'static str,
}

/// The public cloud, GCC included.
pub const GLOBAL: Cloud = Cloud {
    name: "global",
    root: "https://graph.microsoft.com",
    authority: "https://login.microsoftonline.com",
    scope: "https://graph.microsoft.com/.default",
};
/// US Government L4, GCC High.
pub const USGOV: Cloud = Cloud {
    name: "usgov",
    root: "https://graph.microsoft.us",
    authority: "https://login.microsoftonline.us",
    scope: "https://graph.microsoft.us/.default",
};
/// US Government L5, DoD.
pub const USGOV_DOD: Cloud = Cloud {
    name: "usgov-dod",
    root: "https://dod-graph.microsoft.us",
    authority: "https://login.microsoftonline.us",
    scope: "https://dod-graph.microsoft.us/.default",
};
/// China, operated by 21Vianet.
pub const CHINA: Cloud = Cloud {
    name: "china",
    root: "https://microsoftgraph.chinacloudapi.cn",
    authority: "https://login.partner.microsoftonline.cn",
    scope: "https://microsoftgraph.chinacloudapi.cn/.default",
};

/// All of them.
pub const CLOUDS: [Cloud; 4] = [GLOBAL, USGOV, USGOV_DOD, CHINA];
