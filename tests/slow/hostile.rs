//! The hostile scenario: every row has one record, every record agrees with the ledger, no Retry-After is breached.

use crate::harness::{Simulator, finish, results, setting, stderr, users};

/// Enough that every fault of the scenario comes up many times; in the gate, often enough.
const USERS: u64 = 1_500;
const USERS_IN_THE_GATE: u64 = 600;
/// The same with batches, of which nearly every one meets a fault and then a wait.
const USERS_IN_BATCHES: u64 = 1_000;
/// So many tries that chance gives nobody up. Six of one in seven lose a user of 1,500 in one run of a hundred; six of one
/// in three, as in batches, one user in a thousand.
const TRIES: &str = "20";

#[test]
fn every_record_agrees_with_a_hostile_service() {
    let whole = setting("ROUNDS", 50) >= 50;
    agrees(if whole { USERS } else { USERS_IN_THE_GATE }, &["--rate", "200", "--max-attempts", TRIES]);
}

#[test]
fn every_record_agrees_with_a_hostile_service_that_is_sent_batches() {
    // A third of the batches fail and some 429s come whatever the rate. The rate controller would take that for a small quota.
    agrees(USERS_IN_BATCHES, &["--rate", "fixed:200", "--batch", "20", "--max-attempts", TRIES]);
}

fn agrees(count: u64, flags: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("users.csv");
    let out = folder.path().join("out");
    users(&input, count);
    let simulator = Simulator::start_file("hostile");
    let output = finish(simulator.run(&input, &out).args(flags).spawn().expect("run starts"));
    let text = stderr(&output);
    let rows = results(&out);
    let ledger = simulator.ledger();
    assert_eq!(rows.len() as u64, count, "{text}");
    let accepted = simulator.accepted();
    for (row, (id, outcome)) in &rows {
        assert_eq!(outcome, "accepted", "row {row} was given up: {text}");
        assert!(accepted.contains_key(id), "row {row}");
    }
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(ledger["breaches"], 0, "{ledger:#}");
    println!(
        "hostile, {flags:?}: {} arrivals for {count} users, by status {}",
        ledger["arrivals"], ledger["by_status"]
    );
}
