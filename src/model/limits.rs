//! Limits that the user sets: how fast, and how many failures.

/// `--rate`: the upper bound of the rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Writes per second.
    pub per_second: f64,
    /// Send at exactly this rate and do not adapt (`fixed:16`).
    pub fixed: bool,
}

/// `--max-failures`: when failed users stop a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxFailures {
    /// More than this number of users.
    Count(u64),
    /// More than this share of the users answered in this invocation, 0 to 1, and more than 20 users.
    Share(f64),
}

impl Default for MaxFailures {
    /// 5%.
    fn default() -> Self {
        Self::Share(0.05)
    }
}

/// Default of `--concurrency`: users in flight. At 20 writes per second it is enough for answers that take 1.6 seconds.
pub const DEFAULT_CONCURRENCY: u16 = 32;

/// Default of `--max-attempts`: attempts per user on transient failures.
pub const DEFAULT_MAX_ATTEMPTS: u32 = 6;

/// `--priority`: the value of `x-ms-throttle-priority`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Interactive requests are served first.
    #[default]
    Low,
    /// The priority of a request without the header.
    Normal,
    /// Before others.
    High,
}

impl Priority {
    /// The value of the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}
