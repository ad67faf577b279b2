//! Pacing over real sockets with a latency of 50 ms. 6,000 users are sent to services with a fixed quota, and
//! the time is compared with that of a client that knows the quota.
//!
//! `SOCKETS=quick` runs the services of 200/s with 32 in flight, in half a minute. Without it, the documented
//! quotas and 128 in flight are added, in about four minutes.

mod far;
mod limit_req;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) use self::limit_req::LimitReq;
use crate::harness::{Simulator, finish, results, stderr, users};

const USERS: u64 = 6_000;
/// Time from the arrival of a request to the arrival of its response.
const LATENCY: Duration = Duration::from_millis(50);
/// Largest difference to the same run in paused time, as a multiple of the ideal time.
const TOLERANCE: f64 = 0.1;
/// Guaranteed ratio to the ideal time with `--initial-rate`. In paused time,
/// `samples/scenarios/pacing/socket-200-*.toml` take 1.05. A machine that stands still for a second adds
/// 0.03.
const MAX_IF_KNOWN: f64 = 1.08;

/// Largest number of runs of a service, of which the fastest is compared with the ideal time. A busy machine
/// may slow down the others. All other checks must hold in every run.
const RUNS: usize = 3;

/// How a limit refills, in seconds and writes.
#[derive(Clone, Copy)]
enum Quota {
    Bucket {
        capacity: f64,
        rate: f64,
    },
    /// The whole capacity at aligned instants.
    Window {
        capacity: f64,
        length: f64,
    },
    /// Each write, one window length later.
    Sliding {
        capacity: f64,
        length: f64,
    },
}

impl Quota {
    /// Seconds of an ideal client, which knows the service and is never throttled. It sends the capacity as
    /// fast as `in_flight` allows with this round trip in seconds, and each refill immediately. `age` seconds
    /// of a window are over when it begins. There are more users than one capacity and at most two.
    fn ideal(self, in_flight: u64, round_trip: f64, age: f64) -> f64 {
        let users = USERS as f64;
        let sending = |writes: f64| writes * round_trip / in_flight as f64;
        match self {
            Self::Bucket { capacity, rate } => ((users - capacity) / rate + round_trip).max(sending(users)),
            Self::Window { capacity, length } => length - age + sending(users - capacity),
            Self::Sliding { capacity, length } => length + sending(users - capacity),
        }
    }
}

