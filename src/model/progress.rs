//! Where a run stands at one moment, and how that is shown.

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressForm {
    /// A bar, redrawn in place.
    Bar,
    /// A line of text a minute.
    Lines,
    /// A JSON object a minute.
    Json,
    /// Nothing.
    None,
}

/// Counters of one invocation and what it waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Users with a final answer: accepted and failed.
    pub answered: u64,
    /// Users whose request was accepted.
    pub accepted: u64,
    /// Users who failed.
    pub failed: u64,
    /// Throttled answers.
    pub throttled: u64,
    /// Requests sent and not yet answered.
    pub in_flight: usize,
    /// Why nothing is sent at the moment, and for how long, in words for people.
    pub waiting: Option<String>,
}
