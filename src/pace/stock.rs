//! What the service has saved up for this app, and how fast it is spent on top of the rate.

use std::time::Duration;

/// Writes per second of one app in one tenant (`docs/graph.md#quotas`): what is known before the first refusal.
pub const DOCUMENTED_RATE: f64 = 20.0;
/// The documented stock is what the rate gives in so many seconds: 3,000 writes at 20/s. All of it is used: slowing
/// down while it is spent is the margin (at 95 % of it 50/s are left, whatever it began with).
const STOCK_S: f64 = 150.0;
/// Time constant in seconds with which the stock of the start is spent. At 10 s a full stock takes 1.6 times its
/// ideal instead of 1.25, for 16 instead of 26 refusals where only half of it is there.
const SPEND_FIRST_S: f64 = 5.0;
/// The same after a wait: less may be saved up than thought, where a bucket is small or a sliding window was used
/// slowly before. At 5 s a bucket of 100 at 200/s runs out again and is measured 10 % too low.
const SPEND_LATER_S: f64 = 7.0;
/// The same in a trial: the next refusal by chance is some seconds away, and what is not spent by then is lost. At 7 s
/// 2 % of refusals by chance take 1.73 times the ideal instead of 1.58.
const SPEND_TRYING_S: f64 = 2.0;
/// Share of the learned rate that a wait is taken to have saved up. At 1.0 burst and wait would never
/// flatten, and a third app on the same window would get a quarter of what it wants instead of two thirds.
const SAVED: f64 = 0.8;
/// The same as a share of the documented rate after a long wait: equal for all who share a window, so that two runs
/// meet in the middle.
const SAVED_SHARED: f64 = 0.4;
/// A wait below this many seconds is a bucket's, not a window's, and a burst after it would be one into nothing.
pub(super) const LONG_WAIT_S: f64 = 10.0;

/// How long so many writes take where the whole stock of the documented rate is there and nothing else is sent.
pub fn time_at_best(writes: u64, documented: f64, ceiling: f64) -> Duration {
    let writes = writes as f64;
    let (documented, stock) = (documented.min(ceiling), documented * STOCK_S);
    // More is sent the longer it takes, so the time is found by halving.
    let (mut short, mut long) = (writes / (documented + stock / SPEND_FIRST_S), writes / documented);
    for _ in 0..50 {
        let middle = (short + long) / 2.0;
        let sent = documented * middle + stock * (1.0 - (-middle / SPEND_FIRST_S).exp());
        if sent < writes { short = middle } else { long = middle }
    }
    Duration::from_secs_f64(long.max(writes / ceiling).min(1e9))
}

/// Writes beyond the rate that may still leave: each second the same share of what is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stock {
    /// The documented rate in writes per second.
    documented: f64,
    /// Writes that are left, 0 to [`STOCK_S`] times that.
    left: f64,
    /// Seconds in which all but a third of it is spent.
    spend_s: f64,
}

impl Stock {
    /// All that is documented for a rate in writes per second.
    pub(super) fn full(documented: f64) -> Self {
        Self { documented, left: documented * STOCK_S, spend_s: SPEND_FIRST_S }
    }

    /// So many writes instead, as far as they fit.
    pub(super) fn hold(&mut self, writes: f64) {
        self.left = writes.min(self.most());
    }

    /// Writes that are left.
    pub(super) fn left(&self) -> f64 {
        self.left
    }

    /// Writes per second that it adds to the pace.
    pub(super) fn adds(&self) -> f64 {
        self.left / self.spend_s
    }

    /// Whether it adds no more than so many writes per second.
    pub(super) fn adds_at_most(&self, pace: f64) -> bool {
        self.left <= pace * self.spend_s
    }

    /// Pays for a part of a write, 0 to 1.
    pub(super) fn pay(&mut self, part: f64) {
        self.left = (self.left - part).max(0.0);
    }

    /// The service says that so much of the limit is used, as a share.
    pub(super) fn used(&mut self, share: f64) {
        self.left = self.left.min((1.0 - share).max(0.0) * self.most());
    }

    /// A wait of so many seconds is over: what the service saved up meanwhile at a rate in writes per second, or in a
    /// trial at where that begins if it is more.
    pub(super) fn waited(&mut self, seconds: f64, rate: f64, trial: Option<f64>) {
        let least = match trial {
            Some(begin) => begin,
            None if seconds >= LONG_WAIT_S => SAVED_SHARED * self.documented,
            None => 0.0,
        };
        self.hold(seconds * (SAVED * rate).max(least));
        self.spend_s = if trial.is_some() { SPEND_TRYING_S } else { SPEND_LATER_S };
    }
    fn most(&self) -> f64 {
        self.documented * STOCK_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_saves_up_most_of_the_rate_and_after_a_long_one_a_share_that_is_the_same_for_all() {
        let after = |seconds, rate, trial| {
            let mut stock = Stock::full(20.0);
            stock.waited(seconds, rate, trial);
            (stock.left().round(), stock.spend_s)
        };
        assert_eq!(after(4.0, 20.0, None), (64.0, SPEND_LATER_S), "0.8 of 20/s");
        assert_eq!(after(9.0, 1.0, None), (7.0, SPEND_LATER_S), "a bucket's wait");
        assert_eq!(after(100.0, 1.0, None), (800.0, SPEND_LATER_S), "0.4 of the documented 20/s");
        assert_eq!(after(100.0, 1.0, Some(2.0)), (200.0, SPEND_TRYING_S), "where the trial begins");
        assert_eq!(after(86_400.0, 20.0, None), (3_000.0, SPEND_LATER_S), "never more than all of it");
    }

    #[test]
    fn it_is_spent_by_two_thirds_in_its_time() {
        let mut stock = Stock::full(20.0);
        for _ in 0..500 {
            stock.pay(stock.adds() / 100.0);
        }
        assert!((stock.left() / 3_000.0 - (-1.0_f64).exp()).abs() < 0.01, "{}", stock.left());
        assert!(!stock.adds_at_most(200.0) && stock.adds_at_most(230.0));
        stock.pay(stock.left() + 1.0);
        assert_eq!((stock.left(), stock.adds_at_most(0.0)), (0.0, true));
    }
}
