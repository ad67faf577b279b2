//! Check: what is special to the action of Microsoft Graph stands in one file.

use syn::LitStr;
use syn::visit::{self, Visit};

use super::tree::{Tree, Violation};

const FILE: &str = "src/model/action.rs";
/// Stands apart: a mistake in shared words would not be found.
const APART: &str = "src/simulator/";

/// Collects the path of the action and the names of permissions.
#[derive(Default)]
struct Names(Vec<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_lit_str(&mut self, node: &'ast LitStr) {
        let text = node.value();
        let is_word = |text: &str| !text.is_empty() && text.chars().all(char::is_alphanumeric);
        let path = text.strip_prefix('/').filter(|path| is_word(path));
        let is_permission = text.contains('.') && text.split('.').all(is_word);
        self.0.extend(path.map(str::to_owned).or(is_permission.then_some(text)));
        visit::visit_lit_str(self, node);
    }
}

pub(super) fn named_elsewhere(tree: &Tree) -> Vec<Violation> {
    let mut names = Names::default();
    let of_action = tree.modules.iter().filter(|module| tree.file_name(module.file) == FILE);
    of_action.flat_map(|module| &module.items).for_each(|item| names.visit_item(item));
    let Names(names) = names;
    assert!(names.len() > 1, "{FILE} has no path and no permissions");
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.name != FILE && !file.name.starts_with(APART)) {
        for (line, text) in file.lines() {
            if let Some(name) = names.iter().find(|name| text.contains(*name)) {
                found.push(Violation {
                    key: file.name.clone(),
                    place: format!("{}:{line}", file.name),
                    what: format!("{name:?} is special to the action. Use a constant of {FILE}."),
                });
            }
        }
    }
    found
}
