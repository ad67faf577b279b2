//! Check 8: words that were retired do not return in names, comments, help, messages and documents.

use std::fs;
use std::path::Path;

use super::texts;
use super::tree::Violation;

/// Each with its forms, and the word to use instead.
const RETIRED: [(&[&str], &str); 9] = [
    (&["law", "laws"], "rate controller"),
    (&["stock", "stocks"], "burst"),
    (&["spell", "spells"], "pause"),
    (&["veil", "veils", "veiled", "veiling"], "redact"),
    (&["untold"], "no answer"),
    (&["unsaid"], "response lost"),
    (&["whoever"], "the worker, the request, the user: what is meant"),
    (&["anew"], "again"),
    (&["afresh"], "again"),
];
/// "Is no setting" is "is not a setting". "There is no" and "is no longer" are English.
const IS_NO: &str = "is no";
const FOLDERS: [&str; 10] = [
    "src",
    "tests",
    "benches",
    "docs",
    "samples",
    ".github",
    ".ci",
    "README.md",
    "CHANGELOG.md",
    "Cargo.toml",
];
/// Scripts have no extension.
const KINDS: [&str; 7] = ["", "rs", "md", "toml", "py", "json", "yml"];
/// These name the words, or files whose names hold them.
const SELF: [&str; 2] = ["tests/cli/conventions/words.rs", "tests/cli/conventions/baseline.toml"];

/// A word of a text or of a name: `rate_law` and `RateLaw` both hold `law`.
struct Word {
    text: String,
    line: usize,
    start: usize,
    end: usize,
}

fn words(text: &str) -> Vec<Word> {
    let mut found: Vec<Word> = Vec::new();
    let (mut line, mut before) = (1, ' ');
    for (at, c) in text.char_indices() {
        if c == '\n' {
            line += 1;
        }
        if c.is_alphanumeric() {
            let goes_on = before.is_alphanumeric() && !(before.is_lowercase() && c.is_uppercase());
            match found.last_mut().filter(|_| goes_on) {
                Some(word) => {
                    word.text.extend(c.to_lowercase());
                    word.end = at + c.len_utf8();
                }
                None => found.push(Word {
                    text: c.to_lowercase().collect(),
                    line,
                    start: at,
                    end: at + c.len_utf8(),
                }),
            }
        }
        before = c;
    }
    found
}

/// Lines on which retired words stand, with the word and what replaces it.
fn retired_words(text: &str) -> Vec<(usize, String, &'static str)> {
    let words = words(text);
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if let Some((_, instead)) = RETIRED.iter().find(|(forms, _)| forms.contains(&word.text.as_str())) {
            found.push((word.line, word.text.clone(), *instead));
        }
        // The two words may stand on two lines of a comment.
        if let [is, no, after, ..] = &words[at..]
            && (is.text.as_str(), no.text.as_str()) == ("is", "no")
            && !matches!(after.text.as_str(), "longer" | "more")
            && at.checked_sub(1).is_none_or(|before| words[before].text != "there")
            && [&text[is.end..no.start], &text[no.end..after.start]].iter().all(|between| is_space(between))
        {
            found.push((is.line, IS_NO.to_owned(), "is not a, is not any, no … is"));
        }
    }
    found
}

/// Whether only white space and the start of a comment line stand between two words.
fn is_space(between: &str) -> bool {
    between.starts_with(char::is_whitespace)
        && between.chars().all(|c| c.is_whitespace() || matches!(c, '/' | '!'))
}

pub(super) fn retired(root: &Path) -> Vec<Violation> {
    let mut found = Vec::new();
    for name in texts::files(root, &FOLDERS, &KINDS).into_iter().filter(|name| !SELF.contains(&name.as_str()))
    {
        let text = fs::read_to_string(root.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (line, word, instead) in retired_words(&text) {
            found.push(Violation {
                key: name.clone(),
                place: format!("{name}:{line}"),
                what: format!("{word:?} is a retired word. Write {instead:?} or what is meant."),
            });
        }
    }
    found
}
