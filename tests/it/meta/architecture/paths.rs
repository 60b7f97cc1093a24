//! Paths that a Rust file names: in `use` items, in code, in macros and in attributes.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{
    Attribute, ExprAsync, ExprAwait, ItemExternCrate, ItemMod, ItemUse, Macro, Signature, UseTree,
    Visibility,
};

/// Path as it is written, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) segments: Vec<String>,
    /// Module that names it, from the crate's root.
    pub(super) module: Vec<String>,
    pub(super) line: usize,
    /// True in a `use` item, where a single word is a path too.
    pub(super) imported: bool,
}

/// Returns all paths that the text of a module names.
pub(super) fn named(text: &str, module: &[String]) -> Vec<Named> {
    let file = syn::parse_file(text).expect("the file is Rust");
    let mut collector = Collector { module: module.to_vec(), named: Vec::new() };
    collector.visit_file(&file);
    collector.named
}

struct Collector {
    module: Vec<String>,
    named: Vec<Named>,
}

impl Collector {
    fn push(&mut self, segments: Vec<String>, span: Span, imported: bool) {
        let (module, line) = (self.module.clone(), span.start().line);
        self.named.push(Named { segments, module, line, imported });
    }

    fn push_word(&mut self, word: &str, span: Span) {
        self.push(vec![word.to_owned()], span, false);
    }

    fn use_tree(&mut self, prefix: &[String], tree: &UseTree) {
        let with = |ident: &Ident| prefix.iter().cloned().chain([name(ident)]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => self.use_tree(&with(&path.ident), &path.tree),
            UseTree::Name(leaf) => self.push(with(&leaf.ident), leaf.ident.span(), true),
            UseTree::Rename(leaf) => self.push(with(&leaf.ident), leaf.ident.span(), true),
            UseTree::Glob(glob) => {
                let all = prefix.iter().cloned().chain(["*".to_owned()]).collect();
                self.push(all, glob.star_token.spans[0], true);
            }
            UseTree::Group(group) => {
                for item in &group.items {
                    self.use_tree(prefix, item);
                }
            }
        }
    }

    /// Reads the arguments of macros and attributes, which syn leaves as tokens.
    // Attributes such as `#[serde(with = "crate::x")]` name paths in strings.
    fn tokens(&mut self, tokens: TokenStream, reads_strings: bool) {
        let mut path: Option<(Vec<String>, Span)> = None;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => match &mut path {
                    Some((segments, _)) if colons == 2 => segments.push(name(&ident)),
                    _ => {
                        self.end(&mut path);
                        path = Some((vec![name(&ident)], ident.span()));
                    }
                },
                TokenTree::Punct(sign) if sign.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Punct(_) => self.end(&mut path),
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    self.tokens(group.stream(), reads_strings);
                }
                TokenTree::Literal(literal) => {
                    self.end(&mut path);
                    let text = literal.to_string();
                    let text = text.trim_matches('"');
                    if reads_strings && text.contains("::") {
                        let segments = text.split("::").map(str::to_owned).collect();
                        self.push(segments, literal.span(), false);
                    }
                }
            }
            colons = 0;
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Option<(Vec<String>, Span)>) {
        if let Some((segments, span)) = path.take() {
            self.push(segments, span, false);
        }
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(name(&item.ident));
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.use_tree(&[], &item.tree);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        self.push_word("extern", item.extern_token.span);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter().map(|segment| name(&segment.ident)).collect();
        if let Some(first) = path.segments.first() {
            self.push(segments, first.ident.span(), false);
        }
        visit::visit_path(self, path);
    }

    // `pub(in crate::x)` names a module and uses nothing of it.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_macro(&mut self, item: &'ast Macro) {
        visit::visit_macro(self, item);
        self.tokens(item.tokens.clone(), false);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if attribute.path().is_ident("doc") {
            return;
        }
        visit::visit_attribute(self, attribute);
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone(), true);
        }
    }

    fn visit_signature(&mut self, signature: &'ast Signature) {
        if let Some(keyword) = &signature.asyncness {
            self.push_word("async", keyword.span);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, block: &'ast ExprAsync) {
        self.push_word("async", block.async_token.span);
        visit::visit_expr_async(self, block);
    }

    fn visit_expr_await(&mut self, expression: &'ast ExprAwait) {
        self.push_word("await", expression.await_token.span);
        visit::visit_expr_await(self, expression);
    }
}

/// Returns the name without the `r#` of a raw identifier.
fn name(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").unwrap_or(&text).to_owned()
}
