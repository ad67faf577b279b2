//! A scenario file: a service, and runs against it with the ranges in which their results must lie.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::limits::{Limit, LimitFile};

/// How a throttled response announces the pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Announced {
    /// Rounded up to seconds.
    #[default]
    Exact,
    /// With three decimals.
    Decimal,
    /// Always one second.
    One,
    /// Always 150 s.
    Long,
    /// A random number of seconds, 1 to 150.
    Random,
    /// Not at all.
    Absent,
}

/// Other apps on the same limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Others {
    /// Length of a phase in seconds.
    pub(crate) every_s: f64,
    /// Their writes per second in each phase, at random instants. The list repeats.
    pub(crate) per_second: Vec<f64>,
}

/// Throttling that does not depend on the rate, as of a failing back end or a full shard.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RandomThrottling {
    /// Throttled share of the requests, 0 to 1.
    pub(crate) share: f64,
    /// Pause that these responses announce, in seconds. Absent: they announce none.
    pub(crate) wait_s: Option<f64>,
}

/// The model of a service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// A request is served only if all limits have room.
    pub(crate) limits: Vec<LimitFile>,
    #[serde(default)]
    pub(crate) retry_after: Announced,
    /// Whether throttled responses are 503 without `Retry-After`, as of nginx `limit_req`, instead of 429.
    #[serde(default)]
    pub(crate) throttle_with_503: bool,
    /// Whether all requests are throttled until an announced pause is over.
    #[serde(default)]
    pub(crate) closed_while_waiting: bool,
    pub(crate) others: Option<Others>,
    pub(crate) random_throttling: Option<RandomThrottling>,
    /// Outages, from and to in seconds. All requests get a 503 without `Retry-After`.
    #[serde(default)]
    pub(crate) outages: Vec<[f64; 2]>,
    /// Lifetime of a token in seconds. Absent: it does not expire.
    pub(crate) token_s: Option<f64>,
}

/// A run with its size and the ranges of its results. Both ends are included.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) users: u64,
    /// Number of runs whose mean is compared.
    #[serde(default = "one")]
    pub(crate) seeds: u64,
    /// Whether the service sends `x-ms-throttle-limit-percentage`.
    #[serde(default)]
    pub(crate) header: bool,
    /// `--initial-rate`
    pub(crate) initial_rate: Option<f64>,
    /// `--concurrency`. Absent: 32.
    pub(crate) in_flight: Option<usize>,
    /// Round trip of all requests. Absent: log-normal with a median of 120 ms.
    pub(crate) round_trip_ms: Option<u64>,
    /// Whether `cargo test` runs it without `--ignored`.
    #[serde(default)]
    pub(crate) quick: bool,
    /// Time divided by the time of a client that knows the service, as the mean of the runs.
    pub(crate) wall: [f64; 2],
    /// Largest value of this ratio in a single run.
    pub(crate) worst: Option<f64>,
    /// Number of throttled requests.
    pub(crate) throttled: Option<[f64; 2]>,
    /// Throttled share of all requests.
    pub(crate) throttled_share: Option<[f64; 2]>,
    /// Number of renewed tokens.
    pub(crate) tokens: Option<[f64; 2]>,
}

fn one() -> u64 {
    1
}

/// A file of `samples/scenarios/pacing/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    #[serde(skip)]
    pub(crate) name: String,
    /// Title in the printed table.
    pub(crate) title: String,
    pub(crate) service: Service,
    #[serde(rename = "run")]
    pub(crate) cases: Vec<Case>,
}

impl Scenario {
    /// Reads all scenario files, sorted by name.
    pub(crate) fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/scenarios/pacing");
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        let read = |path: &PathBuf| {
            let text = fs::read_to_string(path).expect("a file");
            let read = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            Self { name, ..read }
        };
        files.iter().map(read).collect()
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::all().into_iter().find(|scenario| scenario.name == name).expect("a scenario of that name")
    }
}

/// How many requests a client has in flight, and how long each takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// `--concurrency`
    pub(crate) in_flight: usize,
    /// Round trip of all requests. `None`: log-normal with a median of 120 ms.
    pub(crate) round_trip: Option<Duration>,
}

impl Default for Reach {
    fn default() -> Self {
        Self { in_flight: 32, round_trip: None }
    }
}

impl Case {
    pub(crate) fn reach(&self) -> Reach {
        let usual = Reach::default();
        Reach {
            in_flight: self.in_flight.unwrap_or(usual.in_flight),
            round_trip: self.round_trip_ms.map(Duration::from_millis),
        }
    }
}

/// A service that runs.
#[derive(Debug)]
pub(crate) struct Server {
    /// Origin of its seconds.
    pub(crate) epoch: Instant,
    limits: Vec<Limit>,
    announced: Announced,
    closed: Option<f64>,
    others: Option<Others>,
    others_next: f64,
    others_first: bool,
    random_throttling: Option<RandomThrottling>,
    outages: Vec<[f64; 2]>,
    token_s: Option<f64>,
    pub(crate) throttle_with_503: bool,
    header: bool,
    random: fastrand::Rng,
}

/// The response of the service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    Taken { used: Option<f64> },
    Refused { wait: Option<f64>, used: Option<f64> },
    Down,
    TokenExpired,
}

