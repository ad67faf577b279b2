//! `--shard`: several machines on one list, nobody twice and nobody forgotten, and the proof of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::service::Service;
use crate::sign_in_support::said;

/// Users of the list; every tenth stands in it a second time, in other letters.
const USERS: u64 = 300;
const ROWS: u64 = USERS + USERS / 10 + 3;

fn list(desk: &Path) {
    let mut text = "name,id\n".to_owned();
    for user in 1..=USERS {
        text.push_str(&format!("\"two\nlines\",user{user}@simulated.example\n"));
        if user % 10 == 0 {
            text.push_str(&format!("again,USER{}@simulated.example\n", user - 5));
        }
    }
    text.push_str("x,no id\ny,\n=z,@\n");
    fs::write(desk.join("list.csv"), text).expect("the list");
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

fn outcomes(folder: &Path) -> BTreeMap<u64, String> {
    let mut reader = csv::Reader::from_path(folder.join("results.csv")).expect("results.csv");
    let rows = reader.records().map(|row| row.expect("a record"));
    rows.map(|row| (row[0].parse().expect("a row"), row[2].to_owned())).collect()
}

#[test]
fn three_shards_cover_the_list() {
    let desk = tempfile::tempdir().expect("a folder");
    let service = Service::start("calm");
    list(desk.path());
    let arguments = |index: u64, more: &[&str]| {
        let fixed = ["run", "list.csv", "--yes", "--rate", "fixed:900"].map(str::to_owned);
        let own =
            ["--shard".to_owned(), format!("{index}/3"), "--out".to_owned(), format!("machine-{index}")];
        let more = more.iter().map(|word| (*word).to_owned());
        fixed.into_iter().chain(own).chain(more).collect::<Vec<_>>()
    };
    let command = |words: &[String]| {
        let mut command = service.command(desk.path(), &words.iter().map(String::as_str).collect::<Vec<_>>());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    // All at once; one of them in two calls.
    let limited = command(&arguments(2, &["--limit", "10"])).output().expect("run");
    assert!(said(&limited).contains("done so far"), "{}", said(&limited));
    let running: Vec<_> =
        (1..=3).map(|index| command(&arguments(index, &[])).spawn().expect("run")).collect();
    let ended: Vec<_> = running.into_iter().map(|child| child.wait_with_output().expect("its end")).collect();
    let mut all = BTreeMap::new();
    for (index, output) in (1..).zip(&ended) {
        let folder = desk.path().join(format!("machine-{index}"));
        let mine = outcomes(&folder);
        let summary = json(&folder.join("summary.json"));
        let (rows, failed) = (mine.len() as u64, mine.values().any(|outcome| outcome == "invalid"));
        assert_eq!(output.status.code(), Some(if failed { 3 } else { 0 }), "{}", said(output));
        assert_eq!((&summary["rows_in"], &summary["rows_out"]), (&rows.into(), &rows.into()));
        assert_eq!((&summary["run"]["rows"], &summary["complete"]), (&ROWS.into(), &true.into()));
        assert_eq!(summary["run"]["identity"]["shard"], format!("{index}/3"));
        let told = format!(
            "shard {index}/3: {rows} of the list's {ROWS} rows; {} left to the other shards",
            ROWS - rows
        );
        assert!(said(output).contains(&told), "{told}: {}", said(output));
        assert!(said(output).contains("300/s"), "a third of the rate: {}", said(output));
        let page = fs::read_to_string(folder.join("report.html")).expect("report.html");
        assert!(page.contains(&told.replace('\'', "&#39;")) || page.contains(&told), "{told}");
        let status = service.command(desk.path(), &["status", &format!("machine-{index}")]).output();
        let status = said(&status.expect("status"));
        assert!(status.contains(&told) && status.contains("State    complete"), "{status}");
        for (row, outcome) in mine {
            assert!(all.insert(row, outcome).is_none(), "row {row} stands in two shards");
        }
    }
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), (1..=ROWS).collect::<Vec<_>>());
    let counted = |wanted: &str| all.values().filter(|outcome| *outcome == wanted).count() as u64;
    assert_eq!((counted("accepted"), counted("duplicate"), counted("invalid")), (USERS, USERS / 10, 3));
    let accepted = service.ask("/__ledger/accepted");
    assert_eq!(accepted.lines().filter(|line| line.ends_with(",1")).count() as u64, USERS, "each once");
    assert_eq!(service.account("/__ledger")["accepted"], USERS);

    let merge = |runs: &[&str], out: &str| {
        let words = [&["report", "--merge", "--out", out], runs].concat();
        let output = service.command(desk.path(), &words).output().expect("report");
        (output.status.code(), said(&output))
    };
    let (code, told) = merge(&["machine-3", "machine-1", "machine-2"], "all.html");
    assert!(code == Some(0) && told.contains("shards 1, 2, 3 of 3 cover 333 of 333 rows"), "{told}");
    let merged = json(&desk.path().join("all.json"));
    assert_eq!((&merged["complete"], &merged["totals"]["accepted"]), (&true.into(), &USERS.into()));
    let (code, told) = merge(&["machine-1", "machine-3"], "two.html");
    assert!(code == Some(5) && told.contains("shard 2 is missing; "), "{told}");
    assert_eq!(json(&desk.path().join("two.json"))["inputs"][0]["missing_shards"][0], "2/3");

    // Another split, the same shard twice, another shard in the same folder, a list that each would find itself.
    let other = command(
        &[&arguments(1, &["--limit", "1"])[..], &["--shard", "1/2", "--out", "half"].map(str::to_owned)]
            .concat(),
    );
    { other }.output().expect("run");
    let (code, told) = merge(&["machine-1", "half"], "odd.html");
    assert!(code == Some(2) && told.contains("no shares of one split"), "{told}");
    fs::create_dir(desk.path().join("copy")).expect("a folder");
    for name in ["run.json", "results.csv"] {
        fs::copy(desk.path().join("machine-1").join(name), desk.path().join("copy").join(name))
            .expect("copied");
    }
    let (code, told) = merge(&["machine-1", "copy"], "odd.html");
    assert!(code == Some(2) && told.contains("are both shard 1/3"), "{told}");
    let wrong = command(&[&arguments(1, &[])[..], &["--shard", "2/3"].map(str::to_owned)].concat())
        .output()
        .expect("run");
    assert!(
        wrong.status.code() == Some(2) && said(&wrong).contains("shard: 1/3 then, 2/3 now"),
        "{}",
        said(&wrong)
    );
    for finding in
        [&["sweep", "--yes", "--shard", "1/3"][..], &["run", "--from-find", "--yes", "--shard", "1/3"]]
    {
        let output = service.command(desk.path(), finding).output().expect("it ends");
        assert!(
            output.status.code() == Some(2) && said(&output).contains("find --out FILE first"),
            "{}",
            said(&output)
        );
    }
    assert_eq!(service.account("/__ledger")["accepted"], USERS + 1);
}

#[test]
fn indexed_job_pod_takes_its_shard_from_the_environment() {
    let desk = tempfile::tempdir().expect("a folder");
    let service = Service::start("calm");
    list(desk.path());
    let run = |index: Option<&str>| {
        let mut command = service.command(desk.path(), &["run", "list.csv", "--dry-run", "--shard", "3"]);
        index.map(|index| command.env("JOB_COMPLETION_INDEX", index));
        let output = command.output().expect("run");
        (output.status.code(), said(&output))
    };
    let (code, told) = run(Some("2"));
    assert!(code == Some(0) && told.contains("shard 3/3: "), "{told}");
    for index in [None, Some("3")] {
        let (code, told) = run(index);
        assert!(code == Some(2) && told.contains("JOB_COMPLETION_INDEX"), "{told}");
    }
}
