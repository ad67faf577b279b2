//! `find`, `run` and `verify` against the simulator: lists and verdicts match the tenant's own counts, despite faults.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::service::Service;
use crate::sign_in_support::said;

/// A tenant with errors of every kind.
const TENANT: &str = r#"
title = "scan"
seed = 3
[objects]
users = 4000
groups = 300
contacts = 300
broken = 0.075
other_errors = 0.02
broken_xml = 0.02
"#;

fn ids(text: &[u8]) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(text);
    reader.records().map(|record| record.expect("a whole row")[0].to_owned()).collect()
}

#[test]
fn command_after_find_has_the_same_tenant_and_object_kind() {
    let desk = tempfile::tempdir().expect("a folder");
    fs::write(desk.path().join("tenant.toml"), TENANT).expect("written");
    for (object, next) in [
        ("users", "run list-users.csv --simulate=tenant.toml\n"),
        ("groups", "run list-groups.csv --simulate=tenant.toml --object groups\n"),
    ] {
        let list = format!("list-{object}.csv");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_reprovision"))
            .args(["find", "--simulate=tenant.toml", "--object", object, "--out", &list])
            .current_dir(desk.path())
            .output()
            .expect("find");
        assert!(said(&output).contains(next), "{object}: {}", said(&output));
    }
}

#[test]
fn find_lists_exactly_the_objects_with_errors() {
    let desk = tempfile::tempdir().expect("a folder");
    let service = Service::of(desk.path(), TENANT);
    for object in ["users", "groups", "contacts"] {
        let output = service.command(desk.path(), &["find", "--object", object]).output().expect("find");
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let found = ids(&output.stdout);
        let census = &service.account("/__ledger/errors")[object];
        assert_eq!(found.len() as u64, census["unresolved"], "{object}");
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "{object}: no object twice");
        let one = service
            .command(
                desk.path(),
                &["find", "--object", object, "--only-service", "EXCHANGE", "--older-than", "10d"],
            )
            .output()
            .expect("find");
        let mut reader = csv::Reader::from_reader(&one.stdout[..]);
        let mut some = 0;
        for record in reader.records() {
            assert_eq!(&record.expect("a row")[3], "exchange");
            some += 1;
        }
        assert!(some > 0 && some < found.len(), "{object}: {some} of {}", found.len());
    }
    let summary = service.command(desk.path(), &["find", "--summary"]).output().expect("find");
    let text = String::from_utf8_lossy(&summary.stdout);
    assert!(text.contains("exchange  ProxyAddressConflict") && !text.contains("@simulated"), "{text}");
    assert!(said(&summary).contains("with a directory-sync error"), "{}", said(&summary));
}

#[test]
fn find_is_complete_with_faults_on_pages() {
    let desk = tempfile::tempdir().expect("a folder");
    let faults = "[faults]\nerror_500 = 0.1\nreset_before = 0.1\nhtml_502 = 0.05\nthrottle_429 = 0.1\ncut_off = 0.05\n";
    let service =
        Service::of(desk.path(), &format!("{TENANT}{faults}").replace("users = 4000", "users = 9000"));
    let output = service.command(desk.path(), &["find"]).output().expect("find");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let found = ids(&output.stdout);
    assert_eq!(found.len() as u64, service.account("/__ledger/errors")["users"]["unresolved"]);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "no user twice");
    assert!(
        service.account("/__ledger")["reads"].as_u64().expect("a count") > 10,
        "some page was read again"
    );
}

