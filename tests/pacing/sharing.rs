//! Two processes on one quota, and a run that another process resumes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reprovision::pace::{AdaptiveRate, Bounds, DOCUMENTED_RATE, LearnedRate, Pace, RateController};
use tokio::time::{Instant, sleep};

use crate::scenario::{Reach, Scenario, Server};
use crate::scenarios::print_row;
use crate::world::{Tally, paused, work};

/// More users than a process can send.
const ENDLESS: u64 = 1_000_000;
/// Seconds after which both processes end.
const HORIZON: u64 = 6_000;
/// Seconds over which the shares are counted. The second process has then run for over an hour.
const COUNTED: std::ops::Range<usize> = 4_500..6_000;

fn bounds() -> Bounds {
    Bounds { in_flight: Reach::default().in_flight, ..Bounds::default() }
}

fn fresh(seed: u64) -> Arc<Pace> {
    Pace::new(RateController::adaptive(DOCUMENTED_RATE), bounds(), Some(fastrand::Rng::with_seed(seed)))
}

/// Runs two clients of one service. The second starts after `joins` seconds.
fn both(scenario: &Scenario, joins: u64) -> [Tally; 2] {
    paused(|| async move {
        let server = Arc::new(Mutex::new(Server::new(&scenario.service, false, joins)));
        let first = work(
            server.clone(),
            fresh(joins),
            Reach::default(),
            ENDLESS,
            joins,
            None,
            Some(Duration::from_secs(HORIZON)),
        );
        let second = async {
            sleep(Duration::from_secs(joins)).await;
            let left = Duration::from_secs(HORIZON - joins);
            work(server, fresh(joins + 1), Reach::default(), ENDLESS, joins + 1, None, Some(left)).await
        };
        let (first, second) = tokio::join!(first, second);
        [first, second]
    })
}

struct Shares {
    jain: f64,
    of_quota: f64,
    throttled: f64,
}

fn shares(scenario: &Scenario, joins: u64) -> Shares {
    let [first, second] = both(scenario, joins);
    let count = |tally: &Tally| -> f64 {
        let seconds = tally.by_second.iter().skip(COUNTED.start).take(COUNTED.len());
        seconds.map(|count| f64::from(*count)).sum()
    };
    let (a, b) = (count(&first), count(&second));
    assert_eq!((first.early, second.early), (0, 0), "sent early");
    Shares {
        jain: (a + b).powi(2) / (2.0 * (a * a + b * b)),
        of_quota: (a + b) / (20.0 * COUNTED.len() as f64),
        throttled: (first.throttled + second.throttled) as f64 / (first.sent + second.sent) as f64,
    }
}

/// Runs the scenario once for each start time in `joins`. Returns the mean of each figure, and the worst Jain
/// index.
fn shared(name: &str, joins: &[u64]) -> (f64, f64, f64, f64) {
    let scenario = Scenario::named(name);
    let found: Vec<Shares> = std::thread::scope(|scope| {
        let threads: Vec<_> = joins.iter().map(|joins| scope.spawn(|| shares(&scenario, *joins))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a run")).collect()
    });
    let mean = |of: fn(&Shares) -> f64| found.iter().map(of).sum::<f64>() / found.len() as f64;
    let worst = found.iter().map(|shares| shares.jain).fold(1.0, f64::min);
    let (jain, of_quota, throttled) = (mean(|s| s.jain), mean(|s| s.of_quota), mean(|s| s.throttled));
    print_row(&format!(
        "| two processes on: {} | Jain {jain:.2} (worst {worst:.2}) | {:.1} % of the quota | {:.2} % throttled |",
        scenario.title,
        of_quota * 100.0,
        throttled * 100.0
    ));
    (jain, worst, of_quota, throttled)
}

#[test]
fn two_processes_share_a_bucket() {
    let (jain, _, of_quota, throttled) = shared("long-bucket", &[600, 650]);
    assert!(jain >= 0.9 && of_quota >= 0.97 && throttled <= 0.005, "{jain} {of_quota} {throttled}");
}

#[test]
#[ignore = "minutes: tests/endurance/run starts it"]
fn two_processes_share_a_quota() {
    const JOINS: [u64; 5] = [600, 625, 650, 675, 700];
    for name in ["long-bucket", "long-window"] {
        let (jain, _, of_quota, throttled) = shared(name, &JOINS);
        assert!(
            jain >= 0.9 && of_quota >= 0.97 && throttled <= 0.005,
            "{name}: {jain} {of_quota} {throttled}"
        );
    }
    // A sliding window is used completely but shared less evenly (docs/benchmarks.md).
    let (jain, _, of_quota, throttled) = shared("long-sliding", &JOINS);
    assert!(jain >= 0.8 && of_quota >= 0.97 && throttled <= 0.005, "sliding: {jain} {of_quota} {throttled}");
}

/// Sends 4,000 users, waits for `away` seconds, and sends 4,000 more in a new process. `saved` changes the
/// saved rate.
fn continued(scenario: &Scenario, away: u64, seed: u64, saved: impl Fn(LearnedRate) -> LearnedRate) -> Tally {
    paused(|| async move {
        let server = Arc::new(Mutex::new(Server::new(&scenario.service, false, seed)));
        let (before, away) = (fresh(seed), Duration::from_secs(away));
        work(server.clone(), before.clone(), Reach::default(), 4_000, seed, None, None).await;
        let (learned, _) = before.learned().expect("a controller that measures");
        sleep(away).await;
        // The clock of the service continues: the second process uses the same service.
        let controller = AdaptiveRate::new(DOCUMENTED_RATE, Instant::now()).resume(saved(learned), away);
        let pace = Pace::new(
            RateController::Adaptive(Box::new(controller)),
            bounds(),
            Some(fastrand::Rng::with_seed(seed + 1)),
        );
        work(server, pace, Reach::default(), 4_000, seed + 1, None, None).await
    })
}

#[test]
fn resumed_run_uses_the_refill_with_few_throttled_requests() {
    // Seconds away, then the largest time and number of throttled requests. Without the saved rate it takes
    // 195, 140 and 51 s with 29, 27 and 11 throttled requests.
    for (away, seconds, most_throttled) in [(5, 205.0, 8), (60, 150.0, 8), (300, 65.0, 4)] {
        let scenario = Scenario::named("long-bucket");
        let runs: Vec<_> = (1..=3).map(|seed| continued(&scenario, away, seed, |learned| learned)).collect();
        let wall = runs.iter().map(|tally| tally.wall).sum::<f64>() / 3.0;
        let throttled = runs.iter().map(|tally| tally.throttled).sum::<u64>() / 3;
        print_row(&format!(
            "| resumed after {away} s: {} | {wall:.0} s | {throttled} throttled |",
            scenario.title
        ));
        assert!(
            wall <= seconds && throttled <= most_throttled,
            "{away} s away: {wall:.0} s, {throttled} throttled"
        );
    }
}
