//! The law that finds the quota by itself: what the service took between two waits, divided by the time, is its rate.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::doubt::{Doubt, Ended};
use super::quota::FASTEST;

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
/// How far below the learned rate a cycle begins at least and how far it rises, as a share. Between 0.02 and 0.06 steady
/// services move by a point.
const SWING: f64 = 0.05;
/// Seconds from reopening to the learned rate. 30 wastes 0.57 % where Retry-After is always 1, 120 loses 6–10 % when
/// the quota changes.
const CROSSING_S: f64 = 45.0;
/// The same in requests, for slow rates: each look costs a refusal, so 400 requests stand between two looks.
const CROSSING_REQUESTS: f64 = 400.0;
/// Seconds in which an unknown rate doubles once the stock is spent. Every 2 s finds the end of it at 235/s, with 32
/// refusals instead of 11; every 4 s takes 1.53 instead of 1.49 times the ideal where 800/s are given.
const DOUBLES_S: f64 = 3.5;
/// Growth never passes twice what was really sent.
const GROWTH: f64 = 2.0;
/// "Really sent" is counted over so many seconds.
const RECENT_S: f64 = 2.0;
/// Below this share of the documented rate, what was sent says nothing about what could be: 8/s of 20/s.
const FEWEST_SENT: f64 = 0.4;
/// Saved-up time when sending was late: a stopped and continued process sends so much at once, and no more.
const CATCH_UP_S: f64 = 0.25;
/// In flight at the start and after each wait, one more for each answer: full speed after four round trips, and an
/// empty stock costs seven refusals instead of one for each worker.
const FIRST_IN_FLIGHT: usize = 4;
/// Share of the learned rate that a wait is taken to have saved up. At 1.0 burst and wait would never
/// flatten, and a third app on the same window would get a quarter of what it wants instead of two thirds.
const SAVED: f64 = 0.8;
/// The same as a share of the documented rate after a long wait: equal for all who share a window, so that two runs
/// meet in the middle.
const SAVED_SHARED: f64 = 0.4;
/// A wait below this many seconds is a bucket's, not a window's, and a burst after it would be one into nothing.
const LONG_WAIT_S: f64 = 10.0;
/// The newest cycles that hold so many requests …
const LATELY_REQUESTS: f64 = 10.0;
/// … and so many seconds say what the service gives at the moment, from where sending begins anew.
const LATELY_S: f64 = 10.0;
/// Cycles are pooled until they hold so many requests …
const POOL_REQUESTS: f64 = 40.0;
/// … so many seconds, because a sliding window gives now what was taken one window ago, and only over a whole window
/// what it gives for good …
const POOL_S: f64 = 150.0;
/// … and so many of the longest waits seen, at most [`POOL_MOST_S`]: a cycle that ends with a long wait leaves out
/// what the wait gave back; over two it evens out.
const POOL_WAITS: f64 = 2.0;
/// Longest pool in seconds: twice the documented window.
const POOL_MOST_S: f64 = 300.0;
/// Cycles kept: each but the newest has [`LATELY_S`] or more, so that they cover twice the longest pool.
const CYCLES: usize = 60;
/// Seconds in which the longest wait seen counts half: quotas change.
const HALF_LIFE_S: f64 = 3_600.0;
/// Fewer requests than this, or less than a second, say nothing about a rate before [`LATELY_S`] are over: with 10 one
/// run in three on a half-used sliding window begins far too low.
const FEWEST_MEASURED: f64 = 20.0;
/// What happens to a rate that failed before it could be measured: at most so far down at once.
const SLOW_CUT: f64 = 0.25;
/// So many of those served after a refused one may have overtaken it on the way. With 2 a rate of 60/s is taken for
/// 80, with 4 one of 200/s is not seen at all on some runs.
const OVERTOOK: f64 = 3.0;
/// `x-ms-throttle-limit-percentage` from which on nothing grows.
const HOT: f64 = 0.98;
/// Seconds for which one such header holds.
const HOT_S: f64 = 2.0;
/// Slowest pace in writes per second: one in 20 s.
const SLOWEST_PACE: f64 = 0.05;
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

