//! The adaptive rate: the writes that the service served between two pauses, divided by the time, are its rate.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::burst::{Burst, LONG_PAUSE_S};
use super::ramp_up::{RampUp, SLOWEST_PACE};
use super::random_throttling::{EndedCycle, RandomThrottlingDetector};
use super::rate_limit::FASTEST;
use super::rate_meter::{Measured, RateMeter};
use super::throttle_sample::ThrottleSample;

/// Seconds over which the rate that was actually sent is counted.
const RECENT_S: f64 = 2.0;
/// Largest delay, in seconds, that is caught up. A stopped and resumed process sends at most this much immediately.
const CATCH_UP_S: f64 = 0.25;
/// Fewest writes in the burst with which the next write is sent directly after the probe. After the short pauses of a slow
/// service it would be throttled. Measured: at 0 a bucket of 1/s throttles every second request; at 1 a bucket that falls from
/// 4/s to 1/s throttles 4.4% instead of 2.7%. Without the exception a bucket that falls from 40/s to 20/s takes 1.01 × the
/// ideal time instead of 1.00 ×.
const SEND_AFTER_PROBE: f64 = 4.0;
/// Requests in flight at the start and after each pause; each response adds one. Full speed is reached after four round trips.
/// If the quota is used up, seven requests are throttled instead of one for each worker.
const FIRST_IN_FLIGHT: usize = 4;
/// Seconds without a request, although one could have been sent, after which a cycle is not measured. The cause is an outage, a
/// stopped process or an empty queue.
const IDLE_S: f64 = 10.0;

/// What a later invocation starts from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnedRate {
    /// The rate of the service in writes per second, if it is known.
    pub rate: Option<f64>,
    /// Writes that are left of the burst, 0 to 150 times the initial rate.
    pub credit: f64,
}

/// Measures the rate of token buckets, fixed windows and sliding windows (`docs/pacing.md`). It has no clock and no cool-downs:
/// instants are passed in, and [`AdaptiveRate::reopened`] ends a throttling event.
///
/// The pace is that of the [`RampUp`] plus what the [`Burst`] adds. A 429 begins a [`ThrottleSample`]. The probe that is served
/// after it ends the throttling event and the cycle. The [`RateMeter`] then measures the cycle, and the
/// [`RandomThrottlingDetector`] decides whether the rate was the cause. All of them count seconds from `origin`.
#[derive(Clone, Debug)]
pub struct AdaptiveRate {
    origin: Instant,
    rate_limit: f64,
    /// Whether the user gave the initial rate.
    is_known: bool,
    ramp_up: RampUp,
    burst: Burst,
    sample: Option<ThrottleSample>,
    meter: RateMeter,
    detector: RandomThrottlingDetector,
    /// When the first write was sent.
    began: Option<f64>,
    /// The served probe that began the current cycle; `None` in the first cycle, which began with the initial burst.
    cycle: Option<f64>,
    /// Requests served in the current cycle.
    served: usize,
    /// Whether nothing was sent for [`IDLE_S`] in the current cycle.
    spoiled: bool,
    last_throttled: f64,
    /// Earliest instant of the next write.
    next: f64,
    /// Instants of the writes in the last [`RECENT_S`].
    recent: VecDeque<f64>,
}

impl AdaptiveRate {
    /// Starts from a documented rate in writes per second, with its whole burst.
    pub fn new(documented: f64, origin: Instant) -> Self {
        let documented = possible(documented);
        Self {
            origin,
            rate_limit: FASTEST,
            is_known: false,
            ramp_up: RampUp::new(documented),
            burst: Burst::full(documented),
            sample: None,
            meter: RateMeter::default(),
            detector: RandomThrottlingDetector::new(documented),
            began: None,
            cycle: None,
            served: 0,
            spoiled: false,
            last_throttled: f64::NEG_INFINITY,
            next: 0.0,
            recent: VecDeque::new(),
        }
    }

    /// Starts from a rate that the user knows, in writes per second. It is not a limit. Once the burst ran out, it is taken as
    /// learned, or a higher rate that was proved. Otherwise the rate would be found by doubling, which throttles 17% of 6,000 users
    /// at 200/s with a burst of 100.
    pub fn from_known(rate: f64, origin: Instant) -> Self {
        Self { is_known: true, ..Self::new(rate, origin) }
    }

    /// Continues with what an earlier invocation learned, `away` after its last write.
    pub fn resume(mut self, learned: LearnedRate, away: Duration) -> Self {
        if let Some(rate) = learned.rate.filter(|rate| rate.is_finite()).map(possible) {
            self.ramp_up.learn(rate, rate, None);
        }
        let saved = self.ramp_up.rate_or_search() * away.as_secs_f64();
        let credit = if learned.credit.is_finite() { learned.credit.max(0.0) } else { 0.0 };
        self.burst.hold(credit + saved);
        self
    }

    /// Sets the rate limit in writes per second.
    pub(super) fn bound(&mut self, rate_limit: f64) {
        self.rate_limit = rate_limit;
    }

