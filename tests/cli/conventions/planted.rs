//! Each check finds what was planted for it, and nothing in the clean counterpart.

use std::fs;

use super::tree::Tree;
use super::{CHECKS, root, sizes};

/// For each check `planted/`, `clean/` and `expected.txt`, which holds a line `file:line key` for each breach.
const FIXTURES: &str = "tests/fixtures/conventions";

#[test]
fn each_check_finds_what_was_planted() {
    for (name, check) in CHECKS {
        let folder = root().join(FIXTURES).join(name);
        let expected = fs::read_to_string(folder.join("expected.txt")).expect("what is expected");
        let mut expected: Vec<&str> = expected.lines().collect();
        expected.sort_unstable();
        let violations = check(&folder.join("planted"));
        let mut found: Vec<String> = violations.iter().map(|it| format!("{} {}", it.place, it.key)).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{name}: {violations:#?}");
    }
}

#[test]
fn no_check_flags_the_clean_counterpart() {
    for (name, check) in CHECKS {
        let found = check(&root().join(FIXTURES).join(name).join("clean"));
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}

#[test]
fn every_fixture_belongs_to_a_check() {
    let mut folders: Vec<String> = fs::read_dir(root().join(FIXTURES))
        .expect("the fixtures")
        .map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort_unstable();
    let mut names: Vec<&str> = CHECKS.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(folders, names);
}

#[test]
fn code_lines_leave_out_comments_blank_lines_and_tests() {
    let tree = Tree::read(&root().join(FIXTURES).join("commands/clean"));
    // lib.rs 2, jobs.rs 151, commands/mod.rs 1, commands/full.rs 150.
    assert_eq!(sizes::code_lines(&tree), 304);
}
