//! Names of types, each of which has one meaning in `src`.

use std::collections::BTreeMap;

use syn::Item;
use syn::visit::{self, Visit};

use super::tree::{files, read};

/// Names that may occur more than once.
// `Settings` are always written with their module; `Arguments` are private to a command's file.
const SHARED: [&str; 2] = ["Settings", "Arguments"];

#[derive(Default)]
struct TypeNames(Vec<String>);

impl<'ast> Visit<'ast> for TypeNames {
    fn visit_item(&mut self, item: &'ast Item) {
        let name = match item {
            Item::Struct(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Union(item) => Some(&item.ident),
            _ => None,
        };
        self.0.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }
}

/// Returns the types that a file defines, also in tests and functions, except associated types.
fn type_names(text: &str) -> Vec<String> {
    let mut names = TypeNames::default();
    names.visit_file(&syn::parse_file(text).unwrap());
    names.0
}

/// Returns the names by which the description of the API knows the types of a file.
fn schema_names(text: &str) -> Vec<String> {
    let file = syn::parse_file(text).unwrap();
    let types = file.items.iter().filter_map(|item| match item {
        Item::Struct(item) => Some((&item.ident, &item.attrs)),
        Item::Enum(item) => Some((&item.ident, &item.attrs)),
        _ => None,
    });
    let written = |attributes: &[syn::Attribute]| -> Vec<String> {
        let lists = attributes.iter().filter_map(|it| it.meta.require_list().ok());
        lists.map(|list| format!("{}({})", list.path.segments[0].ident, list.tokens)).collect()
    };
    let name = |(name, attributes): (&syn::Ident, &Vec<syn::Attribute>)| {
        let written = written(attributes);
        let is_derived = |it: &String| it.starts_with("derive(") && it.contains("ToSchema");
        written.iter().find(|it| is_derived(it))?;
        let named = written.iter().find_map(|it| it.strip_prefix("schema(as = "));
        let named = named.map(|it| it.trim_end_matches(')').to_owned());
        Some(named.unwrap_or_else(|| name.to_string()))
    };
    types.filter_map(name).collect()
}

#[test]
fn schemas_of_the_api_have_names_of_their_own() {
    let text =
        "#[derive(Debug, ToSchema)] struct A; #[derive(ToSchema)] #[schema(as = B)] enum X {}
                #[derive(Debug)] struct C;";
    assert_eq!(schema_names(text), ["A", "B"]);
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files("src", ".rs") {
        for name in schema_names(&read(&path)) {
            places.entry(name).or_default().push(path.clone());
        }
    }
    assert!(places.len() > 50, "{places:?}");
    places.retain(|_, places| places.len() > 1);

    assert!(places.is_empty(), "the description has one of each only: {places:#?}");
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
