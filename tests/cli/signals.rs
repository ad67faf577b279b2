//! Signals as shells, `nohup`, `timeout` and service managers send them, each to the real program.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Users: at 40/s half a minute, which no test waits for.
const USERS: u64 = 1_200;
/// Longest wait for something on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run that is working, in a process group of its own.
struct Working {
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Working {
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Working {
    /// Starts `prefix` with the program behind it and waits until users have their record.
    fn start(prefix: &[&str], more: &[&str]) -> Self {
        use std::os::unix::process::CommandExt;
        let folder = tempfile::tempdir().expect("a folder");
        let ids: String = (1..=USERS).map(|row| format!("{row:08x}-0000-4000-8000-000000000000\n")).collect();
        fs::write(folder.path().join("users.csv"), format!("id\n{ids}")).expect("the input");
        let run = ["run", "users.csv", "--simulate=calm", "--rate", "fixed:40", "--out", "out"];
        let words = [prefix, &[env!("CARGO_BIN_EXE_reprovision")], &run, more].concat();
        let child = Command::new(words[0])
            .args(&words[1..])
            .current_dir(folder.path())
            .env_remove("AZURE_TENANT_ID")
            .stdin(Stdio::null())
            .stdout(fs::File::create(folder.path().join("stdout")).expect("a file"))
            .stderr(fs::File::create(folder.path().join("stderr")).expect("a file"))
            .process_group(0)
            .spawn()
            .expect("the program runs");
        let working = Self { child, folder };
        working.until("records", |working| working.records() > 5);
        working
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid")
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("sent");
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn records(&self) -> usize {
        fs::read_to_string(self.path().join("out/results.csv")).unwrap_or_default().lines().skip(1).count()
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.path().join("stderr")).unwrap_or_default()
    }

    fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is(self) {
            assert!(Instant::now() < end, "no {what}: {}", self.stderr());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The exit code once the program has ended.
    fn code(&mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("its end") {
                return status.code();
            }
            assert!(Instant::now() < end, "it goes on: {}", self.stderr());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stopped safely: all files of the run are there, and no aborted call is reported.
    fn has_stopped_safely(&self) {
        for name in ["failed.csv", "summary.json", "report.html"] {
            assert!(self.path().join("out").join(name).exists(), "{name}: {}", self.stderr());
        }
        assert!(!self.stderr().contains("stopped at once"), "{}", self.stderr());
    }
}

/// A run whose answers are slow, so that stopping takes longer than the pairs of signals below.
fn slow(prefix: &[&str]) -> Working {
    let scenario = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
    let rules = "title = 'slow'\nlatency_ms = 800\n[objects]\nunknown_ids_exist = true\n";
    fs::write(scenario.path(), rules).expect("written");
    let simulate = format!("--simulate={}", scenario.path().display());
    Working::start(prefix, &[&simulate])
}

#[test]
fn run_under_nohup_survives_hangup_and_stops_at_sigterm() {
    let mut run = Working::start(&["nohup"], &[]);
    run.signal(Signal::HUP);
    let before = run.records();
    run.until("record after SIGHUP", |run| run.records() > before + 20);
    run.signal(Signal::TERM);
    assert_eq!(run.code(), Some(143));
    run.has_stopped_safely();
}

#[test]
fn background_job_of_a_script_ignores_ctrl_c_of_its_terminal() {
    let mut run = Working::start(&["sh", "-c", "\"$@\" & wait $!", "sh"], &[]);
    kill_process_group(run.pid(), Signal::INT).expect("sent");
    let before = run.records();
    run.until("record after SIGINT", |run| run.records() > before + 20);
    kill_process_group(run.pid(), Signal::TERM).expect("sent");
    run.code();
    run.until("summary", |run| run.path().join("out/summary.json").exists());
}

#[test]
fn run_under_timeout_stops_safely() {
    // A signal to `timeout` goes the way of its own: to the program, and then to the whole group.
    let mut run = slow(&["timeout", "--preserve-status", "600"]);
    run.signal(Signal::TERM);
    assert_eq!(run.code(), Some(143), "{}", run.stderr());
    run.has_stopped_safely();
}

#[test]
fn two_signals_10_ms_apart_are_one_request() {
    for (first, second, code) in
        [(Signal::TERM, Signal::TERM, 143), (Signal::INT, Signal::INT, 130), (Signal::TERM, Signal::HUP, 143)]
    {
        let mut run = slow(&[]);
        run.signal(first);
        thread::sleep(Duration::from_millis(10));
        run.signal(second);
        assert_eq!(run.code(), Some(code), "{first:?}, {second:?}: {}", run.stderr());
        run.has_stopped_safely();
    }
}

#[test]
fn second_signal_after_half_a_second_aborts_immediately() {
    let mut run = slow(&[]);
    run.signal(Signal::TERM);
    thread::sleep(Duration::from_millis(550));
    let sent = Instant::now();
    run.signal(Signal::TERM);
    assert_eq!(run.code(), Some(143));
    assert!(sent.elapsed() < Duration::from_secs(1), "{:?}", sent.elapsed());
    assert!(run.stderr().contains("stopped at once"), "{}", run.stderr());
}

#[test]
fn doctor_ends_at_a_signal_with_its_code() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("its address"));
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_reprovision"))
            .args(["doctor", "--endpoint", &endpoint])
            .env("REPROVISION_TOKEN", "t")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        // It waits for an answer that never comes.
        let _asked = silent.accept().expect("a connection");
        let pid = Pid::from_raw(i32::try_from(doctor.id()).expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("sent");
        assert_eq!(doctor.wait().expect("its end").code(), Some(code), "{signal:?}");
    }
}
