//! Runs the release binary against the simulator in a separate process, and reads the ledger and the results.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest time that a program may run before the suite fails.
pub(crate) const LONGEST_RUN: Duration = Duration::from_secs(900);

/// Returns the number in the environment variable `name`, which `tests/endurance/run` sets, or `otherwise`.
pub(crate) fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a whole number"))
}

/// Returns the release binary that `tests/endurance/run` built, or else the one that cargo built for tests.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("REPROVISION_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_reprovision").into(), PathBuf::from)
}

/// A simulator in a separate process.
pub(crate) struct Simulator {
    child: Child,
    address: String,
    token: String,
}

impl Simulator {
    /// Starts the simulator with a scenario in TOML.
    pub(crate) fn start(folder: &Path, scenario: &str) -> Self {
        let file = folder.join("scenario.toml");
        fs::write(&file, scenario).expect("the scenario file");
        Self::start_file(file.to_str().expect("UTF-8"))
    }

    /// Starts the simulator with a built-in scenario or a scenario file.
    pub(crate) fn start_file(scenario: &str) -> Self {
        let mut child = Command::new(binary())
            .args(["simulate", scenario, "--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the simulator starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut wanted = |start: &str| {
            let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with(start)));
            line.expect("the simulator prints it").expect("UTF-8")[start.len()..].trim().to_owned()
        };
        let address = wanted("endpoint").trim_start_matches("http://").to_owned();
        let token = wanted("token");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, token }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a GET request and returns the body.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("the simulator listens");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address)
            .expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let text = String::from_utf8(answer).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            return dechunk(body);
        }
        body.to_owned()
    }

    pub(crate) fn ledger(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/__ledger")).expect("JSON")
    }

    /// Returns how often each id was accepted, according to the ledger of the simulator.
    pub(crate) fn accepted(&self) -> BTreeMap<String, u64> {
        self.get("/__ledger/accepted")
            .lines()
            .filter_map(|line| line.rsplit_once(','))
            .map(|(id, count)| (id.to_ascii_lowercase(), count.parse().expect("a count")))
            .collect()
    }

    /// Sets the environment of `command` so that the program is signed in to this tenant.
    pub(crate) fn sign_in(&self, command: &mut Command) {
        command
            .env("REPROVISION_ENDPOINT", self.endpoint())
            .env("REPROVISION_TOKEN", &self.token)
            .env_remove("AZURE_TENANT_ID");
    }

    /// Returns a command that runs `input` into `out` against this simulator.
    pub(crate) fn run(&self, input: &Path, out: &Path) -> Command {
        run_against(&self.endpoint(), &self.token, input, out)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a command that runs `input` into `out` against any service.
pub(crate) fn run_against(endpoint: &str, token: &str, input: &Path, out: &Path) -> Command {
    let mut command = Command::new(binary());
    command
        .arg("run")
        .arg(input)
        .args(["--endpoint", endpoint, "--yes", "--progress", "none", "--max-failures", "100%", "--out"])
        .arg(out)
        .env("REPROVISION_TOKEN", token)
        .env_remove("AZURE_TENANT_ID")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn dechunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    whole
}

/// Writes a CSV with `rows` invented users, each once.
pub(crate) fn users(path: &Path, rows: u64) {
    let mut file = std::io::BufWriter::new(fs::File::create(path).expect("the input"));
    writeln!(file, "id,displayName").expect("written");
    for row in 1..=rows {
        writeln!(file, "{:08x}-0000-4000-8000-{row:012x},User {row}", row.wrapping_mul(2_654_435_761) as u32)
            .expect("written");
    }
    file.into_inner().expect("flushed");
}

/// Reads `results.csv`: row number → (id, outcome). Fails if a row has two records.
pub(crate) fn results(out: &Path) -> BTreeMap<u64, (String, String)> {
    let mut reader = csv::Reader::from_path(out.join("results.csv")).expect("results.csv");
    let mut rows = BTreeMap::new();
    for record in reader.records() {
        let record = record.expect("a whole record");
        let row: u64 = record[0].parse().expect("a row number");
        let before = rows.insert(row, (record[1].to_ascii_lowercase(), record[2].to_owned()));
        assert!(before.is_none(), "two records for row {row}");
    }
    rows
}

/// Waits until a child has ended, for at most [`LONGEST_RUN`].
pub(crate) fn finish(mut child: Child) -> Output {
    let until = Instant::now() + LONGEST_RUN;
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > until {
            let _ = child.kill();
            panic!("the program did not end within {LONGEST_RUN:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("its output")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Sends a signal by name with the program `kill`.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.expect("kill").success(), "kill -{name}");
}