/// The server of a run.
#[derive(Clone, Copy)]
enum Service {
    /// The simulator with these lines of a scenario.
    Simulated(&'static str),
    /// nginx with `limit_req`, behind a latency of 50 ms.
    LimitReq,
}

/// A service and the bounds for runs against it.
struct Shape {
    name: &'static str,
    service: Service,
    quota: Quota,
    /// `--initial-rate`
    initial_rate: Option<&'static str>,
    /// Largest ratio to the ideal time, with 32 and with 128 in flight.
    most: [f64; 2],
    /// Largest throttled share of all requests, with 32 and with 128 in flight.
    throttled: [f64; 2],
}

const DOCUMENTED: f64 = 3_000.0;
const WINDOW_S: f64 = 150.0;
/// Share of throttled requests with a known rate, for 32 and 128 in flight when the capacity ends, with one
/// more 429 each.
const THROTTLED_IF_KNOWN: [f64; 2] = [0.012, 0.045];
/// Share of throttled requests with the documented rate. The burst is spent more and more slowly, so its end
/// costs a few 429s.
const THROTTLED_IF_DOCUMENTED: [f64; 2] = [0.005, 0.005];

const fn quick(name: &'static str, service: Service) -> Shape {
    Shape {
        name,
        service,
        quota: Quota::Bucket { capacity: 100.0, rate: 200.0 },
        initial_rate: Some("200"),
        most: [MAX_IF_KNOWN; 2],
        throttled: THROTTLED_IF_KNOWN,
    }
}

/// A service with a documented quota. `paused` are the ratios of
/// `samples/scenarios/pacing/socket-3000-*.toml` in paused time, to which [`TOLERANCE`] is added.
const fn documented(name: &'static str, service: Service, quota: Quota, paused: [f64; 2]) -> Shape {
    let most = [paused[0] + TOLERANCE, paused[1] + TOLERANCE];
    Shape { name, service, quota, initial_rate: None, most, throttled: THROTTLED_IF_DOCUMENTED }
}

const KNOWN_RATE: [Shape; 4] = [
    quick("bucket 100 at 200/s", Service::Simulated("writes_per_second = 200.0\ncapacity = 100.0")),
    quick(
        "… closed until its Retry-After is over",
        Service::Simulated("writes_per_second = 200.0\ncapacity = 100.0\nclosed_while_waiting = true"),
    ),
    quick(
        "… throttled requests charged",
        Service::Simulated("writes_per_second = 200.0\ncapacity = 100.0\ncharge_throttled = true"),
    ),
    quick("nginx limit_req, 200/s, burst 100", Service::LimitReq),
];

const DOCUMENTED_QUOTA: [Shape; 3] = [
    documented(
        "bucket 3,000 at 20/s",
        Service::Simulated("writes_per_second = 20.0\ncapacity = 3000.0"),
        Quota::Bucket { capacity: DOCUMENTED, rate: DOCUMENTED / WINDOW_S },
        [1.01, 1.01],
    ),
    documented(
        "window 3,000 per 150 s",
        Service::Simulated(
            "writes_per_second = 20.0\ncapacity = 3000.0\nrefill = 'window'\nwindow_s = 150.0",
        ),
        Quota::Window { capacity: DOCUMENTED, length: WINDOW_S },
        [1.25, 1.28],
    ),
    documented(
        "sliding window 3,000 per 150 s",
        Service::Simulated(
            "writes_per_second = 20.0\ncapacity = 3000.0\nrefill = 'sliding'\nwindow_s = 150.0",
        ),
        Quota::Sliding { capacity: DOCUMENTED, length: WINDOW_S },
        [1.25, 1.28],
    ),
];

/// A running server. At the end it reports what it counted.
enum Running {
    Simulated(Simulator),
    LimitReq(LimitReq),
}

/// The counters of a server.
struct Counted {
    arrivals: u64,
    throttled: u64,
    /// Users for whom the action ran exactly once.
    served: u64,
    /// Requests within an announced pause.
    breaches: u64,
}

impl Running {
    fn start(service: Service, folder: &Path) -> Self {
        match service {
            Service::Simulated(text) => {
                let latency = LATENCY.as_millis();
                let scenario = format!("title = 'sockets'\n{text}\nlatency_ms = {latency}\n");
                Self::Simulated(Simulator::start(folder, &scenario))
            }
            Service::LimitReq => {
                Self::LimitReq(LimitReq::start(folder, LATENCY, include_str!("limit_req.conf")))
            }
        }
    }

