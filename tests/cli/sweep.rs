//! `sweep` against the simulator, night after night under moved time: what it retries and when it alerts, by the tenant's own account.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::service::Service;
use crate::sign_in_support::said;

/// Some clear, some come back for ever, some break in the course of the month.
const TENANT: &str = r#"
title = "thirty nights"
seed = 11
[objects]
users = 400
broken = 0.1
fails_again = 0.3
later = 0.1
later_days = 24
effect_s = [60, 600]
"#;

fn sweep(service: &Service, desk: &Path) -> (i32, String) {
    let arguments = ["sweep", "--yes", "--rate", "fixed:5000", "--concurrency", "64"];
    let output = service.command(desk, &arguments).output().expect("sweep");
    (output.status.code().expect("it ends by itself"), said(&output))
}

fn accepted(service: &Service) -> BTreeMap<String, u64> {
    let text = service.ask("/__ledger/accepted");
    let pairs = text.lines().filter_map(|line| line.split_once(','));
    pairs.map(|(id, count)| (id.to_owned(), count.parse().expect("a count"))).collect()
}

#[test]
fn thirty_sweeps_retry_due_errors_and_report_new_failures_once() {
    let desk = tempfile::tempdir().expect("a folder");
    let service = Service::of(desk.path(), TENANT);
    let census = || service.account("/__ledger/errors")["users"].clone();
    let (mut failing, mut alerts, mut later) = (0, 0, 0);
    for night in 1..=30 {
        let before = census();
        let failed = before["failed_again"].as_u64().expect("a count");
        assert_eq!(before["pending"], 0, "a night is longer than the service needs");
        let untouched = before["untouched"].as_u64().expect("a count");
        later += if night > 1 { untouched } else { 0 };
        let times = accepted(&service);
        let (code, told) = sweep(&service, desk.path());
        // Who fails after the first night fails as before the job began, and is known.
        let news = night > 2 && failed > failing;
        assert_eq!(code, if news { 4 } else { 0 }, "night {night}: {before} {told}");
        assert_eq!(told.contains("  NEW "), news, "{told}");
        assert_eq!(told.contains("this sweep sets the baseline"), night == 1, "{told}");
        alerts += u64::from(news);
        failing = failed;
        let sent = accepted(&service);
        assert_eq!(sent.len() as u64 - times.len() as u64, untouched, "night {night}: who broke is retried");
        let again = sent.iter().filter(|(id, count)| times.get(*id).is_some_and(|before| before < count));
        assert!(again.count() as u64 <= failed, "night {night}: nobody else is retried again");
        if night == 2 {
            let before = service.account("/__ledger")["accepted"].clone();
            let (code, told) = sweep(&service, desk.path());
            assert_eq!((code, &service.account("/__ledger")["accepted"]), (0, &before), "{told}");
            assert!(told.contains("0 new, 0 to be retried again"), "{told}");
        }
        assert_eq!(service.ask("/__advance?86400"), "clock advanced");
    }
    assert!(alerts >= 3 && later > 10, "{alerts} alerts, {later} broke later: the month tests nothing");
    let times = accepted(&service);
    let most = times.values().filter(|count| **count == 5).count() as u64;
    assert!(times.values().all(|count| *count <= 5), "given up after five: {times:?}");
    let end = census();
    assert!(most > 5 && most <= end["failed_again"].as_u64().expect("a count"), "{most} {end}");
    let once = times.values().filter(|count| **count == 1).count() as u64;
    assert_eq!(once, end["cleared"].as_u64().expect("a count"), "what was cleared was retried once: {end}");
    let history =
        fs::read_to_string(desk.path().join("reprovision-runs/history-users.csv")).expect("history");
    assert!(!history.contains('@') && !history.contains("Simulated"), "no names");
    assert_eq!(history.lines().count() as u64 - 1, end["unresolved"].as_u64().expect("a count"));
}

#[test]
fn next_sweep_records_the_retries_of_a_killed_one() {
    let desk = tempfile::tempdir().expect("a folder");
    let scenario = "title = 'x'\nseed = 7\n[objects]\nusers = 400\nbroken = 0.5\nfails_again = 1.0\neffect_s = [3600, 3600]\n";
    let service = Service::of(desk.path(), scenario);
    let accepted_by_all = || service.account("/__ledger")["accepted"].as_u64().expect("a count");
    let broken = service.account("/__ledger/errors")["users"]["untouched"].as_u64().expect("a count");
    let history = desk.path().join("reprovision-runs/history-users.csv");
    // Twice in a row, the first time without a memory: both are recalled.
    for (most, slower) in [(20, "fixed:60"), (50, "fixed:61")] {
        let mut killed = service
            .command(desk.path(), &["sweep", "--yes", "--rate", slower])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sweep");
        let until = Instant::now() + Duration::from_secs(30);
        while accepted_by_all() < most {
            assert!(Instant::now() < until, "it sends nothing");
            std::thread::sleep(Duration::from_millis(10));
        }
        killed.kill().expect("killed");
        killed.wait().expect("its end");
        assert!(!history.exists(), "it had no time to remember");
    }
    let (code, told) = sweep(&service, desk.path());
    assert_eq!(code, 0, "{told}");
    assert!(
        told.contains("was cut short while it sent") && told.contains("this sweep sets the baseline"),
        "{told}"
    );
    let times = accepted(&service);
    assert_eq!(times.len() as u64, broken, "everybody was retried");
    let repeats = times.values().filter(|count| **count > 1).count();
    assert!(repeats <= 2 * 32, "{repeats} retried again in the same night: more than were in flight");
    let text = fs::read_to_string(&history).expect("history");
    assert!(text.lines().skip(1).all(|line| line.contains(",1,20")), "one try each: {text}");
    assert_eq!(text.lines().count() as u64 - 1, broken);
    let (code, told) = sweep(&service, desk.path());
    assert!(code == 0 && !told.contains("cut short") && told.contains("0 to be retried again"), "{told}");
}

