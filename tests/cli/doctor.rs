//! `doctor` against a simulator that speaks TLS: what is well, what is not, and what to do.

use std::process::Output;

use crate::sign_in_support::{Stage, said};

fn doctor(stage: &Stage, more: &[&str], variables: &[(&str, &str)]) -> Output {
    let command = [&["doctor", "--auth", "secret"][..], more].concat();
    stage.program(&command, &[&stage.secret()[..], variables].concat()).output().expect("the program runs")
}

#[test]
fn doctor_prints_one_line_per_check_and_writes_nothing() {
    let stage = Stage::new("writes_per_second = 0.0\n[objects]\nusers = 3\n", 0);
    let output = doctor(&stage, &[], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "ok       proxy",
        "127.0.0.1 answers: TLS, HTTP/2",
        "ok       clock",
        "ok       sign-in      app 51a51a51-0000-4000-8000-0000000000a9 (client secret)",
        "ok       tenant       51a51a51-0000-4000-8000-000000000001, as asked for",
        "ok       run          retrying users is permitted by User.ReadWrite.All",
        "ok       find, verify reading users is permitted by User.ReadWrite.All",
        "ok       read         one of the users was read",
    ] {
        assert!(lines.contains(part), "{part:?} is not in:\n{lines}");
    }
    assert_eq!(stage.simulator.ledger().accepted, 0);
    stage.no_secrets(&output);
}

#[test]
fn missing_requirement_fails_its_check_with_advice() {
    let stage = Stage::new("writes_per_second = 0.0\n[token]\nroles = [\"User.Read.All\"]\n", 0);
    let output = doctor(&stage, &["--json"], &[]);
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let run = found["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .find(|check| check["check"] == "run")
        .expect("run");
    assert_eq!(run["state"], "failed");
    assert!(run["text"].as_str().is_some_and(|text| text.contains("Grant admin consent")), "{run}");
    let wrong = doctor(&stage, &[], &[("AZURE_CLIENT_SECRET", "canary-of-no-value")]);
    assert_eq!(wrong.status.code(), Some(6), "{}", said(&wrong));
    assert!(
        said(&wrong).contains("failed   sign-in") && said(&wrong).contains("not its Secret ID"),
        "{}",
        said(&wrong)
    );
    stage.no_secrets(&wrong);
}

#[test]
fn broken_network_is_reported_with_its_cause() {
    let stage = Stage::new("writes_per_second = 0.0\n", 0);
    let other = Stage::new("writes_per_second = 0.0\n", 0);
    let foreign = std::fs::read(other.folder.path().join("ca.pem")).expect("a CA");
    std::fs::write(stage.folder.path().join("ca.pem"), foreign).expect("written");
    let output = doctor(&stage, &[], &[]);
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    assert!(said(&output).contains("authority that this machine does not know"), "{}", said(&output));
    std::fs::write(stage.folder.path().join("ca.pem"), "no certificate").expect("written");
    let output = doctor(&stage, &[], &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("--ca-file ca.pem"), "{}", said(&output));
}

#[test]
fn doctor_checks_the_simulator_like_a_tenant() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_reprovision"))
        .args(["doctor", "--simulate"])
        .env_clear()
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("SIMULATED"), "{}", said(&output));
}
