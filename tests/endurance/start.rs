//! Measures the time from the start of the program to its first request.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{finish, run_against, setting, stderr, users};

/// Guaranteed median (`docs/benchmarks.md`).
const AT_MOST: Duration = Duration::from_millis(50);
/// Number of starts whose median is compared.
const STARTS: usize = 20;
/// Number of medians, of which one must be within the limit. The others may be slow because the machine is
/// busy.
const MEDIANS: usize = 3;
/// Rows of a short list.
const FEW: u64 = 100;
/// Number of starts with a long list, whose rows are all checked before anything is sent.
const LONG_STARTS: usize = 5;

/// Receives one request and answers it as Graph does. Returns the instant at which its first byte arrived.
fn first_request(listener: &TcpListener) -> Instant {
    let (mut stream, _) = listener.accept().expect("the program connects");
    let mut head: Vec<u8> = Vec::new();
    let mut came = None;
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut byte = [0; 4096];
        let read = stream.read(&mut byte).expect("a request");
        assert!(read > 0, "the program closed the connection before the request was complete");
        came.get_or_insert_with(Instant::now);
        head.extend(&byte[..read]);
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("answered");
    came.expect("at least one byte")
}

/// Starts the program `starts` times with `--limit 1`. Returns the times to the first request, the fastest
/// first.
fn sorted(folder: &Path, input: &Path, starts: usize) -> Vec<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let mut took: Vec<Duration> = (0..starts)
        .map(|nth| {
            let out = folder.join(format!("{}-{starts}-{nth}", input.file_stem().expect("a name").display()));
            let mut command = run_against(&endpoint, "any", input, &out);
            command.args(["--limit", "1"]);
            let started = Instant::now();
            let child = command.spawn().expect("run starts");
            let came = first_request(&listener);
            let output = finish(child);
            assert!(out.join("results.csv").exists(), "{}", stderr(&output));
            came - started
        })
        .collect();
    took.sort_unstable();
    took
}

#[test]
fn first_request_is_sent_within_fifty_milliseconds() {
    // On a busy disk, the five syncs before the first request may take any time. If there is a folder in
    // memory, the limit is checked there.
    let memory = Path::new("/dev/shm");
    let checked = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let checked = checked.expect("a folder");
    let disk = tempfile::tempdir().expect("a folder");
    let took = |folder: &Path, rows: u64, starts: usize| {
        let input = folder.join(format!("{rows}.csv"));
        users(&input, rows);
        let took = sorted(folder, &input, starts);
        println!(
            "start to first request, {rows} rows in {}: {:.1} ms (median of {starts}), {:.1} ms (the fastest)",
            if folder.starts_with(memory) { "memory" } else { "the temporary folder" },
            took[starts / 2].as_secs_f64() * 1e3,
            took[0].as_secs_f64() * 1e3
        );
        took[starts / 2]
    };
    took(disk.path(), FEW, STARTS);
    took(disk.path(), setting("ROWS", 1_000_000), LONG_STARTS);
    let medians: Vec<Duration> = (0..MEDIANS)
        .map(|nth| {
            let folder = checked.path().join(nth.to_string());
            std::fs::create_dir(&folder).expect("a folder");
            took(&folder, FEW, STARTS)
        })
        .collect();
    assert!(medians.iter().any(|median| *median <= AT_MOST), "{medians:?}, at most {AT_MOST:?}");
}
