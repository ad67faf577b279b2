//! Models of the limits of services: continuous refill, fixed and sliding windows, and the two-bucket
//! counter.
//!
//! Seconds are passed in. The models share no code with the rate controller and the simulator, so that they
//! show mistakes of both.

use std::collections::VecDeque;

use serde::Deserialize;

/// How a limit refills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shape {
    /// Continuously.
    Bucket,
    /// The whole capacity at aligned instants.
    Window,
    /// Each write comes back one window later.
    Sliding,
    /// The approximation of gateways: the writes of this window, and a share of those of the last one. The
    /// share is what a sliding window would still hold.
    Counter,
}

/// One limit of a scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitFile {
    pub(crate) shape: Shape,
    /// Writes that fit in a bucket or in a window.
    pub(crate) capacity: f64,
    /// Refill of a bucket: seconds from the start, and writes per second from then on.
    #[serde(default)]
    pub(crate) rates: Vec<[f64; 2]>,
    /// Length of a window in seconds.
    #[serde(default)]
    pub(crate) window_s: f64,
    /// Writes taken before the run starts. Each seed uses one value; the list repeats.
    #[serde(default)]
    pub(crate) used: Vec<u64>,
    /// Seconds of the window that have passed when the run starts. Each seed uses one value; the list
    /// repeats.
    #[serde(default)]
    pub(crate) phase_s: Vec<f64>,
    /// Whether throttled requests count, up to 1.8 times the limit.
    #[serde(default)]
    pub(crate) charge_throttled: bool,
}

/// The state of a limit.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    shape: Shape,
    capacity: f64,
    rates: Vec<[f64; 2]>,
    window: f64,
    phase: f64,
    charge_throttled: bool,
    at: f64,
    level: f64,
    counted: f64,
    before: f64,
    log: VecDeque<f64>,
}

impl Limit {
    /// Creates the limit of a file for `seed`, from 1.
    pub(crate) fn new(file: &LimitFile, seed: u64, random: &mut fastrand::Rng) -> Self {
        let nth = seed as usize - 1;
        let used = file.used.iter().cycle().nth(nth).copied().unwrap_or(0);
        let phase = file.phase_s.iter().cycle().nth(nth).copied().unwrap_or(0.0);
        let mut log: Vec<f64> = Vec::new();
        if file.shape == Shape::Sliding {
            log.extend((0..used).map(|_| -file.window_s * random.f64()));
            log.sort_by(f64::total_cmp);
        }
        Self {
            shape: file.shape,
            capacity: file.capacity,
            rates: file.rates.clone(),
            window: file.window_s,
            phase,
            charge_throttled: file.charge_throttled,
            at: 0.0,
            level: file.capacity - used as f64,
            counted: if file.shape == Shape::Window { used as f64 } else { 0.0 },
            before: 0.0,
            log: log.into(),
        }
    }

    /// Changes the limit for the ideal client, which is never throttled. It gets what `others_per_second` do
    /// not use.
    pub(crate) fn ideal(mut self, others_per_second: f64) -> Self {
        self.charge_throttled = false;
        match self.shape {
            Shape::Bucket => self.rates.iter_mut().for_each(|[_, rate]| *rate -= others_per_second),
            _ => self.capacity -= others_per_second * self.window,
        }
        self
    }

    fn rate(&self, now: f64) -> f64 {
        let step = self.rates.iter().rev().find(|[from, _]| *from <= now);
        step.or(self.rates.first()).map_or(1e-9, |[_, rate]| *rate)
    }

    fn window_of(&self, at: f64) -> f64 {
        ((at + self.phase) / self.window).floor()
    }

    fn advance(&mut self, now: f64) {
        match self.shape {
            Shape::Bucket => {
                while self.at < now {
                    let change = self.rates.iter().map(|[from, _]| *from).find(|from| *from > self.at);
                    let next = change.unwrap_or(now).min(now);
                    self.level = (self.level + (next - self.at) * self.rate(self.at)).min(self.capacity);
                    self.at = next;
                }
            }
            Shape::Window | Shape::Counter => {
                let passed = self.window_of(now) - self.window_of(self.at);
                if passed > 0.0 {
                    self.before = if passed > 1.0 { 0.0 } else { self.counted };
                    self.counted = 0.0;
                }
            }
            Shape::Sliding => {
                while self.log.front().is_some_and(|at| *at <= now - self.window) {
                    self.log.pop_front();
                }
            }
        }
        self.at = now;
    }

    /// Returns the number of writes that the two-bucket counter assumes for the last window length.
    fn estimate(&self, now: f64) -> f64 {
        let into = (now + self.phase) - self.window_of(now) * self.window;
        self.counted + self.before * (1.0 - into / self.window)
    }

