//! Check 10: documents have one sentence a line, and lines and table cells are short.

use std::fs;
use std::path::Path;

use super::texts;
use super::tree::Violation;

const PAGES: [&str; 5] = ["docs", "samples", ".github", "README.md", "CHANGELOG.md"];
/// Longest line of a document outside code blocks, in characters: a change of it can still be reviewed.
const LONGEST_LINE: usize = 200;
/// Longest cell of a table, in characters: more belongs into a list below the table.
const LONGEST_CELL: usize = 120;
/// The table between two of these lines is read by another check and may have long cells.
const TABLE_OF_MODULES: &str = "<!-- dependencies -->";
const SENTENCE_ENDS: [char; 3] = ['.', '?', '!'];
/// What may stand between the end of a sentence and the blank after it.
const CLOSERS: [char; 4] = ['*', '"', ')', ']'];
/// What may stand before the first letter of a sentence.
const OPENERS: [char; 4] = ['*', '"', '(', '['];

/// The text of a line without the marker of its list or quotation, and without the text of code spans.
fn sentence_text(line: &str) -> String {
    let line = line.trim().trim_start_matches("> ");
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let line = number.strip_prefix(". ").filter(|_| number.len() < line.len()).unwrap_or(line);
    let line = line.strip_prefix("- ").unwrap_or(line);
    let parts = line.split('`').enumerate();
    let text: Vec<_> = parts.map(|(nth, part)| if nth % 2 == 0 { part } else { "" }).collect();
    let text = text.join("`");
    // A label in bold at the start, such as "**Excel.**", belongs to the sentence after it.
    match text.strip_prefix("**").and_then(|rest| rest.split_once(".** ")) {
        Some((_, rest)) => rest.to_owned(),
        None => text,
    }
}

fn is_prose(line: &str) -> bool {
    let start = line.trim_start();
    !start.is_empty() && !start.starts_with(['|', '#', '<'])
}

fn starts_list_item(line: &str) -> bool {
    let start = line.trim_start();
    let number = start.trim_start_matches(|c: char| c.is_ascii_digit());
    start.starts_with("- ") || (number.len() < start.len() && number.starts_with(". "))
}

fn has_two_sentences(text: &str) -> bool {
    text.match_indices(SENTENCE_ENDS).any(|(at, _)| {
        let rest = text[at + 1..].trim_start_matches(CLOSERS);
        let next = rest.trim_start();
        rest.len() > next.len()
            && next.trim_start_matches(OPENERS).starts_with(|c: char| c.is_uppercase() || c == '`')
    })
}

/// Whether a line can be the last of its sentence; a colon may introduce what follows.
fn ends_sentence(text: &str) -> bool {
    text.trim_end_matches(CLOSERS).ends_with(['.', '?', '!', ':', '…'])
}

/// What is wrong with the lines of a page.
fn faults(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut is_exempt = false;
    let mut before: Option<(usize, String)> = None;
    for (line, content) in texts::prose(text) {
        if content.trim() == TABLE_OF_MODULES {
            is_exempt = !is_exempt;
        }
        if is_exempt {
            continue;
        }
        let length = content.chars().count();
        if length > LONGEST_LINE {
            found.push((line, format!("the line has {length} characters, more than {LONGEST_LINE}")));
        }
        if content.starts_with('|') {
            let cells = content.split('|').map(|cell| cell.trim().chars().count());
            found.extend(cells.filter(|cell| *cell > LONGEST_CELL).map(|cell| {
                (line, format!("a cell has {cell} characters, more than {LONGEST_CELL}: use a list"))
            }));
        }
        if !is_prose(content) {
            before = None;
            continue;
        }
        let sentence = sentence_text(content);
        if has_two_sentences(&sentence) {
            found.push((line, "a line has one sentence: begin the second on a line of its own".to_owned()));
        }
        if let Some((_, earlier)) = before.take().filter(|(last, _)| last + 1 == line)
            && !starts_list_item(content)
            && !ends_sentence(&earlier)
        {
            found.push((line, "a sentence stands on one line: join this line with the one above".to_owned()));
        }
        before = Some((line, sentence));
    }
    found
}

pub(super) fn crowded(root: &Path) -> Vec<Violation> {
    let mut found = Vec::new();
    for name in texts::files(root, &PAGES, &["md"]) {
        let text = fs::read_to_string(root.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (line, what) in faults(&text) {
            found.push(Violation { key: name.clone(), place: format!("{name}:{line}"), what });
        }
    }
    found
}
