//! Names of types, each of which has one meaning in `src`.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};
use syn::{Ident, ItemEnum, ItemStruct, ItemTrait, ItemType, ItemUnion};

use super::tree::{files, read};

/// Names that may occur more than once.
// `Settings` are always written with their module; `Arguments` are private to a command's file.
const SHARED: [&str; 2] = ["Settings", "Arguments"];

#[derive(Default)]
struct TypeNames(Vec<String>);

impl TypeNames {
    fn push(&mut self, name: &Ident) {
        self.0.push(name.to_string());
    }
}

impl<'ast> Visit<'ast> for TypeNames {
    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        self.push(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        self.push(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast ItemTrait) {
        self.push(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast ItemType) {
        self.push(&item.ident);
        visit::visit_item_type(self, item);
    }

    fn visit_item_union(&mut self, item: &'ast ItemUnion) {
        self.push(&item.ident);
        visit::visit_item_union(self, item);
    }
}

/// Returns the types that a file defines, also in tests and functions, except associated types.
fn type_names(text: &str) -> Vec<String> {
    let mut names = TypeNames::default();
    names.visit_file(&syn::parse_file(text).unwrap());
    names.0
}

#[test]
fn every_form_of_type_is_counted() {
    let text = "struct A; mod m { enum B { X } } trait C { type D; } type E = u8; union F { a: u8 }
                impl C for A { type D = u8; } fn f() { struct G; }";

    assert_eq!(type_names(text), ["A", "B", "C", "E", "F", "G"]);
}

#[test]
fn type_names_are_defined_once() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files("src", ".rs") {
        for name in type_names(&read(&path)) {
            places.entry(name).or_default().push(path.clone());
        }
    }
    places.retain(|name, places| places.len() > 1 && !SHARED.contains(&name.as_str()));

    assert!(places.is_empty(), "give each of these types a name of its own: {places:#?}");
}
