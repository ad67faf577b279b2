//! The conventions that a machine can check, each a function from the root of a source tree to what breaks it.

mod action;
mod baseline;
mod circles;
mod dependencies;
mod foreign;
mod links;
mod modules;
mod pages;
mod paths;
mod planted;
mod sizes;
mod statics;
mod texts;
mod tree;
mod types;
mod words;

use std::path::Path;

use tree::{Tree, Violation};

/// Fewest files that the sources of this package have: a check that reads less checks nothing.
const FEWEST_FILES: usize = 100;

/// Name in the baseline and in `tests/fixtures/conventions`, and the check.
type Check = (&'static str, fn(&Path) -> Vec<Violation>);

const CHECKS: [Check; 13] = [
    ("action", |root| action::named_elsewhere(&Tree::read(root))),
    ("modules", |root| with_paths(root, |tree, paths| modules::forbidden_uses(root, tree, paths))),
    ("circles", |root| with_paths(root, circles::circles)),
    ("mod_files", |root| circles::crowded_mod_files(&Tree::read(root))),
    ("commands", |root| sizes::long_commands(&Tree::read(root))),
    ("files", sizes::long_files),
    ("types", |root| types::repeated_names(&Tree::read(root))),
    ("statics", |root| with_paths(root, |tree, _| statics::changing_statics(tree))),
    ("printing", |root| with_paths(root, foreign::prints)),
    ("command_line", |root| with_paths(root, foreign::command_line_types)),
    ("words", words::retired),
    ("links", links::broken),
    ("pages", pages::crowded),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn with_paths(root: &Path, check: impl Fn(&Tree, &[paths::Named]) -> Vec<Violation>) -> Vec<Violation> {
    let mut tree = Tree::read(root);
    let paths = paths::named_paths(&mut tree);
    check(&tree, &paths)
}

fn hold(name: &str) {
    let (_, check) = CHECKS.iter().find(|(known, _)| *known == name).expect("a check of this name");
    baseline::hold(name, &check(root()));
}

#[test]
fn what_is_special_to_the_action_stands_in_one_file() {
    hold("action");
}

#[test]
fn modules_use_only_what_the_table_allows() {
    hold("modules");
}

#[test]
fn files_do_not_use_each_other_in_a_circle() {
    hold("circles");
}

#[test]
fn large_mod_files_hold_no_code() {
    hold("mod_files");
}

#[test]
fn files_of_commands_are_thin() {
    hold("commands");
}

#[test]
fn files_are_short_and_start_with_their_job() {
    hold("files");
}

#[test]
fn type_names_have_one_meaning() {
    hold("types");
}

#[test]
fn statics_hold_nothing_that_changes() {
    hold("statics");
}

#[test]
fn only_the_terminal_prints() {
    hold("printing");
}

#[test]
fn only_cli_and_commands_use_clap() {
    hold("command_line");
}

#[test]
fn retired_words_do_not_return() {
    hold("words");
}

#[test]
fn links_in_documents_and_comments_resolve() {
    hold("links");
}

#[test]
fn documents_have_one_sentence_a_line() {
    hold("pages");
}

/// The figure "code lines in `src` without tests and comments": docs/contributing.md has the command.
#[test]
#[expect(clippy::print_stdout, reason = "the figure is what is wanted")]
fn lines_of_code_are_counted() {
    let tree = Tree::read(root());
    assert!(tree.files.len() > FEWEST_FILES, "only {} files were read", tree.files.len());
    for (folder, lines) in sizes::code_lines_by_folder(&tree) {
        println!("{lines:>6} {folder}");
    }
    println!("{:>6} lines of code in src, without comments, blank lines and tests", sizes::code_lines(&tree));
}
