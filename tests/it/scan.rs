//! `find` against the simulator: what it lists is what the tenant's own account says, whatever happens on the way.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use crate::service::Service;

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

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn ids(text: &[u8]) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(text);
    reader.records().map(|record| record.expect("a whole row")[0].to_owned()).collect()
}

#[test]
fn what_is_found_is_what_the_tenant_has() {
    let desk = tempfile::tempdir().expect("a folder");
    let service = Service::of(desk.path(), TENANT);
    for object in ["users", "groups", "contacts"] {
        let output = service.command(desk.path(), &["find", "--object", object]).output().expect("find");
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let found = ids(&output.stdout);
        let census = &service.account("/__ledger/errors")[object];
        assert_eq!(found.len() as u64, census["unresolved"], "{object}");
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "{object}: nobody twice");
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
fn a_found_list_is_fed_to_run_as_it_is() {
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

#[test]
fn a_find_that_fails_gives_run_nothing_to_claim() {
    let desk = tempfile::tempdir().expect("a folder");
    // Nothing is ever answered.
    let service =
        Service::of(desk.path(), "title = 'x'\noutages_s = [[0.0, 9999.0]]\n[objects]\nusers = 10\n");
    let mut find = service
        .command(desk.path(), &["find", "--timeout", "1s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("find");
    let pipe = find.stdout.take().expect("a pipe");
    // Asked to end while it waits for an answer, as an impatient person would.
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

/// A service that gives the first pages of the simulator's and then does as told.
fn between(service: &Service, pages: usize, then: fn(&mut dyn Write)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = format!("http://{}", listener.local_addr().expect("an address"));
    let behind = service.endpoint.trim_start_matches("http://").to_owned();
    let (from, to) = (service.endpoint.clone(), own.clone());
    std::thread::spawn(move || {
        let mut given = 0;
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
            if given == pages {
                then(&mut out);
                continue;
            }
            given += 1;
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
fn an_interrupted_find_goes_on_from_its_page() {
    let desk = tempfile::tempdir().expect("a folder");
    let scenario = TENANT.replace("users = 4000", "users = 12000");
    let service = Service::of(desk.path(), &scenario);
    let cut = between(&service, 6, |out| {
        let _ = out.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
    });
    let first = service
        .command(desk.path(), &["find", "--out", "list.csv"])
        .env("REPROVISION_ENDPOINT", &cut)
        .output()
        .expect("find");
    assert_eq!(first.status.code(), Some(6), "{}", said(&first));
    assert!(!desk.path().join("list.csv").exists(), "half a list stands in nobody's way");
    // The bookmark's next link leads to the same host, which now answers again.
    let mark = fs::read_to_string(desk.path().join("list.csv.partial.json")).expect("a bookmark");
    fs::write(desk.path().join("list.csv.partial.json"), mark.replace(&cut, &service.endpoint))
        .expect("moved");
    let before = service.account("/__ledger")["reads"].as_u64().expect("a count");
    assert_eq!(before, 6);
    let second = service.command(desk.path(), &["find", "--out", "list.csv"]).output().expect("find");
    assert_eq!(second.status.code(), Some(0), "{}", said(&second));
    assert!(said(&second).contains("goes on after page 6"), "{}", said(&second));
    assert_eq!(
        service.account("/__ledger")["reads"].as_u64().expect("a count"),
        13,
        "7 of 13 pages were left"
    );
    let found = ids(&fs::read(desk.path().join("list.csv")).expect("the list"));
    assert_eq!(found.len() as u64, service.account("/__ledger/errors")["users"]["unresolved"]);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "nobody twice");
}

#[test]
fn a_next_page_on_another_host_is_not_followed() {
    let desk = tempfile::tempdir().expect("a folder");
    let service = Service::of(desk.path(), "title = 'x'\n[objects]\nusers = 3\n");
    let evil = between(&service, 0, |out| {
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
