//! The adaptive rate controller: it measures the quota as the writes served between two probes, divided by
//! the time.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::burst::{Burst, LONG_PAUSE_SECS};
use super::ramp_up::{RampUp, SLOWEST_PACE};
use super::random_throttling::{FinishedCycle, RandomThrottlingDetector};
use super::rate_limit::FASTEST;
use super::rate_meter::{Measured, RateMeter};
use super::throttle_sample::ThrottleSample;

/// Time over which the rate that was really sent is counted, in seconds.
const SENT_RATE_SECS: f64 = 2.0;
/// Time, in seconds, whose writes may be sent at once after a delay. It bounds what a suspended process sends
/// when it continues.
const CATCH_UP_SECS: f64 = 0.25;
/// Smallest burst after a pause, in writes, with which the next write follows the probe immediately. After
/// the short pauses of a slow service such a write would be throttled. Measured: at 0, a bucket at 1/s
/// throttles every second request without end. At 1, a bucket that falls from 4/s to 1/s throttles 4.4%
/// instead of 2.7%. If the write never follows immediately, a bucket that falls from 40/s to 20/s takes 1.01
/// instead of 1.00 × the ideal time.
const IMMEDIATE_BURST: f64 = 4.0;
/// Parts in flight at the start and after each pause. Each response allows one more, so full speed is reached
/// after four round trips. A used-up burst then costs seven throttled requests instead of one for each
/// worker.
const FIRST_IN_FLIGHT: usize = 4;
/// Time, in seconds, without a request although one was allowed: an outage, a suspended process, no users.
/// After it the ramp-up starts again, and the cycle is not measured.
const IDLE_SECS: f64 = 10.0;

/// Values from which a later invocation starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnedRate {
    /// Rate of the service in writes per second, if it is known.
    pub rate: Option<f64>,
    /// Unspent burst in writes, from 0 to 150 times the initial rate.
    pub burst: f64,
}

/// Finds the rate of the service for token buckets, fixed windows and sliding windows (`docs/pacing.md`). It
/// has no clock and no cool-downs: instants are passed in, and [`AdaptiveRate::reopened`] reports the end of
/// a throttling event.
///
/// The pace is that of the `RampUp` plus what the `Burst` adds. A throttled response starts a
/// `ThrottleSample`. The next probe that is served ends the sample and the cycle. The `RateMeter` measures
/// the cycle, and the `RandomThrottlingDetector` decides whether the next one is a speed test. The next cycle
/// then ramps up. All of them count seconds from `origin`.
#[derive(Clone, Debug)]
pub struct AdaptiveRate {
    origin: Instant,
    rate_limit: f64,
    /// Whether the initial rate was given with `--initial-rate`.
    is_known: bool,
    ramp_up: RampUp,
    burst: Burst,
    /// The present throttling event.
    sample: Option<ThrottleSample>,
    meter: RateMeter,
    detector: RandomThrottlingDetector,
    /// When the first write was sent.
    first_sent: Option<f64>,
    /// When the probe was served that started the present cycle. `None` in the first cycle, which starts with
    /// the initial burst.
    cycle_start: Option<f64>,
    /// Requests that were served in the cycle.
    served: usize,
    /// Whether sending was idle in the cycle. Such a cycle is not measured.
    was_idle: bool,
    last_throttled: f64,
    /// When the next write may be sent.
    next: f64,
    /// When the last writes were sent, over [`SENT_RATE_SECS`].
    recent: VecDeque<f64>,
}

impl AdaptiveRate {
    /// Creates a controller that starts from `documented` writes per second and the full burst that belongs
    /// to them.
    pub fn new(documented: f64, origin: Instant) -> Self {
        let documented = clamp_rate(documented);
        Self {
            origin,
            rate_limit: FASTEST,
            is_known: false,
            ramp_up: RampUp::new(documented),
            burst: Burst::full(documented),
            sample: None,
            meter: RateMeter::default(),
            detector: RandomThrottlingDetector::new(documented),
            first_sent: None,
            cycle_start: None,
            served: 0,
            was_idle: false,
            last_throttled: f64::NEG_INFINITY,
            next: 0.0,
            recent: VecDeque::new(),
        }
    }