    /// Returns the first instant, not before `now`, at which a write is served.
    pub(crate) fn next(&mut self, now: f64) -> f64 {
        const GRAIN: f64 = 1e-4;
        self.advance(now);
        let end = (self.window_of(now) + 1.0) * self.window - self.phase;
        match self.shape {
            Shape::Bucket if self.level >= 1.0 => now,
            Shape::Bucket => now + ((1.0 - self.level) / self.rate(now)).max(GRAIN),
            Shape::Window if self.counted < self.capacity => now,
            Shape::Window => end.max(now + GRAIN),
            Shape::Sliding if (self.log.len() as f64) < self.capacity => now,
            Shape::Sliding => self.log[self.log.len() - self.capacity as usize] + self.window,
            Shape::Counter if self.estimate(now) + 1.0 <= self.capacity => now,
            Shape::Counter => {
                let begins = end - self.window;
                let share = (self.capacity - 1.0 - self.counted) / self.before.max(1e-9);
                let there = begins + self.window * (1.0 - share);
                if self.before > 0.0 && self.counted < self.capacity && there < end {
                    there.max(now + GRAIN)
                } else {
                    end + GRAIN
                }
            }
        }
    }

    /// Takes a write. [`Limit::next`] must have returned `now`.
    pub(crate) fn take(&mut self, now: f64) {
        self.advance(now);
        match self.shape {
            Shape::Bucket => self.level -= 1.0,
            Shape::Window | Shape::Counter => self.counted += 1.0,
            Shape::Sliding => self.log.push_back(now),
        }
    }

    /// Counts a throttled write, if the limit counts them.
    pub(crate) fn throttle(&mut self, now: f64) {
        if !self.charge_throttled {
            return;
        }
        self.advance(now);
        match self.shape {
            Shape::Bucket => self.level = (self.level - 1.0).max(-0.8 * self.capacity),
            Shape::Sliding if (self.log.len() as f64) < 1.8 * self.capacity => self.log.push_back(now),
            _ => {}
        }
    }

    /// Returns the share of the limit that is used.
    pub(crate) fn used(&self, now: f64) -> f64 {
        match self.shape {
            Shape::Bucket => 1.0 - self.level / self.capacity,
            Shape::Window => self.counted / self.capacity,
            Shape::Sliding => self.log.len() as f64 / self.capacity,
            Shape::Counter => self.estimate(now) / self.capacity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(text: &str) -> Limit {
        Limit::new(&toml::from_str(text).expect("a limit"), 1, &mut fastrand::Rng::with_seed(1))
    }

    fn taken(limit: &mut Limit, from: f64, to: f64) -> usize {
        let (mut now, mut count) = (from, 0);
        loop {
            now = limit.next(now);
            if now >= to {
                return count;
            }
            limit.take(now);
            count += 1;
        }
    }

    #[test]
    fn each_shape_serves_its_rate_and_capacity() {
        let mut bucket = limit("shape = 'bucket'\ncapacity = 10\nrates = [[0, 2.0], [10, 4.0]]");
        assert_eq!(taken(&mut bucket, 0.0, 9.99), 10 + 19);
        assert_eq!(taken(&mut bucket, 10.0, 14.99), 20, "it refills twice as fast after ten seconds");
        let mut window = limit("shape = 'window'\ncapacity = 10\nwindow_s = 5\nphase_s = [2]\nused = [4]");
        assert_eq!((taken(&mut window, 0.0, 2.9), taken(&mut window, 2.9, 7.9)), (6, 10));
        let mut sliding = limit("shape = 'sliding'\ncapacity = 10\nwindow_s = 5");
        assert_eq!((taken(&mut sliding, 0.0, 4.9), taken(&mut sliding, 4.9, 5.1)), (10, 10));
        let mut counter = limit("shape = 'counter'\ncapacity = 10\nwindow_s = 5");
        assert_eq!(taken(&mut counter, 0.0, 4.9), 10);
        let half = taken(&mut counter, 5.0, 7.6);
        assert_eq!(half, 5, "half a window later half of the last one no longer counts");
        for shape in [bucket, window, sliding, counter] {
            assert!(shape.used(shape.at) > 0.0);
        }
    }

    #[test]
    fn throttled_writes_count_if_the_file_says_so() {
        let mut charged =
            limit("shape = 'bucket'\ncapacity = 10\nrates = [[0, 1.0]]\ncharge_throttled = true");
        assert_eq!(taken(&mut charged, 0.0, 0.5), 10);
        (0..100).for_each(|_| charged.throttle(0.5));
        assert!((charged.next(0.5) - 9.5).abs() < 0.01, "at most 1.8 times the limit");
        assert!((charged.clone().ideal(0.0).next(0.5) - 9.5).abs() < 0.01);
    }
}
