//! The account of a run, with the binary: what is the same run, complete runs, stops, faces, and `summary.json` against its schema.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::sign_in_support::said;

use serde_json::Value;

/// Fifty users at this rate take a fraction of a second.
const FAST: [&str; 4] = ["--rate", "400", "--progress", "none"];

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reprovision"));
    command
        .current_dir(folder)
        .env_remove("REPROVISION_TOKEN")
        .env_remove("AZURE_TENANT_ID")
        .env_remove("AZURE_CLIENT_ID")
        .stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder).arg("run").args(arguments).args(FAST).output().expect("the program runs")
}

fn users(folder: &Path, name: &str, rows: u64) {
    let lines: String = (1..=rows).map(|row| format!("{row:08x}-0000-4000-8000-000000000000\n")).collect();
    fs::write(folder.join(name), format!("id\n{lines}")).expect("the input");
}

fn ended(output: &Output, code: i32, text: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    assert!(said(output).contains(text), "{text:?} is not in: {}", said(output));
}

fn runs(folder: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(folder.join("reprovision-runs")).into_iter().flatten().flatten();
    let mut folders: Vec<_> = found.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("read")).expect("JSON")
}

/// The part of JSON Schema that the schema of the summary uses; anything else in it is a mistake of the test.
fn check(schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    for (word, rule) in schema.as_object().expect("a schema is an object") {
        let right = match word.as_str() {
            "$schema" | "title" | "description" => true,
            "type" => {
                let is = |name: &Value| match name.as_str().expect("a type is a word") {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "number" => value.is_number(),
                    "null" => value.is_null(),
                    other => panic!("type {other}"),
                };
                rule.as_array().map_or_else(|| is(rule), |any| any.iter().any(is))
            }
            "const" => value == rule,
            "enum" => rule.as_array().expect("a list").contains(value),
            "minimum" => value.as_f64().is_some_and(|number| number >= rule.as_f64().expect("a number")),
            "required" => rule
                .as_array()
                .expect("a list")
                .iter()
                .all(|name| value.get(name.as_str().expect("a name")).is_some()),
            "properties" => {
                for (name, schema) in rule.as_object().expect("properties") {
                    if let Some(value) = value.get(name) {
                        check(schema, value, &format!("{at}.{name}"), wrong);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known =
                    |name: &String| schema.get("properties").is_some_and(|known| known.get(name).is_some());
                let others = value.as_object().into_iter().flatten().filter(|(name, _)| !known(name));
                let others: Vec<_> = others.collect();
                if rule.is_object() {
                    others
                        .iter()
                        .for_each(|(name, value)| check(rule, value, &format!("{at}.{name}"), wrong));
                }
                rule.is_object() || others.is_empty()
            }
            "items" => {
                let list = value.as_array().into_iter().flatten().enumerate();
                list.for_each(|(n, value)| check(rule, value, &format!("{at}[{n}]"), wrong));
                true
            }
            other => panic!("{other} is not checked"),
        };
        if !right {
            wrong.push(format!("{at}: {word} {rule} does not hold for {value}"));
        }
    }
}

fn valid(summary: &Value) -> Vec<String> {
    let schema = json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/summary.schema.json"));
    let mut wrong = Vec::new();
    check(&schema, summary, "summary", &mut wrong);
    wrong
}

#[test]
fn summaries_match_their_schema() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("a.csv"), "id\n11111111-0000-4000-8000-000000000001\nnot an id\nann@contoso.com\n")
        .expect("written");
    let noted = ["a.csv", "--simulate=calm", "--label", "wave-3", "--ticket", "CHG0042"];
    let limited = run(folder, &[&noted[..], &["--limit", "1", "--out", "a"]].concat());
    ended(&limited, 0, "wave-3");
    assert_eq!(valid(&json(&folder.join("a/summary.json"))), [] as [&str; 0]);
    ended(&run(folder, &[&noted[..], &["--out", "a"]].concat()), 3, "CHG0042");
    let summary = json(&folder.join("a/summary.json"));
    assert_eq!(valid(&summary), [] as [&str; 0]);
    assert_eq!(summary["run"]["label"], "wave-3");
    assert_eq!((&summary["rows_in"], &summary["rows_out"]), (&3.into(), &3.into()));
    let results =
        summary["files"].as_array().expect("files").iter().find(|file| file["name"] == "results.csv");
    let bytes = fs::read(folder.join("a/results.csv")).expect("read");
    let hash = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(results.expect("listed")["sha256"], hex);
    // The checker finds what is wrong.
    let mut broken = summary;
    broken["rows_in"] = "three".into();
    broken["totals"]["fixed"] = 1.into();
    broken["exit_code"] = 9.into();
    assert_eq!(valid(&broken).len(), 4, "{:?}", valid(&broken));
}

