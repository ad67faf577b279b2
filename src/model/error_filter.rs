//! Which service provisioning errors are looked for.

use std::time::Duration;

/// Which service provisioning errors are looked for. The default looks for all.
#[derive(Clone, Debug, Default)]
pub struct ErrorFilter {
    /// `--only-service`: any of them, without case; empty: all.
    pub services: Vec<String>,
    /// `--only-code`: any of them, without case; empty: all.
    pub codes: Vec<String>,
    /// `--older-than`
    pub older_than: Option<Duration>,
}

impl ErrorFilter {
    /// The filter in words that tell one filter from another.
    pub fn words(&self) -> String {
        let age = self.older_than.map_or_else(String::new, |age| format!("{} s", age.as_secs()));
        format!("{}|{}|{age}", self.services.join(","), self.codes.join(","))
    }
}