#[test]
fn other_run_in_the_folder_is_not_recorded_again() {
    let desk = tempfile::tempdir().expect("a folder");
    let scenario =
        "title = 'x'\n[objects]\nusers = 100\nbroken = 0.5\nfails_again = 0.5\neffect_s = [1, 2]\n";
    let service = Service::of(desk.path(), scenario);
    let night = |code: i32| {
        let arguments = ["sweep", "--yes", "--rate", "fixed:5000", "--out", "always-here"];
        let output = service.command(desk.path(), &arguments).output().expect("sweep");
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        service.ask("/__advance?86400");
        fs::read_to_string(desk.path().join("reprovision-runs/history-users.csv")).expect("history")
    };
    let first = night(0);
    assert!(
        first.lines().count() > 10 && first.lines().skip(1).all(|line| line.contains(",1,20")),
        "{first}"
    );
    let accepted = service.account("/__ledger")["accepted"].clone();
    // Who still fails is another list, and the folder holds a run.
    for _ in 0..2 {
        let then = night(2);
        assert!(
            then.lines().count() > 3 && then.lines().skip(1).all(|line| line.contains(",1,20")),
            "{then}"
        );
    }
    assert_eq!(service.account("/__ledger")["accepted"], accepted, "nothing was sent again");
}

#[test]
fn groups_and_contacts_are_swept_with_their_own_histories() {
    let desk = tempfile::tempdir().expect("a folder");
    let scenario = "title = 'x'\nseed = 5\n[objects]\nusers = 50\ngroups = 60\ncontacts = 70\nbroken = 0.3\neffect_s = [1, 2]\nfails_again = 0.0\n";
    let service = Service::of(desk.path(), scenario);
    for object in ["groups", "contacts"] {
        let arguments = ["sweep", "--yes", "--object", object, "--rate", "fixed:5000"];
        for night in 1..=2 {
            let output = service.command(desk.path(), &arguments).output().expect("sweep");
            assert_eq!(output.status.code(), Some(0), "{object} {night}: {}", said(&output));
            service.ask("/__advance?86400");
        }
        let census = &service.account("/__ledger/errors")[object];
        assert_eq!(
            (&census["unresolved"], &census["untouched"]),
            (&0.into(), &0.into()),
            "{object}: {census}"
        );
        assert!(census["cleared"].as_u64().expect("a count") > 5, "{object}: {census}");
        let history = desk.path().join(format!("reprovision-runs/history-{object}.csv"));
        assert_eq!(fs::read_to_string(history).expect("history").lines().count(), 1, "all is forgotten");
    }
    assert!(service.account("/__ledger/errors")["users"]["untouched"].as_u64().expect("a count") > 5);
}

#[test]
fn sweep_reports_what_prevents_it() {
    let desk = tempfile::tempdir().expect("a folder");
    let service = Service::of(desk.path(), "title = 'x'\n[objects]\nusers = 20\nbroken = 1.0\n");
    let with = |arguments: &[&str]| {
        let output = service.command(desk.path(), arguments).output().expect("sweep");
        (output.status.code(), said(&output))
    };
    let (code, told) = with(&["sweep"]);
    assert!(code == Some(2) && told.trim_end().ends_with("sweep --yes"), "{told}");
    let (code, told) = with(&["sweep", "list.csv", "--yes"]);
    assert!(code == Some(2) && told.contains("use reprovision run"), "{told}");
    let (code, told) = with(&["sweep", "--yes", "--expect-max", "5"]);
    assert!(code == Some(7), "a guard of run holds here as well: {told}");
    fs::write(desk.path().join("odd.csv"), "id,service\nx,y\n").expect("written");
    let (code, told) = with(&["sweep", "--yes", "--history", "odd.csv"]);
    assert!(code == Some(2) && told.contains("odd.csv"), "{told}");
    for never in ["--history", "--out"] {
        let command = if never == "--out" { "find" } else { "sweep" };
        let yes: &[&str] = if command == "sweep" { &["--yes"] } else { &[] };
        let (code, told) = with(&[&[command, never, "."], yes].concat());
        assert!(code == Some(2) && told.contains("is a link, a folder or a device: name a file"), "{told}");
    }
    assert_eq!(service.account("/__ledger")["accepted"], 0, "nothing was sent");
}

#[test]
fn sweep_in_an_empty_folder_works_repeatedly() {
    let scenario = "title = 'x'\n[objects]\nusers = 60\nbroken = 0.5\neffect_s = [1, 2]\nfails_again = 0.0\n";
    for history in [None, Some("history.csv"), Some("deep/er/history.csv")] {
        let (desk, scenarios) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let service = Service::of(scenarios.path(), scenario);
        let broken = service.account("/__ledger/errors")["users"]["untouched"].clone();
        let night = || {
            let mut arguments = vec!["sweep", "--yes", "--rate", "fixed:5000", "--deadline", "4h"];
            arguments.extend(history.iter().flat_map(|file| ["--history", *file]));
            let output = service.command(desk.path(), &arguments).output().expect("sweep");
            assert_eq!(output.status.code(), Some(0), "{history:?}: {}", said(&output));
            service.ask("/__advance?86400");
            said(&output)
        };
        let first = night();
        assert!(first.contains("the baseline"), "{first}");
        assert_eq!(service.account("/__ledger")["accepted"], broken, "{history:?}");
        let second = night();
        assert!(second.contains("Last run") && !second.contains("baseline"), "{history:?}: {second}");
        assert_eq!(service.account("/__ledger")["accepted"], broken, "all were cleared: {second}");
    }
}