#[test]
fn complete_run_started_again_sends_nothing_and_restores_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("a.csv"), "id\n11111111-0000-4000-8000-000000000001\nnot an id\nann@contoso.com\n")
        .expect("written");
    let arguments = ["a.csv", "--simulate=calm", "--out", "a"];
    ended(&run(folder, &arguments), 3, "Finished");
    let before = fs::read(folder.join("a/results.csv")).expect("read");
    for name in ["failed.csv", "summary.json"] {
        fs::remove_file(folder.join("a").join(name)).expect("removed");
    }
    let again = run(folder, &arguments);
    ended(&again, 3, "nothing was sent; written again: failed.csv, summary.json");
    assert!(!said(&again).contains("arrived"), "no simulator was asked: {}", said(&again));
    assert_eq!(fs::read(folder.join("a/results.csv")).expect("read"), before);
    assert!(fs::read_to_string(folder.join("a/failed.csv")).expect("there").contains("not an id"));
    let written = || {
        (
            json(&folder.join("a/run.json"))["started_at"].clone(),
            json(&folder.join("a/run.json"))["settings"].clone(),
        )
    };
    let before = written();
    ended(&run(folder, &arguments), 3, "all its files are there");
    assert_eq!(written(), before, "those of the call that worked on it");
}

#[test]
fn other_list_for_a_used_folder_is_rejected_with_its_run_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    users(folder, "a.csv", 5);
    users(folder, "b.csv", 6);
    ended(&run(folder, &["a.csv", "--simulate=calm", "--out", "a"]), 0, "NEW");
    let other = run(folder, &["b.csv", "--simulate=calm", "--out", "a"]);
    ended(&other, 2, "holds another run (the input has changed)");
    assert!(!folder.join("a/input.incoming").exists());
    ended(
        &run(folder, &["a.csv", "--simulate=calm", "--out", "a", "--new-run"]),
        2,
        "never touches old files",
    );
    ended(&run(folder, &["a.csv", "--simulate=calm"]), 0, "NEW");
    ended(&run(folder, &["a.csv", "--simulate=calm"]), 0, "this list was run before");
    assert_eq!(runs(folder).len(), 2);
    fs::write(folder.join("a/results.csv"), "saved;by;Excel\r\n").expect("written");
    ended(&run(folder, &["a.csv", "--simulate=calm", "--out", "a"]), 2, "Excel");
}

#[test]
fn run_of_failed_csv_records_the_run_that_it_retries() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("a.csv"), "id;name\n11111111-0000-4000-8000-000000000001;a\nwrong;b\n")
        .expect("written");
    let first = run(folder, &["a.csv", "--simulate=calm", "--out", "a"]);
    let list = Path::new("a").join("failed.csv");
    ended(&first, 3, &format!("run {}", list.display()));
    let failed = fs::read_to_string(folder.join("a/failed.csv")).expect("read");
    fs::write(folder.join("fixed.csv"), failed.replace("wrong", "ann@contoso.com")).expect("fixed");
    ended(&run(folder, &["fixed.csv", "--simulate=calm", "--out", "b"]), 0, "retries what failed in a");
    assert_eq!(json(&folder.join("b/run.json"))["retry_of"], serde_json::json!(["a"]));
}

#[test]
fn header_only_list_exits_0_and_empty_input_exits_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    ended(&run(folder, &["-", "--simulate=calm"]), 2, "did the command before the pipe fail?");
    fs::write(folder.join("a.csv"), "id\n").expect("written");
    ended(&run(folder, &["a.csv", "--simulate=calm"]), 0, "nothing to do");
    users(folder, "b.csv", 5);
    ended(&run(folder, &["b.csv", "--simulate=calm", "--expect-max", "4"]), 7, "--expect-max allows 4");
    assert_eq!(runs(folder), [] as [PathBuf; 0], "nothing was sent and nothing stays");
    ended(&run(folder, &["b.csv", "--yes"]), 2, "--yes needs --tenant");
    ended(
        &run(folder, &["b.csv", "--endpoint", "http://127.0.0.1:9", "--token-command", "echo x"]),
        2,
        "run b.csv --endpoint http://127.0.0.1:9 --rate 400 --progress none --yes",
    );
}

