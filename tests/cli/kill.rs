//! Killed at random instants and continued by the same command: one record per row, nobody lost, few repeated.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Kills in this test.
const KILLS: u64 = 6;
/// Users; at 200/s three seconds of work.
const USERS: u64 = 600;
/// No kill may repeat more users than were in flight.
const IN_FLIGHT: u64 = 16;

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A simulator of its own, its address and a token.
fn simulator(scenario: &str) -> (Ended, String, String) {
    let mut simulator = Ended(
        Command::new(env!("CARGO_BIN_EXE_reprovision"))
            .args(["simulate", scenario])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator"),
    );
    let mut said = BufReader::new(simulator.0.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let mut wanted = |name: &str| {
        let line = said.find(|line| line.starts_with(name)).expect("the simulator says it");
        line[name.len()..].trim().to_owned()
    };
    let (endpoint, token) = (wanted("endpoint"), wanted("token"));
    (simulator, endpoint, token)
}

fn ask(endpoint: &str, path: &str) -> String {
    let address = endpoint.trim_start_matches("http://");
    let mut ask = TcpStream::connect(address).expect("the simulator");
    write!(ask, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    ask.read_to_string(&mut answer).expect("an answer");
    answer
}

fn users(file: &Path, from: u64, to: u64) {
    let lines: String = (from..=to).map(|row| format!("{row:08x}-0000-4000-8000-000000000000\n")).collect();
    std::fs::write(file, format!("id\n{lines}")).expect("the input");
}

fn start(desk: &Path, list: &str, out: &str, endpoint: &str, token: &str, more: &[&str]) -> Ended {
    Ended(
        Command::new(env!("CARGO_BIN_EXE_reprovision"))
            .args(["run", list, "--yes", "--out", out, "--endpoint", endpoint, "--progress", "none"])
            .args(more)
            .current_dir(desk)
            .env("REPROVISION_TOKEN", token)
            .env_remove("AZURE_TENANT_ID")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("run"),
    )
}

/// What stands in `state.json` after this machine's clock was set an hour forward.
#[cfg(target_os = "linux")]
fn an_hour_forward(state: &Path) {
    let text = std::fs::read_to_string(state).expect("state.json");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let earlier = |value: &mut serde_json::Value| {
        if let Some(at) = value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()) {
            *value = (at - jiff::SignedDuration::from_hours(1)).to_string().into();
        }
    };
    earlier(&mut json["saved_at"]);
    json["cooldowns"].as_array_mut().expect("pauses").iter_mut().for_each(|pause| earlier(&mut pause[1]));
    std::fs::write(state, json.to_string()).expect("written");
}

#[test]
fn pause_holds_after_a_kill_for_this_and_other_lists() {
    pause_holds(|_| {});
}

#[cfg(target_os = "linux")]
#[test]
fn pause_holds_after_a_kill_and_a_clock_change() {
    pause_holds(an_hour_forward);
}

fn pause_holds(meanwhile: fn(&Path)) {
    let folder = tempfile::tempdir().expect("a folder");
    users(&folder.path().join("users.csv"), 1, 100);
    users(&folder.path().join("others.csv"), 101, 110);
    let scenario = folder.path().join("pause.toml");
    let rules = "title = \"one pause\"\nlatency_ms = 20\nthrottle_after = [20]\nthrottle_wait_s = [5, 5]\n";
    std::fs::write(&scenario, rules).expect("the scenario");
    let (_simulator, endpoint, token) = simulator(scenario.to_str().expect("UTF-8"));
    let run = |list: &str, out: &str| start(folder.path(), list, out, &endpoint, &token, &[]);
    let mut killed = run("users.csv", "out");
    let until = Instant::now() + Duration::from_secs(30);
    let state = folder.path().join("out/state.json");
    while !std::fs::read_to_string(&state).is_ok_and(|state| state.contains("app_in_tenant")) {
        assert!(Instant::now() < until, "no pause in state.json");
        std::thread::sleep(Duration::from_millis(5));
    }
    killed.0.kill().expect("killed");
    killed.0.wait().expect("its end");
    meanwhile(&state);
    let mut both = [run("users.csv", "out"), run("others.csv", "out2")];
    let codes = both.each_mut().map(|run| run.0.wait().expect("its end").code());
    assert_eq!(codes, [Some(0), Some(0)]);
    let ledger = ask(&endpoint, "/__ledger");
    assert!(ledger.contains("\"429\":"), "no pause was met: {ledger}");
    assert!(ledger.contains("\"breaches\":0,"), "{ledger}");
}

#[test]
fn killed_run_is_resumed_until_complete() {
    let folder = tempfile::tempdir().expect("a folder");
    users(&folder.path().join("users.csv"), 1, USERS);
    let (_simulator, endpoint, token) = simulator("calm");
    let mut random = fastrand::Rng::with_seed(11);
    let mut kills = 0;
    let status = loop {
        // Nothing but the identity of a run must stay the same.
        let (rate, batch) = if kills % 2 == 0 { ("200", "1") } else { ("150", "8") };
        let more = ["--rate", rate, "--concurrency", &IN_FLIGHT.to_string(), "--batch", batch];
        let mut run = start(folder.path(), "users.csv", "out", &endpoint, &token, &more);
        if kills == KILLS {
            break run.0.wait().expect("its end");
        }
        std::thread::sleep(Duration::from_millis(random.u64(5..700)));
        run.0.kill().expect("killed");
        run.0.wait().expect("its end");
        kills += 1;
    };
    assert_eq!(status.code(), Some(0));
    let mut reader = csv::Reader::from_path(folder.path().join("out/results.csv")).expect("results.csv");
    let mut rows: Vec<(u64, String)> = reader
        .records()
        .map(|record| record.expect("a whole record"))
        .map(|record| (record[0].parse().expect("a row"), record[2].to_owned()))
        .collect();
    rows.sort();
    assert_eq!(rows, (1..=USERS).map(|row| (row, "accepted".to_owned())).collect::<Vec<_>>());
    let answer = ask(&endpoint, "/__ledger/accepted");
    let counts: Vec<u64> = answer.lines().filter_map(|line| line.rsplit_once(',')?.1.parse().ok()).collect();
    assert_eq!(counts.len() as u64, USERS, "the simulator served everybody");
    let repeats = counts.iter().sum::<u64>() - USERS;
    assert!(repeats <= KILLS * IN_FLIGHT, "{repeats} repeats after {KILLS} kills");
}
