//! Every path that a source tree names, and the file that defines what it stands for.

use std::collections::HashSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Meta, UseTree};

use super::tree::{Target, Tree};

/// The package, as its own program names it.
const PACKAGE: &str = env!("CARGO_PKG_NAME");
/// Imports of imports that are followed; no source nests them this deep.
const MAX_IMPORTS: usize = 32;

/// A path as it stands in a file.
pub(super) struct Named {
    pub(super) module: usize,
    pub(super) line: usize,
    pub(super) segments: Vec<String>,
    pub(super) role: Role,
}

/// What a path does where it stands.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Role {
    #[default]
    Use,
    /// Stands in a `pub use`.
    Reexport,
    /// Names a macro that is called.
    Macro,
}

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A module, named whole.
    Module(usize),
    /// Something that this module defines.
    Item(usize),
}

/// All paths of the tree: imports, expressions, types, patterns, attributes, and what macros are given.
/// Imports are entered into the modules of `tree` on the way.
pub(super) fn named_paths(tree: &mut Tree) -> Vec<Named> {
    let mut collector = Collector::default();
    for (index, module) in tree.modules.iter().enumerate() {
        collector.module = index;
        for item in module.items.iter().filter(|item| !matches!(item, Item::Mod(_))) {
            collector.visit_item(item);
        }
    }
    for (module, name, path) in collector.imports {
        match name {
            Some(name) => tree.modules[module].names.entry(name).or_default().push(Target::Import(path)),
            None => tree.modules[module].globs.push(path),
        }
    }
    collector.found
}

type Import = (usize, Option<String>, Vec<String>);

#[derive(Default)]
struct Collector {
    module: usize,
    role: Role,
    found: Vec<Named>,
    imports: Vec<Import>,
}

impl Collector {
    fn add(&mut self, line: usize, segments: Vec<String>) {
        self.found.push(Named { module: self.module, line, segments, role: self.role });
    }

