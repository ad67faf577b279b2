//! Tests of what a restart reads: whatever order and damage, each row has one record, and what has none is done again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::journal::Journal;
use super::line;
use super::read_back::tests::{expected, record};
use super::read_back::{Totals, each_record, read_account, read_results};
use crate::error::Error;
use crate::model::{COLUMNS, HEADER, Outcome, Reason, Record};

fn bytes(records: &[Record]) -> Vec<u8> {
    let mut bytes = format!("{HEADER}\n").into_bytes();
    records.iter().for_each(|record| line::write(record, Default::default(), &mut bytes));
    bytes
}

fn accepted(rows: impl IntoIterator<Item = u64>) -> Vec<Record> {
    rows.into_iter().map(|row| record(row, Outcome::Accepted)).collect()
}

fn folder(results: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("results.csv"), results).expect("written");
    folder
}

fn results(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("results.csv")).expect("read")
}

#[test]
fn records_in_any_order_are_taken_as_they_are() {
    let written = bytes(&accepted([7, 2, 9, 1, 130, 64, 3]));
    let folder = folder(&written);
    let (_, read) = Journal::open(folder.path(), 200, || Ok(expected(200))).expect("opened");
    assert_eq!((read.damaged, read.totals.records), (0, 7));
    let done: Vec<_> = (1..=200).filter(|row| read.done.contains(*row)).collect();
    assert_eq!(done, [1, 2, 3, 7, 9, 64, 130]);
    assert_eq!(results(folder.path()), written);
}

#[test]
fn the_first_of_two_records_for_a_row_is_kept() {
    let other = Record { message: "another".into(), ..record(2, Outcome::Failed) };
    let folder = folder(&bytes(&[accepted([3, 2, 1]), vec![other.clone()], accepted([4])].concat()));
    let (_, read) = Journal::open(folder.path(), 9, || Ok(expected(9))).expect("opened");
    assert_eq!((read.damaged, read.totals.records, read.totals.of(Outcome::Accepted)), (1, 4, 4));
    assert_eq!(results(folder.path()), bytes(&accepted([3, 2, 1, 4])));
    let mut kept = Vec::new();
    line::write(&other, Default::default(), &mut kept);
    assert_eq!(fs::read(folder.path().join("damaged.txt")).expect("kept"), kept);
}

#[test]
fn a_record_of_another_line_or_id_is_done_again() {
    let moved = Record { line: 99, ..record(2, Outcome::Accepted) };
    let taken = Record { id: "user3@contoso.com".into(), ..record(2, Outcome::Accepted) };
    for wrong in [moved, taken] {
        let folder = folder(&bytes(&[accepted([1]), vec![wrong], accepted(3..=9)].concat()));
        let (_, read) = Journal::open(folder.path(), 9, || Ok(expected(9))).expect("opened");
        assert_eq!((read.damaged, read.done.contains(2), read.totals.records), (1, false, 8));
        assert_eq!(results(folder.path()), bytes(&accepted([1].into_iter().chain(3..=9))));
    }
}

#[test]
fn a_record_for_a_row_of_another_shard_costs_no_other() {
    // The shard has the odd rows; the number of row 5 was damaged.
    let folder = folder(&bytes(&accepted([1, 3, 4, 7, 9])));
    let shard = || Ok(expected(9).filter(|row| row.as_ref().is_ok_and(|(number, ..)| number % 2 == 1)));
    let (_, read) = Journal::open(folder.path(), 9, shard).expect("opened");
    assert_eq!((read.damaged, read.done.contains(5), read.totals.records), (1, false, 4));
    assert_eq!(results(folder.path()), bytes(&accepted([1, 3, 7, 9])));
}

#[test]
fn more_than_one_line_in_a_hundred_is_nobodys_bad_luck() {
    // Lines, damaged ones, and whether the run goes on.
    for (lines, damaged, goes_on) in [
        (1, 1, true),
        (50, 1, true),
        (2, 2, false),
        (199, 2, false),
        (200, 2, true),
        (299, 3, false),
        (300, 3, true),
    ] {
        let mut written = bytes(&accepted(1..=lines - damaged));
        (0..damaged).for_each(|_| written.extend(b"not,ours\n"));
        let folder = folder(&written);
        match Journal::open(folder.path(), 1_000, || Ok(expected(1_000))) {
            Ok((_, read)) => {
                assert!(goes_on, "{damaged} of {lines}");
                assert_eq!((read.damaged, read.totals.records), (damaged, lines - damaged));
            }
            Err(error) => {
                assert!(!goes_on && matches!(error, Error::Damaged { .. }), "{damaged} of {lines}");
                assert_eq!(results(folder.path()), written, "untouched");
            }
        }
    }
}

#[test]
fn incomplete_header_of_the_journal_is_written_again() {
    for length in 0..HEADER.len() {
        for zeros in [0, 1, 4_096] {
            let folder = folder(&[&HEADER.as_bytes()[..length], &vec![0; zeros]].concat());
            let (_, read) = Journal::open(folder.path(), 9, || Ok(expected(9))).expect("opened");
            assert_eq!((read.damaged, read.totals.records), (0, 0));
            assert_eq!(results(folder.path()), bytes(&[]), "{length} and {zeros} zeros");
        }
    }
    for other in ["row;id", "row,id\n", "\0row", "x"] {
        let folder = folder(other.as_bytes());
        let error = Journal::open(folder.path(), 9, || Ok(expected(9))).expect_err("not ours");
        assert!(matches!(error, Error::Damaged { .. }), "{other:?}");
        assert_eq!(results(folder.path()), other.as_bytes());
    }
}

