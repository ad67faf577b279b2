//! Disks that fill up, and folders that are read-only or vanish. The run exits with 1 and a message, records
//! only accepted users as accepted, and can be resumed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Simulator, binary, finish, results, stderr, users};

/// Users of one run: results.csv grows to about a megabyte.
const USERS: u64 = 4_000;

const SCENARIO: &str = r#"
title = "disk"
"#;

fn mount(arguments: &[&str]) -> bool {
    Command::new("mount").args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A small separate file system.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts a file system of `size`. `None`: the user may not mount.
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let size = format!("size={size}");
        let target = folder.path().to_str().expect("UTF-8");
        mount(&["-t", "tmpfs", "-o", &size, "tmpfs", target]).then(|| Self(folder))
    }

    fn remount(&self, options: &str) {
        let target = self.0.path().to_str().expect("UTF-8");
        assert!(mount(&["-o", &format!("remount,{options}"), target]), "remount {options}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Checks the message and the records after a failure, and that the same command then completes the run.
fn assert_fails_and_resumes(
    simulator: &Simulator,
    input: &Path,
    out: &Path,
    first: &std::process::Output,
    says: &str,
) {
    let text = stderr(first);
    assert_eq!(first.status.code(), Some(1), "{text}");
    assert!(text.contains("results.csv") || text.contains(says), "{text}");
    assert!(text.contains(says), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    let accepted = simulator.accepted();
    let whole = fs::read_to_string(out.join("results.csv")).expect("results.csv");
    for line in whole.lines().skip(1).filter(|line| line.split(',').nth(2) == Some("accepted")) {
        let id = line.split(',').nth(1).expect("an id");
        assert!(accepted.contains_key(id), "{id} is recorded as accepted, but was not");
    }
    let again = finish(simulator.run(input, out).args(["--rate", "fixed:4000"]).spawn().expect("run starts"));
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(results(out).len() as u64, USERS);
}

#[test]
fn run_at_the_file_size_limit_fails_and_resumes() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("users.csv");
    let out = folder.path().join("out");
    users(&input, USERS);
    let simulator = Simulator::start(folder.path(), SCENARIO);
    let run = simulator.run(&input, &out);
    let mut limited = Command::new("bash");
    // 400 KiB are enough for the copy of the input, but not for the results.
    limited
        .args(["-c", "ulimit -f 400; exec \"$@\"", "bash"])
        .arg(binary())
        .args(run.get_args())
        .args(["--rate", "fixed:4000"]);
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let first = finish(limited.spawn().expect("run starts"));
    assert_fails_and_resumes(&simulator, &input, &out, &first, "results.csv");
}

#[test]
fn run_on_a_disk_that_fills_up_fails_and_resumes() {
    let Some(disk) = SmallDisk::new("640k") else {
        println!("skipped: this user may not mount; the test of the file size limit checks the same");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("users.csv");
    let out = disk.0.path().join("out");
    users(&input, USERS);
    let simulator = Simulator::start(folder.path(), SCENARIO);
    let first =
        finish(simulator.run(&input, &out).args(["--rate", "fixed:4000"]).spawn().expect("run starts"));
    disk.remount("size=16m");
    assert_fails_and_resumes(&simulator, &input, &out, &first, "No space left on device");
}

#[test]
fn read_only_folder_fails_before_the_first_request() {
    let Some(disk) = SmallDisk::new("1m") else {
        println!("skipped: this user may not mount");
        return;
    };
    disk.remount("ro");
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("users.csv");
    users(&input, 10);
    let simulator = Simulator::start(folder.path(), SCENARIO);
    let output = finish(simulator.run(&input, &disk.0.path().join("out")).spawn().expect("run starts"));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("Read-only file system"), "{}", stderr(&output));
    assert_eq!(simulator.ledger()["arrivals"], 0, "something was sent");
}

#[test]
fn run_in_a_folder_that_vanishes_fails_and_resumes() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("users.csv");
    let out = folder.path().join("out");
    users(&input, USERS);
    let simulator = Simulator::start(folder.path(), SCENARIO);
    let child = simulator.run(&input, &out).args(["--rate", "fixed:800"]).spawn().expect("run starts");
    let until = Instant::now() + Duration::from_secs(60);
    while fs::metadata(out.join("results.csv")).map_or(0, |file| file.len()) < 40_000 {
        assert!(Instant::now() < until, "no results within a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    fs::remove_dir_all(&out).expect("removed");
    let output = finish(child);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("results.csv"), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    let again =
        finish(simulator.run(&input, &out).args(["--rate", "fixed:4000"]).spawn().expect("run starts"));
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(results(&out).len() as u64, USERS);
}
