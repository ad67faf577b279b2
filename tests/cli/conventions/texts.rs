//! The text files of a tree, and lines of Markdown outside code blocks.

use std::fs;
use std::path::Path;

/// What the checks are shown: breaches on purpose.
const PLANTED: &str = "tests/fixtures/conventions/";

/// Names from `root` on, with `/`, of all files in `folders` whose names end with one of `kinds`, sorted.
pub(super) fn files(root: &Path, folders: &[&str], kinds: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<String> = folders.iter().map(|&folder| folder.to_owned()).collect();
    while let Some(name) = open.pop() {
        if root.join(&name).is_dir() {
            for entry in fs::read_dir(root.join(&name)).expect("a readable folder") {
                let entry = entry.expect("a readable entry").file_name();
                open.push(format!("{name}/{}", entry.to_string_lossy()));
            }
        } else if root.join(&name).is_file()
            && !name.starts_with(PLANTED)
            && kinds.contains(&name.rsplit_once('.').map_or("", |(_, kind)| kind))
        {
            found.push(name);
        }
    }
    found.sort();
    found
}

/// The lines of a Markdown text that are not in code blocks, numbered from 1.
pub(super) fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            return None;
        }
        (!is_code).then_some((index + 1, line))
    })
}
