//! Check 1: a module uses only what the table in docs/architecture.md allows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::paths::Named;
use super::tree::{Tree, Violation};

const TABLE: &str = "docs/architecture.md";
/// Stands before and after the table.
const MARK: &str = "<!-- dependencies -->";

/// The rows `| module | may use | … |`: names in backticks. A name such as `terminal::Console` allows that item alone.
fn allowed(root: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root.join(TABLE)).unwrap_or_else(|error| panic!("{TABLE}: {error}"));
    let table = text.split(MARK).nth(1).unwrap_or_else(|| panic!("{TABLE}: the table is marked {MARK}"));
    let names =
        |cell: &str| -> BTreeSet<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let mut rows = BTreeMap::new();
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.trim_matches('|').split('|');
        let (modules, uses) = (cells.next().unwrap_or(""), cells.next().unwrap_or(""));
        rows.extend(names(modules).into_iter().map(|module| (module, names(uses))));
    }
    assert!(!rows.is_empty(), "{TABLE}: the table holds no rows");
    rows
}

/// The module below the crate root to which a file belongs: `report` for `src/report/html.rs`.
fn module_of(file: &str) -> &str {
    file.trim_start_matches("src/").split(['/', '.']).next().unwrap_or(file)
}

pub(super) fn forbidden_uses(root: &Path, tree: &Tree, paths: &[Named]) -> Vec<Violation> {
    let allowed = allowed(root);
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (file, rows) in tree.files.iter().map(|file| (&file.name, allowed.get(module_of(&file.name)))) {
        if rows.is_none() && module_of(file) != "lib" && seen.insert((file.clone(), String::new())) {
            found.push(Violation {
                key: format!("{} has no row", module_of(file)),
                place: format!("{file}:1"),
                what: format!("{} has no row in the table of {TABLE}. Add one.", module_of(file)),
            });
        }
    }
    for named in paths {
        let file = tree.file_name(tree.modules[named.module].file);
        let (from, Some(path)) = (module_of(file), tree.absolute(named.module, &named.segments)) else {
            continue;
        };
        let (Some(uses), Some(to)) = (allowed.get(from), path.first()) else { continue };
        let is_allowed =
            to == from || (1..=path.len()).any(|length| uses.contains(&path[..length].join("::")));
        if !is_allowed && seen.insert((file.to_owned(), to.clone())) {
            found.push(Violation {
                key: format!("{from} -> {to}"),
                place: format!("{file}:{}", named.line),
                what: format!(
                    "`{from}` uses `crate::{}`, which the table of {TABLE} does not allow. Move the item to a \
                     module that `{from}` may use, or the code that needs it to one above.",
                    path.join("::")
                ),
            });
        }
    }
    found
}
