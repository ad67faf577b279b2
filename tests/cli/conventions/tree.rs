//! The source tree that the checks read: files without their test code, and the modules that they form.

use std::collections::HashMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Item, Meta};

/// One breach of a convention.
#[derive(Debug)]
pub(super) struct Violation {
    /// What the baseline counts: a file, a pair of modules, a name.
    pub(super) key: String,
    /// `file:line`
    pub(super) place: String,
    /// What is wrong, and what to do: a sentence each.
    pub(super) what: String,
}

/// A source file below `src`, without anything that only tests compile.
pub(super) struct SourceFile {
    /// Path from the root of the tree, with `/`.
    pub(super) name: String,
    text: String,
    /// Lines of the items that only tests compile.
    test_lines: Vec<RangeInclusive<usize>>,
}

/// A module: a file, or a block in one.
#[derive(Default)]
pub(super) struct Module {
    /// Names from the crate root on; empty for the root.
    pub(super) path: Vec<String>,
    /// Index of the file that holds it.
    pub(super) file: usize,
    /// Whether the module or one above it is compiled on some systems only.
    pub(super) is_conditional: bool,
    /// What its names stand for. One name may be both a module and a function.
    pub(super) names: HashMap<String, Vec<Target>>,
    /// Paths of its glob imports.
    pub(super) globs: Vec<Vec<String>>,
    pub(super) items: Vec<Item>,
    /// Index of the crate's root.
    pub(super) root: usize,
    pub(super) parent: Option<usize>,
}

/// What a name in a module stands for.
pub(super) enum Target {
    Module(usize),
    Item,
    Import(Vec<String>),
}

/// All source files of a crate and its modules. The library's root is module 0; the program's root, if any, follows.
pub(super) struct Tree {
    pub(super) files: Vec<SourceFile>,
    pub(super) modules: Vec<Module>,
}

impl Tree {
    /// Reads `src/lib.rs`, `src/main.rs` and every module that they declare below `root`.
    pub(super) fn read(root: &Path) -> Self {
        let mut tree = Self { files: Vec::new(), modules: Vec::new() };
        for name in ["src/lib.rs", "src/main.rs"] {
            if root.join(name).exists() {
                let index = tree.modules.len();
                tree.add_file(root, name, Vec::new(), None, index, false);
            }
        }
        assert!(!tree.files.is_empty(), "{} holds no src/lib.rs", root.display());
        tree
    }

    /// Adds a file and the modules that it declares. Returns the index of its module.
    fn add_file(
        &mut self,
        root: &Path,
        name: &str,
        path: Vec<String>,
        parent: Option<usize>,
        crate_root: usize,
        is_conditional: bool,
    ) -> usize {
        let text = fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut remover = TestRemover::default();
        remover.visit_file_mut(&mut syntax);
        let file = self.files.len();
        self.files.push(SourceFile { name: name.to_owned(), text, test_lines: remover.lines });
        let module = Module { path, file, is_conditional, root: crate_root, parent, ..Module::default() };
        self.add_module(root, syntax.items, module)
    }

    /// Adds a module and all below it. Returns its index.
    fn add_module(&mut self, root: &Path, items: Vec<Item>, mut module: Module) -> usize {
        let index = self.modules.len();
        for name in items.iter().filter_map(item_name) {
            module.names.entry(name).or_default().push(Target::Item);
        }
        let (file, path, crate_root) = (module.file, module.path.clone(), module.root);
        let above = module.is_conditional;
        self.modules.push(module);
        for item in &items {
            let Item::Mod(inner) = item else { continue };
            let name = inner.ident.to_string();
            let path = [path.clone(), vec![name.clone()]].concat();
            let parent = Some(index);
            let is_conditional = above || has_cfg(&inner.attrs);
            let child = match &inner.content {
                Some((_, items)) => {
                    let root_of = crate_root;
                    let module =
                        Module { path, file, is_conditional, root: root_of, parent, ..Module::default() };
                    self.add_module(root, items.clone(), module)
                }
                None => {
                    let found = self.file_of(root, file, index, &name, &inner.attrs);
                    self.add_file(root, &found, path, parent, crate_root, is_conditional)
                }
            };
            self.modules[index].names.entry(name).or_default().push(Target::Module(child));
        }
        self.modules[index].items = items;
        index
    }