#[test]
fn a_run_of_an_earlier_or_later_version_goes_on_in_its_own_columns() {
    let earlier = COLUMNS[..COLUMNS.len() - 3].join(",");
    for (header, cut, more) in [(&*earlier, 3, ""), (&*format!("{HEADER},new,newer_still"), 0, ",x,\"a, b\"")]
    {
        let lines = |records: &[Record], more: &str| {
            let mut text = format!("{header}\n");
            for record in records {
                let mut line = Vec::new();
                line::write(record, Default::default(), &mut line);
                let line = String::from_utf8(line).expect("UTF-8");
                let cells: Vec<_> = line.trim_end().rsplitn(cut + 1, ',').collect();
                text.push_str(&format!("{}{more}\n", cells[cut]));
            }
            text.into_bytes()
        };
        let folder = folder(&lines(&accepted([3, 1]), more));
        let (mut journal, read) = Journal::open(folder.path(), 9, || Ok(expected(9))).expect(header);
        assert_eq!((read.damaged, read.totals.of(Outcome::Accepted)), (0, 2), "{header}");
        assert!(read.done.contains(1) && read.done.contains(3) && !read.done.contains(2));
        journal.append([&record(2, Outcome::Accepted)]).expect("written");
        drop(journal);
        let (_, read) = Journal::open(folder.path(), 9, || Ok(expected(9))).expect("again");
        assert_eq!((read.damaged, read.totals.records), (0, 3), "{header}");
        assert!(results(folder.path()).starts_with(&lines(&accepted([3, 1]), more)));
        // A record of another user is found all the same, and the file keeps its header.
        let taken = Record { id: "user9@contoso.com".into(), ..record(2, Outcome::Accepted) };
        fs::write(folder.path().join("results.csv"), lines(&[record(1, Outcome::Accepted), taken], more))
            .expect("written");
        let (_, read) = Journal::open(folder.path(), 9, || Ok(expected(9))).expect("mended");
        assert_eq!((read.damaged, read.totals.records), (1, 1), "{header}");
        assert_eq!(results(folder.path()), lines(&accepted([1]), more));
    }
}

#[test]
fn zeros_at_the_end_never_were_records_and_zeros_in_the_middle_once_were() {
    let whole = bytes(&accepted(1..=3));
    for tail in [&[0; 1][..], &[0; 4_096], b"\0\0\n", b"\0\n\0\0\n\0"] {
        let folder = folder(&[&whole[..], tail].concat());
        let (_, read) = Journal::open(folder.path(), 9, || Ok(expected(9))).expect("opened");
        assert_eq!((read.damaged, read.totals.records), (0, 3), "{tail:?}");
        assert_eq!(results(folder.path()), whole);
    }
    let after = &bytes(&accepted([5]))[HEADER.len() + 1..];
    let folder = folder(&[&whole[..], b"\0\0\0\n", after].concat());
    let (_, read) = Journal::open(folder.path(), 9, || Ok(expected(9))).expect("opened");
    assert_eq!((read.damaged, read.totals.records, read.done.contains(4)), (1, 4, false));
    assert_eq!(results(folder.path()), bytes(&accepted([1, 2, 3, 5])));
}

#[test]
fn a_record_for_a_row_that_the_list_has_not_is_no_record() {
    for row in [0, 10] {
        let folder = folder(&bytes(&accepted([1, row, 2])));
        let (_, read) = Journal::open(folder.path(), 9, || Ok(expected(9))).expect("opened");
        assert_eq!((read.damaged, read.totals.records, read.done.contains(row)), (1, 2, false));
    }
}

#[test]
fn only_a_file_that_is_not_there_holds_no_records() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(read_results(folder.path(), 9).expect("nothing yet").totals, Totals::default());
    let gone = read_account(folder.path(), 9, |_| {}).expect_err("it was there");
    assert!(matches!(gone, Error::File { .. }));
    // What cannot be looked at may hold all of them. Windows finds nothing below a file.
    if cfg!(unix) {
        let file = folder.path().join("a file");
        fs::write(&file, "").expect("written");
        let error = read_results(&file, 9).expect_err("no folder");
        assert!(matches!(error, Error::File { .. }));
    }
    fs::write(folder.path().join("results.csv"), bytes(&accepted([1]))).expect("written");
    assert_eq!(read_account(folder.path(), 9, |_| {}).expect("there").totals.records, 1);
}

#[test]
fn totals_count_each_record_once() {
    let failed = |row, reason| Record {
        reason: Some(reason),
        attempts: 6,
        throttled: 2,
        ..record(row, Outcome::Failed)
    };
    let same = Record { reason: Some(Reason::SameId), attempts: 0, ..record(20, Outcome::Duplicate) };
    let records = [
        accepted(1..=5),
        (6..=12).map(|row| failed(row, Reason::NotFound)).collect(),
        vec![failed(13, Reason::GaveUp), same],
    ]
    .concat();
    let folder = folder(&bytes(&records));
    let mut rows = Vec::new();
    let read = each_record(folder.path(), 20, |record| rows.push(record.row)).expect("read");
    assert_eq!(rows, (1..=13).chain([20]).collect::<Vec<_>>());
    let totals = Totals {
        records: 14,
        outcomes: BTreeMap::from([("accepted", 5), ("failed", 8), ("duplicate", 1)]),
        reasons: BTreeMap::from([
            (Reason::NotFound, (7, vec![7, 8, 9, 10, 11])),
            (Reason::GaveUp, (1, vec![14])),
        ]),
        attempts: 5 + 8 * 6,
        throttled: 16,
    };
    assert_eq!(read.totals, totals);
    assert_eq!((totals.of(Outcome::Failed), totals.of(Outcome::Invalid)), (8, 0));
}