/// Finds the rate of continuous refill, fixed and sliding windows alike (`docs/performance.md#pace`). Knows neither
/// clock nor cool-downs: instants are passed in, and what ends an episode is told by [`Adaptive::reopened`].
#[derive(Clone, Debug)]
pub struct Adaptive {
    /// What the seconds below count from.
    origin: Instant,
    ceiling: f64,
    /// The rate that is documented or said by who knows better.
    documented: f64,
    /// Whether somebody said it.
    said: bool,
    rate: Option<f64>,
    /// Where sending begins: what the service gave lately, below the rate, or in a trial above it.
    low: f64,
    /// The pace as long as the rate is unknown.
    slow: f64,
    credit: f64,
    spend: f64,
    began: Option<f64>,
    /// The last reopening, or where growth began anew.
    opened: f64,
    /// Since the first refusal of the running episode.
    episode: Option<f64>,
    last_refusal: f64,
    /// When the request left whose refusal began it.
    refused_left: f64,
    /// What was sent per second then.
    at_refusal: f64,
    /// Requests that left after that one, before its refusal was known, and were served all the same …
    passed: u32,
    /// … or refused too.
    denied: u32,
    /// Whether a probe of the running episode was refused.
    probe_refused: bool,
    /// The successful probe that began the running cycle.
    cycle: Option<f64>,
    spoiled: bool,
    served: usize,
    cycles: VecDeque<(f64, f64)>,
    longest_wait: f64,
    doubt: Doubt,
    hot: f64,
    next: f64,
    recent: VecDeque<f64>,
}

impl Adaptive {
    /// Starts from a rate in writes per second and its stock, of which all is there.
    pub fn new(documented: f64, origin: Instant) -> Self {
        let documented = documented.clamp(SLOWEST_PACE, FASTEST);
        Self {
            origin,
            ceiling: FASTEST,
            documented,
            said: false,
            rate: None,
            low: 0.0,
            slow: documented,
            credit: documented * STOCK_S,
            spend: SPEND_FIRST_S,
            began: None,
            opened: 0.0,
            episode: None,
            last_refusal: f64::NEG_INFINITY,
            refused_left: f64::INFINITY,
            at_refusal: 0.0,
            passed: 0,
            denied: 0,
            probe_refused: false,
            cycle: None,
            spoiled: false,
            served: 0,
            cycles: VecDeque::new(),
            longest_wait: 0.0,
            doubt: Doubt::new(documented),
            hot: f64::NEG_INFINITY,
            next: 0.0,
            recent: VecDeque::new(),
        }
    }

    /// The same from a rate that somebody says who knows the service. It is no ceiling; but once the stock ran out it,
    /// or more where that showed more, is taken for learned, where else the end of the unknown would be looked for by
    /// doubling: 17 % of 6,000 users at 200/s with a stock of 100.
    pub fn said(rate: f64, origin: Instant) -> Self {
        Self { said: true, ..Self::new(rate, origin) }
    }

    /// Goes on from what an earlier call learned, `away` after its last sending.
    pub fn resume(mut self, learned: Learned, away: Duration) -> Self {
        self.rate =
            learned.rate.filter(|rate| rate.is_finite()).map(|rate| rate.clamp(SLOWEST_PACE, FASTEST));
        self.low = self.rate.unwrap_or(0.0) * (1.0 - SWING);
        let saved = self.rate.unwrap_or(self.documented) * away.as_secs_f64();
        let credit = if learned.credit.is_finite() { learned.credit.max(0.0) } else { 0.0 };
        self.credit = (credit + saved).min(self.stock());
        self
    }

    /// Never faster than this, in writes per second.
    pub(super) fn bound(&mut self, ceiling: f64) {
        self.ceiling = ceiling;
    }

