//! The law of the moving rate: when the next write may leave, beside the fixed ceiling.

use tokio::time::Instant;

use super::adaptive::{Adaptive, Learned};

/// Which law holds. One arm for each; nothing outside `pace` knows which.
#[derive(Clone, Debug)]
pub enum Law {
    /// The ceiling alone decides: `--rate fixed:R`.
    Fixed,
    /// Finds the quota by itself.
    Adaptive(Box<Adaptive>),
}

/// What an answer says about the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QuotaSignal {
    /// The write was taken from it.
    Served,
    /// A 429.
    Throttled,
    /// Neither: a fault, a token, a service that is busy.
    Unrelated,
}

impl Law {
    /// The default, from a rate in writes per second of which 150 seconds are in stock.
    pub fn adaptive(documented: f64) -> Self {
        Self::Adaptive(Box::new(Adaptive::new(documented, Instant::now())))
    }

    /// The same from a rate that somebody says who knows the service: `--initial-rate`.
    pub fn said(rate: f64) -> Self {
        Self::Adaptive(Box::new(Adaptive::said(rate, Instant::now())))
    }

    /// The ceiling, which the law must know to keep count of the stock.
    pub(super) fn bound(&mut self, ceiling: f64) {
        if let Self::Adaptive(law) = self {
            law.bound(ceiling);
        }
    }

    /// A write left.
    pub(super) fn on_sent(&mut self, now: Instant) {
        if let Self::Adaptive(law) = self {
            law.sent(now);
        }
    }

    /// An answer came to a write that left at `sent`; `used` is the header's share of the limit.
    pub(super) fn on_attempt(
        &mut self,
        verdict: QuotaSignal,
        used: Option<f64>,
        sent: Instant,
        now: Instant,
    ) {
        let Self::Adaptive(law) = self else { return };
        if let Some(used) = used {
            law.used(used, now);
        }
        match verdict {
            QuotaSignal::Served => law.served(sent, now),
            QuotaSignal::Throttled => law.refused(sent, now),
            QuotaSignal::Unrelated => {}
        }
    }

    /// Every cool-down is over and the probe was served.
    pub(super) fn on_reopened(&mut self, now: Instant) {
        if let Self::Adaptive(law) = self {
            law.reopened(now);
        }
    }

    /// The earliest instant of the next write; now or earlier: at once.
    pub(super) fn next_send(&self, now: Instant) -> Instant {
        match self {
            Self::Fixed => now,
            Self::Adaptive(law) => law.next_send(now),
        }
    }

    /// Most parts in flight.
    pub(super) fn in_flight(&self) -> usize {
        match self {
            Self::Fixed => usize::MAX,
            Self::Adaptive(law) => law.in_flight(),
        }
    }

    /// Writes per second; `None`: the ceiling alone decides.
    pub(super) fn rate(&self, now: Instant) -> Option<f64> {
        match self {
            Self::Fixed => None,
            Self::Adaptive(law) => Some(law.pace(now)),
        }
    }

    /// What a later run starts from.
    pub(super) fn learned(&self) -> Option<Learned> {
        match self {
            Self::Fixed => None,
            Self::Adaptive(law) => Some(law.learned()),
        }
    }
}