    /// The modules that are files.
    pub(super) fn file_modules(&self) -> impl Iterator<Item = &Module> {
        self.modules
            .iter()
            .filter(|module| module.parent.is_none_or(|parent| self.modules[parent].file != module.file))
    }

    /// The file of `mod name;`, by its `#[path]` or by the rules of the language.
    fn file_of(
        &self,
        root: &Path,
        file: usize,
        parent: usize,
        name: &str,
        attributes: &[Attribute],
    ) -> String {
        let declaring = &self.files[file].name;
        let (folder, stem) = declaring.rsplit_once('/').unwrap_or(("", declaring));
        let is_folder_root = matches!(stem, "mod.rs" | "lib.rs" | "main.rs");
        // Blocks around the declaration are folders; the file itself is one unless it stands for its folder.
        let mut below = folder.to_owned();
        if !is_folder_root {
            below = format!("{below}/{}", stem.trim_end_matches(".rs"));
        }
        let file_depth =
            self.modules.iter().find(|module| module.file == file).map_or(0, |module| module.path.len());
        let blocks = &self.modules[parent].path[file_depth..];
        if let Some(path) = attribute_text(attributes, "path") {
            let base = if blocks.is_empty() { folder.to_owned() } else { below };
            return normal(&[&[base], blocks, &[path]].concat().join("/"));
        }
        let base = [&[below], blocks].concat().join("/");
        let flat = format!("{base}/{name}.rs");
        if root.join(&flat).exists() { flat } else { format!("{base}/{name}/mod.rs") }
    }

    /// The name of the file that holds a module.
    pub(super) fn file_name(&self, file: usize) -> &str {
        &self.files[file].name
    }
}

impl SourceFile {
    /// The lines that not only tests compile, with their numbers.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        lines.filter(|(number, _)| !self.test_lines.iter().any(|range| range.contains(number)))
    }

    /// Numbers of the lines that hold code: no comments, no blank lines, no tests.
    pub(super) fn code_lines(&self) -> usize {
        let tokens: TokenStream = self.text.parse().expect("the file was parsed before");
        let mut lines = Vec::new();
        collect_lines(tokens, &mut lines);
        lines.sort_unstable();
        lines.dedup();
        lines.retain(|line| !self.test_lines.iter().any(|range| range.contains(line)));
        lines.len()
    }
}

/// The lines that tokens touch; documentation comments are left out.
fn collect_lines(tokens: TokenStream, lines: &mut Vec<usize>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if let TokenTree::Punct(sign) = &token
            && sign.as_char() == '#'
        {
            let mut ahead = tokens.clone();
            let mut next = ahead.next();
            if matches!(&next, Some(TokenTree::Punct(sign)) if sign.as_char() == '!') {
                next = ahead.next();
            }
            if let Some(TokenTree::Group(group)) = next
                && matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(name)) if name == "doc")
            {
                tokens = ahead;
                continue;
            }
        }
        match token {
            TokenTree::Group(group) => {
                lines.push(group.span_open().start().line);
                collect_lines(group.stream(), lines);
                lines.push(group.span_close().end().line);
            }
            other => lines.extend(other.span().start().line..=other.span().end().line),
        }
    }
}

/// Removes what only tests compile, and notes its lines.
#[derive(Default)]
struct TestRemover {
    lines: Vec<RangeInclusive<usize>>,
}

impl TestRemover {
    fn keep<T: Spanned>(&mut self, node: &T, attributes: &[Attribute]) -> bool {
        let is_test = attributes.iter().any(is_test_attribute);
        if is_test {
            self.lines.push(node.span().start().line..=node.span().end().line);
        }
        !is_test
    }
}

