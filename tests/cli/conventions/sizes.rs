//! Check 3: how long files are, and how many lines of code the program has.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::texts;
use super::tree::{Tree, Violation};

/// Most lines of code of a file in `src/commands`: arguments, plan, job, print, exit code.
const MAX_COMMAND_LINES: usize = 150;
/// Most lines of a source file, comments and tests included.
const MAX_LINES: usize = 600;
/// Most lines of `src/main.rs`.
const MAX_MAIN_LINES: usize = 60;

/// Lines of code in `src`, without comments, blank lines and tests: the figure of docs/contributing.md.
pub(super) fn code_lines(tree: &Tree) -> usize {
    tree.files.iter().map(super::tree::SourceFile::code_lines).sum()
}

/// Lines of code for each folder below `src`; files that lie there themselves count as one.
pub(super) fn code_lines_by_folder(tree: &Tree) -> BTreeMap<&str, usize> {
    let mut folders = BTreeMap::new();
    for file in &tree.files {
        let below = file.name.trim_start_matches("src/");
        let folder = below.split_once('/').map_or("src", |(folder, _)| folder);
        *folders.entry(folder).or_default() += file.code_lines();
    }
    folders
}

pub(super) fn long_commands(tree: &Tree) -> Vec<Violation> {
    let commands = tree.files.iter().filter(|file| file.name.starts_with("src/commands/"));
    let mut found = Vec::new();
    for (file, lines) in commands.map(|file| (file, file.code_lines())) {
        if lines > MAX_COMMAND_LINES {
            found.push(Violation {
                key: file.name.clone(),
                place: format!("{}:1", file.name),
                what: format!(
                    "A file of commands/ has at most {MAX_COMMAND_LINES} lines of code, this one {lines}. Move what \
                     the command does into a job."
                ),
            });
        }
    }
    found
}

/// Long files, and files that do not say first what they are for.
pub(super) fn long_files(root: &Path) -> Vec<Violation> {
    let mut found = Vec::new();
    for name in texts::files(root, &["src", "tests", "benches"], &["rs"]) {
        let text = fs::read_to_string(root.join(&name)).expect("a source file");
        let lines = text.lines().count();
        let most = if name == "src/main.rs" { MAX_MAIN_LINES } else { MAX_LINES };
        if lines > most {
            found.push(Violation {
                key: name.clone(),
                place: format!("{name}:{most}"),
                what: format!("The file has {lines} lines, at most {most} are allowed. Split it by job."),
            });
        }
        if !text.starts_with("//! ") {
            found.push(Violation {
                key: name.clone(),
                place: format!("{name}:1"),
                what: "The first line does not say what the file is for. Begin it with `//! `.".to_owned(),
            });
        }
    }
    found
}
