//! Wall time as a value, so that tests under paused time get times that follow the paused clock.

use std::cell::Cell;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::Text;

/// Where wall times come from.
#[derive(Clone, Copy, Debug)]
pub enum WallClock {
    /// The machine's clock.
    System,
    /// A fixed start that moves with tokio's clock.
    Anchored {
        /// Wall time at `origin`.
        start: Timestamp,
        /// The instant that `start` belongs to.
        origin: Instant,
    },
    /// An anchored clock that a test sets by so many seconds.
    #[cfg(test)]
    Set {
        /// Wall time at `origin`.
        start: Timestamp,
        /// The instant that `start` belongs to.
        origin: Instant,
        /// Seconds, forwards or backwards.
        by: &'static std::sync::atomic::AtomicI64,
    },
}

impl WallClock {
    /// A clock that starts at `start` now and moves with tokio's (perhaps paused) clock.
    pub fn anchored(start: Timestamp) -> Self {
        Self::Anchored { start, origin: Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Anchored { start, origin } => {
                let passed = SignedDuration::try_from(origin.elapsed()).unwrap_or(SignedDuration::MAX);
                start.checked_add(passed).unwrap_or(Timestamp::MAX)
            }
            #[cfg(test)]
            Self::Set { start, origin, by } => {
                let passed = SignedDuration::try_from(origin.elapsed()).unwrap_or(SignedDuration::MAX);
                let set = SignedDuration::from_secs(by.load(std::sync::atomic::Ordering::Relaxed));
                start.checked_add(passed + set).unwrap_or(Timestamp::MAX)
            }
        }
    }
}

/// Length of `2026-11-24T10:00:00.000Z`, and where its milliseconds stand.
const LENGTH: usize = 24;
const MILLIS: [(usize, u32); 3] = [(20, 100), (21, 10), (22, 1)];

thread_local! {
    /// The last second that was written on this thread, and how.
    static WRITTEN: Cell<(i64, [u8; LENGTH])> = const { Cell::new((i64::MIN, [0; LENGTH])) };
}

/// UTC, RFC 3339, milliseconds: how every file of a run writes a time.
pub fn stamp(at: Timestamp) -> Text {
    let (second, mut text) = WRITTEN.get();
    // The calendar is asked once a second. Fractions before 1970 count backwards.
    let millis = u32::try_from(at.subsec_nanosecond()).map(|nanos| nanos / 1_000_000);
    if let Ok(millis) = millis
        && second == at.as_second()
    {
        for (place, unit) in MILLIS {
            text[place] = b'0' + (millis / unit % 10) as u8;
        }
        if let Ok(text) = std::str::from_utf8(&text) {
            return text.into();
        }
    }
    let stamp = format!("{at:.3}");
    if let Some(text) = stamp.as_bytes().first_chunk().filter(|_| millis.is_ok() && stamp.len() == LENGTH) {
        WRITTEN.set((at.as_second(), *text));
    }
    stamp.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stamp_is_the_time_to_the_millisecond(
            nanos in prop_oneof![-3_000_000_000..3_000_000_000_i128, 1_700_000_000_000_000_000..1_700_000_003_000_000_000_i128],
            step in 0..2_000_000_000_i128,
        ) {
            for nanos in [nanos, nanos + step] {
                let at = Timestamp::from_nanosecond(nanos).expect("in range");
                prop_assert_eq!(&*stamp(at), format!("{at:.3}"));
            }
        }
    }
}