    fn add_import(&mut self, before: &[String], tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                self.add_import(&[before, &[path.ident.to_string()]].concat(), &path.tree);
            }
            UseTree::Name(name) => self.import(before, &name.ident, &name.ident),
            UseTree::Rename(name) => self.import(before, &name.ident, &name.rename),
            UseTree::Glob(star) => {
                self.imports.push((self.module, None, before.to_vec()));
                // Names that come this way are not all seen: the module itself counts as used.
                self.add(star.star_token.spans[0].start().line, [before, &["*".to_owned()]].concat());
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_import(before, tree);
                }
            }
        }
    }

    fn import(&mut self, before: &[String], name: &proc_macro2::Ident, local: &proc_macro2::Ident) {
        // `use a::b::{self}` imports `b`.
        let is_self = name == "self" && !before.is_empty();
        let path = if is_self { before.to_vec() } else { [before, &[name.to_string()]].concat() };
        let local = if local == "self" { path.last().cloned() } else { Some(local.to_string()) };
        self.add(name.span().start().line, path.clone());
        self.imports.push((self.module, local, path));
    }

    /// Paths among tokens: what macros and attributes are given is not parsed any further.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, sign: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == sign);
        let is_colon = |at: usize| is(at, ':');
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(first) => {
                    // A method or field, or the rest of a path that begins with another crate or a type.
                    let follows = (at > 0 && is(at - 1, '.') && !(at > 1 && is(at - 2, '.')))
                        || (at > 1 && is_colon(at - 1) && is_colon(at - 2));
                    let line = first.span().start().line;
                    let mut segments = vec![first.to_string()];
                    while is_colon(at + 1) && is_colon(at + 2) {
                        match tokens.get(at + 3) {
                            Some(TokenTree::Ident(name)) => segments.push(name.to_string()),
                            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                                self.scan_group(&segments, group.stream());
                            }
                            _ => break,
                        }
                        at += 3;
                    }
                    if !follows {
                        self.role = if is(at + 1, '!') { Role::Macro } else { Role::Use };
                        self.add(line, segments);
                        self.role = Role::Use;
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// `use a::{b, c::d}` inside a macro.
    fn scan_group(&mut self, before: &[String], tokens: TokenStream) {
        let start = self.found.len();
        self.scan(tokens);
        for named in &mut self.found[start..] {
            named.segments = [before, &named.segments].concat();
        }
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_use(&mut self, node: &'ast syn::ItemUse) {
        if node.leading_colon.is_none() {
            if !matches!(node.vis, syn::Visibility::Inherited) {
                self.role = Role::Reexport;
            }
            self.add_import(&[], &node.tree);
            self.role = Role::Use;
        }
    }

    fn visit_path(&mut self, node: &'ast syn::Path) {
        if node.leading_colon.is_none()
            && let Some(first) = node.segments.first()
        {
            let segments = node.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.add(first.ident.span().start().line, segments);
        }
        visit::visit_path(self, node);
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        self.role = Role::Macro;
        self.visit_path(&node.path);
        self.role = Role::Use;
        self.scan(node.tokens.clone());
    }

    fn visit_attribute(&mut self, node: &'ast Attribute) {
        if let Meta::List(list) = &node.meta {
            self.scan(list.tokens.clone());
            // `#[serde(with = "crate::a::b")]` names a path in a text.
            for token in list.tokens.clone() {
                if let TokenTree::Literal(literal) = token
                    && let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string())
                    && text.value().contains("::")
                    && let Ok(path) = syn::parse_str::<syn::Path>(&text.value())
                {
                    let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
                    self.add(literal.span().start().line, segments);
                }
            }
        }
    }

    /// `pub(in crate::a)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

impl Tree {
    /// The path from the crate root, as it is written: re-exports are not followed. `None` for other crates, local
    /// names and what the module itself defines.
    pub(super) fn absolute(&self, module: usize, segments: &[String]) -> Option<Vec<String>> {
        self.absolute_within(module, segments, MAX_IMPORTS)
    }

    fn absolute_within(&self, module: usize, segments: &[String], depth: usize) -> Option<Vec<String>> {
        let depth = depth.checked_sub(1)?;
        let here = &self.modules[module];
        let (first, rest) = segments.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => self.absolute_below(module, rest),
            "super" => self.absolute_below(here.parent?, rest),
            PACKAGE if here.root != 0 => Some(rest.to_vec()),
            name => {
                let targets = here.names.get(name)?;
                targets.iter().find_map(|target| match target {
                    Target::Import(path) => {
                        let path = [path.as_slice(), rest].concat();
                        self.absolute_within(module, &path, depth)
                    }
                    Target::Module(_) => Some([here.path.as_slice(), segments].concat()),
                    _ => None,
                })
            }
        }
    }

    /// The path from the crate root of another crate on, with imports followed: `clap::Parser` for `Parser` after
    /// `use clap::Parser`. `None` for what this crate defines.
    pub(super) fn foreign(&self, module: usize, segments: &[String]) -> Option<Vec<String>> {
        let mut path = segments.to_vec();
        for _ in 0..MAX_IMPORTS {
            let first = path.first()?.clone();
            if matches!(first.as_str(), "crate" | "self" | "super") || first == PACKAGE {
                return None;
            }
            match self.modules[module].names.get(&first).and_then(|targets| targets.first()) {
                Some(Target::Import(import)) if *import != [first] => {
                    path = [import.as_slice(), &path[1..]].concat();
                }
                None | Some(Target::Import(_)) => return Some(path),
                Some(Target::Item | Target::Module(_)) => return None,
            }
        }
        None
    }

    /// A path below a module that `self` or `super` led to.
    fn absolute_below(&self, module: usize, rest: &[String]) -> Option<Vec<String>> {
        match rest.first().map(String::as_str) {
            Some("super") => self.absolute_below(self.modules[module].parent?, &rest[1..]),
            _ => Some([self.modules[module].path.as_slice(), rest].concat()),
        }
    }

    /// What a path stands for, with imports and re-exports followed to the module that defines it. `None` for other
    /// crates and local names. A path that leads into a module and no further, such as a name that a macro makes,
    /// stands for an item of that module.
    pub(super) fn meaning(&self, module: usize, segments: &[String]) -> Option<Meaning> {
        let (first, rest) = segments.split_first()?;
        let mut seen = HashSet::new();
        self.meaning_from(module, first, rest, &mut seen)
    }

    fn meaning_from(
        &self,
        module: usize,
        first: &str,
        rest: &[String],
        seen: &mut HashSet<(usize, Vec<String>)>,
    ) -> Option<Meaning> {
        let here = &self.modules[module];
        let start = match first {
            "crate" => here.root,
            "self" => module,
            "super" => here.parent?,
            PACKAGE if here.root != 0 => 0,
            _ => return self.step(module, first, rest, seen),
        };
        match rest.split_first() {
            None => Some(Meaning::Module(start)),
            Some((next, rest)) if next == "super" => self.meaning_from(start, next, rest, seen),
            Some((next, rest)) => self.step(start, next, rest, seen).or(Some(Meaning::Item(start))),
        }
    }

    /// What `name` and the segments after it stand for in `module`.
    fn step(
        &self,
        module: usize,
        name: &str,
        rest: &[String],
        seen: &mut HashSet<(usize, Vec<String>)>,
    ) -> Option<Meaning> {
        let key = (module, [&[name.to_owned()], rest].concat());
        if !seen.insert(key) {
            return None;
        }
        let here = &self.modules[module];
        let mut whole_module = None;
        for target in here.names.get(name).into_iter().flatten() {
            let found = match target {
                Target::Item => Some(Meaning::Item(module)),
                Target::Module(child) => Some(Meaning::Module(*child)),
                Target::Import(path) => {
                    path.split_first().and_then(|(first, rest)| self.meaning_from(module, first, rest, seen))
                }
            };
            match (found, rest.split_first()) {
                (Some(Meaning::Module(inner)), Some((next, rest))) => {
                    if let Some(found) = self.step(inner, next, rest, seen) {
                        return Some(found);
                    }
                    whole_module.get_or_insert(Meaning::Item(inner));
                }
                // A function or a type of the same name is what is meant, if there is one.
                (Some(Meaning::Module(inner)), None) => {
                    whole_module.get_or_insert(Meaning::Module(inner));
                }
                (Some(item), _) => return Some(item),
                (None, _) => {}
            }
        }
        whole_module.or_else(|| {
            here.globs.iter().find_map(|path| {
                let (first, more) = path.split_first()?;
                match self.meaning_from(module, first, more, seen)? {
                    Meaning::Module(inner) => self.step(inner, name, rest, seen),
                    Meaning::Item(_) => None,
                }
            })
        })
    }
}
