//! The rules of the house that a machine can check: direction of dependencies, file lengths, names, documents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, tests included.
const MAX_LINES: usize = 600;
/// Longest `main.rs`.
const MAX_MAIN_LINES: usize = 60;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 1, "{folder} holds no source files: the check would check nothing");
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/")
}

/// The first path segment after `crate::` in every place that names one.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let mut rest = line;
        while let Some(at) = rest.find("crate::") {
            rest = &rest[at + "crate::".len()..];
            if let Some(list) = rest.strip_prefix('{') {
                let list = list.split('}').next().unwrap_or(list);
                found.extend(list.split(',').filter_map(|part| first_word(part.trim())));
            } else {
                found.extend(first_word(rest));
            }
        }
    }
    found
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// The table in `docs/architecture.md`: `| module | may use |`.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).expect("docs/architecture.md");
    let table = text.split("<!-- dependencies -->").nth(1).expect("the dependency table is marked");
    let mut rows = BTreeMap::new();
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let modules = cells.next().expect("a module cell");
        let uses = cells.next().expect("a cell with what it may use");
        let names =
            |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
        for module in names(modules) {
            rows.insert(module, names(uses));
        }
    }
    assert!(rows.len() > 10, "the dependency table could not be read");
    rows
}

#[test]
fn modules_depend_only_downward() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    for path in rust_files("src") {
        let name = relative(&path);
        let module =
            name.trim_start_matches("src/").trim_end_matches(".rs").split('/').next().expect("a module");
        if module == "lib" {
            continue;
        }
        let uses =
            allowed.get(module).unwrap_or_else(|| panic!("{module} is missing in docs/architecture.md"));
        if uses.contains("*") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("source");
        for used in imports(&text) {
            if used != module && !uses.contains(&used) {
                wrong.push(format!("{name} uses crate::{used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "not in the table of docs/architecture.md: {wrong:#?}");
}

#[test]
fn the_import_reader_sees_what_it_should() {
    let text = "use crate::model::{Row};\nuse crate::{error::Error, stop};\n// use crate::cli;\nlet x = crate::net::build();";
    assert_eq!(imports(text).into_iter().collect::<Vec<_>>(), ["error", "model", "net", "stop"]);
}

#[test]
fn no_source_file_is_too_long_and_each_says_its_job_first() {
    let mut wrong = Vec::new();
    for path in rust_files("src").into_iter().chain(rust_files("tests")) {
        let text = fs::read_to_string(&path).expect("source");
        let lines = text.lines().count();
        let name = relative(&path);
        let most = if name == "src/main.rs" { MAX_MAIN_LINES } else { MAX_LINES };
        if lines > most {
            wrong.push(format!("{name}: {lines} lines, at most {most}"));
        }
        if !text.starts_with("//! ") {
            wrong.push(format!("{name}: the first line does not say what the file is for"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_dependency_has_its_reason() {
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
fn the_packages_that_were_asked_for_are_used() {
    let all: String =
        rust_files("src").iter().map(|path| fs::read_to_string(path).expect("source")).collect();
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
