//! The breaches that were there when the checks came, so that none is added. When the list is empty, delete this file.

use std::collections::BTreeMap;
use std::fs;

use super::tree::Violation;
use super::{CHECKS, root};

const FILE: &str = "tests/cli/conventions/baseline.toml";

/// Most breaches that are printed for one line of the baseline.
const MOST_SHOWN: usize = 12;

/// For each check: what is known, and how often at most.
type Baseline = BTreeMap<String, BTreeMap<String, usize>>;

/// Fails on a breach that is not known, and on a known one that is gone, with the lines to add and to delete.
#[expect(clippy::print_stdout, reason = "shown with --nocapture")]
pub(super) fn hold(check: &str, found: &[Violation]) {
    let text = fs::read_to_string(root().join(FILE)).expect("the baseline");
    let known =
        toml::from_str::<Baseline>(&text).expect("the baseline is TOML").remove(check).unwrap_or_default();
    let trouble = compare(check, &known, found);
    println!("{check}: {} found, {} lines in {FILE}", found.len(), known.len());
    assert!(trouble.is_empty(), "{trouble}");
}

/// Writes the list as the breaches are now. For moves of files only: the diff must show no new breach.
#[test]
#[ignore = "writes a source file"]
fn rewrite_baseline() {
    let mut text = "# What broke a convention before its check came: for each check, how often at most.\n\
                    # docs/contributing.md says when a line goes, and how to write the list after a move.\n"
        .to_owned();
    for (name, check) in CHECKS {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for violation in check(root()) {
            *counts.entry(violation.key).or_default() += 1;
        }
        if !counts.is_empty() {
            text += &format!("\n[{name}]\n");
            text.extend(counts.iter().map(|(key, count)| format!("{key:?} = {count}\n")));
        }
    }
    fs::write(root().join(FILE), text).expect("the baseline");
}

fn compare(check: &str, known: &BTreeMap<String, usize>, found: &[Violation]) -> String {
    let mut by_key: BTreeMap<&str, Vec<&Violation>> = BTreeMap::new();
    for violation in found {
        by_key.entry(&violation.key).or_default().push(violation);
    }
    let mut trouble = String::new();
    for (key, found) in &by_key {
        let at_most = known.get(*key).copied().unwrap_or(0);
        if found.len() > at_most {
            let shown = found.iter().take(MOST_SHOWN);
            let mut places: String = shown.map(|it| format!("  {}: {}\n", it.place, it.what)).collect();
            if found.len() > MOST_SHOWN {
                places += &format!("  and {} more\n", found.len() - MOST_SHOWN);
            }
            trouble += &format!(
                "{key}: {} found, {at_most} known:\n{places}  Only if this has to wait, add to [{check}] in {FILE}:\n\
                 {key:?} = {}\n",
                found.len(),
                found.len()
            );
        }
    }
    for (key, count) in known.iter().filter(|(key, _)| !by_key.contains_key(key.as_str())) {
        trouble += &format!("{key}: none is left. Delete from [{check}] in {FILE}:\n{key:?} = {count}\n");
    }
    trouble
}

#[test]
fn baseline_fails_on_what_is_new_and_on_what_is_gone() {
    let violation =
        |key: &str| Violation { key: key.into(), place: format!("{key}:7"), what: "Wrong.".into() };
    let known = BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]);
    assert_eq!(compare("check", &known, &[violation("a"), violation("b")]), "");
    let gone = compare("check", &known, &[violation("a")]);
    assert!(gone.contains("Delete from [check]") && gone.contains("\n\"b\" = 1\n"), "{gone}");
    let more = compare("check", &known, &[violation("a"), violation("a"), violation("a"), violation("b")]);
    assert!(more.contains("a:7: Wrong.") && more.contains("\n\"a\" = 3\n"), "{more}");
    let new = compare("check", &known, &[violation("a"), violation("b"), violation("c")]);
    assert!(new.contains("\n\"c\" = 1\n") && !new.contains("\"a\" ="), "{new}");
}