#[cfg(unix)]
#[test]
fn closed_or_full_stdout_does_not_change_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    users(folder, "a.csv", 20);
    for (n, redirect) in [">&- 2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full", "| true", "2>&1 | head -c 1"]
        .iter()
        .enumerate()
    {
        let line = format!("set -o pipefail; \"$@\" {redirect}");
        let status = Command::new("bash")
            .args(["-c", &line, "bash", env!("CARGO_BIN_EXE_reprovision"), "run", "a.csv", "--simulate=calm"])
            .args(["--rate", "400", "--out", &format!("out{n}")])
            .current_dir(folder)
            .env_remove("AZURE_TENANT_ID")
            .stderr(Stdio::null())
            .status()
            .expect("bash");
        assert_eq!(status.code(), Some(0), "{redirect}");
        let results = fs::read_to_string(folder.join(format!("out{n}/results.csv"))).expect("results");
        assert_eq!(results.lines().count(), 21, "{redirect}");
    }
}

#[cfg(unix)]
#[test]
fn run_files_are_private_with_any_umask() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    users(folder, "a.csv", 5);
    let status = Command::new("bash")
        .args(["-c", "umask 0; exec \"$@\"", "bash", env!("CARGO_BIN_EXE_reprovision")])
        .args(["run", "a.csv", "--simulate=calm", "--out", "a", "--log-file", "run.log"])
        .current_dir(folder)
        .output()
        .expect("bash");
    assert_eq!(status.status.code(), Some(0), "{}", said(&status));
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode(&folder.join("a")), 0o700);
    for entry in fs::read_dir(folder.join("a")).expect("listed").flatten() {
        assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
    }
    assert_eq!(mode(&folder.join("run.log")), 0o600);
}

#[test]
fn log_has_each_user_and_request_and_never_the_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    users(folder, "a.csv", 5);
    let log = ["--log-file", "run.log", "--log-format", "json", "-vvv"];
    let output = run(folder, &[&["a.csv", "--simulate=calm", "--out", "a"][..], &log].concat());
    ended(&output, 0, "Finished");
    let text = fs::read_to_string(folder.join("run.log")).expect("the log");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |message: &str| lines.iter().filter(|line| line["message"] == message).count();
    assert_eq!((of("done"), of("answered")), (5, 5), "{text}");
    assert!(!text.to_ascii_lowercase().contains("bearer") && !text.contains('\u{1b}'), "{text}");
    let quiet = run(folder, &["a.csv", "--simulate=calm", "--out", "b", "--quiet"]);
    ended(&quiet, 0, "Finished");
    assert_eq!(String::from_utf8_lossy(&quiet.stderr), "");
}

#[test]
fn json_log_format_writes_only_json_lines_to_stderr() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    users(folder, "a.csv", 5);
    let lines = |output: &Output| -> Vec<(String, String)> {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let object =
            |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line} in {text}"));
        let word = |line: &Value, key: &str| {
            line[key].as_str().unwrap_or_else(|| panic!("{key} in {line}")).to_owned()
        };
        assert!(text.lines().map(object).all(|line| word(&line, "timestamp").ends_with('Z')), "{text}");
        text.lines().map(object).map(|line| (word(&line, "level"), word(&line, "message"))).collect()
    };
    let has = |lines: &[(String, String)], level: &str, begin: &str| {
        lines.iter().any(|(of, message)| of == level && message.starts_with(begin))
    };
    let output = run(folder, &["a.csv", "--simulate=calm", "--out", "a", "-v", "--log-format", "json"]);
    ended(&output, 0, "Finished");
    let told = lines(&output);
    assert!(has(&told, "INFO", "Tenant   SIMULATED") && has(&told, "INFO", "done"), "{told:?}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("SIMULATED  Finished"), "results stay text");
    let results = folder.join("a/results.csv");
    let text = fs::read_to_string(&results).expect("read");
    fs::write(&results, text.replacen("accepted", "axcepted", 1)).expect("flipped");
    let again = lines(&run(folder, &["a.csv", "--simulate=calm", "--out", "a", "--log-format", "json"]));
    assert!(has(&again, "WARN", "1 damaged line of "), "{again:?}");
    let wrong = lines(&run(folder, &["none.csv", "--simulate=calm", "--log-format", "json"]));
    assert!(wrong.len() == 1 && has(&wrong, "ERROR", "none.csv: there is no such file"), "{wrong:?}");
}

