//! A suspended process, a second process, a blocked terminal, signals, and an outage over sockets.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::{Simulator, finish, results, setting, signal, stderr, users};

const SCENARIO: &str = r#"
title = "pause"
latency_ms = 10
"#;

/// Longest wait for an event that takes a few seconds on an idle machine.
const MAX_WAIT: Duration = Duration::from_secs(60);

fn lines(path: &std::path::Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

fn wait_for(what: &str, mut is_done: impl FnMut() -> bool) {
    let until = Instant::now() + MAX_WAIT;
    while !is_done() {
        assert!(Instant::now() < until, "{what} did not happen within {MAX_WAIT:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the largest number of users whose first request was sent within one second.
fn busiest_second(out: &std::path::Path) -> usize {
    let mut reader = csv::Reader::from_path(out.join("results.csv")).expect("results.csv");
    let names = reader.headers().expect("a header").clone();
    let column = names.iter().position(|name| name == "first_sent_at").expect("a column of that name");
    let mut sent: Vec<jiff::Timestamp> = reader
        .records()
        .map(|record| record.expect("a whole record")[column].parse().expect("a time"))
        .collect();
    sent.sort_unstable();
    let second = jiff::SignedDuration::from_secs(1);
    let within = |(nth, from): (usize, &jiff::Timestamp)| {
        sent[nth..].iter().take_while(|at| at.duration_since(*from) < second).count()
    };
    sent.iter().enumerate().map(within).max().unwrap_or(0)
}

#[test]
fn suspended_process_continues_without_a_burst() {
    // A minute at full size. The checks do not depend on the length of the stop.
    let stopped = Duration::from_secs(if setting("ROUNDS", 50) >= 50 { 60 } else { 6 });
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("users.csv");
    let out = folder.path().join("out");
    users(&input, 600);
    let simulator = Simulator::start(folder.path(), SCENARIO);
    let child = simulator.run(&input, &out).args(["--rate", "60"]).spawn().expect("run starts");
    wait_for("a few records", || lines(&out.join("results.csv")) > 100);
    signal(&child, "STOP");
    std::thread::sleep(stopped);
    signal(&child, "CONT");
    let output = finish(child);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(results(&out).len(), 600);
    // 60/s, a quarter of a second that is caught up, and one more for the start of the second.
    let busiest = busiest_second(&out);
    assert!(busiest <= 60 + 15 + 1, "{busiest} sent in one second at 60/s");
    // On a busy machine some requests arrive late, together with those of the next second. A burst of six
    // seconds would be larger.
    let busiest = simulator.ledger()["highest_per_second"].as_u64().expect("a number");
    assert!(busiest <= 2 * (60 + 15 + 1), "{busiest} arrived in one second at 60/s");
}

#[test]
fn second_process_exits_and_names_the_holder_of_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("users.csv");
    let out = folder.path().join("out");
    users(&input, 2_000);
    let simulator = Simulator::start(folder.path(), SCENARIO);
    let mut first = simulator.run(&input, &out).args(["--rate", "100"]).spawn().expect("run starts");
    wait_for("a record", || lines(&out.join("results.csv")) > 1);
    let second = finish(simulator.run(&input, &out).spawn().expect("run starts"));
    assert_eq!(second.status.code(), Some(8), "{}", stderr(&second));
    // The first process has twenty seconds of work.
    assert!(first.try_wait().expect("a child").is_none(), "the second waited for the first");
    assert!(
        stderr(&second).contains(&first.id().to_string()),
        "the holder is not named: {}",
        stderr(&second)
    );
    signal(&first, "INT");
    let output = finish(first);
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    for name in ["results.csv", "failed.csv", "summary.json"] {
        assert!(out.join(name).exists(), "{name} is missing after a stop");
    }
}

#[test]
fn sigterm_drains_and_the_same_command_resumes() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("users.csv");
    let out = folder.path().join("out");
    users(&input, 1_000);
    let simulator = Simulator::start(folder.path(), SCENARIO);
    let child = simulator.run(&input, &out).args(["--rate", "100"]).spawn().expect("run starts");
    wait_for("a few records", || lines(&out.join("results.csv")) > 20);
    signal(&child, "TERM");
    let asked = Instant::now();
    let output = finish(child);
    assert_eq!(output.status.code(), Some(143), "{}", stderr(&output));
    assert!(asked.elapsed() < Duration::from_secs(11), "draining takes at most ten seconds");
    let again = finish(simulator.run(&input, &out).args(["--rate", "2000"]).spawn().expect("run starts"));
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    let accepted = simulator.accepted();
    assert_eq!(accepted.len(), 1_000);
    assert!(accepted.values().all(|count| *count == 1), "a drained run repeats no user");
}

#[cfg(target_os = "linux")]
#[test]
fn blocked_terminal_does_not_delay_records() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("users.csv");
    let out = folder.path().join("out");
    users(&input, 1_500);
    let simulator = Simulator::start(folder.path(), SCENARIO);
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("granted");
    unlockpt(&terminal).expect("unlocked");
    let name = ptsname(&terminal, Vec::new()).expect("its name");
    let side = fs::File::options()
        .read(true)
        .write(true)
        .open(name.to_str().expect("UTF-8"))
        .expect("its other side");
    let mut filler = side.try_clone().expect("a second handle");
    let mut command = simulator.run(&input, &out);
    command.args(["--rate", "300", "--progress", "bar"]).stderr(Stdio::from(side)).env("TERM", "xterm");
    let started = Instant::now();
    let mut child = command.spawn().expect("run starts");
    // Reads until the work has begun, then stops reading. When the buffer is full, every write blocks, as
    // after Ctrl-S.
    let mut screen = fs::File::from(terminal);
    let mut shown = Vec::new();
    while !String::from_utf8_lossy(&shown).contains("stops safely") {
        let mut part = [0; 512];
        assert!(
            child.try_wait().expect("a child").is_none(),
            "it ended: {}",
            String::from_utf8_lossy(&shown)
        );
        let n = std::io::Read::read(&mut screen, &mut part).expect("the terminal");
        shown.extend_from_slice(&part[..n]);
    }
    std::thread::spawn(move || while std::io::Write::write(&mut filler, &[b'.'; 512]).is_ok() {});
    wait_for("all records", || lines(&out.join("results.csv")) > 1_500);
    // A blocked run would not end. The margin is for a busy machine.
    assert!(started.elapsed() < Duration::from_secs(20), "5 s of work took {:?}", started.elapsed());
    wait_for("the end", || child.try_wait().expect("a child").is_some());
    assert_eq!(results(&out).len(), 1_500);
}

#[test]
fn outage_of_twenty_seconds_fails_no_user() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("users.csv");
    let out = folder.path().join("out");
    users(&input, 1_200);
    let simulator = Simulator::start_file("outage");
    let output = finish(simulator.run(&input, &out).args(["--rate", "100"]).spawn().expect("run starts"));
    let rows = results(&out);
    assert_eq!(rows.len(), 1_200);
    assert!(rows.values().all(|(_, outcome)| outcome == "accepted"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
