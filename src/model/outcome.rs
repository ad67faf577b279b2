//! What became of a row, in the words of `results.csv`.

use serde::{Deserialize, Serialize};

/// The fate of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Microsoft 365 accepted the request. It does not mean that the error is gone.
    Accepted,
    /// Sent, and not accepted.
    Failed,
    /// No usable id; nothing was sent.
    Invalid,
    /// The same id stands in an earlier row; nothing was sent for this one.
    Duplicate,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Failed, Self::Invalid, Self::Duplicate];

    /// The inverse of [`Outcome::as_str`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }

    /// As it stands in `results.csv`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::Invalid => "invalid",
            Self::Duplicate => "duplicate",
        }
    }
}

/// Why, as a stable code. The whole list is explained in `docs/reference.md#reasons`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// 404: no such object in this tenant.
    NotFound,
    /// 403: the app or account may not do this to this object.
    NoPermission,
    /// 401 three times, while Graph accepted the same token for others.
    Unauthorized,
    /// 400 and other final refusals of the request itself.
    BadRequest,
    /// 405, 410, 411, 413, 414, 415, 501 and every other final status.
    Rejected,
    /// Attempts used up on transient faults.
    GaveUp,
    /// Throttled more often than one user can be while others are served.
    ThrottledOut,
    /// The object stayed busy (409, 423).
    Busy,
    /// Answers that did not come from Graph: a login page, a redirect, HTML.
    NotGraph,
    /// The id cell is empty.
    EmptyId,
    /// The id cell is neither a GUID nor a UPN.
    BadId,
    /// The row cannot be read as CSV, or its id does not surely stand in the id column.
    BrokenRow,
    /// The same id as an earlier row.
    SameId,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 13] = [
        Self::NotFound,
        Self::NoPermission,
        Self::Unauthorized,
        Self::BadRequest,
        Self::Rejected,
        Self::GaveUp,
        Self::ThrottledOut,
        Self::Busy,
        Self::NotGraph,
        Self::EmptyId,
        Self::BadId,
        Self::BrokenRow,
        Self::SameId,
    ];

    /// The inverse of [`Reason::as_str`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// As it stands in `results.csv`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NoPermission => "no_permission",
            Self::Unauthorized => "unauthorized",
            Self::BadRequest => "bad_request",
            Self::Rejected => "rejected",
            Self::GaveUp => "gave_up",
            Self::ThrottledOut => "throttled_out",
            Self::Busy => "busy",
            Self::NotGraph => "not_graph",
            Self::EmptyId => "empty_id",
            Self::BadId => "bad_id",
            Self::BrokenRow => "broken_row",
            Self::SameId => "same_id",
        }
    }
}
