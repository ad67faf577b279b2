//! Check 9: links in documents and comments lead to files and headings that exist, and no message names a page.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use super::texts;
use super::tree::Violation;

const DOCUMENTS: [&str; 4] = ["docs", ".github", "README.md", "CHANGELOG.md"];
const SOURCES: [&str; 8] =
    ["src", "tests", "benches", "samples", "Cargo.toml", "docs", "README.md", "CHANGELOG.md"];
/// Folders whose files comments and documents name by path.
const NAMED_FOLDERS: [&str; 5] = ["docs/", "src/", "tests/", "samples/", "benches/"];
/// What a link may begin with if it leads out of the repository.
const OUTSIDE: [&str; 3] = ["http://", "https://", "mailto:"];

/// Anchors of a page, as GitHub makes them from its headings, and those that the page sets itself.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut found = Vec::new();
    for (_, line) in texts::prose(text) {
        let heading = line.trim_start_matches('#');
        let depth = line.len() - heading.len();
        if (1..=6).contains(&depth) && heading.starts_with(' ') {
            let anchor = anchor_of(heading.trim().trim_end_matches('#').trim());
            let before = seen.entry(anchor.clone()).and_modify(|count| *count += 1).or_insert(0);
            found.push(if *before == 0 { anchor } else { format!("{anchor}-{before}") });
        }
        for start in ["id=\"", "name=\""] {
            found.extend(
                line.split(start).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned),
            );
        }
    }
    found
}

/// The text of links without their targets, in small letters, spaces as `-`, signs left out.
fn anchor_of(heading: &str) -> String {
    let mut shown = String::new();
    let mut rest = heading;
    while let Some((before, after)) = rest.split_once("](") {
        shown.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    shown.push_str(rest);
    shown
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Targets of links and images on a line of Markdown, code spans left out.
fn targets(line: &str) -> Vec<String> {
    let text: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let mut found = Vec::new();
    for (start, end) in [("](", ')'), ("href=\"", '"'), ("src=\"", '"'), ("srcset=\"", '"')] {
        let rests = text.split(start).skip(1);
        found.extend(rests.filter_map(|rest| rest.split([end, ' ']).next()).map(str::to_owned));
    }
    if let Some((_, target)) = text.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
        found.extend(target.split_whitespace().next().map(str::to_owned));
    }
    found
}

/// Paths of files of the repository that a text names, with the headings that it names after `#`.
fn named_files(line: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '#');
    let words = line.split(|c: char| !is_part(c)).map(|word| word.trim_end_matches('.'));
    words
        .filter(|word| NAMED_FOLDERS.iter().any(|folder| word.starts_with(folder)))
        .filter(|word| {
            let file = word.split('#').next().unwrap_or(word).rsplit('/').next().unwrap_or("");
            file.split_once('.').is_some_and(|(stem, kind)| !stem.is_empty() && !kind.is_empty())
        })
        .map(str::to_owned)
        .collect()
}

/// Whether a line can be part of a message: code of the program that is not a comment and includes no file.
fn is_message(name: &str, line: &str) -> bool {
    name.starts_with("src/")
        && name.ends_with(".rs")
        && !line.trim_start().starts_with("//")
        && !line.contains("include_str!")
}

/// Why a target does not resolve. `folder` is what it is relative to.
fn fault(root: &Path, page: &str, folder: &str, target: &str) -> Option<String> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { root.join(page) } else { root.join(folder).join(file) };
    if !path.exists() {
        return Some("the file does not exist".to_owned());
    }
    if anchor.is_empty() || path.extension().is_none_or(|kind| kind != "md") {
        return None;
    }
    let there = anchors(&fs::read_to_string(path).unwrap_or_default());
    (!there.iter().any(|known| known == anchor)).then(|| "the file has no such heading".to_owned())
}

pub(super) fn broken(root: &Path) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut check = |page: &str, line: usize, folder: &str, target: &str| {
        if let Some(fault) = fault(root, page, folder, target)
            && seen.insert((page.to_owned(), line, target.to_owned()))
        {
            found.push(Violation {
                key: format!("{page} {target}"),
                place: format!("{page}:{line}"),
                what: format!(
                    "{target:?} leads nowhere: {fault}. Correct it, or move it with what it named."
                ),
            });
        }
    };
    for name in texts::files(root, &DOCUMENTS, &["md"]) {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let text = fs::read_to_string(root.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (line, content) in texts::prose(&text) {
            for target in targets(content) {
                if !OUTSIDE.iter().any(|start| target.starts_with(start)) {
                    check(&name, line, folder, &target);
                }
            }
        }
    }
    let mut messages = Vec::new();
    for name in texts::files(root, &SOURCES, &["", "rs", "toml", "md", "py"]) {
        let text = fs::read_to_string(root.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (line, content) in text.lines().enumerate() {
            for target in named_files(content) {
                check(&name, line + 1, "", &target);
                if is_message(&name, content) && target.starts_with("docs/") {
                    messages.push(Violation {
                        key: format!("{name} names {target}"),
                        place: format!("{name}:{}", line + 1),
                        what: format!(
                            "{target:?} is not installed with the program. Name a command, or a public URL."
                        ),
                    });
                }
            }
        }
    }
    found.extend(messages);
    found
}
