//! Check 5: no state of the process: a `static` holds nothing that changes.

use std::collections::HashSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Item, ItemStatic};

use super::paths::Meaning;
use super::tree::{Tree, Violation};

/// What a process may know about itself: the panic hook and the signal handler have no arguments.
const ALLOWED: [(&str, &str); 2] =
    [("src/terminal/panic_hook.rs", "HAPPENED"), ("src/sys/signals.rs", "ASKED_TO_END")];
/// Types whose values change behind a shared reference, besides all that begin with `Atomic`.
const CHANGING: [&str; 16] = [
    "Barrier",
    "Cell",
    "Condvar",
    "LazyCell",
    "Mutex",
    "Notify",
    "Once",
    "OnceCell",
    "OnceLock",
    "Receiver",
    "RefCell",
    "RwLock",
    "Semaphore",
    "Sender",
    "SyncSender",
    "UnsafeCell",
];

/// Finds statics in all blocks of a file.
struct Finder<'a> {
    tree: &'a Tree,
    module: usize,
    found: Vec<Violation>,
}

impl Finder<'_> {
    fn add(&mut self, name: &syn::Ident, why: &str) {
        let file = self.tree.file_name(self.tree.modules[self.module].file);
        if ALLOWED.iter().all(|(allowed_file, allowed)| file != *allowed_file || name != allowed) {
            self.found.push(Violation {
                key: format!("{file} {name}"),
                place: format!("{file}:{}", name.span().start().line),
                what: format!(
                    "`static {name}` is state of the process: {why}. Make it a field of a value that is passed down."
                ),
            });
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_static(&mut self, node: &'ast ItemStatic) {
        let mut search =
            Search { tree: self.tree, module: self.module, seen: HashSet::new(), changing: None };
        search.visit_type(&node.ty);
        if !matches!(node.mutability, syn::StaticMutability::None) {
            self.add(&node.ident, "it is `mut`");
        } else if let Some(changing) = search.changing {
            self.add(&node.ident, &format!("its type holds `{changing}`"));
        }
        visit::visit_item_static(self, node);
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        if node.path.segments.last().is_some_and(|last| last.ident == "thread_local") {
            for name in statics_among(node.tokens.clone()) {
                self.add(&name, "each thread has one of its own");
            }
        }
    }
}

/// The names after `static` among tokens.
fn statics_among(tokens: TokenStream) -> Vec<syn::Ident> {
    let mut found = Vec::new();
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        if let TokenTree::Ident(word) = token
            && word == "static"
            && let Some(TokenTree::Ident(name)) = tokens.next()
        {
            found.push(name);
        }
    }
    found
}

/// Looks for a type that changes behind a shared reference, through the types of the crate.
struct Search<'a> {
    tree: &'a Tree,
    module: usize,
    seen: HashSet<(usize, String)>,
    changing: Option<String>,
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_type_path(&mut self, node: &'ast syn::TypePath) {
        let segments: Vec<String> =
            node.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let last = segments.last().map_or("", String::as_str);
        match self.tree.meaning(self.module, &segments) {
            Some(Meaning::Item(module)) if self.seen.insert((module, last.to_owned())) => {
                let outer = std::mem::replace(&mut self.module, module);
                let tree = self.tree;
                for item in &tree.modules[module].items {
                    match item {
                        Item::Struct(inner) if inner.ident == last => self.visit_fields(&inner.fields),
                        Item::Enum(inner) if inner.ident == last => {
                            inner.variants.iter().for_each(|variant| self.visit_fields(&variant.fields));
                        }
                        Item::Type(inner) if inner.ident == last => self.visit_type(&inner.ty),
                        _ => {}
                    }
                }
                self.module = outer;
            }
            None => {
                let path = self.tree.foreign(self.module, &segments).unwrap_or_default();
                let last = path.last().map_or("", String::as_str);
                if last.starts_with("Atomic") || CHANGING.contains(&last) {
                    self.changing.get_or_insert(last.to_owned());
                }
            }
            _ => {}
        }
        visit::visit_type_path(self, node);
    }
}

pub(super) fn changing_statics(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, module) in tree.modules.iter().enumerate() {
        let mut finder = Finder { tree, module: index, found: Vec::new() };
        for item in module.items.iter().filter(|item| !matches!(item, Item::Mod(_))) {
            finder.visit_item(item);
        }
        found.extend(finder.found);
    }
    found
}