    /// What a later invocation starts from.
    pub fn learned(&self) -> LearnedRate {
        LearnedRate { rate: self.ramp_up.rate(), credit: self.burst.left() }
    }

    /// The pace while the rate is unknown, and the seconds from the origin to the next write.
    #[cfg(test)]
    pub(super) fn shown(&self) -> (f64, f64) {
        (self.ramp_up.search(), self.next)
    }

    /// The pace without the burst.
    #[cfg(test)]
    pub(super) fn base_at(&self, now: Instant) -> f64 {
        self.base(self.seconds(now))
    }

    /// The pace at an instant, in writes per second.
    pub fn pace(&self, now: Instant) -> f64 {
        self.with_burst(self.base(self.seconds(now)))
    }

    /// Maximum number of parts in flight.
    pub fn in_flight(&self) -> usize {
        FIRST_IN_FLIGHT.saturating_add(self.served)
    }

    /// The earliest instant of the next write. During a throttling event the cool-down decides.
    pub fn next_send(&self, now: Instant) -> Instant {
        if self.sample.is_some() {
            return now;
        }
        now.max(self.origin + Duration::from_secs_f64(self.next.max(0.0)))
    }

    /// Records that a write was sent, a probe included. A probe is counted once it is served.
    pub fn sent(&mut self, now: Instant) {
        let now = self.seconds(now);
        if self.began.is_none() {
            (self.began, self.next) = (Some(now), now);
            self.ramp_up.restart(now);
        }
        if self.sample.is_some() {
            return;
        }
        if now - self.next > IDLE_S {
            self.ramp_up.restart(now);
            self.spoiled = true;
        }
        let base = self.base(now);
        let pace = self.with_burst(base);
        // The part of this write that the base does not pay for.
        self.burst.pay((pace - base).max(0.0) / pace);
        self.next = self.next.max(now - CATCH_UP_S) + 1.0 / pace;
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|sent| *sent < now - RECENT_S) {
            self.recent.pop_front();
        }
    }

    /// Records that a write sent at `sent` was counted against the quota.
    pub fn served(&mut self, sent: Instant, now: Instant) {
        let (sent, now) = (self.seconds(sent), self.seconds(now));
        self.served = self.served.saturating_add(1);
        match &mut self.sample {
            Some(sample) => sample.served(sent),
            None if self.burst.adds_at_most(self.ramp_up.search()) => {
                self.ramp_up.search_on(now, self.sent_lately(now));
            }
            None => {}
        }
    }

    /// Records a 429 for a write sent at `sent`. The first one outside a throttling event begins one.
    pub fn throttled(&mut self, sent: Instant, now: Instant) {
        let (sent, now) = (self.seconds(sent), self.seconds(now));
        self.burst.hold(0.0);
        match &mut self.sample {
            Some(sample) => sample.also_throttled(sent),
            None if sent >= self.last_throttled => {
                self.sample = Some(ThrottleSample::new(sent, now, self.sent_lately(now)));
            }
            None => {}
        }
        self.last_throttled = now;
    }

    /// Records that the probe after the cool-down was served.
    pub fn reopened(&mut self, now: Instant) {
        let now = self.seconds(now);
        let Some(sample) = self.sample.take() else { return };
        let began = self.began.unwrap_or(sample.since);
        let waited = now - sample.since;
        if self.cycle.is_none() && waited < LONG_PAUSE_S.max(0.5 * (now - began)) {
            // The burst ran out, which does not measure the rate.
            self.ramp_up.search_from(sample.proved());
            if self.is_known && self.ramp_up.rate().is_none() {
                self.ramp_up.learn(self.ramp_up.search(), self.ramp_up.search(), None);
            }
        } else if !self.spoiled {
            let since = self.cycle.unwrap_or(began);
            self.judge(&sample, now - since);
            self.measure(&sample, now - since, waited);
        }
        let trial = self.detector.is_testing().then(|| self.ramp_up.low());
        self.burst.refill(waited, self.ramp_up.rate_or_search(), trial);
        (self.cycle, self.served, self.spoiled) = (Some(now), 0, false);
        self.ramp_up.restart(now);
        // The probe was the first write of the cycle.
        let after_probe = self.burst.left() >= SEND_AFTER_PROBE;
        self.next = if after_probe { now } else { now + 1.0 / self.with_burst(self.base(now)) };
    }

    /// Applies the share of the limit reported in `x-ms-throttle-limit-percentage`. This can only lower the pace.
    pub fn used(&mut self, share: f64, now: Instant) {
        if !share.is_finite() {
            return;
        }
        if self.cycle.is_none() {
            self.burst.used(share);
        }
        self.ramp_up.used(share, self.seconds(now));
    }

    /// Records a cycle of `cycle` seconds for the detector of random throttling.
    fn judge(&mut self, sample: &ThrottleSample, cycle: f64) {
        let Some(rate) = self.ramp_up.rate() else { return };
        self.detector.record(EndedCycle {
            early: self.ramp_up.is_below_rate(sample.since),
            probe_throttled: sample.probe_throttled,
            passed: sample.passed,
            throttled: sample.throttled,
            served: self.served as f64,
            seconds: cycle,
            before: self.meter.lately().unwrap_or(rate),
            rate,
        });
    }

    /// Measures the rate of a cycle of `cycle` seconds, of which the last `waited` were a pause.
    fn measure(&mut self, sample: &ThrottleSample, cycle: f64, waited: f64) {
        match self.meter.record(self.served as f64, cycle, waited) {
            Measured::Rate(measured) => {
                // The first measurement is too low if the pace had only begun to grow.
                let first = self.ramp_up.rate().is_none() && waited < 0.5 * cycle;
                let rate = possible(if first { measured.max(sample.proved()) } else { measured });
                let lately = self.meter.lately().filter(|_| !first).unwrap_or(rate);
                let trial = self.detector.is_testing().then(|| self.detector.begin_at(lately, rate));
                self.ramp_up.learn(rate, lately, trial);
            }
            Measured::Provisional(measured) => self.ramp_up.search_below(measured),
        }
    }

    /// The pace without the burst.
    fn base(&self, now: f64) -> f64 {
        self.ramp_up.pace(now, self.sent_lately(now))
    }

    fn with_burst(&self, base: f64) -> f64 {
        (base + self.burst.adds()).min(self.rate_limit)
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

/// Limits a rate to the range that can be paced, in writes per second.
fn possible(rate: f64) -> f64 {
    rate.clamp(SLOWEST_PACE, FASTEST)
}

#[cfg(test)]
mod tests {
    use super::super::ramp_up::CROSSING_S;
    use super::*;

    /// A controller whose instants are seconds from its origin.
    struct Timed {
        controller: AdaptiveRate,
        origin: Instant,
    }

    impl Timed {
        fn new(documented: f64) -> Self {
            let origin = Instant::now();
            Self { controller: AdaptiveRate::new(documented, origin), origin }
        }

        fn at(&self, seconds: f64) -> Instant {
            self.origin + Duration::from_secs_f64(seconds)
        }

        /// Sends `count` writes, `gap` seconds apart, and returns when each was sent.
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

        fn throttled(&mut self, left: f64, now: f64) {
            self.controller.throttled(self.at(left), self.at(now));
        }

        /// A cycle: `count` writes are served, then one is throttled, and the probe is served after the pause.
        fn cycle(&mut self, from: f64, gap: f64, count: u32, wait: f64) -> f64 {
            let left = self.send(from, gap, count + 1);
            for left in &left[..count as usize] {
                self.served(*left, left + 0.01);
            }
            let (last, end) = (left[count as usize], left[count as usize] + 0.01 + wait);
            self.throttled(last, last + 0.01);
            self.served(last + wait, end);
            self.controller.reopened(self.at(end));
            end
        }
    }

    /// The pace while the rate is unknown, after 2 s at 200/s. The last twenty writes were in flight when the first of them was
    /// throttled, and `passed` of the others were served.
    fn slow_after(passed: usize) -> f64 {
        let mut timed = Timed::new(20.0);
        let left = timed.send(0.0, 0.005, 400);
        left[..380].iter().for_each(|left| timed.served(*left, 1.99));
        timed.throttled(left[380], 2.0);
        left[381..381 + passed].iter().for_each(|left| timed.served(*left, 2.01));
        left[381 + passed..].iter().for_each(|left| timed.throttled(*left, 2.01));
        timed.served(3.1, 3.2);
        timed.controller.reopened(timed.at(3.2));
        timed.controller.shown().0
    }

    #[test]
    fn writes_in_flight_show_the_refill_of_a_used_up_quota() {
        assert_eq!(slow_after(0), 20.0, "a used-up window: the documented rate");
        assert_eq!(slow_after(3), 20.0, "these may have overtaken the throttled one");
        assert!((slow_after(13) - 200.0 * 10.0 / 19.0).abs() < 1e-9);
        assert!((slow_after(19) - 200.0 * 16.0 / 19.0).abs() < 1e-9, "never above what was sent");
    }

    #[test]
    fn short_shortage_lowers_the_start_of_a_cycle_and_not_the_rate() {
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
        assert!(base(0.0) < 4.0, "begins at the recent rate: {}", base(0.0));
        assert!(
            (base(CROSSING_S) - kept).abs() < 0.01,
            "and is back after the ramp-up: {}",
            base(CROSSING_S)
        );
    }

    #[test]
    fn header_can_only_lower_the_pace() {
        let mut timed = Timed::new(20.0);
        let mut credits = Vec::new();
        for share in [0.8, f64::NAN, 0.5, 0.95, 1.8, 0.8] {
            timed.controller.used(share, timed.at(0.0));
            credits.push(timed.controller.learned().credit.round());
        }
        assert_eq!(credits, [600.0, 600.0, 600.0, 150.0, 0.0, 0.0], "the rest of 3,000, and it never rises");
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
    fn pause_of_zero_seconds_does_not_raise_the_pace() {
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
