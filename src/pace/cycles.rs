//! What the service took from one served probe to the next: the measure of its rate.

use std::collections::VecDeque;

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

/// The newest cycles. The server's stock is the same after two served probes, so what it took in between is what it
/// gives.
#[derive(Clone, Debug, Default)]
pub(super) struct Cycles {
    /// Requests that were served and seconds of each, the oldest first.
    newest: VecDeque<(f64, f64)>,
    /// In seconds; fades.
    longest_wait: f64,
}

/// A rate in writes per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Measured {
    /// Over enough to be learned.
    Rate(f64),
    /// Over too little: it only says that the pace was too high.
    TooLittle(f64),
}

impl Cycles {
    /// A cycle of so many seconds is over, in which so many requests were served and the last `waited` seconds were a
    /// wait. What all of them say.
    pub(super) fn ended(&mut self, served: f64, seconds: f64, waited: f64) -> Measured {
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
        self.longest_wait = waited.max(self.longest_wait * 0.5_f64.powf(seconds / HALF_LIFE_S));
        let enough = (POOL_WAITS * self.longest_wait).clamp(POOL_S, POOL_MOST_S);
        let (requests, seconds) = self.pooled(POOL_REQUESTS, enough);
        let rate = requests.max(1.0) / seconds;
        if (requests >= FEWEST_MEASURED && seconds >= 1.0) || seconds >= LATELY_S {
            Measured::Rate(rate)
        } else {
            Measured::TooLittle(rate)
        }
    }

    /// Writes per second that the service gave lately; nothing before the first cycle.
    pub(super) fn lately(&self) -> Option<f64> {
        let (requests, seconds) = self.pooled(LATELY_REQUESTS, LATELY_S);
        (seconds > 0.0).then(|| requests / seconds)
    }

    /// Requests and seconds of the newest cycles that hold so many of both.
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
    fn the_rate_is_that_of_a_window_and_lately_that_of_seconds() {
        let mut cycles = Cycles::default();
        assert_eq!(cycles.lately(), None);
        assert_eq!(cycles.ended(3.0, 1.5, 1.0), Measured::TooLittle(2.0));
        assert_eq!(cycles.ended(17.0, 0.5, 0.1), Measured::Rate(10.0), "twenty in two seconds");
        assert_eq!(cycles.ended(300.0, 158.0, 1.0), Measured::Rate(2.0), "all of it is one cycle yet");
        assert_eq!(
            cycles.ended(300.0, 100.0, 1.0),
            Measured::Rate(620.0 / 260.0),
            "150 s are not in the newest"
        );
        assert_eq!(cycles.lately(), Some(3.0));
        assert_eq!(cycles.ended(0.0, 60.0, 1.0), Measured::Rate(300.0 / 160.0), "they are in the newest two");
        assert_eq!(cycles.lately(), Some(300.0 / 160.0), "ten requests");
    }

    #[test]
    fn a_long_wait_is_measured_over_two_of_its_length() {
        let mut cycles = Cycles::default();
        let _ = cycles.ended(1_000.0, 100.0, 1.0);
        let _ = cycles.ended(100.0, 100.0, 90.0);
        assert_eq!(
            cycles.ended(40.0, 100.0, 1.0),
            Measured::Rate(140.0 / 200.0),
            "two of 90 s fade to less than 180"
        );
        assert_eq!(cycles.ended(40.0, 100.0, 120.0), Measured::Rate(180.0 / 300.0), "two of 120 s");
    }
}
