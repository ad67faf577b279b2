//! The hostile scenario: every row has one record, every record matches the ledger, and every pause is kept.

use crate::harness::{Simulator, finish, results, setting, stderr, users};

/// Users of the full run. Every fault of the scenario occurs many times.
const USERS: u64 = 1_500;
/// Users of the CI check. Every fault of the scenario still occurs.
const USERS_IN_CI: u64 = 600;
/// Users of the run with batches. Nearly every batch has a fault and then a pause.
const USERS_IN_BATCHES: u64 = 1_000;
/// `--max-attempts`, so high that no user fails by chance. If one attempt of seven fails, six attempts lose
/// one user of 1,500 in one run of a hundred. If one of three fails, as in batches, they lose one user in a
/// thousand.
const MAX_ATTEMPTS: &str = "20";

#[test]
fn records_match_a_hostile_service() {
    let whole = setting("ROUNDS", 50) >= 50;
    assert_records_match(
        if whole { USERS } else { USERS_IN_CI },
        &["--rate", "200", "--max-attempts", MAX_ATTEMPTS],
    );
}

#[test]
fn records_match_a_hostile_service_that_gets_batches() {
    // A third of the batches fail, and some 429s do not depend on the rate. The rate controller would take
    // that for a small quota.
    assert_records_match(
        USERS_IN_BATCHES,
        &["--rate", "fixed:200", "--batch", "20", "--max-attempts", MAX_ATTEMPTS],
    );
}

fn assert_records_match(count: u64, flags: &[&str]) {
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
        assert_eq!(outcome, "accepted", "row {row} failed: {text}");
        assert!(accepted.contains_key(id), "row {row}");
    }
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(ledger["breaches"], 0, "{ledger:#}");
    println!(
        "hostile, {flags:?}: {} arrivals for {count} users, by status {}",
        ledger["arrivals"], ledger["by_status"]
    );
}