    /// Creates a controller that starts from `rate`, given with `--initial-rate`. The rate is not an upper
    /// bound. When the burst is used up, the rate counts as learned, or a higher one that the end of the
    /// burst shows. Otherwise doubling would have to find it. Measured: that costs 17% for 6,000 users at
    /// 200/s with a burst of 100.
    pub fn from_known(rate: f64, origin: Instant) -> Self {
        Self { is_known: true, ..Self::new(rate, origin) }
    }

    /// Continues from what an earlier invocation learned, `away` after its last write.
    pub fn resume(mut self, learned: LearnedRate, away: Duration) -> Self {
        if let Some(rate) = learned.rate.filter(|rate| rate.is_finite()).map(clamp_rate) {
            self.ramp_up.learn(rate, rate, None);
        }
        let refill = self.ramp_up.rate_or_search() * away.as_secs_f64();
        let burst = if learned.burst.is_finite() { learned.burst.max(0.0) } else { 0.0 };
        self.burst.set(burst + refill);
        self
    }

    /// Sets the upper bound of the rate, in writes per second.
    pub(super) fn set_rate_limit(&mut self, writes_per_second: f64) {
        self.rate_limit = writes_per_second;
    }

    /// Values from which a later invocation starts.
    pub fn learned(&self) -> LearnedRate {
        LearnedRate { rate: self.ramp_up.rate(), burst: self.burst.remaining() }
    }

    /// Pace while the rate is unknown, and seconds from the origin to the next write.
    #[cfg(test)]
    pub(super) fn search_and_next(&self) -> (f64, f64) {
        (self.ramp_up.search(), self.next)
    }

    /// Pace without the burst.
    #[cfg(test)]
    pub(super) fn base_pace_at(&self, now: Instant) -> f64 {
        self.base_pace(self.seconds(now))
    }

    /// Pace at `now`, in writes per second.
    pub fn pace(&self, now: Instant) -> f64 {
        self.with_burst(self.base_pace(self.seconds(now)))
    }

    /// Maximum number of parts in flight.
    pub fn in_flight(&self) -> usize {
        FIRST_IN_FLIGHT.saturating_add(self.served)
    }

    /// Returns the earliest instant of the next write. During a throttling event the cool-down decides
    /// instead.
    pub fn next_send(&self, now: Instant) -> Instant {
        if self.sample.is_some() {
            return now;
        }
        now.max(self.origin + Duration::from_secs_f64(self.next.max(0.0)))
    }

