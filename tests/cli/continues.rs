//! The command that continues a run: the same wherever it stands, and when it is typed the run is completed.

#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::service::Service;
use crate::sign_in_support::said;

/// All exist, and every second is not found by the action.
const TENANT: &str = "title = 'continues'\nmissing = 0.5\nlatency_ms = 20\n";
const ROWS: usize = 120;

/// The commands that text holds behind one of the words that lead to them.
fn commands(text: &str) -> BTreeSet<String> {
    let leads = ["Continue  ", "Continue ", "To continue anyway: ", "To continue: ", "Continue: "];
    let lines = text.lines().filter_map(|line| {
        leads.iter().find_map(|lead| Some(line[line.find(lead)? + lead.len()..].trim().to_owned()))
    });
    lines.collect()
}

/// All places that name the command of the run in `out`, apart from what its invocation printed.
fn places(service: &Service, desk: &Path, out: &str) -> BTreeSet<String> {
    let ask = |arguments: &[&str]| service.command(desk, arguments).output().expect("the program runs");
    let mut found = commands(&said(&ask(&["status", out])));
    let json: serde_json::Value =
        serde_json::from_slice(&ask(&["status", out, "--json"]).stdout).expect("JSON");
    found.insert(json["continue"].as_str().expect("the command").to_owned());
    found.extend(commands(&said(&ask(&["report", out]))));
    let page = fs::read_to_string(desk.join(out).join("report.html")).expect("report.html");
    let (_, page) = page.split_once("Continue: <code>").expect("on the page");
    found.insert(page.split_once("</code>").expect("its end").0.to_owned());
    let run: serde_json::Value =
        serde_json::from_slice(&fs::read(desk.join(out).join("run.json")).expect("run.json")).expect("JSON");
    found.insert(run["continue"].as_str().expect("the command").to_owned());
    found
}

/// Types the command in the same folder, with the same sign-in, and nothing on standard input.
fn typed(service: &Service, desk: &Path, line: &str) -> Output {
    let known = service.command(desk, &[]);
    let mut shell = Command::new("bash");
    shell.args(["-c", line]).current_dir(desk).stdin(Stdio::null());
    for (name, value) in known.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.output().expect("bash")
}

fn records(desk: &Path, out: &str) -> usize {
    fs::read_to_string(desk.join(out).join("results.csv")).unwrap_or_default().lines().skip(1).count()
}

#[test]
fn continue_command_is_the_same_everywhere_and_completes_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let desk = folder.path();
    let service = Service::of(desk, TENANT);
    let ids: String = (1..=ROWS).map(|row| format!("{row:08x}-0000-4000-8000-000000000000\n")).collect();
    let list = format!("id\n{ids}");
    fs::write(desk.join("a list.csv"), &list).expect("the list");
    for (out, input, more, code) in [
        ("guard", "a list.csv", &[][..], 7),
        ("fewer", "a list.csv", &["--max-failures", "3"], 7),
        ("limit", "a list.csv", &["--limit", "5", "--max-failures", "100%"], 3),
        ("deadline", "a list.csv", &["--rate", "fixed:5", "--deadline", "1s"], 5),
        ("piped", "-", &["--limit", "5", "--max-failures", "100%"], 3),
    ] {
        let arguments = [&["run", input, "--yes", "--out", out][..], more].concat();
        let mut first = service
            .command(desk, &arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("run");
        let _ = first.stdin.take().expect("a pipe").write_all(list.as_bytes());
        let first = first.wait_with_output().expect("its end");
        assert_eq!(first.status.code(), Some(code), "{out}: {}", said(&first));
        let mut found = commands(&said(&first));
        found.extend(places(&service, desk, out));
        assert_eq!(found.len(), 1, "{out}: {found:#?}");
        let line = found.into_iter().next().expect("one");
        assert!(line.contains(" --yes"), "{line}");
        assert!(code != 7 || line.ends_with("--max-failures 100%"), "{line}");
        // Half of the users are not found: without its own limit the rest may stop again.
        let rest = if line.contains("--max-failures 100%") { line } else { line + " --max-failures 100%" };
        let rest = rest.replace("--rate fixed:5 --deadline 1s", "");
        let second = typed(&service, desk, &rest);
        assert_eq!(second.status.code(), Some(3), "{rest}: {}", said(&second));
        assert_eq!(records(desk, out), ROWS, "{rest}: {}", said(&second));
    }
}

#[test]
fn killed_run_names_its_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let desk = folder.path();
    let service = Service::of(desk, "title = 'killed'\nlatency_ms = 20\n");
    let ids: String = (1..=ROWS).map(|row| format!("{row:08x}-0000-4000-8000-000000000000\n")).collect();
    fs::write(desk.join("users.csv"), format!("id\n{ids}")).expect("the list");
    let mut run = service
        .command(desk, &["run", "users.csv", "--yes", "--out", "out", "--rate", "fixed:40"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("run");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while records(desk, "out") < 5 {
        assert!(std::time::Instant::now() < until, "it does not begin");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    run.kill().expect("killed");
    run.wait().expect("its end");
    let found = places(&service, desk, "out");
    assert_eq!(found.len(), 1, "{found:#?}");
    let line = found.into_iter().next().expect("one").replace("fixed:40", "fixed:2000");
    let second = typed(&service, desk, &line);
    assert_eq!((second.status.code(), records(desk, "out")), (Some(0), ROWS), "{line}: {}", said(&second));
}

#[test]
fn rejection_without_terminal_shows_the_command_with_its_flags() {
    let folder = tempfile::tempdir().expect("a folder");
    let desk = folder.path();
    let service = Service::of(desk, "title = 'refused'\n");
    fs::write(desk.join("users.csv"), "id\na@simulated.example\nb@simulated.example\n").expect("the list");
    let refused = service
        .command(desk, &["run", "users.csv", "--limit", "1"])
        .stdin(Stdio::null())
        .output()
        .expect("run");
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    let text = said(&refused);
    let (_, line) = text.split_once("To confirm on the command line: ").expect("a command");
    let second = typed(&service, desk, line.trim());
    assert_eq!(second.status.code(), Some(0), "{line}: {}", said(&second));
    assert!(said(&second).contains("1 done so far"), "the limit stays: {}", said(&second));
}

#[test]
fn rejection_without_terminal_asks_for_an_unknown_tenant() {
    let folder = tempfile::tempdir().expect("a folder");
    let sweep = Command::new(env!("CARGO_BIN_EXE_reprovision"))
        .args(["sweep"])
        .current_dir(folder.path())
        .env("REPROVISION_TOKEN", "opaque")
        .env_remove("AZURE_TENANT_ID")
        .stdin(Stdio::null())
        .output()
        .expect("sweep");
    let text = said(&sweep);
    assert_eq!(sweep.status.code(), Some(2), "{text}");
    assert!(text.contains("with the domain or id of the tenant in --tenant: "), "{text}");
}
