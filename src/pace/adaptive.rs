//! The adaptive rate controller: it measures the quota as the writes served between two probes, divided by the time.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::climb::{Climb, SLOWEST_PACE};
use super::cycles::{Cycles, Measured};
use super::doubt::{Doubt, EndedCycle};
use super::episode::Episode;
use super::quota::FASTEST;
use super::stock::{LONG_WAIT_S, Stock};

/// "Really sent" is counted over so many seconds.
const RECENT_S: f64 = 2.0;
/// Saved-up time when sending was late: a stopped and continued process sends so much at once, and no more.
const CATCH_UP_S: f64 = 0.25;
/// Writes that a wait must have saved up for the next to leave right behind the probe. What leaves at once after the
/// short waits of a slow service is refused: at 0 a bucket at 1/s refuses every second request, for ever. At 1 a bucket
/// that falls from 4/s to 1/s refuses 4.4 instead of 2.7 %; with no such exception a bucket whose quota falls from 40/s
/// to 20/s takes 1.01 instead of 1.00 times the ideal.
const AT_ONCE: f64 = 4.0;
/// In flight at the start and after each wait, one more for each answer: full speed after four round trips, and an
/// empty stock costs seven refusals instead of one for each worker.
const FIRST_IN_FLIGHT: usize = 4;
/// Seconds without a request although one could have left (outage, stopped process, nothing to send): what follows
/// is no growth, and the cycle measures nothing.
const IDLE_S: f64 = 10.0;

/// What a later run starts from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learned {
    /// The service's rate in writes per second, where it is known.
    pub rate: Option<f64>,
    /// Writes that it must have in stock, 0 to 150 times the initial rate.
    pub credit: f64,
}

/// Finds the rate of continuous refill, fixed and sliding windows alike (`docs/pacing.md`). Knows neither
/// clock nor cool-downs: instants are passed in, and what ends an episode is told by [`Adaptive::reopened`].
///
/// The pace is that of the `Climb` and what the `Stock` adds. A refusal begins an `Episode`; the probe that is
/// served after it ends the episode and the cycle, which `Cycles` measure, unless `Doubt` says that the refusal was
/// not about the rate; and the next cycle climbs from there. All of them count seconds from `origin`.
#[derive(Clone, Debug)]
pub struct Adaptive {
    origin: Instant,
    rate_limit: f64,
    /// Whether the initial rate was given with `--initial-rate`.
    is_configured: bool,
    climb: Climb,
    stock: Stock,
    episode: Option<Episode>,
    cycles: Cycles,
    doubt: Doubt,
    /// When the first write left.
    began: Option<f64>,
    /// The served probe that began the running cycle; none in the first one, which began with the stock of the start.
    cycle: Option<f64>,
    /// Requests that were served in it.
    served: usize,
    /// Whether sending paused in it although it could have gone on.
    spoiled: bool,
    last_refusal: f64,
    /// The next sending.
    next: f64,
    /// The last sendings, over [`RECENT_S`].
    recent: VecDeque<f64>,
}

impl Adaptive {
    /// Starts from a rate in writes per second and its stock, of which all is there.
    pub fn new(documented: f64, origin: Instant) -> Self {
        let documented = possible(documented);
        Self {
            origin,
            rate_limit: FASTEST,
            is_configured: false,
            climb: Climb::new(documented),
            stock: Stock::full(documented),
            episode: None,
            cycles: Cycles::default(),
            doubt: Doubt::new(documented),
            began: None,
            cycle: None,
            served: 0,
            spoiled: false,
            last_refusal: f64::NEG_INFINITY,
            next: 0.0,
            recent: VecDeque::new(),
        }
    }

    /// The same from a rate that somebody says who knows the service. It is no ceiling; but once the stock ran out it,
    /// or more where that showed more, is taken for learned, where else the end of the unknown would be looked for by
    /// doubling: 17 % of 6,000 users at 200/s with a stock of 100.
    pub fn with_initial_rate(rate: f64, origin: Instant) -> Self {
        Self { is_configured: true, ..Self::new(rate, origin) }
    }

