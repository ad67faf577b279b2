//! What `verify` found about one accepted object.

use serde::{Deserialize, Serialize};

/// In the words of `verified.csv` (`docs/reference.md#verdicts`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Errors stood on it and all are resolved.
    Cleared,
    /// The error is older than the acceptance: not processed yet.
    Pending,
    /// The error is newer than the acceptance: the service tried and failed for the same cause.
    FailedAgain,
    /// The service tried and failed for another cause.
    Changed,
    /// No error stood on it.
    NoError,
    /// It is not in the tenant any more.
    Gone,
    /// It could not be read.
    Unread,
}

impl Verdict {
    /// All of them, in the order of a summary.
    pub const ALL: [Self; 7] = [
        Self::Cleared,
        Self::Pending,
        Self::FailedAgain,
        Self::Changed,
        Self::NoError,
        Self::Gone,
        Self::Unread,
    ];

    /// As it stands in `verified.csv`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cleared => "cleared",
            Self::Pending => "pending",
            Self::FailedAgain => "failed_again",
            Self::Changed => "changed",
            Self::NoError => "no_error",
            Self::Gone => "gone",
            Self::Unread => "unread",
        }
    }

    /// Whether an error remains, or may.
    pub fn remains(self) -> bool {
        matches!(self, Self::Pending | Self::FailedAgain | Self::Changed | Self::Unread)
    }

    /// Whether the service tried again and failed.
    pub fn failed(self) -> bool {
        matches!(self, Self::FailedAgain | Self::Changed)
    }
}
