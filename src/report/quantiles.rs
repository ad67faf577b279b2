//! Quantiles of durations in one pass and fixed memory.

/// Buckets for each power of two: a quantile is at most 1/32 above the true value.
const STEPS: u64 = 32;
/// `STEPS` as a power of two.
const BITS: u32 = 5;

/// Counts of durations in milliseconds, in buckets that grow with the value.
#[derive(Clone, Debug, Default)]
pub(super) struct Quantiles {
    counts: Vec<u64>,
    total: u64,
    longest: u64,
}

impl Quantiles {
    /// Counts one.
    pub(super) fn add(&mut self, millis: u64) {
        let at = bucket(millis);
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.total += 1;
        self.longest = self.longest.max(millis);
    }

    /// How many were counted.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The longest, exactly.
    pub(super) fn longest(&self) -> u64 {
        self.longest
    }

    /// The value that this share (0 to 1) does not exceed; at most 1/32 too large. `None` where nothing was counted.
    pub(super) fn at(&self, share: f64) -> Option<u64> {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Some(upper(at).min(self.longest));
            }
        }
        None
    }
}

fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = value.ilog2() - BITS;
    (u64::from(shift) * STEPS + (value >> shift)) as usize
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    let first = (bucket - shift * STEPS) << shift;
    first + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_are_narrow() {
        for value in (0..5_000).chain([65_535, 65_536, 1 << 40, u64::MAX / 2, u64::MAX]) {
            let top = upper(bucket(value));
            assert!(top >= value && top - value <= value / 32, "{value} is counted as {top}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let mut found = Quantiles::default();
        assert_eq!(found.at(0.5), None);
        for value in 1..=1_000 {
            found.add(value);
        }
        for (share, exact) in [(0.5, 500), (0.95, 950), (0.99, 990), (1.0, 1_000)] {
            let value = found.at(share).expect("counted");
            assert!(value >= exact && value <= exact + exact / 32, "{share}: {value}");
        }
        assert_eq!(found.longest(), 1_000);
    }
}
