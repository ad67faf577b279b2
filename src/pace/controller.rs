//! The rate controller: when the next write may be sent, within the fixed rate limit.

use tokio::time::Instant;

use super::adaptive::{AdaptiveRate, LearnedRate};

/// How the rate is found. Code outside `pace` never matches on it.
#[derive(Clone, Debug)]
pub enum RateController {
    /// Only the rate limit applies: `--rate fixed:R`.
    Fixed,
    /// The rate is measured while the run works.
    Adaptive(Box<AdaptiveRate>),
}

/// What a response means for the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QuotaSignal {
    /// The write was counted against the quota.
    Served,
    /// A 429.
    Throttled,
    /// Neither: an error, a rejected token, a service that is busy.
    Unrelated,
}

impl RateController {
    /// The default controller. It starts at `documented` writes per second, with a burst of 150 times that.
    pub fn adaptive(documented: f64) -> Self {
        Self::Adaptive(Box::new(AdaptiveRate::new(documented, Instant::now())))
    }

    /// A controller that starts from a rate the user knows, in writes per second: `--initial-rate`.
    pub fn from_known(rate: f64) -> Self {
        Self::Adaptive(Box::new(AdaptiveRate::from_known(rate, Instant::now())))
    }

    /// Sets the rate limit, which the controller needs to keep count of the burst.
    pub(super) fn bound(&mut self, rate_limit: f64) {
        if let Self::Adaptive(controller) = self {
            controller.bound(rate_limit);
        }
    }

    /// Records that a write was sent.
    pub(super) fn on_sent(&mut self, now: Instant) {
        if let Self::Adaptive(controller) = self {
            controller.sent(now);
        }
    }

    /// Records the response to a write sent at `sent`. `used` is the share of the limit from the response header.
    pub(super) fn on_attempt(&mut self, signal: QuotaSignal, used: Option<f64>, sent: Instant, now: Instant) {
        let Self::Adaptive(controller) = self else { return };
        if let Some(used) = used {
            controller.used(used, now);
        }
        match signal {
            QuotaSignal::Served => controller.served(sent, now),
            QuotaSignal::Throttled => controller.throttled(sent, now),
            QuotaSignal::Unrelated => {}
        }
    }

    /// Records that all cool-downs are over and the probe was served.
    pub(super) fn on_reopened(&mut self, now: Instant) {
        if let Self::Adaptive(controller) = self {
            controller.reopened(now);
        }
    }

    /// The earliest instant of the next write. An instant that is not after `now` means immediately.
    pub(super) fn next_send(&self, now: Instant) -> Instant {
        match self {
            Self::Fixed => now,
            Self::Adaptive(controller) => controller.next_send(now),
        }
    }

    /// Maximum number of parts in flight.
    pub(super) fn in_flight(&self) -> usize {
        match self {
            Self::Fixed => usize::MAX,
            Self::Adaptive(controller) => controller.in_flight(),
        }
    }

    /// Writes per second; `None` if only the rate limit applies.
    pub(super) fn rate(&self, now: Instant) -> Option<f64> {
        match self {
            Self::Fixed => None,
            Self::Adaptive(controller) => Some(controller.pace(now)),
        }
    }

    /// What a later invocation starts from.
    pub(super) fn learned(&self) -> Option<LearnedRate> {
        match self {
            Self::Fixed => None,
            Self::Adaptive(controller) => Some(controller.learned()),
        }
    }
}
