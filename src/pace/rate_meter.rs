//! The rate meter: measures the rate of the service from one served probe to the next.

use std::collections::VecDeque;

/// Fewest requests in the newest cycles that give the recent rate, at which the next cycle begins.
const LATELY_REQUESTS: f64 = 10.0;
/// Fewest seconds in these cycles.
const LATELY_S: f64 = 10.0;
/// Fewest requests in the cycles that are pooled to measure the rate.
const POOL_REQUESTS: f64 = 40.0;
/// Fewest seconds in the pooled cycles. A sliding window returns now what was taken one window ago, so only a whole window shows
/// its lasting rate.
const POOL_S: f64 = 150.0;
/// The pooled cycles also cover this many of the longest pauses, at most [`POOL_MOST_S`]. A cycle that ends with a long pause
/// leaves out the refill of that pause; over two of them the error evens out.
const POOL_PAUSES: f64 = 2.0;
/// Longest pool in seconds: twice the documented window.
const POOL_MOST_S: f64 = 300.0;
/// Number of cycles that are kept. All but the newest have at least [`LATELY_S`], so they cover twice the longest pool.
const CYCLES: usize = 60;
/// Half-life of the longest pause, in seconds. It fades because quotas change.
const HALF_LIFE_S: f64 = 3_600.0;
/// Fewest requests that give a rate before [`LATELY_S`] have passed. Measured: with 10 one run in three on a half-used sliding
/// window starts far too low.
const FEWEST_MEASURED: f64 = 20.0;

/// The newest cycles. After each served probe the quota of the service stands at the same level. So the writes served between two
/// probes, divided by the time, are the rate.
#[derive(Clone, Debug, Default)]
pub(super) struct RateMeter {
    /// Served requests and seconds of each cycle, the oldest first.
    newest: VecDeque<(f64, f64)>,
    /// Longest pause in seconds; fades with [`HALF_LIFE_S`].
    longest_pause: f64,
}

/// A rate in writes per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Measured {
    /// Measured over enough requests and time to be learned.
    Rate(f64),
    /// Measured over too little. It only shows that the pace was too high.
    Provisional(f64),
}

impl RateMeter {
    /// Records a finished cycle: `served` requests in `seconds`, of which the last `waited` seconds were a pause. Returns the rate
    /// measured over all recorded cycles.
    pub(super) fn record(&mut self, served: f64, seconds: f64, waited: f64) -> Measured {
        match self.newest.back_mut() {
            Some((requests, length)) if *length < LATELY_S => {
                *requests += served;
                *length += seconds;
            }
            _ => self.newest.push_back((served, seconds)),
        }
        if self.newest.len() > CYCLES {
            self.newest.pop_front();
        }
        self.longest_pause = waited.max(self.longest_pause * 0.5_f64.powf(seconds / HALF_LIFE_S));
        let enough = (POOL_PAUSES * self.longest_pause).clamp(POOL_S, POOL_MOST_S);
        let (requests, seconds) = self.pooled(POOL_REQUESTS, enough);
        let rate = requests.max(1.0) / seconds;
        if (requests >= FEWEST_MEASURED && seconds >= 1.0) || seconds >= LATELY_S {
            Measured::Rate(rate)
        } else {
            Measured::Provisional(rate)
        }
    }

    /// The recent rate in writes per second; `None` before the first cycle.
    pub(super) fn lately(&self) -> Option<f64> {
        let (requests, seconds) = self.pooled(LATELY_REQUESTS, LATELY_S);
        (seconds > 0.0).then(|| requests / seconds)
    }

    /// Requests and seconds of the newest cycles that together hold at least `least_requests` and `least_seconds`.
    fn pooled(&self, least_requests: f64, least_seconds: f64) -> (f64, f64) {
        let (mut requests, mut seconds) = (0.0, 0.0);
        for (served, length) in self.newest.iter().rev() {
            requests += served;
            seconds += length;
            if requests >= least_requests && seconds >= least_seconds {
                break;
            }
        }
        (requests, seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_covers_a_window_and_the_recent_rate_seconds() {
        let mut meter = RateMeter::default();
        assert_eq!(meter.lately(), None);
        assert_eq!(meter.record(3.0, 1.5, 1.0), Measured::Provisional(2.0));
        assert_eq!(meter.record(17.0, 0.5, 0.1), Measured::Rate(10.0), "twenty in two seconds");
        assert_eq!(meter.record(300.0, 158.0, 1.0), Measured::Rate(2.0), "still one cycle");
        assert_eq!(
            meter.record(300.0, 100.0, 1.0),
            Measured::Rate(620.0 / 260.0),
            "150 s are not in the newest"
        );
        assert_eq!(meter.lately(), Some(3.0));
        assert_eq!(meter.record(0.0, 60.0, 1.0), Measured::Rate(300.0 / 160.0), "they are in the newest two");
        assert_eq!(meter.lately(), Some(300.0 / 160.0), "ten requests");
    }

    #[test]
    fn long_pause_is_measured_over_twice_its_length() {
        let mut meter = RateMeter::default();
        let _ = meter.record(1_000.0, 100.0, 1.0);
        let _ = meter.record(100.0, 100.0, 90.0);
        assert_eq!(
            meter.record(40.0, 100.0, 1.0),
            Measured::Rate(140.0 / 200.0),
            "two of 90 s fade to less than 180"
        );
        assert_eq!(meter.record(40.0, 100.0, 120.0), Measured::Rate(180.0 / 300.0), "two of 120 s");
    }
}