    /// Goes on from what an earlier call learned, `away` after its last sending.
    pub fn resume(mut self, learned: Learned, away: Duration) -> Self {
        if let Some(rate) = learned.rate.filter(|rate| rate.is_finite()).map(possible) {
            self.climb.learn(rate, rate, None);
        }
        let saved = self.climb.rate_or_search() * away.as_secs_f64();
        let credit = if learned.credit.is_finite() { learned.credit.max(0.0) } else { 0.0 };
        self.stock.hold(credit + saved);
        self
    }

    /// Sets the upper bound of the rate, in writes per second.
    pub(super) fn set_rate_limit(&mut self, writes_per_second: f64) {
        self.rate_limit = writes_per_second;
    }

    /// What a later run starts from.
    pub fn learned(&self) -> Learned {
        Learned { rate: self.climb.rate(), credit: self.stock.left() }
    }

    /// The pace while the rate is unknown, and the seconds from the origin to the next sending.
    #[cfg(test)]
    pub(super) fn shown(&self) -> (f64, f64) {
        (self.climb.search(), self.next)
    }

    /// The pace without the stock.
    #[cfg(test)]
    pub(super) fn base_at(&self, now: Instant) -> f64 {
        self.base(self.seconds(now))
    }

    /// The pace in writes per second at an instant.
    pub fn pace(&self, now: Instant) -> f64 {
        self.with_stock(self.base(self.seconds(now)))
    }

    /// Most parts in flight.
    pub fn in_flight(&self) -> usize {
        FIRST_IN_FLIGHT.saturating_add(self.served)
    }

    /// The earliest instant of the next write. In an episode the cool-down decides.
    pub fn next_send(&self, now: Instant) -> Instant {
        if self.episode.is_some() {
            return now;
        }
        now.max(self.origin + Duration::from_secs_f64(self.next.max(0.0)))
    }

