//! The connections to Graph: left behind for new ones where that is advised, and before they grow old.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;

/// Names are resolved again and connections opened anew after so long: addresses of front ends move.
const OLDEST: Duration = Duration::from_secs(600);
/// Not more often than so: half a second is the shortest delay before a user's next try, so that try still finds new
/// connections.
const YOUNGEST: Duration = Duration::from_millis(500);

/// Requests at once that one HTTP/2 connection is trusted with. The protocol recommends 100 at least; a server that allows
/// fewer makes the rest wait inside the client while their timeout runs, and tells nobody.
const STREAMS: u16 = 8;
/// Connections at once, however many users are in flight.
const MOST: u16 = 16;

type Build = Box<dyn Fn() -> Result<reqwest::Client, Error> + Send + Sync>;

/// A pool of connections with a number, replaced as a whole. Requests under way end on the old one.
pub struct Connections {
    build: Build,
    count: u16,
    state: Mutex<State>,
}

struct State {
    http: Vec<reqwest::Client>,
    turn: usize,
    generation: u64,
    since: Instant,
    left: bool,
}

impl Connections {
    /// `build` is called now and whenever connections are to be new: `net::client` with its settings.
    ///
    /// # Errors
    /// What `build` says now; later failures keep the old connections.
    pub fn new(
        build: impl Fn() -> Result<reqwest::Client, Error> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let state =
            State { http: vec![build()?], turn: 0, generation: 0, since: Instant::now(), left: false };
        Ok(Self { build: Box::new(build), count: 1, state: Mutex::new(state) })
    }

    /// Several HTTP/2 connections, used in turn, for so many users in flight. Each carries one where HTTP/2 is spoken;
    /// HTTP/1.1 opens as many as it needs from a single pool.
    ///
    /// # Errors
    /// As [`Connections::new`].
    pub fn several(mut self, in_flight: u16) -> Result<Self, Error> {
        self.count = in_flight.div_ceil(STREAMS).clamp(1, MOST);
        let http = self.all()?;
        self.state().http = http;
        Ok(self)
    }

    fn all(&self) -> Result<Vec<reqwest::Client>, Error> {
        (0..self.count).map(|_| (self.build)()).collect()
    }

    /// What to send with, and its number.
    pub(super) fn current(&self) -> (reqwest::Client, u64) {
        self.current_at(Instant::now())
    }

    /// An answer from these connections says that another front end may do better: the next request opens a new one.
    pub(super) fn leave(&self, generation: u64) {
        let mut state = self.state();
        state.left |= state.generation == generation;
    }

    fn current_at(&self, now: Instant) -> (reqwest::Client, u64) {
        let mut state = self.state();
        let age = now.saturating_duration_since(state.since);
        if age >= OLDEST || (state.left && age >= YOUNGEST) {
            // Where none can be built the old ones are better than nothing; tried again after a while.
            if let Ok(http) = self.all() {
                state.http = http;
                state.generation += 1;
            }
            state.since = now;
            state.left = false;
        }
        state.turn = (state.turn + 1) % state.http.len();
        (state.http[state.turn].clone(), state.generation)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing inside the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("generation", &self.state().generation).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_are_as_many_as_the_users_in_flight_need_and_are_used_in_turn() {
        let one = || {
            let root = url::Url::parse("http://127.0.0.1:9").expect("a URL");
            Connections::new(move || crate::net::client(&root, Duration::from_secs(1), false))
                .expect("a client")
        };
        for (in_flight, count) in [(1, 1), (8, 1), (9, 2), (64, 8), (1_000, 16)] {
            let connections = one().several(in_flight).expect("clients");
            assert_eq!(connections.state().http.len(), count);
            for turn in 1..=count {
                connections.current();
                assert_eq!(connections.state().turn, turn % count);
            }
        }
    }

    #[test]
    fn they_are_left_once_per_generation_and_not_too_often() {
        let connections = Connections::new(|| {
            let root = url::Url::parse("http://127.0.0.1:9").expect("a URL");
            crate::net::client(&root, Duration::from_secs(1), true)
        })
        .expect("a client");
        let start = Instant::now() + Duration::from_secs(1);
        let at = |millis| connections.current_at(start + Duration::from_millis(millis)).1;
        assert_eq!(at(0), 0);
        connections.leave(0);
        assert_eq!(at(1), 1, "at the next request");
        connections.leave(0);
        assert_eq!(at(600), 1, "an answer from the old ones says nothing about the new");
        connections.leave(1);
        assert_eq!(at(600), 2);
        connections.leave(2);
        assert_eq!((at(1_099), at(1_100)), (2, 3));
        assert_eq!((at(601_099), at(601_100)), (3, 4), "names are resolved again");
    }
}