impl Server {
    pub(crate) fn new(service: &Service, header: bool, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Self {
            epoch: Instant::now(),
            limits: service.limits.iter().map(|limit| Limit::new(limit, seed, &mut random)).collect(),
            announced: service.retry_after,
            closed: service.closed_while_waiting.then_some(0.0),
            others: service.others.clone(),
            others_next: 0.0,
            others_first: false,
            random_throttling: service.random_throttling,
            outages: service.outages.clone(),
            token_s: service.token_s,
            throttle_with_503: service.throttle_with_503,
            header,
            random,
        }
    }

    /// Answers a request that arrives at `now` with a token of `token_age` seconds.
    pub(crate) fn admit(&mut self, now: f64, token_age: f64) -> Answer {
        if self.token_s.is_some_and(|good| token_age >= good) {
            return Answer::TokenExpired;
        }
        if self.outages.iter().any(|[from, to]| (*from..*to).contains(&now)) {
            return Answer::Down;
        }
        self.others_until(now);
        let next = self.next(now);
        let used = self.limits.iter().map(|limit| limit.used(now)).fold(0.0, f64::max).min(1.8);
        let used = (self.header && used >= 0.8).then_some(used);
        if let Some(random) = self.random_throttling
            && self.random.f64() < random.share
        {
            return Answer::Refused { wait: random.wait_s, used };
        }
        if next <= now {
            self.limits.iter_mut().for_each(|limit| limit.take(now));
            return Answer::Taken { used };
        }
        self.limits.iter_mut().for_each(|limit| limit.throttle(now));
        let exact = self.limits.iter_mut().map(|limit| limit.next(now)).fold(next, f64::max) - now;
        let wait = match self.announced {
            Announced::Exact => Some(exact.ceil().max(1.0)),
            Announced::Decimal => Some((exact * 1_000.0).round().max(50.0) / 1_000.0),
            Announced::One => Some(1.0),
            Announced::Long => Some(150.0),
            Announced::Random => Some(self.random.u8(1..=150).into()),
            Announced::Absent => None,
        };
        if let (Some(closed), Some(wait)) = (&mut self.closed, wait) {
            *closed = closed.max(now + wait);
        }
        Answer::Refused { wait, used }
    }

    fn next(&mut self, now: f64) -> f64 {
        let next = self.limits.iter_mut().map(|limit| limit.next(now)).fold(now, f64::max);
        next.max(self.closed.unwrap_or(now))
    }

    fn others_until(&mut self, now: f64) {
        let Some(others) = self.others.clone() else { return };
        while self.others_next <= now {
            let at = self.others_next;
            let phase = (at / others.every_s) as usize % others.per_second.len();
            let rate = others.per_second[phase];
            if rate <= 0.0 {
                self.others_next += 1.0;
                continue;
            }
            if self.others_first || self.next(at) <= at {
                self.limits.iter_mut().for_each(|limit| limit.take(at));
            }
            self.others_next -= (1.0 - self.random.f64()).ln() / rate;
        }
    }
}

/// Returns the time that a client needs that knows the service, with the same requests in flight. Other apps
/// get all that they want. If they have one phase, the client gets the constant rest. If they have several,
/// they take theirs first.
pub(crate) fn ideal(service: &Service, users: u64, reach: Reach, seed: u64) -> f64 {
    let mut server = Server::new(service, false, seed);
    let steady = match &server.others {
        Some(others) if others.per_second.len() == 1 => others.per_second[0],
        _ => 0.0,
    };
    if steady > 0.0 {
        server.others = None;
    }
    server.limits = std::mem::take(&mut server.limits).into_iter().map(|limit| limit.ideal(steady)).collect();
    server.closed = None;
    server.others_first = true;
    let mut latency = Latency::new(seed, reach.round_trip);
    let mut free: BinaryHeap<_> = std::iter::repeat_n(Reverse(0_u64), reach.in_flight).collect();
    let (mut now, mut end) = (0.0_f64, 0.0_f64);
    for _ in 0..users {
        now = free.pop().map_or(now, |Reverse(nanos)| now.max(nanos as f64 / 1e9));
        loop {
            server.others_until(now);
            let next = server.next(now);
            let down = service.outages.iter().find(|[from, to]| (*from..*to).contains(&next));
            let next = down.map_or(next, |[_, to]| *to);
            if next <= now {
                break;
            }
            now = next;
        }
        server.limits.iter_mut().for_each(|limit| limit.take(now));
        let answered = now + latency.draw().as_secs_f64();
        end = end.max(answered);
        free.push(Reverse((answered * 1e9) as u64));
    }
    end
}

/// Round trips: constant, or log-normal with a median of 120 ms. They are even numbers of milliseconds,
/// because the clock needs whole milliseconds for both halves.
#[derive(Debug)]
pub(crate) struct Latency(fastrand::Rng, Option<Duration>);

impl Latency {
    pub(crate) fn new(seed: u64, always: Option<Duration>) -> Self {
        Self(fastrand::Rng::with_seed(seed ^ 0x5eed), always)
    }

    pub(crate) fn draw(&mut self) -> Duration {
        if let Some(always) = self.1 {
            return always;
        }
        let (a, b) = (1.0 - self.0.f64(), self.0.f64());
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        Duration::from_millis(2 * (60.0 * (0.5 * normal).exp()).round().max(1.0) as u64)
    }
}
