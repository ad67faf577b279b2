//! A sample of the rate: the requests that were in flight when one was throttled, until the first probe is served.

/// Requests that may have overtaken the throttled one on the network. Measured: with 2 a rate of 60/s is read as 80/s, and with
/// 4 a rate of 200/s is not found in some runs.
const OVERTOOK: f64 = 3.0;

/// One throttling event and the requests in flight with it. Instants are seconds since the origin of the controller.
#[derive(Clone, Debug)]
pub(super) struct ThrottleSample {
    /// When the throttled response arrived.
    pub(super) since: f64,
    /// When the throttled request was sent.
    sent: f64,
    /// Writes per second at that moment.
    pace: f64,
    /// Requests sent between these two instants that were served.
    pub(super) passed: u32,
    /// Requests sent between these two instants that were throttled too.
    pub(super) throttled: u32,
    /// Whether a probe was throttled.
    pub(super) probe_throttled: bool,
}

impl ThrottleSample {
    /// Begins when a request sent at `sent` was throttled, at a pace of `pace` writes per second.
    pub(super) fn new(sent: f64, since: f64, pace: f64) -> Self {
        Self { since, sent, pace, passed: 0, throttled: 0, probe_throttled: false }
    }

    /// Counts a request sent at `sent` that was served.
    pub(super) fn served(&mut self, sent: f64) {
        if self.was_in_flight(sent) {
            self.passed = self.passed.saturating_add(1);
        }
    }

    /// Counts a request sent at `sent` that was throttled.
    pub(super) fn also_throttled(&mut self, sent: f64) {
        if self.was_in_flight(sent) {
            self.throttled = self.throttled.saturating_add(1);
        } else if sent > self.since {
            self.probe_throttled = true;
        }
    }

    /// The proved rate in writes per second. When the quota is used up, only its refill is served, so the served share of the pace
    /// is at most the rate. Zero if the sample is too small.
    pub(super) fn proved(&self) -> f64 {
        let (passed, throttled) = (f64::from(self.passed), f64::from(self.throttled));
        self.pace * (passed - OVERTOOK).max(0.0) / (passed + throttled).max(1.0)
    }

    /// Returns whether a request was sent after the throttled one and before its response arrived.
    fn was_in_flight(&self, sent: f64) -> bool {
        sent >= self.sent && sent <= self.since
    }
}
