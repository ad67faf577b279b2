//! The edges of a list, with the binary: one row, a last part of a batch, no line end, one in flight, stopped after some.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::sign_in_support::reprovision;

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let asked =
        ["run", "list.csv", "--simulate=calm", "--rate", "2000", "--progress", "none", "--out", "out"];
    reprovision(folder, &[&asked[..], arguments].concat())
}

/// Rows of `results.csv` in order, and how many requests they cost.
fn results(folder: &Path) -> (Vec<u64>, u64) {
    let mut reader = csv::Reader::from_path(folder.join("out/results.csv")).expect("results.csv");
    let mut rows = Vec::new();
    let mut requests = 0;
    for record in reader.records() {
        let record = record.expect("a whole record");
        assert_eq!(&record[2], "accepted", "{record:?}");
        rows.push(record[0].parse().expect("a row"));
        requests += record[7].parse::<u64>().expect("attempts");
    }
    rows.sort_unstable();
    (rows, requests)
}

#[test]
fn every_row_is_sent_once_in_edge_cases() {
    // Rows, stopped after, users in a request, users in flight.
    let cases: [(u64, Option<u64>, u16, u16); 9] = [
        (1, None, 1, 1),
        (1, None, 20, 32),
        (2, Some(1), 1, 1),
        (2, Some(1), 20, 1),
        (19, None, 20, 20),
        (20, Some(19), 20, 20),
        (21, Some(20), 20, 32),
        (41, Some(21), 20, 32),
        (41, Some(100), 3, 2),
    ];
    for (number, (rows, limit, batch, concurrency)) in (0_u64..).zip(cases) {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let ids: Vec<_> = (1..=rows).map(|row| format!("{row:08x}-0000-4000-8000-000000000000")).collect();
        // The last line ends or does not.
        let end = ["\n", "", "\r\n"][number as usize % 3];
        fs::write(folder.join("list.csv"), format!("id\n{}{end}", ids.join("\n"))).expect("written");
        let (batch, concurrency) = (batch.to_string(), concurrency.to_string());
        let shape = ["--batch", &batch, "--concurrency", &concurrency];
        if let Some(limit) = limit {
            let output = run(folder, &[&shape[..], &["--limit", &limit.to_string()]].concat());
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
            let done = limit.min(rows);
            assert_eq!(results(folder), ((1..=done).collect(), done), "{rows} rows, the first {limit}");
        }
        let output = run(folder, &shape);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(results(folder), ((1..=rows).collect(), rows), "{rows} rows, {batch} in a request");
        let summary = fs::read(folder.join("out/summary.json")).expect("read");
        let summary: serde_json::Value = serde_json::from_slice(&summary).expect("JSON");
        assert_eq!((&summary["rows_out"], &summary["complete"]), (&rows.into(), &true.into()));
    }
}

/// A number of one with a plural behind it, wherever one is printed.
fn one_of_many(text: &str) -> Option<&str> {
    const NOUNS: [&str; 11] = [
        "rows",
        "users",
        "requests",
        "lines",
        "tries",
        "ids",
        "columns",
        "runs",
        "duplicates",
        "causes",
        "attempts",
    ];
    let words: Vec<_> = text.split([' ', '\n', '>', '<']).collect();
    let at = words
        .windows(2)
        .position(|pair| pair[0] == "1" && NOUNS.contains(&pair[1].trim_end_matches([',', '.', ';', ':'])))?;
    Some(words[at + 1])
}

#[test]
fn counts_of_one_are_printed_in_the_singular() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let good = "00000001-0000-4000-8000-000000000000";
    // One row, one of each outcome, one of two, a column too many.
    let both = |output: &Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let mut printed = Vec::new();
    for (list, more) in [
        (format!("id\n {good}\n"), &["--dry-run"][..]),
        (format!("id\n {good}\n"), &[]),
        (format!("id\n{good}\n{good}\nwrong\n"), &["--new-run", "--out", "three"]),
        (
            "id\n00000001-0000-4000-8000-000000000000\n00000002-0000-4000-8000-000000000000\n".to_owned(),
            &["--new-run", "--out", "two", "--limit", "1"],
        ),
        (format!("id\n{good}\n"), &["--new-run", "--out", "col", "--column", "5"]),
    ] {
        fs::write(folder.join("list.csv"), list).expect("written");
        printed.push(both(&run(folder, more)));
    }
    let report = |name: &str| {
        let html = fs::read_to_string(folder.join(name).join("report.html")).expect("a report");
        // What stands between the tags.
        let mut inside = false;
        let text: String = html
            .chars()
            .filter(|c| {
                inside = match c {
                    '<' => true,
                    '>' => false,
                    _ => inside,
                };
                !inside && *c != '>'
            })
            .collect();
        text
    };
    printed.extend(["out", "three"].map(report));
    for name in ["out", "two"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_reprovision"));
        printed.push(both(&program.args(["status", name]).current_dir(folder).output().expect("runs")));
    }
    assert!(
        printed[1].contains("1 row in = 1 row out") && printed[1].contains("  1 request, "),
        "{}",
        printed[1]
    );
    for text in printed {
        assert_eq!(one_of_many(&text), None, "{text}");
    }
    assert_eq!(one_of_many("a 1 users, b"), Some("users,"), "the look sees what it should");
}
