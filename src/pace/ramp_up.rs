//! The ramp-up: the pace between two pauses, without the burst. It rises to the learned rate and beyond it,
//! or searches for a rate that is still unknown.

/// Smallest distance of the start below the learned rate, and size of the rise above it, as a share of the
/// rate. Measured: between 0.02 and 0.06 the result for steady services changes by one point.
const SWING: f64 = 0.05;
/// Time from the end of a pause to the learned rate, in seconds. Measured: 30 wastes 0.57% if Retry-After is
/// always 1; 120 loses 6 to 10% when the quota changes.
pub(super) const RAMP_SECS: f64 = 45.0;
/// Smallest number of requests in a ramp, for slow rates. Each rise above the rate costs a throttled request,
/// so 400 requests lie between two of them.
const RAMP_REQUESTS: f64 = 400.0;
/// Time in which an unknown rate doubles once the burst is spent, in seconds. Measured: at 2 s the search
/// ends at 235/s, with 32 throttled requests instead of 11. 4 s takes 1.53 instead of 1.49 × the ideal time
/// at 800/s.
const DOUBLING_SECS: f64 = 3.5;
/// Largest ratio of the pace to the rate that was really sent.
const MAX_GROWTH: f64 = 2.0;
/// Smallest sent rate on which growth is based, as a share of the documented rate: 8/s of 20/s. A lower sent
/// rate does not show what could be sent.
const MIN_SENT_SHARE: f64 = 0.4;
/// Smallest factor by which the searched rate falls if it failed before it could be measured.
const SEARCH_CUT: f64 = 0.25;
/// Share in `x-ms-throttle-limit-percentage` from which the pace does not grow.
const NEAR_LIMIT_SHARE: f64 = 0.98;
/// Time for which such a header holds, in seconds.
const NEAR_LIMIT_SECS: f64 = 2.0;
/// Slowest pace in writes per second: one write in 20 s.
pub(super) const SLOWEST_PACE: f64 = 0.05;

/// The state of the ramp-up. Instants are in seconds from the origin of the controller, rates in writes per
/// second.
#[derive(Clone, Debug)]
pub(super) struct RampUp {
    /// The documented rate, or the one given with `--initial-rate`.
    documented: f64,
    /// The learned rate.
    rate: Option<f64>,
    /// Rate at which sending starts: what the service gave recently, or a higher rate in a speed test.
    low: f64,
    /// The pace while the rate is unknown.
    search: f64,
    /// When the ramp started: at the last probe that was served, or after an idle time.
    from: f64,
    /// When the service last reported that the limit is near.
    near_limit: f64,
}

impl RampUp {
    pub(super) fn new(documented: f64) -> Self {
        Self {
            documented,
            rate: None,
            low: 0.0,
            search: documented,
            from: 0.0,
            near_limit: f64::NEG_INFINITY,
        }
    }

    /// The learned rate.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// The pace while the rate is unknown.
    pub(super) fn search(&self) -> f64 {
        self.search
    }

    /// The learned rate, or the searched one while the rate is unknown.
    pub(super) fn rate_or_search(&self) -> f64 {
        self.rate.unwrap_or(self.search)
    }

    /// Rate at which sending starts after a pause.
    pub(super) fn low(&self) -> f64 {
        self.low
    }

    /// Returns the pace at `now`. `sent_rate` is the rate that was really sent. The pace rises on a straight
    /// line from the start to the learned rate, and from there on a cubic curve that starts flat.
    pub(super) fn pace(&self, now: f64, sent_rate: f64) -> f64 {
        let Some(rate) = self.rate else { return self.search };
        let ramp = ramp_secs(rate);
        let x = (now - self.from - ramp) / ramp;
        let growth = SWING * rate.max((rate * self.documented).sqrt());
        let mut pace = rate + if x < 0.0 { (rate - self.low) * x } else { growth * x.powi(3) };
        if self.is_near_limit(now) {
            pace = pace.min(rate);
        }
        pace.min(MAX_GROWTH * sent_rate.max(rate)).max(SLOWEST_PACE)
    }

    /// Takes one step of the search. Call it for a served request whose pace the burst does not explain.
    pub(super) fn raise_search(&mut self, now: f64, sent_rate: f64) {
        if self.rate.is_none() && !self.is_near_limit(now) {
            let doubled = self.search * (1.0 / (self.search * DOUBLING_SECS)).exp2();
            self.search = doubled.min(MAX_GROWTH * sent_rate.max(MIN_SENT_SHARE * self.documented));
        }
    }

    /// Starts the ramp again at `now`.
    pub(super) fn start(&mut self, now: f64) {
        self.from = now;
    }

    /// Records the share of the limit that the service reports as used.
    pub(super) fn apply_used_share(&mut self, share: f64, now: f64) {
        if share >= NEAR_LIMIT_SHARE {
            self.near_limit = now;
        }
    }

    /// Returns whether the ramp is still below the learned rate at the instant `at`.
    pub(super) fn is_below_rate(&self, at: f64) -> bool {
        self.rate.is_some_and(|rate| at - self.from < ramp_secs(rate))
    }

    /// Sets the learned rate and the start of the next ramp. The start is `recent_rate`, the rate that the
    /// service gave recently, but at least 5% below the learned rate. A speed test starts at `test_start` if
    /// that is higher.
    pub(super) fn learn(&mut self, rate: f64, recent_rate: f64, test_start: Option<f64>) {
        let low = recent_rate.min(rate * (1.0 - SWING));
        (self.rate, self.low) = (Some(rate), test_start.map_or(low, |start| low.max(start)));
    }

    /// Starts the search when the initial burst is used up, which does not show the rate. It starts at the
    /// documented rate, or at `proven` if that is higher.
    pub(super) fn search_from(&mut self, proven: f64) {
        self.search = self.documented.max(proven);
    }

    /// Lowers the searched rate after it was throttled before it could be measured. `measured` is a
    /// provisional rate.
    pub(super) fn search_below(&mut self, measured: f64) {
        self.search = (self.search * SEARCH_CUT).max(measured.min(self.search)).max(SLOWEST_PACE);
    }

    fn is_near_limit(&self, now: f64) -> bool {
        now - self.near_limit < NEAR_LIMIT_SECS
    }
}

/// Returns the time from the end of a pause to `rate`, in seconds.
fn ramp_secs(rate: f64) -> f64 {
    RAMP_SECS.max(RAMP_REQUESTS / rate)
}
