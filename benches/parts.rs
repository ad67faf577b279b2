//! The parts that run for every user: checking pass, row stream, classification of a response, journal.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use reprovision::graph::classify;
use reprovision::input::{Options, check};
use reprovision::model::{Outcome, Record};
use reprovision::rundir::{Journal, read_results};
use reqwest::header::{HeaderMap, HeaderValue};

/// Rows of the input.
const ROWS: u64 = 100_000;
/// Records in one write, as in a run.
const RECORDS_PER_WRITE: usize = 64;

fn main() {
    divan::main();
}

fn list(folder: &Path) -> PathBuf {
    let input = folder.join("users.csv");
    let lines: String =
        (1..=ROWS).map(|row| format!("{row:08x}-0000-4000-8000-{row:012x},\"User, {row}\",Bern\n")).collect();
    fs::write(&input, format!("id,displayName,city\n{lines}")).expect("the input");
    input
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn checking_pass(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, copy) = (list(folder.path()), folder.path().join("input.csv"));
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench(|| check(&input, &copy, &Options::default()).expect("a list").users);
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn stream_of_rows(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, copy) = (list(folder.path()), folder.path().join("input.csv"));
    bencher
        .counter(ItemsCount::new(ROWS))
        .with_inputs(|| check(&input, &copy, &Options::default()).expect("a list"))
        .bench_values(|checked| checked.items(&copy, |_| false).expect("the copy").count());
}

#[divan::bench]
fn classify_accepted() -> reprovision::graph::Meaning {
    classify(black_box(204), &HeaderMap::new(), b"", SystemTime::UNIX_EPOCH)
}

#[divan::bench]
fn classify_throttled(bencher: Bencher<'_, '_>) {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("17"));
    headers.insert("x-ms-throttle-scope", HeaderValue::from_static("Tenant_Application/Write/a/b"));
    let body = br#"{"error":{"code":"TooManyRequests","message":"Too many requests.","innerError":{"date":"2026-11-24T10:00:00"}}}"#;
    bencher.bench(|| classify(black_box(429), &headers, body, SystemTime::UNIX_EPOCH));
}

fn record(row: u64) -> Record {
    let id = format!("{row:08x}-0000-4000-8000-{row:012x}").into();
    Record {
        http_status: Some(204),
        attempts: 1,
        first_sent_at: "2026-11-24T10:00:00.000Z".into(),
        finished_at: "2026-11-24T10:00:00.050Z".into(),
        duration_ms: Some(50),
        client_request_id: "0f0f0f0f-0000-4000-8000-000000000000".into(),
        request_id: "0f0f0f0f-0000-4000-8000-000000000001".into(),
        ..Record::unsent(row, row + 1, id, Outcome::Accepted, None)
    }
}

fn journal(folder: &Path) -> Journal {
    Journal::open(folder, ROWS, || Ok(std::iter::empty())).expect("a journal").0
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn journal_append(bencher: Bencher<'_, '_>) {
    let records: Vec<_> = (1..=ROWS).map(record).collect();
    bencher
        .counter(ItemsCount::new(ROWS))
        .with_inputs(|| tempfile::tempdir().expect("a folder"))
        .bench_values(|folder| {
            let mut journal = journal(folder.path());
            for chunk in records.chunks(RECORDS_PER_WRITE) {
                journal.append(chunk).expect("written");
            }
            folder
        });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn journal_read_back(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = journal(folder.path());
    for row in 1..=ROWS {
        journal.append([&record(row)]).expect("written");
    }
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench(|| read_results(folder.path(), ROWS).expect("read back").totals.records);
}