    /// What a later run starts from.
    pub fn learned(&self) -> Learned {
        Learned { rate: self.rate, credit: self.credit }
    }

    /// The pace while the rate is unknown, and the seconds from the origin to the next sending.
    #[cfg(test)]
    pub(super) fn shown(&self) -> (f64, f64) {
        (self.slow, self.next)
    }

    /// The pace without the credit.
    #[cfg(test)]
    pub(super) fn base_at(&self, now: Instant) -> f64 {
        self.base(self.seconds(now))
    }

    /// The pace in writes per second at an instant.
    pub fn pace(&self, now: Instant) -> f64 {
        let now = self.seconds(now);
        self.with_credit(self.base(now))
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

    /// A write left. The probe of an episode is told too and costs nothing.
    pub fn sent(&mut self, now: Instant) {
        let now = self.seconds(now);
        if self.began.is_none() {
            (self.began, self.opened, self.next) = (Some(now), now, now);
        }
        if self.episode.is_some() {
            return;
        }
        if now - self.next > IDLE_S {
            self.opened = now;
            self.spoiled = true;
        }
        let base = self.base(now);
        let pace = self.with_credit(base);
        // The part of this write that the base does not pay for.
        self.credit = (self.credit - (pace - base).max(0.0) / pace).max(0.0);
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
        if self.left_after_the_refused(sent) {
            self.passed = self.passed.saturating_add(1);
        }
        let spent = self.credit <= self.slow * self.spend;
        if self.episode.is_none() && self.rate.is_none() && spent && now - self.hot >= HOT_S {
            let doubled = self.slow * (1.0 / (self.slow * DOUBLES_S)).exp2();
            self.slow = doubled.min(GROWTH * self.sent_lately(now).max(FEWEST_SENT * self.documented));
        }
    }

    /// A 429 for a write that left at `sent`. The first one of a write that left while open begins an episode.
    pub fn refused(&mut self, sent: Instant, now: Instant) {
        let (sent, now) = (self.seconds(sent), self.seconds(now));
        self.credit = 0.0;
        if self.episode.is_none() && sent >= self.last_refusal {
            self.episode = Some(now);
            self.refused_left = sent;
            self.at_refusal = self.sent_lately(now);
        } else if self.left_after_the_refused(sent) {
            self.denied = self.denied.saturating_add(1);
        } else if self.episode.is_some_and(|since| sent > since) {
            self.probe_refused = true;
        }
        self.last_refusal = now;
    }

    /// The probe after the cool-down was served.
    pub fn reopened(&mut self, now: Instant) {
        let now = self.seconds(now);
        let Some(since) = self.episode.take() else { return };
        let began = self.began.unwrap_or(since);
        let waited = now - since;
        let proved = self.proved();
        if self.cycle.is_none() && waited < LONG_WAIT_S.max(0.5 * (now - began)) {
            // The stock ran out, which says nothing about the rate.
            self.slow = self.documented.max(proved);
            if self.said && self.rate.is_none() {
                (self.rate, self.low) = (Some(self.slow), self.slow * (1.0 - SWING));
            }
        } else if !self.spoiled {
            let since_probe = self.cycle.unwrap_or(began);
            self.judge(since, since_probe, now);
            self.measure(waited, since_probe, proved, now);
        }
        let trying = self.doubt.is_trying();
        let rate = self.rate.unwrap_or(self.slow);
        let least = if trying {
            self.low
        } else if waited >= LONG_WAIT_S {
            SAVED_SHARED * self.documented
        } else {
            0.0
        };
        self.credit = (waited * (SAVED * rate).max(least)).min(self.stock());
        self.spend = if trying { SPEND_TRYING_S } else { SPEND_LATER_S };
        self.cycle = Some(now);
        (self.served, self.passed, self.denied, self.spoiled) = (0, 0, 0, false);
        self.probe_refused = false;
        (self.opened, self.next) = (now, now);
    }

    /// `x-ms-throttle-limit-percentage` as a share. It only ever brakes.
    pub fn used(&mut self, share: f64, now: Instant) {
        if !share.is_finite() {
            return;
        }
        if self.cycle.is_none() {
            self.credit = self.credit.min((1.0 - share).max(0.0) * self.stock());
        }
        if share >= HOT {
            self.hot = self.seconds(now);
        }
    }

    /// Whether the refusal that ended the cycle was about the rate.
    fn judge(&mut self, refused: f64, since: f64, now: f64) {
        let Some(rate) = self.rate else { return };
        let (requests, seconds) = self.pooled(LATELY_REQUESTS, LATELY_S);
        self.doubt.ended(Ended {
            early: refused - self.opened < crossing(rate),
            probe_refused: self.probe_refused,
            passed: self.passed,
            denied: self.denied,
            given: self.served as f64 / (now - since),
            before: if seconds > 0.0 { requests / seconds } else { rate },
            rate,
        });
    }

    /// The server's stock is the same after two successful probes, so what it took in between is what it gives.
    fn measure(&mut self, waited: f64, since: f64, proved: f64, now: f64) {
        let cycle = now - since;
        match self.cycles.back_mut() {
            Some((served, seconds)) if *seconds < LATELY_S => {
                *served += self.served as f64;
                *seconds += cycle;
            }
            _ => self.cycles.push_back((self.served as f64, cycle)),
        }
        if self.cycles.len() > CYCLES {
            self.cycles.pop_front();
        }
        self.longest_wait = waited.max(self.longest_wait * 0.5_f64.powf(cycle / HALF_LIFE_S));
        let enough = (POOL_WAITS * self.longest_wait).clamp(POOL_S, POOL_MOST_S);
        let (requests, seconds) = self.pooled(POOL_REQUESTS, enough);
        let measured = requests.max(1.0) / seconds;
        if (requests >= FEWEST_MEASURED && seconds >= 1.0) || seconds >= LATELY_S {
            // The first measure is low where sending had only begun to grow.
            let first = self.rate.is_none() && waited < 0.5 * cycle;
            let rate = if first { measured.max(proved) } else { measured };
            let rate = rate.clamp(SLOWEST_PACE, FASTEST);
            let (requests, seconds) = self.pooled(LATELY_REQUESTS, LATELY_S);
            let lately = if first { rate } else { requests / seconds };
            let low = lately.min(rate * (1.0 - SWING));
            let low = if self.doubt.is_trying() { low.max(self.doubt.begin_at(lately, rate)) } else { low };
            (self.rate, self.low) = (Some(rate), low);
        } else {
            self.slow = (self.slow * SLOW_CUT).max(measured.min(self.slow)).max(SLOWEST_PACE);
        }
    }

    /// Requests and seconds of the newest cycles that hold so many of both.
    fn pooled(&self, least_requests: f64, least_seconds: f64) -> (f64, f64) {
        let (mut requests, mut seconds) = (0.0, 0.0);
        for (served, length) in self.cycles.iter().rev() {
            requests += served;
            seconds += length;
            if requests >= least_requests && seconds >= least_seconds {
                break;
            }
        }
        (requests, seconds)
    }

    /// The pace without the credit: a straight line from what came lately up to the learned rate, from there a cubic
    /// that begins flat.
    fn base(&self, now: f64) -> f64 {
        let Some(rate) = self.rate else { return self.slow };
        let crossing = crossing(rate);
        let x = (now - self.opened - crossing) / crossing;
        let growth = SWING * rate.max((rate * self.documented).sqrt());
        let mut base = rate + if x < 0.0 { (rate - self.low) * x } else { growth * x.powi(3) };
        if now - self.hot < HOT_S {
            base = base.min(rate);
        }
        base.min(GROWTH * self.sent_lately(now).max(rate)).max(SLOWEST_PACE)
    }

    /// Of an empty stock only what comes in is served: that share of the pace at the refusal is the rate, at least.
    /// Zero where nothing tells.
    fn proved(&self) -> f64 {
        let (passed, denied) = (f64::from(self.passed), f64::from(self.denied));
        self.at_refusal * (passed - OVERTOOK).max(0.0) / (passed + denied).max(1.0)
    }

    /// Whether a write left after the one whose refusal began this episode, and before that was known.
    fn left_after_the_refused(&self, sent: f64) -> bool {
        self.episode.is_some_and(|since| sent >= self.refused_left && sent <= since)
    }

    fn with_credit(&self, base: f64) -> f64 {
        (base + self.credit / self.spend).min(self.ceiling)
    }

    /// Writes per second over the last two seconds, at least one.
    fn sent_lately(&self, now: f64) -> f64 {
        let old = self.recent.iter().take_while(|sent| **sent < now - RECENT_S).count();
        ((self.recent.len() - old) as f64 / RECENT_S).max(1.0)
    }

    fn stock(&self) -> f64 {
        self.documented * STOCK_S
    }

    fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.origin).as_secs_f64()
    }
}

