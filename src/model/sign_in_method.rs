//! A way to sign in, as the command line names it.

/// A way to sign in. `auth::METHODS` lists all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignInMethod {
    /// As `--auth` takes it.
    pub name: &'static str,
    /// What it uses, as completions and the manual show it.
    pub help: &'static str,
}
