//! The pace between two waits, without the stock: up to the learned rate and on beyond it, or a search for an unknown one.

/// How far below the learned rate a cycle begins at least and how far it rises, as a share. Between 0.02 and 0.06 steady
/// services move by a point.
const SWING: f64 = 0.05;
/// Seconds from reopening to the learned rate. 30 wastes 0.57 % where Retry-After is always 1, 120 loses 6–10 % when
/// the quota changes.
pub(super) const CROSSING_S: f64 = 45.0;
/// The same in requests, for slow rates: each look costs a refusal, so 400 requests stand between two looks.
const CROSSING_REQUESTS: f64 = 400.0;
/// Seconds in which an unknown rate doubles once the stock is spent. Every 2 s finds the end of it at 235/s, with 32
/// refusals instead of 11; every 4 s takes 1.53 instead of 1.49 times the ideal where 800/s are given.
const DOUBLES_S: f64 = 3.5;
/// Growth never passes twice what was really sent.
const GROWTH: f64 = 2.0;
/// Below this share of the documented rate, what was sent says nothing about what could be: 8/s of 20/s.
const FEWEST_SENT: f64 = 0.4;
/// What happens to a rate that failed before it could be measured: at most so far down at once.
const SLOW_CUT: f64 = 0.25;
/// `x-ms-throttle-limit-percentage` from which on nothing grows.
const HOT: f64 = 0.98;
/// Seconds for which one such header holds.
const HOT_S: f64 = 2.0;
/// Slowest pace in writes per second: one in 20 s.
pub(super) const SLOWEST_PACE: f64 = 0.05;

/// Where the pace stands. Instants are seconds, as the controller counts them; rates are writes per second.
#[derive(Clone, Debug)]
pub(super) struct Climb {
    /// The rate that is documented or said by who knows better.
    documented: f64,
    /// The learned rate.
    rate: Option<f64>,
    /// Where sending begins: what the service gave lately, below the rate, or in a trial above it.
    low: f64,
    /// The pace as long as the rate is unknown.
    search: f64,
    /// The last reopening, or where growth began anew.
    from: f64,
    /// When the service last said that the limit is near.
    hot: f64,
}

impl Climb {
    pub(super) fn new(documented: f64) -> Self {
        Self { documented, rate: None, low: 0.0, search: documented, from: 0.0, hot: f64::NEG_INFINITY }
    }

    /// The learned rate.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// The pace as long as the rate is unknown.
    pub(super) fn search(&self) -> f64 {
        self.search
    }

    /// The learned rate, or what is taken for it as long as it is unknown.
    pub(super) fn rate_or_search(&self) -> f64 {
        self.rate.unwrap_or(self.search)
    }

    /// Where sending begins.
    pub(super) fn low(&self) -> f64 {
        self.low
    }

    /// The pace at an instant, while so many a second were really sent: a straight line from what came lately up to the
    /// learned rate, from there a cubic that begins flat.
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

    /// A request was served whose pace no stock explains: one step of the search.
    pub(super) fn search_on(&mut self, now: f64, sent_lately: f64) {
        if self.rate.is_none() && !self.is_hot(now) {
            let doubled = self.search * (1.0 / (self.search * DOUBLES_S)).exp2();
            self.search = doubled.min(GROWTH * sent_lately.max(FEWEST_SENT * self.documented));
        }
    }

    /// Growth begins anew.
    pub(super) fn begin(&mut self, now: f64) {
        self.from = now;
    }

    /// The service says that so much of the limit is used, as a share.
    pub(super) fn used(&mut self, share: f64, now: f64) {
        if share >= HOT {
            self.hot = now;
        }
    }

    /// Whether an instant lies before the climb is back at the learned rate.
    pub(super) fn is_below_rate(&self, at: f64) -> bool {
        self.rate.is_some_and(|rate| at - self.from < crossing(rate))
    }

    /// The rate is known, and what the service gave lately. Sending begins there or a bit below the rate, whichever is
    /// less; a trial begins at `trial` if that is more.
    pub(super) fn learn(&mut self, rate: f64, lately: f64, trial: Option<f64>) {
        let low = lately.min(rate * (1.0 - SWING));
        (self.rate, self.low) = (Some(rate), trial.map_or(low, |trial| low.max(trial)));
    }

    /// The stock ran out, which says nothing about the rate: the search begins at the documented one, or where more was
    /// proved, there.
    pub(super) fn search_from(&mut self, proved: f64) {
        self.search = self.documented.max(proved);
    }

    /// The search went too far, and what it was given cannot be measured yet.
    pub(super) fn search_below(&mut self, measured: f64) {
        self.search = (self.search * SLOW_CUT).max(measured.min(self.search)).max(SLOWEST_PACE);
    }

    fn is_hot(&self, now: f64) -> bool {
        now - self.hot < HOT_S
    }
}

/// Seconds from reopening to the learned rate.
fn crossing(rate: f64) -> f64 {
    CROSSING_S.max(CROSSING_REQUESTS / rate)
}