/// Seconds from reopening to the learned rate.
fn crossing(rate: f64) -> f64 {
    CROSSING_S.max(CROSSING_REQUESTS / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A law whose seconds are counted from its origin.
    struct Timed {
        law: Adaptive,
        origin: Instant,
    }

    impl Timed {
        fn new(documented: f64) -> Self {
            let origin = Instant::now();
            Self { law: Adaptive::new(documented, origin), origin }
        }

        fn at(&self, seconds: f64) -> Instant {
            self.origin + Duration::from_secs_f64(seconds)
        }

        /// Sends so many, `gap` seconds apart, and returns when each left.
        fn send(&mut self, from: f64, gap: f64, count: u32) -> Vec<f64> {
            let left: Vec<f64> = (0..count).map(|nth| from + gap * f64::from(nth)).collect();
            for at in &left {
                self.law.sent(self.at(*at));
            }
            left
        }

        fn served(&mut self, left: f64, now: f64) {
            self.law.served(self.at(left), self.at(now));
        }

        fn refused(&mut self, left: f64, now: f64) {
            self.law.refused(self.at(left), self.at(now));
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
            self.law.reopened(self.at(end));
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
        timed.law.reopened(timed.at(3.2));
        timed.law.shown().0
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
        let rate = timed.law.learned().rate.expect("three long cycles");
        assert!((19.0..20.5).contains(&rate), "{rate}");
        for _ in 0..10 {
            now = timed.cycle(now, 0.1, 3, 1.0);
        }
        let kept = timed.law.learned().rate.expect("it was known");
        assert!(kept > 0.8 * rate && kept < rate, "{kept} of {rate}");
        let base = |after: f64| timed.law.base_at(timed.at(now + after));
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
            timed.law.used(share, timed.at(0.0));
            credits.push(timed.law.learned().credit.round());
        }
        assert_eq!(
            credits,
            [600.0, 600.0, 600.0, 150.0, 0.0, 0.0],
            "of 3,000 what is left, once and for all"
        );
        timed.send(8.0, 0.05, 120);
        let grown = |timed: &mut Timed, now: f64| {
            let before = timed.law.shown().0;
            timed.served(now, now);
            timed.law.shown().0 > before
        };
        timed.law.used(0.98, timed.at(10.0));
        assert!(!grown(&mut timed, 11.9), "nothing grows for two seconds after 0.98");
        assert!(grown(&mut timed, 12.0));
        timed.law.used(0.97, timed.at(13.0));
        assert!(grown(&mut timed, 13.0));
    }

    #[test]
    fn a_wait_of_nothing_raises_no_pace() {
        let mut timed = Timed::new(20.0);
        let mut now = timed.cycle(0.0, 0.001, 5, 1.0);
        for _ in 0..5 {
            let before = timed.law.shown().0;
            now = timed.cycle(now, 0.000_1, 1, 0.0);
            let after = timed.law.shown().0;
            assert!(after <= before, "{before} before, {after} after");
        }
    }
}
