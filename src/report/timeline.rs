//! When users were accepted: counts per second, in bins that widen so that memory is fixed; long silences are cut out.

use jiff::Timestamp;

/// Most bins: as many as a page can show.
const MOST_BINS: usize = 240;
/// Silence of more than ten minutes is cut out and named: between two calls, or an announced wait.
const SILENCE: i64 = 600;
/// Silences that are named; more are only counted.
const NAMED: usize = 5;

/// Accepted users and refused requests in one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// Users accepted in it.
    pub accepted: u64,
    /// Requests refused by a limit, of users who were finished in it.
    pub throttled: u64,
}

/// Nothing was finished between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The last one finished before it.
    pub from: Timestamp,
    /// The first one finished after it.
    pub to: Timestamp,
    /// Where on the axis, in seconds from its start.
    pub at: i64,
}

/// Counts over the time of one run.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Counts, from the start on.
    pub bins: Vec<Bin>,
    /// Width of a bin in seconds, a power of two.
    pub width: i64,
    /// First and last time counted.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Cut out.
    pub silences: Vec<Silence>,
    /// How many were cut out, those not named included.
    pub silent: u64,
    /// Seconds cut out so far.
    cut: i64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { bins: Vec::new(), width: 1, span: None, silences: Vec::new(), silent: 0, cut: 0 }
    }
}

impl Timeline {
    /// Counts one finished user. Times mostly ascend; one that lies before the start is counted at the start.
    pub fn add(&mut self, finished: Timestamp, accepted: bool, throttled: u64) {
        let (first, last) = *self.span.get_or_insert((finished, finished));
        let quiet = finished.as_second() - last.as_second();
        if quiet > SILENCE {
            let at = last.as_second() - first.as_second() - self.cut + 1;
            if self.silences.len() < NAMED {
                self.silences.push(Silence { from: last, to: finished, at });
            }
            self.silent += 1;
            self.cut += quiet - 1;
        }
        if finished > last {
            self.span = Some((first, finished));
        }
        let second = (finished.as_second() - first.as_second() - self.cut).max(0);
        while second / self.width >= MOST_BINS as i64 {
            self.widen();
        }
        let at = (second / self.width) as usize;
        if self.bins.len() <= at {
            self.bins.resize(at + 1, Bin::default());
        }
        self.bins[at].accepted += u64::from(accepted);
        self.bins[at].throttled += throttled;
    }

    fn widen(&mut self) {
        self.width *= 2;
        self.bins = self
            .bins
            .chunks(2)
            .map(|pair| Bin {
                accepted: pair.iter().map(|bin| bin.accepted).sum(),
                throttled: pair.iter().map(|bin| bin.throttled).sum(),
            })
            .collect();
    }

    /// The most accepted in a bin, per second.
    pub fn peak(&self) -> f64 {
        let most = self.bins.iter().map(|bin| bin.accepted).max().unwrap_or(0);
        most as f64 / self.width as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("in range")
    }

    #[test]
    fn nothing_is_lost_when_bins_widen_and_their_number_is_bounded() {
        let mut line = Timeline::default();
        for at in 0..100_000 {
            line.add(second(at), true, u64::from(at % 10 == 0));
        }
        assert!(line.bins.len() <= MOST_BINS);
        assert_eq!(line.bins.iter().map(|bin| bin.accepted).sum::<u64>(), 100_000);
        assert_eq!(line.bins.iter().map(|bin| bin.throttled).sum::<u64>(), 10_000);
        assert!((line.peak() - 1.0).abs() < 1e-9);
        assert_eq!(line.width, 512);
    }

    #[test]
    fn a_night_between_two_calls_is_cut_out_and_named() {
        let mut line = Timeline::default();
        for at in (0..10).chain(80_000..80_010) {
            line.add(second(at), true, 0);
        }
        assert_eq!((line.width, line.bins.len()), (1, 20));
        assert_eq!(line.silences, [Silence { from: second(9), to: second(80_000), at: 10 }]);
        assert_eq!(line.span, Some((second(0), second(80_009))));
    }

    #[test]
    fn a_clock_that_went_back_costs_no_count() {
        let mut line = Timeline::default();
        for at in [100, 101, 3, 102] {
            line.add(second(at), true, 0);
        }
        assert_eq!(line.bins.iter().map(|bin| bin.accepted).sum::<u64>(), 4);
        assert_eq!(line.span, Some((second(100), second(102))));
    }
}
