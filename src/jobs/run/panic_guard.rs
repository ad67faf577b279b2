//! Guards a part of the run: if it panics, the run stops immediately.

use std::thread;

use crate::stop::{Stop, StopReason};

/// Held by the part for as long as it works.
pub(super) struct Alarm {
    stop: Stop,
    part: &'static str,
}

impl Alarm {
    /// `part` is what ended, in words for people.
    pub(super) fn new(stop: &Stop, part: &'static str) -> Self {
        Self { stop: stop.clone(), part }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            self.stop.drain(StopReason::Bug(format!("{} ended unexpectedly", self.part)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_panic_stops_the_run() {
        let stop = Stop::new();
        let part = |panics: bool| {
            let stop = stop.clone();
            thread::spawn(move || {
                let _alarm = Alarm::new(&stop, "a part");
                assert!(!panics, "nobody thought of that");
            })
        };
        part(false).join().expect("it ended");
        assert!(stop.is_running());
        part(true).join().expect_err("it panicked");
        assert_eq!(stop.reasons(), [StopReason::Bug("a part ended unexpectedly".to_owned())]);
    }
}
