//! Many rows: memory stays bounded, and every row has a record. Time and memory are printed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Simulator, binary, finish, setting, stderr, users};

/// Guarantee P5 for `run`, in KiB. A run needs one more bit per row.
const RUN_KIB: u64 = 80 * 1024;
/// Guarantee P5 while the input is checked, in bytes per row.
const CHECK_BYTES_PER_ROW: u64 = 48;
/// Memory of the program itself, in KiB, without the part that grows with the rows.
const PROGRAM_KIB: u64 = 16 * 1024;

const SCENARIO: &str = r#"
title = "scale"
"#;

/// Returns the peak resident memory of a child in KiB. A thread updates it while the child runs.
fn peak_kib(child: &Child) -> Arc<std::sync::Mutex<u64>> {
    let peak = Arc::new(std::sync::Mutex::new(0));
    let (seen, status) = (peak.clone(), format!("/proc/{}/status", child.id()));
    std::thread::spawn(move || {
        let over = AtomicBool::new(false);
        while !over.load(Ordering::Relaxed) {
            match fs::read_to_string(&status) {
                Ok(text) => {
                    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                    if let Some(kib) =
                        line.and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse::<u64>().ok())
                    {
                        let mut peak = seen.lock().expect("no panic holds it");
                        *peak = kib.max(*peak);
                    }
                }
                Err(_) => over.store(true, Ordering::Relaxed),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    peak
}

fn lines(path: &Path) -> u64 {
    use std::io::BufRead;
    let reader = std::io::BufReader::with_capacity(1 << 20, fs::File::open(path).expect("a file"));
    reader.split(b'\n').count() as u64
}

#[cfg(target_os = "linux")]
#[test]
fn run_with_many_rows_has_bounded_memory() {
    let rows = setting("ROWS", 1_000_000);
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("users.csv");
    let out = folder.path().join("out");
    users(&input, rows);
    let simulator = Simulator::start(folder.path(), SCENARIO);
    let started = Instant::now();
    let child = simulator
        .run(&input, &out)
        .args(["--rate", "fixed:100000", "--concurrency", "64"])
        .spawn()
        .expect("run starts");
    let peak = peak_kib(&child);
    let output = finish(child);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(lines(&out.join("results.csv")), rows + 1);
    let peak = *peak.lock().expect("no panic holds it");
    let wall = started.elapsed().as_secs_f64();
    println!("run: {rows} rows in {wall:.1} s ({:.0}/s), peak {} MiB", rows as f64 / wall, peak / 1024);
    assert!(peak <= RUN_KIB, "peak {peak} KiB, at most {RUN_KIB}");
}

#[cfg(target_os = "linux")]
#[test]
fn dry_run_with_many_rows_has_bounded_memory() {
    let rows = setting("ROWS", 1_000_000);
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("users.csv");
    users(&input, rows);
    let started = Instant::now();
    let mut command = Command::new(binary());
    command.arg("run").arg(&input).arg("--dry-run").current_dir(folder.path());
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run starts");
    let peak = peak_kib(&child);
    let output = finish(child);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let peak = *peak.lock().expect("no panic holds it");
    let most = PROGRAM_KIB + rows * CHECK_BYTES_PER_ROW / 1024;
    let wall = started.elapsed().as_secs_f64();
    println!("dry run: {rows} rows in {wall:.1} s ({:.0}/s), peak {} MiB", rows as f64 / wall, peak / 1024);
    assert!(peak <= most, "peak {peak} KiB, at most {most}");
    assert!(!folder.path().join("reprovision-runs").exists(), "a dry run writes no folder");
}

/// Memory of `find` and `verify`, in KiB, whatever the number of pages.
const SCAN_KIB: u64 = 48 * 1024;
/// Memory of `verify` for each accepted row, in bytes. It needs it twice while it reads single users.
const VERIFY_BYTES_PER_ROW: u64 = 64;

#[cfg(target_os = "linux")]
#[test]
fn memory_of_find_and_verify_does_not_grow_with_pages() {
    let users = setting("SCANNED", 500_000);
    let folder = tempfile::tempdir().expect("a folder");
    let scenario =
        format!("title = 'scan'\n[objects]\nusers = {users}\nbroken = 0.02\neffect_s = [0, 0]\n[limits]\n");
    let simulator = Simulator::start(folder.path(), &scenario);
    let measured = |arguments: &[&str], codes: &[i32]| {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(folder.path());
        simulator.sign_in(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let child = command.spawn().expect("it starts");
        let peak = peak_kib(&child);
        let output = finish(child);
        assert!(output.status.code().is_some_and(|code| codes.contains(&code)), "{}", stderr(&output));
        let peak = *peak.lock().expect("no panic holds it");
        println!(
            "{}: {users} users, {:.1} s, peak {} MiB",
            arguments[0],
            started.elapsed().as_secs_f64(),
            peak / 1024
        );
        peak
    };
    let peak = measured(&["find", "--out", "broken.csv"], &[0]);
    assert!(peak <= SCAN_KIB, "find: peak {peak} KiB, at most {SCAN_KIB}");
    measured(&["run", "broken.csv", "--yes", "--out", "out", "--rate", "fixed:100000"], &[0]);
    let rows = lines(&folder.path().join("broken.csv"));
    let peak = measured(&["verify", "out"], &[0, 4]);
    let most = SCAN_KIB + rows * VERIFY_BYTES_PER_ROW / 1024;
    assert!(peak <= most, "verify: peak {peak} KiB, at most {most}");
}