    /// Records that a write was sent. A probe is not paced; it counts as the first write of the cycle that it
    /// starts.
    pub fn sent(&mut self, now: Instant) {
        let now = self.seconds(now);
        if self.first_sent.is_none() {
            (self.first_sent, self.next) = (Some(now), now);
            self.ramp_up.start(now);
        }
        if self.sample.is_some() {
            return;
        }
        if now - self.next > IDLE_SECS {
            self.ramp_up.start(now);
            self.was_idle = true;
        }
        let base = self.base_pace(now);
        let pace = self.with_burst(base);
        // The part of this write that the pace without the burst does not cover.
        self.burst.spend((pace - base).max(0.0) / pace);
        self.next = self.next.max(now - CATCH_UP_SECS) + 1.0 / pace;
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|sent| *sent < now - SENT_RATE_SECS) {
            self.recent.pop_front();
        }
    }

    /// Records that a write sent at `sent` was taken from the quota.
    pub fn served(&mut self, sent: Instant, now: Instant) {
        let (sent, now) = (self.seconds(sent), self.seconds(now));
        self.served = self.served.saturating_add(1);
        match &mut self.sample {
            Some(sample) => sample.record_served(sent),
            None if self.burst.adds_at_most(self.ramp_up.search()) => {
                self.ramp_up.raise_search(now, self.sent_rate(now));
            }
            None => {}
        }
    }

    /// Records that a write sent at `sent` was throttled. The first such write starts a throttling event. A
    /// write that was sent before the last throttled response does not.
    pub fn throttled(&mut self, sent: Instant, now: Instant) {
        let (sent, now) = (self.seconds(sent), self.seconds(now));
        self.burst.set(0.0);
        match &mut self.sample {
            Some(sample) => sample.record_throttled(sent),
            None if sent >= self.last_throttled => {
                self.sample = Some(ThrottleSample::new(sent, now, self.sent_rate(now)));
            }
            None => {}
        }
        self.last_throttled = now;
    }

    /// Records that the probe after the cool-downs was served. It ends the throttling event and starts the
    /// next cycle.
    pub fn reopened(&mut self, now: Instant) {
        let now = self.seconds(now);
        let Some(sample) = self.sample.take() else { return };
        let first_sent = self.first_sent.unwrap_or(sample.since);
        let paused = now - sample.since;
        if self.cycle_start.is_none() && paused < LONG_PAUSE_SECS.max(0.5 * (now - first_sent)) {
            // The initial burst is used up, which does not show the rate.
            self.ramp_up.search_from(sample.proven_rate());
            if self.is_known && self.ramp_up.rate().is_none() {
                self.ramp_up.learn(self.ramp_up.search(), self.ramp_up.search(), None);
            }
        } else if !self.was_idle {
            let since = self.cycle_start.unwrap_or(first_sent);
            self.detect_random_throttling(&sample, now - since);
            self.measure(&sample, now - since, paused);
        }
        let test_start = self.detector.is_testing().then(|| self.ramp_up.low());
        self.burst.refill(paused, self.ramp_up.rate_or_search(), test_start);
        (self.cycle_start, self.served, self.was_idle) = (Some(now), 0, false);
        self.ramp_up.start(now);
        // The probe was the first write of the cycle.
        let immediately = self.burst.remaining() >= IMMEDIATE_BURST;
        self.next = if immediately { now } else { now + 1.0 / self.with_burst(self.base_pace(now)) };
    }

    /// Applies the share of the limit reported in `x-ms-throttle-limit-percentage`. This can only lower the
    /// pace.
    pub fn used(&mut self, share: f64, now: Instant) {
        if !share.is_finite() {
            return;
        }
        if self.cycle_start.is_none() {
            self.burst.apply_used_share(share);
        }
        self.ramp_up.apply_used_share(share, self.seconds(now));
    }

    /// Passes the figures of the finished cycle, of `seconds`, to the detector of random throttling.
    fn detect_random_throttling(&mut self, sample: &ThrottleSample, seconds: f64) {
        let Some(rate) = self.ramp_up.rate() else { return };
        self.detector.record_cycle(FinishedCycle {
            early: self.ramp_up.is_below_rate(sample.since),
            probe_throttled: sample.probe_throttled,
            passed: sample.passed,
            throttled: sample.throttled,
            served: self.served as f64,
            seconds,
            rate_before: self.meter.recent_rate().unwrap_or(rate),
            rate,
        });
    }

    /// Measures the finished cycle, of `seconds`, and sets the pace of the next one. The last `paused`
    /// seconds of the cycle were a pause.
    fn measure(&mut self, sample: &ThrottleSample, seconds: f64, paused: f64) {
        match self.meter.record_cycle(self.served as f64, seconds, paused) {
            Measured::Rate(measured) => {
                // The first measured rate is too low if sending had only begun to grow.
                let first = self.ramp_up.rate().is_none() && paused < 0.5 * seconds;
                let rate = clamp_rate(if first { measured.max(sample.proven_rate()) } else { measured });
                let recent_rate = self.meter.recent_rate().filter(|_| !first).unwrap_or(rate);
                let test_start =
                    self.detector.is_testing().then(|| self.detector.test_start(recent_rate, rate));
                self.ramp_up.learn(rate, recent_rate, test_start);
            }
            Measured::Provisional(measured) => self.ramp_up.search_below(measured),
        }
    }

    /// Pace without the burst.
    fn base_pace(&self, now: f64) -> f64 {
        self.ramp_up.pace(now, self.sent_rate(now))
    }

    fn with_burst(&self, base: f64) -> f64 {
        (base + self.burst.added_rate()).min(self.rate_limit)
    }

    /// Rate that was sent in the last two seconds, at least one write per second.
    fn sent_rate(&self, now: f64) -> f64 {
        let old = self.recent.iter().take_while(|sent| **sent < now - SENT_RATE_SECS).count();
        ((self.recent.len() - old) as f64 / SENT_RATE_SECS).max(1.0)
    }

    fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.origin).as_secs_f64()
    }
}

/// Clamps a rate in writes per second to what the controller can pace.
fn clamp_rate(rate: f64) -> f64 {
    rate.clamp(SLOWEST_PACE, FASTEST)
}

#[cfg(test)]
mod tests {
    use super::super::ramp_up::RAMP_SECS;
    use super::*;

