//! The main job, end to end, with the binary against the embedded simulator.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sign_in_support::{reprovision, said};

fn users(folder: &Path, rows: u64) {
    let lines: String =
        (1..=rows).map(|row| format!("{row:08x}-0000-4000-8000-000000000000,User {row}\n")).collect();
    fs::write(folder.join("users.csv"), format!("id,displayName\n{lines}")).expect("the input");
}

/// The folders of runs, oldest first.
fn runs(folder: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(folder.join("reprovision-runs")).into_iter().flatten().flatten();
    let mut folders: Vec<_> = found.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn outcomes(folder: &Path) -> Vec<(u64, String)> {
    let mut reader = csv::Reader::from_path(folder.join("results.csv")).expect("results.csv");
    let mut rows: Vec<_> = reader
        .records()
        .map(|record| record.expect("a record"))
        .map(|record| (record[0].parse().expect("a row"), record[2].to_owned()))
        .collect();
    rows.sort();
    rows
}

#[test]
fn hostile_service_leaves_one_record_per_row() {
    let folder = tempfile::tempdir().expect("a folder");
    users(folder.path(), 300);
    // So many tries that chance gives nobody up: six of one in seven would, in one run of five hundred.
    let asked = ["run", "users.csv", "--simulate=hostile", "--rate", "150", "--max-attempts", "20"];
    let output = reprovision(folder.path(), &[&asked[..], &["--out", "out"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let rows = outcomes(&folder.path().join("out"));
    assert_eq!(rows, (1..=300).map(|row| (row, "accepted".to_owned())).collect::<Vec<_>>());
    assert!(said(&output).contains("Retry-After broken 0"), "{}", said(&output));
    assert!(said(&output).contains("rules broken       0"), "{}", said(&output));
}

#[test]
fn limited_run_is_resumed_by_the_same_command() {
    let folder = tempfile::tempdir().expect("a folder");
    users(folder.path(), 40);
    let arguments = ["run", "users.csv", "--simulate=calm", "--rate", "400"];
    let first = reprovision(folder.path(), &[&arguments[..], &["--limit", "10"]].concat());
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    assert!(said(&first).contains("Stopped by --limit after "), "{}", said(&first));
    let second = reprovision(folder.path(), &arguments);
    assert_eq!(second.status.code(), Some(0), "{}", said(&second));
    assert!(
        said(&second).contains("CONTINUES") && said(&second).contains("10 of 40 done"),
        "{}",
        said(&second)
    );
    let runs = runs(folder.path());
    assert_eq!(runs.len(), 1, "the same run went on");
    assert_eq!(outcomes(&runs[0]).len(), 40);
    for name in ["run.json", "input.csv", "state.json", "failed.csv", "summary.json"] {
        assert!(runs[0].join(name).exists(), "{name}");
    }
}

#[test]
fn invalid_rows_are_recorded_and_listed_in_failed_csv() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "id;name\n11111111-0000-4000-8000-000000000001;a\n;b\n{11111111-0000-4000-8000-000000000001};c\nann@contoso.com;d\n";
    fs::write(folder.path().join("users.csv"), text).expect("the input");
    let output = reprovision(folder.path(), &["run", "users.csv", "--simulate=calm", "--out", "out"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let found: Vec<_> =
        outcomes(&folder.path().join("out")).into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(found, ["accepted", "invalid", "duplicate", "accepted"]);
    let failed = fs::read_to_string(folder.path().join("out/failed.csv")).expect("failed.csv");
    assert_eq!(
        failed,
        "\u{feff}id;name;reprovision_run;reprovision_row;reprovision_outcome;reprovision_reason;reprovision_next_step\n\
         ;b;out;2;invalid;empty_id;fill in the id\n"
    );
}

#[test]
fn dry_run_and_rejected_input_send_and_leave_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    users(folder.path(), 5);
    let output = reprovision(folder.path(), &["run", "users.csv", "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("nothing was sent"));
    let no_token = reprovision(folder.path(), &["run", "users.csv", "--tenant", "contoso.com", "--yes"]);
    assert_eq!(no_token.status.code(), Some(6), "{}", said(&no_token));
    fs::write(folder.path().join("book.csv"), b"PK\x03\x04").expect("written");
    let workbook = reprovision(folder.path(), &["run", "book.csv", "--simulate=calm"]);
    assert_eq!(workbook.status.code(), Some(2), "{}", said(&workbook));
    assert!(said(&workbook).contains("Excel"));
    assert_eq!(runs(folder.path()), [] as [PathBuf; 0]);
}
