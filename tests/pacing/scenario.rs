//! A scenario file: a service, and runs against it with the ranges they must end in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::limits::{Limit, LimitFile};

/// How a refusal tells the wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// Rounded up to seconds.
    #[default]
    Exact,
    /// With three decimals.
    Decimal,
    /// Always one second.
    One,
    /// Always 150 s.
    Long,
    /// Anything from 1 to 150 s.
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
    /// Their writes per second in each phase, over and over; at random instants.
    pub(crate) per_second: Vec<f64>,
}

/// Refusals that have nothing to do with the rate: a sick back end, a shard that is full.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RandomThrottling {
    /// Share of the requests, 0 to 1.
    pub(crate) share: f64,
    /// The wait that they announce in seconds; absent: none.
    pub(crate) wait_s: Option<f64>,
}

/// What a service is like.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// All of them must have room.
    pub(crate) limits: Vec<LimitFile>,
    #[serde(default)]
    pub(crate) retry_after: Told,
    /// Refusals are 503 without a wait, as of nginx `limit_req`; else they are 429.
    #[serde(default)]
    pub(crate) refuses_with_503: bool,
    /// Everything is refused until an announced wait is over.
    #[serde(default)]
    pub(crate) closed_while_waiting: bool,
    pub(crate) others: Option<Others>,
    pub(crate) random_throttling: Option<RandomThrottling>,
    /// From and to in seconds: everything is answered 503 without a wait.
    #[serde(default)]
    pub(crate) outages: Vec<[f64; 2]>,
    /// Seconds for which a token is good; absent: for ever.
    pub(crate) token_s: Option<f64>,
}

/// One size of run and its ranges, both ends allowed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) users: u64,
    /// Runs of which the mean is taken.
    #[serde(default = "one")]
    pub(crate) seeds: u64,
    /// Whether the service sends `x-ms-throttle-limit-percentage`.
    #[serde(default)]
    pub(crate) header: bool,
    /// `--initial-rate`
    pub(crate) initial_rate: Option<f64>,
    /// `--concurrency`; absent: 32.
    pub(crate) in_flight: Option<usize>,
    /// The same round trip for every request; absent: log-normal, median 120 ms.
    pub(crate) round_trip_ms: Option<u64>,
    /// Also part of `cargo test`.
    #[serde(default)]
    pub(crate) quick: bool,
    /// Time taken over the time of a client that knows the service: mean of the runs.
    pub(crate) wall: [f64; 2],
    /// The same for each run by itself: at most.
    pub(crate) worst: Option<f64>,
    /// Refused requests.
    pub(crate) refused: Option<[f64; 2]>,
    /// Of all requests.
    pub(crate) throttled_share: Option<[f64; 2]>,
    /// Renewed tokens.
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
    /// One line for people.
    pub(crate) title: String,
    pub(crate) service: Service,
    #[serde(rename = "run")]
    pub(crate) cases: Vec<Case>,
}

impl Scenario {
    /// All files, by name.
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

/// How many requests a client has under way, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// `--concurrency`
    pub(crate) in_flight: usize,
    /// Of every request; `None`: log-normal, median 120 ms.
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

/// A service in time.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where its seconds begin.
    pub(crate) epoch: Instant,
    limits: Vec<Limit>,
    told: Told,
    closed: Option<f64>,
    others: Option<Others>,
    others_next: f64,
    others_first: bool,
    random_throttling: Option<RandomThrottling>,
    outages: Vec<[f64; 2]>,
    token_s: Option<f64>,
    pub(crate) refuses_with_503: bool,
    header: bool,
    random: fastrand::Rng,
}

/// What it answers.
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
            told: service.retry_after,
            closed: service.closed_while_waiting.then_some(0.0),
            others: service.others.clone(),
            others_next: 0.0,
            others_first: false,
            random_throttling: service.random_throttling,
            outages: service.outages.clone(),
            token_s: service.token_s,
            refuses_with_503: service.refuses_with_503,
            header,
            random,
        }
    }

    /// A request arrives with a token of that age.
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
        self.limits.iter_mut().for_each(|limit| limit.refuse(now));
        let exact = self.limits.iter_mut().map(|limit| limit.next(now)).fold(next, f64::max) - now;
        let wait = match self.told {
            Told::Exact => Some(exact.ceil().max(1.0)),
            Told::Decimal => Some((exact * 1_000.0).round().max(50.0) / 1_000.0),
            Told::One => Some(1.0),
            Told::Long => Some(150.0),
            Told::Random => Some(self.random.u8(1..=150).into()),
            Told::Absent => None,
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

/// The time that a client needs who knows the service and has as many in flight. It does not take from others what they
/// want: with one phase of theirs it gets the rest at any time, with several they take theirs first.
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

/// Round trips: all the same, or log-normal with median 120 ms; in pairs of milliseconds, so that both halves are whole for the clock.
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
