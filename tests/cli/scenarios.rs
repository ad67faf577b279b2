//! Runs every built-in scenario with the program: exit code, summary, and the ranges of its ledger.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use reprovision::simulator::Scenario;

/// Scenarios that another file tests, because they take long or have many faults.
const TESTED_ELSEWHERE: [(&str, &str); 3] = [
    ("outage", "tests/endurance/pause.rs"),
    ("hostile", "tests/cli/run.rs"),
    ("default", "tests/cli/docs.rs"),
];
/// Scenario, number of users, allowed exit codes, and a text of its summary.
const TESTED_HERE: [(&str, u64, &[i32], &str); 6] = [
    ("calm", 60, &[0], "60 accepted"),
    ("documented", 60, &[0], "60 accepted"),
    ("throttled", 120, &[0], "120 accepted"),
    ("window", 450, &[0], "450 accepted"),
    ("expiring-token", 450, &[0], "450 accepted"),
    ("flaky", 200, &[0, 3], "200 rows out"),
];

fn run(folder: &Path, scenario: &str, users: u64) -> Output {
    let lines: String = (1..=users).map(|row| format!("{row:08x}-0000-4000-8000-000000000000\n")).collect();
    fs::write(folder.join("users.csv"), format!("id\n{lines}")).expect("the input");
    Command::new(env!("CARGO_BIN_EXE_reprovision"))
        .args(["run", "users.csv", "--out", "out", &format!("--simulate={scenario}")])
        .current_dir(folder)
        .env_remove("REPROVISION_TOKEN")
        .env_remove("AZURE_TENANT_ID")
        .output()
        .expect("the program runs")
}

#[test]
fn every_scenario_ends_as_documented() {
    let runs: Vec<_> = TESTED_HERE
        .into_iter()
        .map(|(scenario, users, codes, expected)| {
            std::thread::spawn(move || {
                let folder = tempfile::tempdir().expect("a folder");
                let output = run(folder.path(), scenario, users);
                let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
                assert!(output.status.code().is_some_and(|code| codes.contains(&code)), "{scenario}: {text}");
                assert!(text.contains(expected), "{scenario}: {text}");
                assert!(text.contains("as expected        yes"), "{scenario}: {text}");
            })
        })
        .collect();
    for run in runs {
        run.join().expect("the scenario ends as documented");
    }
}

#[test]
fn every_scenario_file_is_tested() {
    let mut known: Vec<_> = Scenario::names().collect();
    let mut named: Vec<_> =
        TESTED_HERE.iter().map(|(name, ..)| *name).chain(TESTED_ELSEWHERE.map(|(name, _)| name)).collect();
    known.sort_unstable();
    named.sort_unstable();
    assert_eq!(named, known);
    for (name, file) in TESTED_ELSEWHERE {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect(file);
        assert!(
            name == "default" || text.contains(&format!("\"{name}\"")) || text.contains(&format!("={name}")),
            "{file}: {name}"
        );
    }
}