    /// A write left. The probe of an episode is told too; it is paid for once it is served.
    pub fn sent(&mut self, now: Instant) {
        let now = self.seconds(now);
        if self.began.is_none() {
            (self.began, self.next) = (Some(now), now);
            self.climb.begin(now);
        }
        if self.episode.is_some() {
            return;
        }
        if now - self.next > IDLE_S {
            self.climb.begin(now);
            self.spoiled = true;
        }
        let base = self.base(now);
        let pace = self.with_stock(base);
        // The part of this write that the base does not pay for.
        self.stock.pay((pace - base).max(0.0) / pace);
        self.next = self.next.max(now - CATCH_UP_S) + 1.0 / pace;
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|sent| *sent < now - RECENT_S) {
            self.recent.pop_front();
        }
    }

    /// A write that left at `sent` was taken from the quota: an answer about the user.
    pub fn served(&mut self, sent: Instant, now: Instant) {
        let (sent, now) = (self.seconds(sent), self.seconds(now));
        self.served = self.served.saturating_add(1);
        match &mut self.episode {
            Some(episode) => episode.served(sent),
            None if self.stock.adds_at_most(self.climb.search()) => {
                self.climb.search_on(now, self.sent_lately(now));
            }
            None => {}
        }
    }

    /// A 429 for a write that left at `sent`. The first one of a write that left while open begins an episode.
    pub fn throttled(&mut self, sent: Instant, now: Instant) {
        let (sent, now) = (self.seconds(sent), self.seconds(now));
        self.stock.hold(0.0);
        match &mut self.episode {
            Some(episode) => episode.refused(sent),
            None if sent >= self.last_refusal => {
                self.episode = Some(Episode::begun(sent, now, self.sent_lately(now)));
            }
            None => {}
        }
        self.last_refusal = now;
    }

    /// The probe after the cool-down was served.
    pub fn reopened(&mut self, now: Instant) {
        let now = self.seconds(now);
        let Some(episode) = self.episode.take() else { return };
        let began = self.began.unwrap_or(episode.since);
        let waited = now - episode.since;
        if self.cycle.is_none() && waited < LONG_WAIT_S.max(0.5 * (now - began)) {
            // The stock ran out, which says nothing about the rate.
            self.climb.search_from(episode.proved());
            if self.is_configured && self.climb.rate().is_none() {
                self.climb.learn(self.climb.search(), self.climb.search(), None);
            }
        } else if !self.spoiled {
            let since = self.cycle.unwrap_or(began);
            self.judge(&episode, now - since);
            self.measure(&episode, now - since, waited);
        }
        let trial = self.doubt.is_trying().then(|| self.climb.low());
        self.stock.waited(waited, self.climb.rate_or_search(), trial);
        (self.cycle, self.served, self.spoiled) = (Some(now), 0, false);
        self.climb.begin(now);
        // The probe was the first write of the cycle.
        let at_once = self.stock.left() >= AT_ONCE;
        self.next = if at_once { now } else { now + 1.0 / self.with_stock(self.base(now)) };
    }

    /// `x-ms-throttle-limit-percentage` as a share. It only ever brakes.
    pub fn used(&mut self, share: f64, now: Instant) {
        if !share.is_finite() {
            return;
        }
        if self.cycle.is_none() {
            self.stock.used(share);
        }
        self.climb.used(share, self.seconds(now));
    }

    /// Whether the refusal that ended the cycle, of so many seconds, was about the rate.
    fn judge(&mut self, episode: &Episode, cycle: f64) {
        let Some(rate) = self.climb.rate() else { return };
        self.doubt.ended(EndedCycle {
            early: self.climb.is_below_rate(episode.since),
            probe_refused: episode.probe_refused,
            passed: episode.passed,
            denied: episode.denied,
            served: self.served as f64,
            seconds: cycle,
            before: self.cycles.lately().unwrap_or(rate),
            rate,
        });
    }

    /// What the cycle says about the rate; so many of its seconds were the wait.
    fn measure(&mut self, episode: &Episode, cycle: f64, waited: f64) {
        match self.cycles.ended(self.served as f64, cycle, waited) {
            Measured::Rate(measured) => {
                // The first measure is low where sending had only begun to grow.
                let first = self.climb.rate().is_none() && waited < 0.5 * cycle;
                let rate = possible(if first { measured.max(episode.proved()) } else { measured });
                let lately = self.cycles.lately().filter(|_| !first).unwrap_or(rate);
                let trial = self.doubt.is_trying().then(|| self.doubt.begin_at(lately, rate));
                self.climb.learn(rate, lately, trial);
            }
            Measured::TooLittle(measured) => self.climb.search_below(measured),
        }
    }

    /// The pace without the stock.
    fn base(&self, now: f64) -> f64 {
        self.climb.pace(now, self.sent_lately(now))
    }

    fn with_stock(&self, base: f64) -> f64 {
        (base + self.stock.adds()).min(self.rate_limit)
    }

    /// Writes per second over the last two seconds, at least one.
    fn sent_lately(&self, now: f64) -> f64 {
        let old = self.recent.iter().take_while(|sent| **sent < now - RECENT_S).count();
        ((self.recent.len() - old) as f64 / RECENT_S).max(1.0)
    }

    fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.origin).as_secs_f64()
    }
}

/// Within what can be paced, in writes per second.
fn possible(rate: f64) -> f64 {
    rate.clamp(SLOWEST_PACE, FASTEST)
}

#[cfg(test)]
mod tests {
    use super::super::climb::CROSSING_S;
    use super::*;

    /// A controller with an origin, so that tests can give instants as seconds.
    struct Timed {
        controller: Adaptive,
        origin: Instant,
    }

    impl Timed {
        fn new(documented: f64) -> Self {
            let origin = Instant::now();
            Self { controller: Adaptive::new(documented, origin), origin }
        }

        fn at(&self, seconds: f64) -> Instant {
            self.origin + Duration::from_secs_f64(seconds)
        }

        /// Sends so many, `gap` seconds apart, and returns when each left.
        fn send(&mut self, from: f64, gap: f64, count: u32) -> Vec<f64> {
            let left: Vec<f64> = (0..count).map(|nth| from + gap * f64::from(nth)).collect();
            for at in &left {
                self.controller.sent(self.at(*at));
            }
            left
        }

        fn served(&mut self, left: f64, now: f64) {
            self.controller.served(self.at(left), self.at(now));
        }

        fn refused(&mut self, left: f64, now: f64) {
            self.controller.throttled(self.at(left), self.at(now));
        }

