//! Why a token could not be fetched: a transient failure, or one that only a person can fix.

use std::time::Duration;

/// Time limit for retries if the sign-in host gives no useful response.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Time limit for faults that rarely end by themselves: three attempts, immediately and after 1 s and 2 s.
pub(super) const FEW_TRIES: Duration = Duration::from_secs(4);

/// Why there is no token. The text never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Worth another try.
    Passing {
        /// The message.
        text: String,
        /// The wait that the host asked for.
        after: Option<Duration>,
        /// Retries continue at least this long after the first failure.
        patience: Duration,
    },
    /// The source returned the present token again: another cache still holds it, or the next one is not
    /// written yet.
    Same {
        /// The meaning if the source never returns another one.
        text: String,
        /// As above.
        patience: Duration,
    },
    /// Trying again changes nothing.
    Final(String),
}

impl Failure {
    /// Worth another try, within the usual patience.
    pub(super) fn passing(text: impl Into<String>) -> Self {
        Self::Passing { text: text.into(), after: None, patience: PATIENCE }
    }

    /// The sentence.
    pub fn text(&self) -> &str {
        match self {
            Self::Passing { text, .. } | Self::Same { text, .. } | Self::Final(text) => text,
        }
    }
}

/// The delay before the next attempt. It doubles from one second to half a minute, and is at least the wait
/// that the host asked for. Without jitter: one process asks, not a thousand.
pub(super) fn pause(failures: u32, asked: Option<Duration>) -> Duration {
    const FIRST: u64 = 1;
    const MOST: u64 = 30;
    /// Longer than any token lives.
    const MOST_ASKED: Duration = Duration::from_secs(86_400);
    let own = Duration::from_secs(FIRST.checked_shl(failures.saturating_sub(1)).unwrap_or(MOST).min(MOST));
    asked.map_or(own, |asked| asked.clamp(own, MOST_ASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_an_asked_one_is_kept() {
        let seconds =
            |failures, asked: Option<u64>| pause(failures, asked.map(Duration::from_secs)).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 80].map(|n| seconds(n, None)), [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(seconds(1, Some(7)), 7);
        assert_eq!(seconds(4, Some(7)), 8);
        assert_eq!(seconds(1, Some(9_999)), 9_999);
        assert_eq!(seconds(1, Some(u64::MAX)), 86_400);
    }
}
