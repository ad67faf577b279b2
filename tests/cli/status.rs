//! `status` with the binary: a live run, a dead one, a complete one, none.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reprovision"));
    command.args(arguments).current_dir(folder).env_remove("AZURE_TENANT_ID");
    command
}

fn status(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, &[&["status"], arguments].concat()).output().expect("the program runs")
}

fn json(folder: &Path) -> Value {
    let output = status(folder, &["--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(folder: &Path, what: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let found = json(folder);
        if what(&found) {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it never came: {found}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn status_shows_live_dead_and_complete_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let none = status(folder.path(), &[]);
    assert_eq!(none.status.code(), Some(2));
    let users: String = (1..=1_200).map(|row| format!("{row:08x}-0000-4000-8000-000000000000\n")).collect();
    fs::write(folder.path().join("users.csv"), format!("id\n{users}")).expect("the input");
    let run = ["run", "users.csv", "--simulate=calm", "--rate", "fixed:40"];
    let mut quiet = command(folder.path(), &run);
    let mut running =
        Running(quiet.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program runs"));
    let live = wait_for(folder.path(), |found| found["done"].as_u64() > Some(20));
    assert_eq!((&live["state"], &live["rows"]), (&"running".into(), &1_200.into()), "{live}");
    assert!(live["per_second"].as_f64() > Some(1.0), "{live}");
    let told = String::from_utf8_lossy(&status(folder.path(), &[]).stdout).into_owned();
    assert!(told.contains("(the newest)") && told.contains("State    running"), "{told}");
    assert!(told.contains("SIMULATED") && told.contains("accepted the request"), "{told}");

    running.0.kill().expect("killed");
    running.0.wait().expect("gone");
    let dead = json(folder.path());
    assert_eq!(dead["state"], "stopped", "{dead}");
    let told = String::from_utf8_lossy(&status(folder.path(), &["users"]).stdout).into_owned();
    assert!(told.contains("Continue ") && !told.contains("Pace"), "{told}");

    let rest = ["run", "users.csv", "--simulate=calm", "--rate", "fixed:1000"];
    assert_eq!(command(folder.path(), &rest).output().expect("the program runs").status.code(), Some(0));
    let began = Instant::now();
    let complete = status(folder.path(), &["--watch"]);
    assert!(began.elapsed() < Duration::from_secs(20), "--watch ends with the run");
    let told = String::from_utf8_lossy(&complete.stdout).into_owned();
    assert!(told.contains("State    complete") && told.contains("1,200 of 1,200 rows (100 %)"), "{told}");
}