        /// A cycle: so many sent and served, then one refused, and the probe served after the wait.
        fn cycle(&mut self, from: f64, gap: f64, count: u32, wait: f64) -> f64 {
            let left = self.send(from, gap, count + 1);
            for left in &left[..count as usize] {
                self.served(*left, left + 0.01);
            }
            let (last, end) = (left[count as usize], left[count as usize] + 0.01 + wait);
            self.refused(last, last + 0.01);
            self.served(last + wait, end);
            self.controller.reopened(self.at(end));
            end
        }
    }

    /// The pace while the rate is unknown, after 2 s at 200/s of which the last twenty were on their way when the first
    /// one of them was refused; so many of the others were served.
    fn slow_after(passed: usize) -> f64 {
        let mut timed = Timed::new(20.0);
        let left = timed.send(0.0, 0.005, 400);
        left[..380].iter().for_each(|left| timed.served(*left, 1.99));
        timed.refused(left[380], 2.0);
        left[381..381 + passed].iter().for_each(|left| timed.served(*left, 2.01));
        left[381 + passed..].iter().for_each(|left| timed.refused(*left, 2.01));
        timed.served(3.1, 3.2);
        timed.controller.reopened(timed.at(3.2));
        timed.controller.shown().0
    }

    #[test]
    fn those_on_their_way_tell_what_an_empty_stock_takes_in() {
        assert_eq!(slow_after(0), 20.0, "a window that is over: the documented rate");
        assert_eq!(slow_after(3), 20.0, "these may have overtaken the refused one");
        assert!((slow_after(13) - 200.0 * 10.0 / 19.0).abs() < 1e-9);
        assert!((slow_after(19) - 200.0 * 16.0 / 19.0).abs() < 1e-9, "never above what was sent");
    }

    #[test]
    fn a_moment_in_which_little_is_given_moves_where_sending_begins_and_not_the_rate() {
        let mut timed = Timed::new(20.0);
        let mut now = timed.cycle(0.0, 0.05, 20, 1.5);
        for _ in 0..3 {
            now = timed.cycle(now, 0.05, 2_000, 1.0);
        }
        let rate = timed.controller.learned().rate.expect("three long cycles");
        assert!((19.0..20.5).contains(&rate), "{rate}");
        for _ in 0..10 {
            now = timed.cycle(now, 0.1, 3, 1.0);
        }
        let kept = timed.controller.learned().rate.expect("it was known");
        assert!(kept > 0.8 * rate && kept < rate, "{kept} of {rate}");
        let base = |after: f64| timed.controller.base_at(timed.at(now + after));
        assert!(base(0.0) < 4.0, "begins with what came lately: {}", base(0.0));
        assert!(
            (base(CROSSING_S) - kept).abs() < 0.01,
            "and is back after the crossing: {}",
            base(CROSSING_S)
        );
    }

    #[test]
    fn the_header_only_ever_brakes() {
        let mut timed = Timed::new(20.0);
        let mut credits = Vec::new();
        for share in [0.8, f64::NAN, 0.5, 0.95, 1.8, 0.8] {
            timed.controller.used(share, timed.at(0.0));
            credits.push(timed.controller.learned().credit.round());
        }
        assert_eq!(
            credits,
            [600.0, 600.0, 600.0, 150.0, 0.0, 0.0],
            "of 3,000 what is left, once and for all"
        );
        timed.send(8.0, 0.05, 120);
        let grown = |timed: &mut Timed, now: f64| {
            let before = timed.controller.shown().0;
            timed.served(now, now);
            timed.controller.shown().0 > before
        };
        timed.controller.used(0.98, timed.at(10.0));
        assert!(!grown(&mut timed, 11.9), "nothing grows for two seconds after 0.98");
        assert!(grown(&mut timed, 12.0));
        timed.controller.used(0.97, timed.at(13.0));
        assert!(grown(&mut timed, 13.0));
    }

    #[test]
    fn a_wait_of_nothing_raises_no_pace() {
        let mut timed = Timed::new(20.0);
        let mut now = timed.cycle(0.0, 0.001, 5, 1.0);
        for _ in 0..5 {
            let before = timed.controller.shown().0;
            now = timed.cycle(now, 0.000_1, 1, 0.0);
            let after = timed.controller.shown().0;
            assert!(after <= before, "{before} before, {after} after");
        }
    }
}
