//! The rate controller: decides when the next write may be sent below the fixed rate limit.

use tokio::time::Instant;

use super::adaptive::{AdaptiveRate, LearnedRate};

/// The kind of rate control of a run. Only this file distinguishes the two.
#[derive(Clone, Debug)]
pub enum RateController {
    /// The rate limit alone decides: `--rate fixed:R`.
    Fixed,
    /// The controller finds the quota of the service while the run works.
    Adaptive(Box<AdaptiveRate>),
}

/// The meaning of a response for the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QuotaSignal {
    /// The write was taken from the quota.
    Served,
    /// The quota was exceeded, usually a 429.
    Throttled,
    /// The response is not about the quota: a transient failure, a token, a busy service.
    Unrelated,
}

impl RateController {
    /// The default controller. It starts from `documented` writes per second and the full burst that belongs
    /// to them.
    pub fn adaptive(documented: f64) -> Self {
        Self::Adaptive(Box::new(AdaptiveRate::new(documented, Instant::now())))
    }

    /// A controller that starts from `rate` writes per second, given with `--initial-rate`.
    pub fn from_known(rate: f64) -> Self {
        Self::Adaptive(Box::new(AdaptiveRate::from_known(rate, Instant::now())))
    }

    /// Sets the upper bound of the rate, in writes per second. The controller needs it to count down the
    /// burst.
    pub(super) fn set_rate_limit(&mut self, writes_per_second: f64) {
        if let Self::Adaptive(controller) = self {
            controller.set_rate_limit(writes_per_second);
        }
    }

    /// Records that a write was sent.
    pub(super) fn on_sent(&mut self, now: Instant) {
        if let Self::Adaptive(controller) = self {
            controller.sent(now);
        }
    }

    /// Records the response to a write that was sent at `sent`. `used` is the share of the limit that its
    /// header reports.
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

    /// Records the end of a throttling event: every cool-down has passed and the probe was served.
    pub(super) fn on_reopened(&mut self, now: Instant) {
        if let Self::Adaptive(controller) = self {
            controller.reopened(now);
        }
    }

    /// Returns the earliest instant of the next write. An instant that is not after `now` allows it
    /// immediately.
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

    /// Rate at `now`, in writes per second. `None`: the rate limit alone decides.
    pub(super) fn rate(&self, now: Instant) -> Option<f64> {
        match self {
            Self::Fixed => None,
            Self::Adaptive(controller) => Some(controller.pace(now)),
        }
    }

    /// Values from which a later invocation starts. `None`: this controller does not measure.
    pub(super) fn learned(&self) -> Option<LearnedRate> {
        match self {
            Self::Fixed => None,
            Self::Adaptive(controller) => Some(controller.learned()),
        }
    }
}
