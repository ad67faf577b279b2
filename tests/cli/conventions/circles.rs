//! Check 2: no circle of files, and no code in a large `mod.rs`, through which circles come about.

use std::collections::{BTreeMap, VecDeque};

use syn::Item;

use super::paths::{Meaning, Named, Role};
use super::tree::{Tree, Violation};

/// Most lines of code of a `mod.rs` that holds more than `mod` and `use`.
const MAX_MOD_LINES: usize = 60;

/// One use of another file: where, and the path that is written there.
pub(super) struct Use {
    line: usize,
    path: String,
}

/// Which files use which: `edges[from][to]`.
type Edges = BTreeMap<usize, BTreeMap<usize, Use>>;

fn edges(tree: &Tree, paths: &[Named]) -> Edges {
    let mut edges = Edges::new();
    // A re-export leads to the defining file; who imports through it does not use the file that holds it.
    for named in paths.iter().filter(|named| named.role != Role::Reexport) {
        let from = tree.modules[named.module].file;
        // A module named whole is used where a path goes through it.
        if let Some(Meaning::Item(module)) = tree.meaning(named.module, &named.segments) {
            let to = tree.modules[module].file;
            if from != to {
                let used = Use { line: named.line, path: named.segments.join("::") };
                edges.entry(from).or_default().entry(to).or_insert(used);
            }
        }
    }
    edges
}

/// The shortest way from `start` back to itself.
fn shortest_circle(edges: &Edges, start: usize) -> Option<Vec<usize>> {
    let mut before: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(file) = open.pop_front() {
        for next in edges.get(&file).into_iter().flat_map(BTreeMap::keys) {
            if *next == start {
                let mut circle = vec![file];
                while *circle.last().expect("it is not empty") != start {
                    circle.push(before[circle.last().expect("it is not empty")]);
                }
                circle.reverse();
                return Some(circle);
            }
            if !before.contains_key(next) {
                before.insert(*next, file);
                open.push_back(*next);
            }
        }
    }
    None
}

/// Every file that uses itself through others, with the shortest way round.
pub(super) fn circles(tree: &Tree, paths: &[Named]) -> Vec<Violation> {
    let edges = edges(tree, paths);
    let mut found = Vec::new();
    for start in 0..tree.files.len() {
        let Some(circle) = shortest_circle(&edges, start) else { continue };
        let steps: Vec<String> = circle
            .iter()
            .zip(circle.iter().cycle().skip(1))
            .map(|(from, to)| {
                let used = &edges[from][to];
                format!(
                    "{}:{} uses `{}` of {}",
                    tree.file_name(*from),
                    used.line,
                    used.path,
                    tree.file_name(*to)
                )
            })
            .collect();
        found.push(Violation {
            key: tree.file_name(start).to_owned(),
            place: format!("{}:{}", tree.file_name(start), edges[&start][&circle[1 % circle.len()]].line),
            what: format!(
                "Files use each other in a circle: {}. Move what both need into a file below both.",
                steps.join(", ")
            ),
        });
    }
    found
}

/// Every `mod.rs` that holds code of its own beyond what is small.
pub(super) fn crowded_mod_files(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for module in tree.file_modules().filter(|module| tree.file_name(module.file).ends_with("/mod.rs")) {
        let file = &tree.files[module.file];
        let is_map = module.items.iter().all(|item| matches!(item, Item::Mod(_) | Item::Use(_)));
        let lines = file.code_lines();
        if !is_map && lines > MAX_MOD_LINES {
            found.push(Violation {
                key: file.name.clone(),
                place: format!("{}:1", file.name),
                what: format!(
                    "A mod.rs with code has at most {MAX_MOD_LINES} lines of it, this one {lines}. Move the code \
                     into a file of its own and leave `mod` and `pub use`."
                ),
            });
        }
    }
    found
}
