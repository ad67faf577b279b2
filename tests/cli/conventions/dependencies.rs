//! Every package has its reason, and those that were asked for are used.

use std::collections::BTreeSet;
use std::fs;

use super::{root, texts};

#[test]
fn every_dependency_has_a_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let reasons = fs::read_to_string(root().join("docs/dependencies.md")).expect("docs/dependencies.md");
    let documented: BTreeSet<&str> = reasons
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| line.split('|').nth(1).unwrap_or("").split('`').skip(1).step_by(2))
        .collect();
    let mut named = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if inside && let Some((name, _)) = line.split_once('=') {
            named.insert(name.trim());
        }
    }
    assert!(named.len() > 10, "Cargo.toml could not be read");
    assert_eq!(named, documented, "docs/dependencies.md and Cargo.toml name different crates");
}

#[test]
fn required_packages_are_used() {
    let all: String = texts::files(root(), &["src"], &["rs"])
        .iter()
        .map(|name| fs::read_to_string(root().join(name)).expect("source"))
        .collect();
    for package in ["tokio", "reqwest", "futures", "governor", "csv", "serde", "indicatif", "backoff", "clap"]
    {
        let path = format!("{package}::");
        let used = all.match_indices(&path).any(|(at, _)| {
            // A path of the package itself, not the end of a longer name.
            !all[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
        });
        assert!(used, "{package} is used nowhere in src");
    }
}