#[test]
fn deadline_stops_run_immediately_if_a_pause_outlasts_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    users(folder, "a.csv", 60);
    let fixed = |more: &[&str]| {
        let words = ["run", "a.csv", "--rate", "fixed:20", "--progress", "none"];
        command(folder).args(words).args(more).output().expect("the program runs")
    };
    let stopped = fixed(&["--simulate=calm", "--out", "a", "--deadline", "1s"]);
    ended(&stopped, 5, "stopped: --deadline has passed");
    let done = json(&folder.join("a/summary.json"))["rows_out"].as_u64().expect("a number");
    assert!((1..60).contains(&done), "{}", said(&stopped));
    ended(&fixed(&["--simulate=calm", "--out", "a"]), 0, "60 rows in = 60 rows out");
    let rules = "title = 'a pause'\nthrottle_after = [5]\nthrottle_wait_s = [600, 600]\n[objects]\nunknown_ids_exist = true\n";
    fs::write(folder.join("pause.toml"), rules).expect("written");
    let begun = std::time::Instant::now();
    let paused = fixed(&["--simulate=pause.toml", "--out", "b", "--deadline", "5m"]);
    ended(&paused, 5, "Microsoft 365 asks for a pause of ");
    assert!(begun.elapsed().as_secs() < 60, "{:?}: {}", begun.elapsed(), said(&paused));
    // The pause still holds for the next call, which says so as well.
    let again = fixed(&["--simulate=pause.toml", "--out", "b", "--deadline", "1m"]);
    ended(&again, 5, "and --deadline ends before that");
}

#[test]
fn run_killed_before_its_summary_is_finished_without_sending() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    users(folder, "a.csv", 5);
    let list = fs::read_to_string(folder.join("a.csv")).expect("read") + "not an id\n";
    fs::write(folder.join("a.csv"), list).expect("written");
    let asked = ["a.csv", "--simulate=calm"];
    ended(&run(folder, &[&asked[..], &["--limit", "2"]].concat()), 0, "Continue  ");
    let out = runs(folder).remove(0);
    // What a call that was killed after its last record leaves: the files of the call before.
    let files = ["failed.csv", "summary.json", "report.html"].map(|name| out.join(name));
    let before = files.each_ref().map(|file| fs::read(file).expect("read"));
    ended(&run(folder, &asked), 3, "Finished");
    let results = fs::read(out.join("results.csv")).expect("read");
    for (file, bytes) in files.iter().zip(&before) {
        fs::write(file, bytes).expect("written");
    }
    ended(
        &run(folder, &asked),
        3,
        "is complete: nothing was sent; written again: failed.csv, summary.json, report.html",
    );
    assert_eq!(runs(folder), std::slice::from_ref(&out), "no second run");
    assert_eq!(fs::read(out.join("results.csv")).expect("read"), results);
    let failed = fs::read_to_string(out.join("failed.csv")).expect("read");
    assert!(failed.contains("not an id"), "{failed}");
    assert_eq!(json(&out.join("summary.json"))["complete"], true);
    // Now it is finished: the same list again is a new run.
    ended(&run(folder, &asked), 3, "this list was run before");
    assert_eq!(runs(folder).len(), 2);
}

#[test]
fn folder_with_foreign_files_is_rejected_and_unchanged() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    users(folder, "a.csv", 2);
    for name in ["input.csv", "failed.csv", "run.json", "results.csv", "summary.json", "report.html"] {
        let mine = folder.join(format!("of-{name}"));
        fs::create_dir(&mine).expect("created");
        fs::write(mine.join(name), "precious").expect("written");
        let out = mine.to_str().expect("UTF-8");
        let refused = run(folder, &["a.csv", "--simulate=calm", "--out", out]);
        ended(&refused, 2, "which no run wrote");
        assert!(said(&refused).contains(name), "{}", said(&refused));
        let names: Vec<_> = fs::read_dir(&mine).expect("listed").flatten().map(|e| e.file_name()).collect();
        assert_eq!(names, [name]);
        assert_eq!(fs::read_to_string(mine.join(name)).expect("read"), "precious");
    }
    // Anything else in it is in nobody's way, and so is what a run left that was killed as it began.
    let used = folder.join("used");
    fs::create_dir(&used).expect("created");
    fs::write(used.join("notes.txt"), "mine").expect("written");
    fs::write(used.join("lock"), "").expect("written");
    fs::write(used.join("input.csv"), "half a co").expect("written");
    fs::write(used.join("run.json"), "{").expect("written");
    ended(&run(folder, &["a.csv", "--simulate=calm", "--out", "used"]), 0, "Finished");
}

