//! The rate meter: measures the rate of the service as the writes served from one served probe to the next.

use std::collections::VecDeque;

/// Smallest number of requests in the newest cycles from which the recent rate is computed.
const RECENT_REQUESTS: f64 = 10.0;
/// Shortest time, in seconds, of the cycles from which the recent rate is computed. Sending starts at that
/// rate after a pause.
const RECENT_SECS: f64 = 10.0;
/// Smallest number of requests in the newest cycles from which the rate is computed.
const POOL_REQUESTS: f64 = 40.0;
/// Shortest time, in seconds, of the cycles from which the rate is computed. A sliding window gives now what
/// was taken one window ago, so only a whole window shows its rate.
const POOL_SECS: f64 = 150.0;
/// Shortest time of those cycles, as a multiple of the longest pause. A cycle that ends with a long pause
/// does not include what the pause gave back; over two pauses this evens out.
const POOL_PAUSES: f64 = 2.0;
/// Upper bound, in seconds, of the shortest time that [`POOL_PAUSES`] demands: twice the documented window.
const POOL_MAX_SECS: f64 = 300.0;
/// Number of cycles that are kept. Each but the newest has [`RECENT_SECS`] or more, so they cover twice
/// [`POOL_MAX_SECS`].
const MAX_CYCLES: usize = 60;
/// Time, in seconds, after which the longest pause counts half. It fades because quotas change.
const HALF_LIFE_SECS: f64 = 3_600.0;
/// Smallest number of requests from which a rate can be learned if the cycles are shorter than
/// [`RECENT_SECS`]. They must also last a second. Measured: with 10, one run in three on a half-used sliding
/// window starts far too low.
const MIN_MEASURED_REQUESTS: f64 = 20.0;

/// The newest cycles. A cycle lasts from one served probe to the next. The quota stands at the same level
/// after both, so the writes served in between are what the service gives.
#[derive(Clone, Debug, Default)]
pub(super) struct RateMeter {
    /// Served requests and seconds of each cycle, the oldest first.
    cycles: VecDeque<(f64, f64)>,
    /// Longest pause in seconds; it fades.
    longest_pause: f64,
}

/// A measured rate in writes per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Measured {
    /// A rate from enough requests or time to be learned.
    Rate(f64),
    /// A rate from too few requests. It shows only that the pace was too high.
    Provisional(f64),
}

impl RateMeter {
    /// Records a finished cycle: `served` requests in `seconds`, of which the last `paused` seconds were a
    /// pause. Returns the rate measured over the newest cycles.
    pub(super) fn record_cycle(&mut self, served: f64, seconds: f64, paused: f64) -> Measured {
        match self.cycles.back_mut() {
            Some((requests, length)) if *length < RECENT_SECS => {
                *requests += served;
                *length += seconds;
            }
            _ => self.cycles.push_back((served, seconds)),
        }
        if self.cycles.len() > MAX_CYCLES {
            self.cycles.pop_front();
        }
        self.longest_pause = paused.max(self.longest_pause * 0.5_f64.powf(seconds / HALF_LIFE_SECS));
        let enough = (POOL_PAUSES * self.longest_pause).clamp(POOL_SECS, POOL_MAX_SECS);
        let (requests, seconds) = self.pooled(POOL_REQUESTS, enough);
        let rate = requests.max(1.0) / seconds;
        if (requests >= MIN_MEASURED_REQUESTS && seconds >= 1.0) || seconds >= RECENT_SECS {
            Measured::Rate(rate)
        } else {
            Measured::Provisional(rate)
        }
    }

    /// Writes per second that the service gave recently; `None` before the first cycle.
    pub(super) fn recent_rate(&self) -> Option<f64> {
        let (requests, seconds) = self.pooled(RECENT_REQUESTS, RECENT_SECS);
        (seconds > 0.0).then(|| requests / seconds)
    }

    /// Sums requests and seconds over the newest cycles, until there are `min_requests` and `min_seconds` or
    /// no more cycles.
    fn pooled(&self, min_requests: f64, min_seconds: f64) -> (f64, f64) {
        let (mut requests, mut seconds) = (0.0, 0.0);
        for (served, length) in self.cycles.iter().rev() {
            requests += served;
            seconds += length;
            if requests >= min_requests && seconds >= min_seconds {
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
    fn rate_covers_a_window_and_recent_rate_seconds() {
        let mut meter = RateMeter::default();
        assert_eq!(meter.recent_rate(), None);
        assert_eq!(meter.record_cycle(3.0, 1.5, 1.0), Measured::Provisional(2.0));
        assert_eq!(meter.record_cycle(17.0, 0.5, 0.1), Measured::Rate(10.0), "twenty in two seconds");
        assert_eq!(meter.record_cycle(300.0, 158.0, 1.0), Measured::Rate(2.0), "still a single cycle");
        assert_eq!(
            meter.record_cycle(300.0, 100.0, 1.0),
            Measured::Rate(620.0 / 260.0),
            "the newest cycle is shorter than 150 s"
        );
        assert_eq!(meter.recent_rate(), Some(3.0));
        assert_eq!(
            meter.record_cycle(0.0, 60.0, 1.0),
            Measured::Rate(300.0 / 160.0),
            "the newest two are long enough"
        );
        assert_eq!(meter.recent_rate(), Some(300.0 / 160.0), "ten requests");
    }

    #[test]
    fn rate_is_measured_over_twice_the_longest_pause() {
        let mut meter = RateMeter::default();
        let _ = meter.record_cycle(1_000.0, 100.0, 1.0);
        let _ = meter.record_cycle(100.0, 100.0, 90.0);
        assert_eq!(
            meter.record_cycle(40.0, 100.0, 1.0),
            Measured::Rate(140.0 / 200.0),
            "two of 90 s fade to less than 180"
        );
        assert_eq!(meter.record_cycle(40.0, 100.0, 120.0), Measured::Rate(180.0 / 300.0), "two of 120 s");
    }
}
