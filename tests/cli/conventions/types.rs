//! Check 4: a type name means one thing among those that other files can see.

use std::collections::BTreeMap;

use syn::{Attribute, Ident, Item, Visibility};

use super::tree::{Tree, Violation, has_cfg};

/// Names that every module may have once.
const SHARED: [&str; 2] = ["Error", "Builder"];
/// Stands apart and shares no code with the rest.
const APART: &str = "simulator";

struct Definition {
    place: String,
    /// Only one of several such definitions is compiled on a system.
    is_conditional: bool,
}

/// The name of a type or trait, whether other files see it, and its attributes.
fn type_of(item: &Item) -> Option<(&Ident, &Visibility, &[Attribute])> {
    match item {
        Item::Enum(item) => Some((&item.ident, &item.vis, &item.attrs)),
        Item::Struct(item) => Some((&item.ident, &item.vis, &item.attrs)),
        Item::Trait(item) => Some((&item.ident, &item.vis, &item.attrs)),
        Item::Type(item) => Some((&item.ident, &item.vis, &item.attrs)),
        Item::Union(item) => Some((&item.ident, &item.vis, &item.attrs)),
        _ => None,
    }
}

pub(super) fn repeated_names(tree: &Tree) -> Vec<Violation> {
    let mut names: BTreeMap<String, Vec<Definition>> = BTreeMap::new();
    for module in tree.modules.iter().filter(|module| module.path.first().is_none_or(|name| name != APART)) {
        for (name, visibility, attributes) in module.items.iter().filter_map(type_of) {
            if !matches!(visibility, Visibility::Inherited) {
                names.entry(name.to_string()).or_default().push(Definition {
                    place: format!("{}:{}", tree.file_name(module.file), name.span().start().line),
                    is_conditional: module.is_conditional || has_cfg(attributes),
                });
            }
        }
    }
    names.retain(|name, found| {
        // Twins for different systems are one type.
        let twins = found.iter().filter(|found| found.is_conditional).count();
        !SHARED.contains(&name.as_str()) && found.len() - twins.saturating_sub(1) > 1
    });
    names
        .into_iter()
        .map(|(name, found)| {
            let places: Vec<_> = found.into_iter().map(|found| found.place).collect();
            Violation {
                what: format!(
                    "`{name}` names {} types: {}. Give each a name of its own.",
                    places.len(),
                    places.join(", ")
                ),
                place: places[0].clone(),
                key: name,
            }
        })
        .collect()
}