#[cfg(unix)]
#[test]
fn signal_ends_process_whose_output_is_blocked() {
    use std::io::Write;
    use std::time::{Duration, Instant};
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    users(folder, "a.csv", 3);
    // A full pipe: a write into it waits until the other end is read.
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    rustix::io::ioctl_fionbio(&writer, true).expect("set");
    while writer.write(&[b'x'; 4_096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).expect("set");
    let mut started = command(folder);
    started.args(["run", "a.csv", "--simulate=calm", "--out", "a"]).args(FAST);
    let mut child = started.stdout(writer).stderr(Stdio::null()).spawn().expect("started");
    drop(started);
    let until = Instant::now() + Duration::from_secs(20);
    while !folder.join("a/summary.json").exists() {
        assert!(Instant::now() < until, "it does not end its work");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(child.try_wait().expect("a child"), None, "it waits to tell the summary");
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    let until = Instant::now() + Duration::from_secs(20);
    let status = loop {
        match child.try_wait().expect("a child") {
            Some(status) => break status,
            None if Instant::now() > until => {
                let _ = child.kill();
                panic!("it waits for ever");
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    // All was done and accounted for; only nobody heard of it.
    assert_eq!(status.code(), Some(0));
    drop(reader);
}

#[test]
fn two_starts_in_the_same_second_are_one_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    // Five seconds of work: the second comes while the first is at it.
    users(folder, "a.csv", 200);
    let start = || {
        let mut command = command(folder);
        command.args(["run", "a.csv", "--simulate=calm", "--rate", "fixed:40", "--progress", "none"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started")
    };
    let both = [start(), start()].map(|child| child.wait_with_output().expect("its end"));
    let mut codes = both.each_ref().map(|output| output.status.code());
    codes.sort();
    assert_eq!(codes, [Some(0), Some(8)], "{}\n{}", said(&both[0]), said(&both[1]));
    assert_eq!(runs(folder).len(), 1);
}

#[cfg(unix)]
#[test]
fn second_signal_aborts_and_the_same_command_resumes() {
    use std::io::{BufRead, BufReader, Read};
    use std::time::{Duration, Instant};
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    users(folder, "a.csv", 200);
    // Answers that take their time, that with the token too: the first signal would wait for them, as long as it may.
    fs::write(folder.join("slow.toml"), "title = \"slow\"\nlatency_ms = 12000\n").expect("written");
    let mut started = command(folder);
    started.args(["run", "a.csv", "--simulate=slow.toml", "--rate", "400", "--out", "a"]);
    let mut child = started.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let until = Instant::now() + Duration::from_secs(90);
    while !folder.join("a/results.csv").exists() {
        assert!(Instant::now() < until, "it does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    let pid = child.id().to_string();
    let signal = || Command::new("kill").args(["-INT", &pid]).status().expect("kill");
    signal();
    // The second is one once the first was heard.
    let mut lines = BufReader::new(child.stderr.take().expect("piped"));
    let mut heard = String::new();
    while !heard.contains("Press Ctrl-C again to exit immediately") {
        assert!(lines.read_line(&mut heard).expect("text") > 0, "{heard}");
    }
    // Signals that come sooner belong to the first.
    std::thread::sleep(Duration::from_millis(550));
    let asked = Instant::now();
    signal();
    lines.read_to_string(&mut heard).expect("text");
    let mut output = child.wait_with_output().expect("its end");
    // 200 ms on an idle machine; whatever a busy one takes, it is not the 10 s that the first signal waits.
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    output.stderr = heard.into_bytes();
    ended(&output, 130, "To continue: ");
    ended(&run(folder, &["a.csv", "--simulate=calm", "--out", "a"]), 0, "Finished");
}
