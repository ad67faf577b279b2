//! The connections to Graph: left behind for new ones where that is advised, and before they grow old.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;

/// Age at which names are resolved again and connections are replaced, because the addresses of front ends
/// change.
const OLDEST: Duration = Duration::from_secs(600);
/// Not more often than so: half a second is the shortest delay before a user's next try, so that try still
/// finds new connections.
const YOUNGEST: Duration = Duration::from_millis(500);

/// Requests in flight on one HTTP/2 connection. The protocol recommends at least 100. If a server allows
/// fewer, the rest waits inside the client while their timeout runs.
const STREAMS: u16 = 8;
/// Maximum number of connections.
const MOST: u16 = 16;

type Build = Box<dyn Fn() -> Result<reqwest::Client, Error> + Send + Sync>;

/// Connections of one generation after the other. Requests under way end on the old ones.
pub struct Connections {
    build: Build,
    /// Used once the server has refused HTTP/2.
    http1: Option<Build>,
    state: Mutex<State>,
}

struct State {
    /// Whether HTTP/2 was refused.
    http1: bool,
    /// Clients, used in turn, each with its generation. A client of an old generation is rebuilt when its
    /// turn comes. To rebuild all together would delay the sender, because each reads the root certificates
    /// of the machine (7 ms).
    http: Vec<(reqwest::Client, u64)>,
    turn: usize,
    generation: u64,
    since: Instant,
    left: bool,
}

impl Connections {
    /// Opens the connections with `build`, which is called again whenever connections are replaced.
    ///
    /// # Errors
    /// The error of the first `build`. Later failures keep the old connections.
    pub fn new(
        build: impl Fn() -> Result<reqwest::Client, Error> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let state = State {
            http1: false,
            http: vec![(build()?, 0)],
            turn: 0,
            generation: 0,
            since: Instant::now(),
            left: false,
        };
        Ok(Self { build: Box::new(build), http1: None, state: Mutex::new(state) })
    }

    /// Uses connections of `build`, which speak HTTP/1.1 only, once the server has refused HTTP/2.
    pub fn or_http1(
        self,
        build: impl Fn() -> Result<reqwest::Client, Error> + Send + Sync + 'static,
    ) -> Self {
        Self { http1: Some(Box::new(build)), ..self }
    }

    /// Opens connections for `in_flight` users, used in turn. With HTTP/2 each client has one connection.
    /// HTTP/1.1 opens as many as it needs from a single pool.
    ///
    /// # Errors
    /// As [`Connections::new`].
    pub fn several(self, in_flight: u16) -> Result<Self, Error> {
        let count = in_flight.div_ceil(STREAMS).clamp(1, MOST);
        for _ in 1..count {
            let another = (self.build)()?;
            self.state().http.push((another, 0));
        }
        Ok(self)
    }

    /// The client for the next request, and its number.
    pub(super) fn current(&self) -> (reqwest::Client, u64) {
        self.current_at(Instant::now())
    }

    /// Replaces these connections with the next request, because another front end may respond better.
    pub(super) fn leave(&self, generation: u64) {
        let mut state = self.state();
        state.left |= state.generation == generation;
    }

    /// Sends all further requests over HTTP/1.1, because the server refused HTTP/2. `Some(true)`: this is the
    /// first time. `None`: there is nothing else to send with.
    pub(super) fn use_http1(&self) -> Option<bool> {
        self.http1.as_ref()?;
        let mut state = self.state();
        let first = !std::mem::replace(&mut state.http1, true);
        state.generation += u64::from(first);
        Some(first)
    }

    fn current_at(&self, now: Instant) -> (reqwest::Client, u64) {
        let mut state = self.state();
        let age = now.saturating_duration_since(state.since);
        if age >= OLDEST || (state.left && age >= YOUNGEST) {
            state.generation += 1;
            state.since = now;
            state.left = false;
        }
        state.turn = (state.turn + 1) % state.http.len();
        let (turn, generation) = (state.turn, state.generation);
        let build = self.http1.as_ref().filter(|_| state.http1).unwrap_or(&self.build);
        let (http, built) = &mut state.http[turn];
        if *built != generation {
            // If no client can be built, the old one is kept, and the next attempt follows after a while.
            *http = build().unwrap_or_else(|_| http.clone());
            *built = generation;
        }
        (http.clone(), generation)
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

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
    fn client_is_rebuilt_in_its_turn_and_kept_if_that_fails() {
        let (built, broken) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, breaks) = (built.clone(), broken.clone());
        let root = url::Url::parse("http://127.0.0.1:9").expect("a URL");
        let connections = Connections::new(move || {
            counted.fetch_add(1, Relaxed);
            if breaks.load(Relaxed) {
                return Err(Error::Internal("no roots".to_owned()));
            }
            crate::net::client(&root, Duration::from_secs(1), false)
        });
        let connections = connections.and_then(|one| one.several(24)).expect("clients");
        let begun = built.swap(0, Relaxed);
        let start = Instant::now() + Duration::from_secs(1);
        let after = |generation, broke| {
            connections.leave(generation);
            broken.store(broke, Relaxed);
            let at = start + Duration::from_secs(generation);
            (0..5).map(|_| (connections.current_at(at).1, built.load(Relaxed))).collect::<Vec<_>>()
        };
        assert_eq!(begun, 3);
        assert_eq!(after(0, false), [(1, 1), (1, 2), (1, 3), (1, 3), (1, 3)]);
        assert_eq!(
            after(1, true),
            [(2, 4), (2, 5), (2, 6), (2, 6), (2, 6)],
            "not tried again at each request"
        );
        assert_eq!(after(2, false), [(3, 7), (3, 8), (3, 9), (3, 9), (3, 9)]);
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