#[test]
fn list_of_find_is_a_valid_input_of_run() {
    let desk = tempfile::tempdir().expect("a folder");
    let service = Service::of(desk.path(), TENANT);
    let mut find = service
        .command(desk.path(), &["find", "--object", "groups"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("find");
    let pipe = find.stdout.take().expect("a pipe");
    let run = service
        .command(desk.path(), &["run", "-", "--object", "groups", "--yes", "--out", "out", "--rate", "2000"])
        .stdin(Stdio::from(pipe))
        .output()
        .expect("run");
    assert_eq!(find.wait().expect("its end").code(), Some(0));
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    assert_eq!(service.account("/__ledger/errors")["groups"]["untouched"], 0);
}

#[cfg(unix)]
#[test]
fn failed_find_leaves_no_list_for_run() {
    let desk = tempfile::tempdir().expect("a folder");
    // The service always answers 503.
    let service =
        Service::of(desk.path(), "title = 'x'\noutages_s = [[0.0, 9999.0]]\n[objects]\nusers = 10\n");
    let mut find = service
        .command(desk.path(), &["find", "--timeout", "1s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("find");
    let pipe = find.stdout.take().expect("a pipe");
    // SIGTERM arrives while it waits for the service.
    let until = Instant::now() + Duration::from_secs(20);
    while service.account("/__ledger")["reads"] == 0 {
        assert!(Instant::now() < until, "it reads nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = std::process::Command::new("kill").args(["-TERM", &find.id().to_string()]).status();
    assert!(ended.expect("kill").success());
    let run = service
        .command(desk.path(), &["run", "-", "--yes", "--out", "out"])
        .stdin(Stdio::from(pipe))
        .output()
        .expect("run");
    assert_eq!(find.wait().expect("its end").code(), Some(143));
    assert_eq!(run.status.code(), Some(2), "{}", said(&run));
    assert!(said(&run).contains("did the command before the pipe fail?"), "{}", said(&run));
    assert_eq!(service.account("/__ledger")["accepted"], 0);
}

/// A proxy that forwards the first `pages` responses of the simulator and then writes `then`. Returns its URL.
fn proxy(service: &Service, pages: usize, then: fn(&mut dyn Write)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = format!("http://{}", listener.local_addr().expect("an address"));
    let behind = service.endpoint.trim_start_matches("http://").to_owned();
    let (from, to) = (service.endpoint.clone(), own.clone());
    std::thread::spawn(move || {
        let mut forwarded = 0;
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut out = stream;
            let mut head = String::new();
            while let Ok(1..) = reader.read_line(&mut head) {
                if head.ends_with("\r\n\r\n") {
                    break;
                }
            }
            if head.is_empty() {
                continue;
            }
            if forwarded == pages {
                then(&mut out);
                continue;
            }
            forwarded += 1;
            let mut on = std::net::TcpStream::connect(&behind).expect("the simulator");
            let head = head.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
            on.write_all(head.as_bytes()).expect("sent");
            let mut answer = Vec::new();
            on.read_to_end(&mut answer).expect("an answer");
            let text = String::from_utf8(answer).expect("UTF-8").replace(&from, &to);
            let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
            let head: Vec<_> = head
                .lines()
                .filter(|line| !line.to_ascii_lowercase().starts_with("content-length"))
                .collect();
            let whole = format!("{}\r\ncontent-length: {}\r\n\r\n{body}", head.join("\r\n"), body.len());
            let _ = out.write_all(whole.as_bytes());
        }
    });
    own
}

#[test]
fn interrupted_find_resumes_at_its_page() {
    let desk = tempfile::tempdir().expect("a folder");
    let scenario = TENANT.replace("users = 4000", "users = 199800");
    let service = Service::of(desk.path(), &scenario);
    let cut = proxy(&service, 40, |out| {
        let error = r#"{"error":{"code":"Authorization_RequestDenied","message":"No."}}"#;
        let length = error.len();
        let _ = write!(
            out,
            "HTTP/1.1 403 Forbidden\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{error}"
        );
    });
    let first = service
        .command(desk.path(), &["find", "--out", "list.csv"])
        .env("REPROVISION_ENDPOINT", &cut)
        .output()
        .expect("find");
    assert_eq!(first.status.code(), Some(6), "{}", said(&first));
    assert!(!desk.path().join("list.csv").exists(), "there is no partial list");
    // The next link in the checkpoint leads to the simulator itself now, without the proxy.
    let checkpoint = fs::read_to_string(desk.path().join("list.csv.partial.json")).expect("a checkpoint");
    fs::write(desk.path().join("list.csv.partial.json"), checkpoint.replace(&cut, &service.endpoint))
        .expect("moved");
    let before = service.account("/__ledger")["reads"].as_u64().expect("a count");
    assert_eq!(before, 40);
    let second = service.command(desk.path(), &["find", "--out", "list.csv"]).output().expect("find");
    assert_eq!(second.status.code(), Some(0), "{}", said(&second));
    assert!(said(&second).contains("continues after page 40"), "{}", said(&second));
    assert_eq!(
        service.account("/__ledger")["reads"].as_u64().expect("a count"),
        200,
        "only the other 160 of 200 pages are read"
    );
    let found = ids(&fs::read(desk.path().join("list.csv")).expect("the list"));
    assert_eq!(found.len() as u64, service.account("/__ledger/errors")["users"]["unresolved"]);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "no user twice");
}

#[test]
fn next_link_to_another_host_is_not_followed() {
    let desk = tempfile::tempdir().expect("a folder");
    let service = Service::of(desk.path(), "title = 'x'\n[objects]\nusers = 3\n");
    let evil = proxy(&service, 0, |out| {
        let body = r#"{"value":[],"@odata.nextLink":"http://127.0.0.1:1/beta/users?$skiptoken=x"}"#;
        let _ = write!(
            out,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
    });
    let output =
        service.command(desk.path(), &["find"]).env("REPROVISION_ENDPOINT", &evil).output().expect("find");
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("which is not the endpoint: not followed"), "{}", said(&output));
    assert!(output.stdout.is_empty(), "nothing is printed");
}

#[test]
fn scan_stops_when_next_links_form_a_loop() {
    let desk = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = format!("http://{}", listener.local_addr().expect("an address"));
    let next = format!("{own}/beta/users?again");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut head = String::new();
            while let Ok(1..) = reader.read_line(&mut head)
                && !head.ends_with("\r\n\r\n")
            {}
            let body = format!(r#"{{"value":[{{"id":"a"}}],"@odata.nextLink":"{next}"}}"#);
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_reprovision"))
        .args(["find", "--endpoint", &own])
        .current_dir(desk.path())
        .env("REPROVISION_TOKEN", "simulated-token-of-no-value")
        .env_remove("AZURE_TENANT_ID")
        .output()
        .expect("find");
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("leads back to a page that was read before"), "{}", said(&output));
    assert!(output.stdout.is_empty(), "nothing is printed");
}

/// 20,000 users, of which 1,500 have an error; the action has its effect after one to two seconds.
const TENANT_WITH_EFFECT: &str = r#"
title = "find, retry, verify"
seed = 8
[objects]
users = 20000
broken = 0.075
fails_again = 0.2
effect_s = [1, 2]
other_errors = 0.02
broken_xml = 0.01
"#;

/// Counts the verdicts in `verified.csv`, and checks that `report.html` shows the same counts.
fn verdicts(folder: &std::path::Path) -> std::collections::BTreeMap<String, u64> {
    let mut counts = std::collections::BTreeMap::new();
    let mut reader = csv::Reader::from_path(folder.join("verified.csv")).expect("verified.csv");
    for record in reader.records() {
        *counts.entry(record.expect("a row")[4].to_owned()).or_default() += 1;
    }
    let page = std::fs::read_to_string(folder.join("report.html")).expect("report.html");
    for (verdict, count) in &counts {
        let shown = page.split(&format!("data-verdict=\"{verdict}\">")).nth(1).expect("shown");
        let shown: String = shown.chars().take_while(|c| *c != '<').filter(char::is_ascii_digit).collect();
        assert_eq!(shown, u64::to_string(count), "{verdict} in report.html");
    }
    counts
}

#[test]
fn find_run_and_verify_match_the_counts_of_the_tenant() {
    let desk = tempfile::tempdir().expect("a folder");
    let service = Service::of(desk.path(), TENANT_WITH_EFFECT);
    let ok = |arguments: &[&str], codes: &[i32]| {
        let output = service.command(desk.path(), arguments).output().expect("it runs");
        assert!(
            output.status.code().is_some_and(|code| codes.contains(&code)),
            "{arguments:?}: {}",
            said(&output)
        );
        output
    };
    ok(&["find", "--out", "broken.csv"], &[0]);
    let broken = service.account("/__ledger/errors")["users"]["unresolved"].as_u64().expect("a count");
    assert!((1_400..1_600).contains(&broken), "{broken}");
    // The action is not run for a hundred of them.
    let list = fs::read_to_string(desk.path().join("broken.csv")).expect("the list");
    let most: Vec<_> = list.lines().take(broken as usize - 100 + 1).collect();
    fs::write(desk.path().join("most.csv"), most.join("\n") + "\n").expect("written");
    ok(&["run", "most.csv", "--yes", "--out", "reprovision-runs/first", "--rate", "fixed:5000"], &[0]);
    let until = Instant::now() + Duration::from_secs(30);
    let last = loop {
        let output = ok(&["verify", "first"], &[4]);
        let counts = verdicts(&desk.path().join("reprovision-runs/first"));
        assert_eq!(counts.values().sum::<u64>(), broken - 100, "{counts:?}");
        if !counts.contains_key("pending") {
            break output;
        }
        assert!(Instant::now() < until, "still pending: {counts:?}");
        std::thread::sleep(Duration::from_millis(200));
    };
    let folder = desk.path().join("reprovision-runs/first");
    let counts = verdicts(&folder);
    let census = &service.account("/__ledger/errors")["users"];
    assert_eq!(counts["cleared"], census["cleared"], "{counts:?} {census}");
    let failing = counts["failed_again"] + counts.get("changed").copied().unwrap_or(0);
    assert_eq!(failing, census["failed_again"], "{counts:?} {census}");
    assert_eq!(census["untouched"], 100, "{census}");
    assert!(
        failing > 100 && said(&last).contains("fix the causes, then: reprovision run"),
        "{}",
        said(&last)
    );
    // The list of users that failed again is a valid input of `run`.
    let again = ok(&["run", "reprovision-runs/first/still-failing.csv", "--dry-run"], &[0]);
    assert!(said(&again).contains(&format!("{failing} users")), "{}", said(&again));
    let summary: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("summary.json")).expect("summary.json")).expect("JSON");
    assert_eq!(summary["verified"]["verdicts"]["cleared"], census["cleared"]);
}

#[test]
fn small_run_is_verified_by_single_reads_with_deleted_users() {
    let desk = tempfile::tempdir().expect("a folder");
    let service =
        Service::of(desk.path(), "title = 'x'\n[objects]\nusers = 5000\nbroken = 0.5\neffect_s = [0, 0]\n");
    let list = "id\nuser1@simulated.example\nuser2@simulated.example\nuser4999@simulated.example\n";
    fs::write(desk.path().join("few.csv"), list).expect("written");
    let run = ["run", "few.csv", "--yes", "--out", "reprovision-runs/few"];
    assert_eq!(service.command(desk.path(), &run).output().expect("run").status.code(), Some(0));
    let before = service.account("/__ledger")["reads"].as_u64().expect("a count");
    let output = service.command(desk.path(), &["verify"]).output().expect("verify");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(
        service.account("/__ledger")["reads"].as_u64().expect("a count") - before,
        3,
        "three single reads instead of fifty pages"
    );
    assert_eq!(verdicts(&desk.path().join("reprovision-runs/few")).values().sum::<u64>(), 3);
    // The same run is verified in a tenant where two of the users do not exist.
    let other = Service::of(desk.path(), "title = 'x'\n[objects]\nusers = 1\n");
    let state = fs::read_to_string(desk.path().join("reprovision-runs/few/run.json")).expect("run.json");
    let moved = state.replace(&service.endpoint, &other.endpoint);
    fs::write(desk.path().join("reprovision-runs/few/run.json"), moved).expect("written");
    let output = other.command(desk.path(), &["verify", "few"]).output().expect("verify");
    let counts = verdicts(&desk.path().join("reprovision-runs/few"));
    assert_eq!(counts.get("gone"), Some(&2), "{counts:?} {}", said(&output));
}

#[test]
fn verify_reads_the_list_as_run_did_and_keeps_each_pass() {
    let desk = tempfile::tempdir().expect("a folder");
    let service = Service::of(
        desk.path(),
        "title = 'x'\n[objects]\nusers = 90\nbroken = 1.0\nfails_again = 1.0\neffect_s = [5, 5]\n",
    );
    // The list has no header, an unusual delimiter, and ids in the second column. The first column has commas and line breaks.
    let rows: String =
        (1..=30).map(|row| format!("\"Room, {row}\nFloor, 2\"^user{row}@simulated.example\n")).collect();
    fs::write(desk.path().join("list.csv"), rows).expect("written");
    let run = ["run", "list.csv", "--yes", "--delimiter", "^", "--column", "2", "--limit", "10"];
    let output = service.command(desk.path(), &run).output().expect("run");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    // A column without ids is rejected before anything is sent.
    let output = service.command(desk.path(), &[&run[..6], &["1"]].concat()).output().expect("run");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("hold no usable id in column \"1\""), "{}", said(&output));
    let output = service.command(desk.path(), &run[..7]).output().expect("run");
    assert!(
        output.status.code() == Some(0) && said(&output).contains("30 rows in = 30 rows out"),
        "{}",
        said(&output)
    );
    let folder = fs::read_dir(desk.path().join("reprovision-runs")).expect("runs").flatten();
    let folder = folder.map(|entry| entry.path()).find(|path| path.is_dir()).expect("a run");
    service.ask("/__advance?60");
    for pass in 1..=3 {
        let output = service.command(desk.path(), &["verify"]).output().expect("verify");
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        let counts = verdicts(&folder);
        assert_eq!(counts.get("failed_again"), Some(&30), "{counts:?} {}", said(&output));
        let kept = fs::read_dir(&folder).expect("the run").flatten();
        let kept = kept.filter(|entry| entry.file_name().to_string_lossy().starts_with("verified-2")).count();
        assert_eq!(kept, pass - 1, "each pass keeps the files of the passes before");
    }
    let list = fs::read_to_string(folder.join("still-failing.csv")).expect("the list");
    assert!(list.starts_with("\u{feff}column 1^id^reprovision_run^"), "{list}");
    assert!(list.contains("Room, 30 Floor, 2^user30@simulated.example^"), "{list}");
    assert!(list.contains("Room, 1 Floor, 2^user1@simulated.example^"), "the first line is a row: {list}");
}

#[test]
fn run_from_find_with_verify_does_all_three_steps() {
    let desk = tempfile::tempdir().expect("a folder");
    let scenario =
        "title = 'x'\nseed = 4\n[objects]\nusers = 300\nbroken = 0.2\nfails_again = 0.3\neffect_s = [1, 1]\n";
    let service = Service::of(desk.path(), scenario);
    let run = |more: &[&str]| {
        let mut arguments = vec!["run", "--from-find", "--yes", "--rate", "fixed:5000"];
        arguments.extend(more);
        service.command(desk.path(), &arguments).output().expect("run")
    };
    // Ten users first, then the rest of the same list, although a new `find` would return another list.
    let first = run(&["--limit", "10"]);
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    assert_eq!(service.account("/__ledger")["accepted"], 10);
    std::thread::sleep(Duration::from_millis(2_100));
    let rest = run(&["--verify", "2s"]);
    assert!(said(&rest).contains("found by an earlier call"), "{}", said(&rest));
    let census = &service.account("/__ledger/errors")["users"];
    assert_eq!(rest.status.code(), Some(4), "some failed again: {}", said(&rest));
    assert_eq!((&census["untouched"], &census["pending"]), (&0.into(), &0.into()), "{census}");
    let broken =
        census["cleared"].as_u64().expect("a count") + census["failed_again"].as_u64().expect("a count");
    assert_eq!(service.account("/__ledger")["accepted"], broken, "each user once");
    let left = fs::read_dir(desk.path().join("reprovision-runs")).expect("runs").flatten();
    let runs: Vec<_> = left.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    assert_eq!(runs.len(), 1, "one run: {runs:?}");
    let counts = verdicts(&runs[0]);
    assert_eq!(counts["cleared"], census["cleared"], "{counts:?} {census}");
    let third = run(&["--dry-run"]);
    assert!(said(&third).contains("300 users read"), "a finished list is not used again: {}", said(&third));
}
