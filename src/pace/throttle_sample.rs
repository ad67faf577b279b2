//! The responses from the first throttled one to the first probe that is served. Those to requests that were
//! already in flight show the rate of the service.

/// Number of served requests that are not counted, because they may have overtaken the throttled one on the
/// network. Measured: with 2 a rate of 60/s is taken for 80/s; with 4 some runs do not find a rate of 200/s.
const OVERTAKEN: f64 = 3.0;

/// What one throttling event shows. Instants are in seconds from the origin of the controller.
#[derive(Clone, Debug)]
pub(super) struct ThrottleSample {
    /// When the first throttled response arrived.
    pub(super) since: f64,
    /// When the request of that response was sent.
    first_sent: f64,
    /// Rate that was sent at that time, in writes per second.
    pace: f64,
    /// Requests that were sent between `first_sent` and `since`, and were served.
    pub(super) passed: u32,
    /// Requests that were sent between `first_sent` and `since`, and were throttled.
    pub(super) throttled: u32,
    /// Whether a probe was throttled.
    pub(super) probe_throttled: bool,
}

impl ThrottleSample {
    /// Starts the sample at `since` with the throttled response to a request that was sent at `first_sent`,
    /// at a rate of `pace` writes per second.
    pub(super) fn new(first_sent: f64, since: f64, pace: f64) -> Self {
        Self { since, first_sent, pace, passed: 0, throttled: 0, probe_throttled: false }
    }

    /// Records that a request sent at `sent` was served.
    pub(super) fn record_served(&mut self, sent: f64) {
        if self.was_in_flight(sent) {
            self.passed = self.passed.saturating_add(1);
        }
    }

    /// Records that another request, sent at `sent`, was throttled.
    pub(super) fn record_throttled(&mut self, sent: f64) {
        if self.was_in_flight(sent) {
            self.throttled = self.throttled.saturating_add(1);
        } else if sent > self.since {
            self.probe_throttled = true;
        }
    }

    /// Returns a lower bound of the rate of the service, in writes per second. When the burst is used up,
    /// only the refill is served, so the served share of the pace is the rate. Zero: too few requests were in
    /// flight.
    pub(super) fn proven_rate(&self) -> f64 {
        let (passed, throttled) = (f64::from(self.passed), f64::from(self.throttled));
        self.pace * (passed - OVERTAKEN).max(0.0) / (passed + throttled).max(1.0)
    }

    /// Returns whether a request was sent after the first throttled one and before that response arrived.
    fn was_in_flight(&self, sent: f64) -> bool {
        sent >= self.first_sent && sent <= self.since
    }
}
