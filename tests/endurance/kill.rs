//! Kills the run at random instants and resumes it with the same command: one record per row, no user is
//! lost.

use std::time::Duration;

use crate::harness::{Simulator, finish, results, setting, signal, stderr, users};

/// Users of the run: about twelve seconds of work at 300/s, in which the kills happen.
const USERS: u64 = 4_000;
/// `--concurrency`. A kill may repeat at most this number of users.
const IN_FLIGHT: u64 = 24;

const SCENARIO: &str = r#"
title = "kill storm"
latency_ms = 25
"#;

#[test]
fn run_killed_at_random_is_resumed_without_loss() {
    let rounds = setting("ROUNDS", 50);
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("users.csv");
    let out = folder.path().join("out");
    users(&input, USERS);
    let simulator = Simulator::start(folder.path(), SCENARIO);
    let mut random = fastrand::Rng::with_seed(0x5eed);
    let mut kills = 0;
    let mut last = None;
    for round in 0.. {
        // Only the identity of the run must stay the same.
        let (rate, batch) = if round % 2 == 0 { ("300", "1") } else { ("220", "20") };
        let concurrency = IN_FLIGHT.to_string();
        let mut command = simulator.run(&input, &out);
        let child = command
            .args(["--rate", rate, "--batch", batch, "--concurrency", &concurrency])
            .spawn()
            .expect("run starts");
        if kills < rounds {
            std::thread::sleep(Duration::from_millis(random.u64(1..(16_000 / rounds).max(60))));
            signal(&child, "KILL");
            kills += 1;
        }
        let output = finish(child);
        if output.status.code() == Some(0) {
            last = Some(output);
            break;
        }
        assert_eq!(output.status.code(), None, "round {round}: {}", stderr(&output));
    }
    assert!(last.is_some());
    let rows = results(&out);
    assert_eq!(rows.len() as u64, USERS, "one record per row");
    assert_eq!(rows.keys().copied().collect::<Vec<_>>(), (1..=USERS).collect::<Vec<_>>());
    let accepted = simulator.accepted();
    for (row, (id, outcome)) in &rows {
        assert_eq!(outcome, "accepted", "row {row}");
        assert!(
            accepted.contains_key(id),
            "row {row} is recorded as accepted, but the simulator did not accept it"
        );
    }
    assert_eq!(accepted.len() as u64, USERS);
    let repeats: u64 = accepted.values().map(|count| count - 1).sum();
    assert!(repeats <= kills * IN_FLIGHT, "{repeats} users were sent again after {kills} kills");
    println!("{kills} kills, {repeats} users sent twice (bound {})", kills * IN_FLIGHT);
}
