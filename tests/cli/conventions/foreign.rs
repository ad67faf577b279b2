//! Checks 6 and 7: only `terminal` prints, and only `cli` and `commands` know clap.

use std::collections::BTreeSet;

use super::paths::{Named, Role};
use super::tree::{Tree, Violation};

/// Macros that write to a stream of the process.
const PRINTING_MACROS: [&str; 5] = ["dbg", "eprint", "eprintln", "print", "println"];
/// Functions that give a stream of the process to write to, of `std::io`, of tokio and of the package `console`.
const STREAMS: [&str; 4] = ["buffered_stderr", "buffered_stdout", "stderr", "stdout"];
/// Crates whose types describe the command line.
const COMMAND_LINE: [&str; 3] = ["clap", "clap_complete", "clap_mangen"];

fn is_below(file: &str, folders: &[&str]) -> bool {
    folders
        .iter()
        .any(|folder| file.starts_with(&format!("src/{folder}/")) || file == format!("src/{folder}.rs"))
}

/// Writes to standard output or standard error outside `terminal`.
pub(super) fn prints(tree: &Tree, paths: &[Named]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for named in paths {
        let file = tree.file_name(tree.modules[named.module].file);
        let Some(path) = tree.foreign(named.module, &named.segments) else { continue };
        let last = path.last().map_or("", String::as_str);
        let is_print = named.role == Role::Macro && PRINTING_MACROS.contains(&last);
        let is_stream = path.len() > 1 && STREAMS.contains(&last);
        if (is_print || is_stream) && !is_below(file, &["terminal"]) && seen.insert((file, named.line)) {
            found.push(Violation {
                key: file.to_owned(),
                place: format!("{file}:{}", named.line),
                what: format!(
                    "`{}` is used outside `terminal`, the only module that prints. Pass the text or the question \
                     to it.",
                    named.segments.join("::")
                ),
            });
        }
    }
    found
}

/// Types of the command line outside `cli` and `commands`.
pub(super) fn command_line_types(tree: &Tree, paths: &[Named]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for named in paths {
        let file = tree.file_name(tree.modules[named.module].file);
        let path = tree.foreign(named.module, &named.segments).unwrap_or_default();
        let is_clap = path.first().is_some_and(|first| COMMAND_LINE.contains(&first.as_str()));
        if is_clap && !is_below(file, &["cli", "commands"]) && seen.insert((file, named.line)) {
            found.push(Violation {
                key: file.to_owned(),
                place: format!("{file}:{}", named.line),
                what: format!(
                    "`{}` of the command line is used outside `cli` and `commands`. Take a plain type of `model`, \
                     and convert in `cli`.",
                    named.segments.join("::")
                ),
            });
        }
    }
    found
}