    fn counted(&self) -> Counted {
        match self {
            Self::Simulated(simulator) => {
                let ledger = simulator.ledger();
                let figure = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
                assert_eq!(ledger["rule_breaks"], 0, "{ledger:#}");
                Counted {
                    arrivals: figure(&ledger["arrivals"]),
                    throttled: figure(&ledger["by_status"]["429"]),
                    served: simulator.accepted().values().filter(|times| **times == 1).count() as u64,
                    breaches: figure(&ledger["breaches"]),
                }
            }
            Self::LimitReq(nginx) => nginx.counted(),
        }
    }
}

/// Returns the mean time, in seconds, of users with a single attempt. It returns the latency if there are
/// none.
fn round_trip(out: &Path) -> f64 {
    let mut reader = csv::Reader::from_path(out.join("results.csv")).expect("results.csv");
    let names = reader.headers().expect("a header").clone();
    let column = |name: &str| names.iter().position(|known| known == name).expect("a column of that name");
    let (attempts, duration) = (column("attempts"), column("duration_ms"));
    let records = reader.records().map(|record| record.expect("a whole record"));
    let took: Vec<f64> = records
        .filter(|record| &record[attempts] == "1")
        .map(|record| record[duration].parse::<f64>().expect("milliseconds") / 1e3)
        .collect();
    if took.is_empty() { LATENCY.as_secs_f64() } else { took.iter().sum::<f64>() / took.len() as f64 }
}

/// The result of a run.
struct Ran {
    /// Line of the printed table.
    line: String,
    /// Violated bounds.
    wrong: Vec<String>,
    /// Set if the run took too long.
    slow: Option<String>,
}

/// Runs a service again if it took too long. Returns the lines of the table and the violated bounds.
fn fastest(shape: &Shape, nth: usize) -> (String, Vec<String>) {
    let mut lines: Vec<String> = Vec::new();
    loop {
        let Ran { line, mut wrong, slow } = one(shape, nth);
        lines.push(line);
        if slow.is_none() || !wrong.is_empty() || lines.len() == RUNS {
            wrong.extend(slow);
            return (lines.join("\n"), wrong);
        }
    }
}

fn one(shape: &Shape, nth: usize) -> Ran {
    let in_flight = [32, 128][nth];
    let folder = tempfile::tempdir().expect("a folder");
    let (input, out) = (folder.path().join("users.csv"), folder.path().join("out"));
    users(&input, USERS);
    let began = Instant::now();
    let running = Running::start(shape.service, folder.path());
    let mut command = match &running {
        Running::Simulated(simulator) => simulator.run(&input, &out),
        Running::LimitReq(nginx) => nginx.run(&input, &out),
    };
    command.args(["--concurrency", &in_flight.to_string()]);
    if let Some(rate) = shape.initial_rate {
        command.args(["--initial-rate", rate]);
    }
    let started = Instant::now();
    let output = finish(command.spawn().expect("run starts"));
    let wall = started.elapsed().as_secs_f64();
    // The round trip is measured: on a busy machine it is longer than the latency.
    let round_trip = round_trip(&out);
    let ideal = shape.quota.ideal(in_flight, round_trip, (started - began).as_secs_f64());
    let (ratio, counted) = (wall / ideal, running.counted());
    let share = counted.throttled as f64 / counted.arrivals.max(1) as f64;

    let accepted = match output.status.code() {
        Some(0) => results(&out).values().filter(|(_, outcome)| outcome == "accepted").count() as u64,
        _ => 0,
    };
    let mut wrong = Vec::new();
    let mut must = |held: bool, what: String| {
        if !held {
            wrong.push(format!("{}, {in_flight} in flight: {what}", shape.name));
        }
    };
    must(output.status.code() == Some(0), stderr(&output));
    must(accepted == USERS, format!("{accepted} of {USERS} accepted"));
    must(counted.served == USERS, format!("{} of {USERS} served once", counted.served));
    must(counted.breaches == 0, format!("{} requests within an announced pause", counted.breaches));
    // A smaller ratio would mean that the ideal time is wrong.
    must(ratio >= 0.99, format!("{ratio:.3} of the ideal time, which is impossible"));
    must(share <= shape.throttled[nth], format!("{:.2}% throttled", share * 100.0));
    let line = format!(
        "| {} | {in_flight} | {:.0} ms | {ideal:.1} s | {wall:.1} s | {ratio:.2} | {:.2} | {} | {} | {} |",
        shape.name,
        round_trip * 1e3,
        shape.most[nth],
        counted.throttled,
        USERS - accepted,
        counted.breaches
    );
    let slow = (ratio > shape.most[nth]).then(|| {
        format!(
            "{}, {in_flight} in flight: {ratio:.3} of the ideal, at most {:.2}",
            shape.name, shape.most[nth]
        )
    });
    Ran { line, wrong, slow }
}

/// Runs all services at the same time, because they wait most of the time.
fn together(runs: &'static [Shape], sizes: std::ops::Range<usize>) -> Vec<(String, Vec<String>)> {
    let runs: Vec<_> = runs
        .iter()
        .flat_map(|shape| sizes.clone().map(move |nth| std::thread::spawn(move || fastest(shape, nth))))
        .collect();
    runs.into_iter().map(|run| run.join().expect("a run to its end")).collect()
}

#[test]
fn runs_over_sockets_are_near_the_ideal_time() {
    let whole = std::env::var("SOCKETS").map_or(true, |size| size != "quick");
    let documented = whole.then(|| std::thread::spawn(|| together(&DOCUMENTED_QUOTA, 0..2)));
    let mut done = together(&KNOWN_RATE, 0..1);
    if let Some(documented) = documented {
        done.extend(together(&KNOWN_RATE, 1..2));
        done.extend(documented.join().expect("the runs with documented quotas"));
    }
    println!(
        "| service | in flight | round trip | ideal | wall | wall ÷ ideal | at most | throttled | lost | early |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    done.iter().for_each(|(line, _)| println!("{line}"));
    let wrong: Vec<_> = done.into_iter().flat_map(|(_, wrong)| wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Checks the counter of early requests with a log that contains one.
#[test]
fn early_requests_in_a_log_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let line =
        |at: &str, status: u16, id: u8| format!("{at} {status} /beta/users/{id}/retryServiceProvisioning\n");
    let throttled = [line("100.000", 204, 1), line("100.010", 429, 2), line("100.060", 429, 3)].concat();
    for (more, breaches) in [
        (line("101.100", 204, 2), 0),
        (line("100.559", 204, 2), 0),
        (line("100.700", 204, 2), 1),
        (line("100.700", 429, 2) + &line("101.200", 204, 3), 2),
    ] {
        fs::write(&log, throttled.clone() + &more).expect("written");
        assert_eq!(limit_req::count(&log, LATENCY).breaches, breaches, "{more}");
    }
}