    /// A controller with an origin, so that tests can give instants as seconds.
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
            let sent: Vec<f64> = (0..count).map(|nth| from + gap * f64::from(nth)).collect();
            for at in &sent {
                self.controller.sent(self.at(*at));
            }
            sent
        }

        fn served(&mut self, sent: f64, now: f64) {
            self.controller.served(self.at(sent), self.at(now));
        }

        fn throttled(&mut self, sent: f64, now: f64) {
            self.controller.throttled(self.at(sent), self.at(now));
        }

        /// Runs a cycle: `count` writes are served, one more is throttled, and the probe is served after
        /// `pause` seconds.
        fn cycle(&mut self, from: f64, gap: f64, count: u32, pause: f64) -> f64 {
            let sent = self.send(from, gap, count + 1);
            for sent in &sent[..count as usize] {
                self.served(*sent, sent + 0.01);
            }
            let (last, end) = (sent[count as usize], sent[count as usize] + 0.01 + pause);
            self.throttled(last, last + 0.01);
            self.served(last + pause, end);
            self.controller.reopened(self.at(end));
            end
        }
    }

    /// Returns the pace while the rate is unknown, after 2 s at 200/s. The last twenty writes were in flight
    /// when the first of them was throttled; `passed` of the other nineteen were served.
    fn search_after(passed: usize) -> f64 {
        let mut timed = Timed::new(20.0);
        let sent = timed.send(0.0, 0.005, 400);
        sent[..380].iter().for_each(|sent| timed.served(*sent, 1.99));
        timed.throttled(sent[380], 2.0);
        sent[381..381 + passed].iter().for_each(|sent| timed.served(*sent, 2.01));
        sent[381 + passed..].iter().for_each(|sent| timed.throttled(*sent, 2.01));
        timed.served(3.1, 3.2);
        timed.controller.reopened(timed.at(3.2));
        timed.controller.search_and_next().0
    }

    #[test]
    fn served_share_of_requests_in_flight_proves_a_rate() {
        assert_eq!(search_after(0), 20.0, "the window is used up: the documented rate");
        assert_eq!(search_after(3), 20.0, "these may have overtaken the throttled one");
        assert!((search_after(13) - 200.0 * 10.0 / 19.0).abs() < 1e-9);
        assert!((search_after(19) - 200.0 * 16.0 / 19.0).abs() < 1e-9, "never above the sent rate");
    }

    #[test]
    fn short_dip_lowers_the_start_but_not_the_learned_rate() {
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
        let kept = timed.controller.learned().rate.expect("the rate was known");
        assert!(kept > 0.8 * rate && kept < rate, "{kept} of {rate}");
        let base = |after: f64| timed.controller.base_pace_at(timed.at(now + after));
        assert!(base(0.0) < 4.0, "starts at the recent rate: {}", base(0.0));
        assert!(
            (base(RAMP_SECS) - kept).abs() < 0.01,
            "and is back at the learned rate after the ramp: {}",
            base(RAMP_SECS)
        );
    }

    #[test]
    fn percentage_header_only_lowers_the_pace() {
        let mut timed = Timed::new(20.0);
        let mut bursts = Vec::new();
        for share in [0.8, f64::NAN, 0.5, 0.95, 1.8, 0.8] {
            timed.controller.used(share, timed.at(0.0));
            bursts.push(timed.controller.learned().burst.round());
        }
        assert_eq!(
            bursts,
            [600.0, 600.0, 600.0, 150.0, 0.0, 0.0],
            "the unused part of 3,000, and never more again"
        );
        timed.send(8.0, 0.05, 120);
        let grows = |timed: &mut Timed, now: f64| {
            let before = timed.controller.search_and_next().0;
            timed.served(now, now);
            timed.controller.search_and_next().0 > before
        };
        timed.controller.used(0.98, timed.at(10.0));
        assert!(!grows(&mut timed, 11.9), "no growth for two seconds after 0.98");
        assert!(grows(&mut timed, 12.0));
        timed.controller.used(0.97, timed.at(13.0));
        assert!(grows(&mut timed, 13.0));
    }

    #[test]
    fn pause_of_zero_does_not_raise_the_pace() {
        let mut timed = Timed::new(20.0);
        let mut now = timed.cycle(0.0, 0.001, 5, 1.0);
        for _ in 0..5 {
            let before = timed.controller.search_and_next().0;
            now = timed.cycle(now, 0.000_1, 1, 0.0);
            let after = timed.controller.search_and_next().0;
            assert!(after <= before, "{before} before, {after} after");
        }
    }
}