impl VisitMut for TestRemover {
    fn visit_file_mut(&mut self, node: &mut syn::File) {
        node.items.retain(|item| self.keep(item, item_attributes(item)));
        visit_mut::visit_file_mut(self, node);
    }

    fn visit_item_mod_mut(&mut self, node: &mut syn::ItemMod) {
        if let Some((_, items)) = &mut node.content {
            items.retain(|item| self.keep(item, item_attributes(item)));
        }
        visit_mut::visit_item_mod_mut(self, node);
    }

    fn visit_item_impl_mut(&mut self, node: &mut syn::ItemImpl) {
        node.items.retain(|item| match item {
            syn::ImplItem::Const(inner) => self.keep(item, &inner.attrs),
            syn::ImplItem::Fn(inner) => self.keep(item, &inner.attrs),
            syn::ImplItem::Type(inner) => self.keep(item, &inner.attrs),
            _ => true,
        });
        visit_mut::visit_item_impl_mut(self, node);
    }

    fn visit_item_enum_mut(&mut self, node: &mut syn::ItemEnum) {
        let all = std::mem::take(&mut node.variants);
        node.variants = all.into_iter().filter(|variant| self.keep(variant, &variant.attrs)).collect();
        visit_mut::visit_item_enum_mut(self, node);
    }

    fn visit_fields_named_mut(&mut self, node: &mut syn::FieldsNamed) {
        let all = std::mem::take(&mut node.named);
        node.named = all.into_iter().filter(|field| self.keep(field, &field.attrs)).collect();
        visit_mut::visit_fields_named_mut(self, node);
    }

    fn visit_expr_struct_mut(&mut self, node: &mut syn::ExprStruct) {
        let all = std::mem::take(&mut node.fields);
        node.fields = all.into_iter().filter(|field| self.keep(field, &field.attrs)).collect();
        visit_mut::visit_expr_struct_mut(self, node);
    }

    fn visit_expr_match_mut(&mut self, node: &mut syn::ExprMatch) {
        node.arms.retain(|arm| self.keep(arm, &arm.attrs));
        visit_mut::visit_expr_match_mut(self, node);
    }

    fn visit_block_mut(&mut self, node: &mut syn::Block) {
        node.stmts.retain(|statement| match statement {
            syn::Stmt::Local(inner) => self.keep(statement, &inner.attrs),
            syn::Stmt::Item(inner) => self.keep(statement, item_attributes(inner)),
            syn::Stmt::Macro(inner) => self.keep(statement, &inner.attrs),
            syn::Stmt::Expr(syn::Expr::Block(inner), _) => self.keep(statement, &inner.attrs),
            syn::Stmt::Expr(..) => true,
        });
        visit_mut::visit_block_mut(self, node);
    }
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]` and `#[cfg(all(test, …))]`.
fn is_test_attribute(attribute: &Attribute) -> bool {
    let is_cfg = attribute.path().is_ident("cfg");
    match &attribute.meta {
        Meta::Path(path) => path.segments.last().is_some_and(|last| last.ident == "test"),
        Meta::List(list) if is_cfg => {
            let mut tokens = list.tokens.clone().into_iter();
            match (tokens.next(), tokens.next()) {
                (Some(TokenTree::Ident(name)), None) => name == "test",
                (Some(TokenTree::Ident(name)), Some(TokenTree::Group(group))) if name == "all" => group
                    .stream()
                    .into_iter()
                    .any(|token| matches!(token, TokenTree::Ident(name) if name == "test")),
                _ => false,
            }
        }
        _ => false,
    }
}

pub(super) fn has_cfg(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident("cfg"))
}

/// The text of `#[name = "text"]`.
fn attribute_text(attributes: &[Attribute], name: &str) -> Option<String> {
    attributes.iter().find(|attribute| attribute.path().is_ident(name)).and_then(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else { return None };
        let syn::Expr::Lit(literal) = &pair.value else { return None };
        let syn::Lit::Str(text) = &literal.lit else { return None };
        Some(text.value())
    })
}

/// A path without `.` and `..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn item_attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn item_name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(name.to_string())
}
