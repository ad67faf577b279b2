//! The ramp-up: the pace between two pauses, without the burst. It rises to the learned rate and beyond, or searches for one.

/// Share of the learned rate by which a cycle begins below it and rises above it. Measured: between 0.02 and 0.06 the results
/// on steady services differ by one percent.
const SWING: f64 = 0.05;
/// Seconds from the end of a pause to the learned rate. Measured: 30 s wastes 0.57% of the requests if `Retry-After` is always
/// 1, and 120 s loses 6 to 10% of the quota when it changes.
pub(super) const CROSSING_S: f64 = 45.0;
/// Requests from the end of a pause to the learned rate, for slow rates. Each test of a higher rate costs a throttled request,
/// so at least this many requests lie between two tests.
const CROSSING_REQUESTS: f64 = 400.0;
/// Seconds in which an unknown rate doubles once the burst is spent. Measured: at 2 s the search overshoots to 235/s with 32
/// throttled requests instead of 11; at 4 s a service of 800/s takes 1.53 × the ideal time instead of 1.49 ×.
const DOUBLES_S: f64 = 3.5;
/// Largest ratio of the pace to the writes that were actually sent.
const GROWTH: f64 = 2.0;
/// Share of the documented rate below which the rate actually sent does not limit the search: 8/s of 20/s.
const FEWEST_SENT: f64 = 0.4;
/// Largest cut, as a factor, of a rate that was throttled before it could be measured.
const SLOW_CUT: f64 = 0.25;
/// Share in `x-ms-throttle-limit-percentage` from which the pace stops growing.
const HOT: f64 = 0.98;
/// Seconds for which one such header stops the growth.
const HOT_S: f64 = 2.0;
/// Slowest pace, in writes per second: one write in 20 s.
pub(super) const SLOWEST_PACE: f64 = 0.05;

/// The state of the ramp-up. Instants are seconds since the origin of the controller; rates are writes per second.
#[derive(Clone, Debug)]
pub(super) struct RampUp {
    /// The documented rate, or the one that the user gave.
    documented: f64,
    /// The learned rate.
    rate: Option<f64>,
    /// Pace at the beginning of a cycle: the recent rate of the service, or a higher one in a speed test.
    low: f64,
    /// The pace while the rate is unknown.
    search: f64,
    /// The end of the last pause, or the last restart of the growth.
    from: f64,
    /// When the service last reported that the limit is near.
    hot: f64,
}

impl RampUp {
    pub(super) fn new(documented: f64) -> Self {
        Self { documented, rate: None, low: 0.0, search: documented, from: 0.0, hot: f64::NEG_INFINITY }
    }

    /// The learned rate.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// The pace while the rate is unknown.
    pub(super) fn search(&self) -> f64 {
        self.search
    }

    /// The learned rate, or the pace of the search while the rate is unknown.
    pub(super) fn rate_or_search(&self) -> f64 {
        self.rate.unwrap_or(self.search)
    }

    /// Pace at the beginning of a cycle.
    pub(super) fn low(&self) -> f64 {
        self.low
    }

    /// The pace at `now`, with `sent_lately` writes per second actually sent. It is a straight line up to the learned rate, then
    /// a cubic that begins flat.
    pub(super) fn pace(&self, now: f64, sent_lately: f64) -> f64 {
        let Some(rate) = self.rate else { return self.search };
        let crossing = crossing(rate);
        let x = (now - self.from - crossing) / crossing;
        let growth = SWING * rate.max((rate * self.documented).sqrt());
        let mut pace = rate + if x < 0.0 { (rate - self.low) * x } else { growth * x.powi(3) };
        if self.is_hot(now) {
            pace = pace.min(rate);
        }
        pace.min(GROWTH * sent_lately.max(rate)).max(SLOWEST_PACE)
    }

    /// Takes one step of the search. Call this if a request was served at a pace that the burst does not explain.
    pub(super) fn search_on(&mut self, now: f64, sent_lately: f64) {
        if self.rate.is_none() && !self.is_hot(now) {
            let doubled = self.search * (1.0 / (self.search * DOUBLES_S)).exp2();
            self.search = doubled.min(GROWTH * sent_lately.max(FEWEST_SENT * self.documented));
        }
    }

    /// Restarts the growth.
    pub(super) fn restart(&mut self, now: f64) {
        self.from = now;
    }

    /// Applies the used share of the limit that the service reported.
    pub(super) fn used(&mut self, share: f64, now: f64) {
        if share >= HOT {
            self.hot = now;
        }
    }

    /// Returns whether the pace at an instant is still below the learned rate.
    pub(super) fn is_below_rate(&self, at: f64) -> bool {
        self.rate.is_some_and(|rate| at - self.from < crossing(rate))
    }

    /// Sets the rate and the pace at which the next cycle begins: the recent rate `lately`, or slightly below the rate if that is
    /// less. A speed test begins at `trial` if that is more.
    pub(super) fn learn(&mut self, rate: f64, lately: f64, trial: Option<f64>) {
        let low = lately.min(rate * (1.0 - SWING));
        (self.rate, self.low) = (Some(rate), trial.map_or(low, |trial| low.max(trial)));
    }

    /// Starts the search after the burst ran out, which does not measure the rate. It starts at the documented rate, or at `proved`
    /// if that is higher.
    pub(super) fn search_from(&mut self, proved: f64) {
        self.search = self.documented.max(proved);
    }

    /// Lowers the search. Call this if it was throttled before its rate could be measured.
    pub(super) fn search_below(&mut self, measured: f64) {
        self.search = (self.search * SLOW_CUT).max(measured.min(self.search)).max(SLOWEST_PACE);
    }

    fn is_hot(&self, now: f64) -> bool {
        now - self.hot < HOT_S
    }
}

/// Seconds from the end of a pause to the learned rate.
fn crossing(rate: f64) -> f64 {
    CROSSING_S.max(CROSSING_REQUESTS / rate)
}
