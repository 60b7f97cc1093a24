//! Settings of `relay.toml` about mapping files: the folder, and which bundled files lie under it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::bundle;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::suggestion::nearest;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable, as_text, wrong_type};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Folder of the mapping files, if one is named.
    pub folder: Option<PathBuf>,
    pub bundled: BundledSelection,
}

/// The bundled sources that exist beside those of the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BundledSelection {
    #[default]
    All,
    None,
    Only(BTreeSet<String>),
}

/// The key in `relay.toml`.
const KEY: &str = "shipped_mappings";

impl BundledSelection {
    pub(super) fn includes(&self, name: &str) -> bool {
        match self {
            BundledSelection::All => true,
            BundledSelection::None => false,
            BundledSelection::Only(names) => names.contains(name),
        }
    }

    /// Reads `shipped_mappings`: true, false or a list of names.
    pub fn read(table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Option<BundledSelection> {
        let document = table.document();
        let value = table.value(KEY)?;
        if let Some(whether) = value.get_ref().as_bool() {
            return Some(if whether { BundledSelection::All } else { BundledSelection::None });
        }
        let wanted = "true, false or a list of sources, such as [\"typeform\", \"intercom\"]";
        let names = match (as_text(document, value), value.get_ref().as_array()) {
            // An environment variable has the names in one text.
            (Some(text), _) => parts(document, &text),
            (None, Some(items)) => {
                let text = |item| {
                    let text = as_text(document, item);
                    if text.is_none() {
                        mistakes.push(wrong_type(KEY, item, "names in quotes"));
                    }
                    text
                };
                items.iter().filter_map(text).collect()
            }
            (None, None) => {
                mistakes.push(wrong_type(KEY, value, wanted));
                return None;
            }
        };
        for name in &names {
            check_name(name, mistakes);
        }
        Some(BundledSelection::Only(names.into_iter().map(|name| name.text).collect()))
    }
}

fn parts(
    document: &crate::diagnostics::document::Document,
    text: &SpannedText,
) -> Vec<SpannedText> {
    let names = text.text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| SpannedText::new(document, name, text.place.clone())).collect()
}

fn check_name(name: &SpannedText, mistakes: &mut Diagnostics) {
    if bundle::names().any(|known| known == name.text) {
        return;
    }
    let help = match nearest(&name.text, bundle::names()) {
        Some(known) => format!("did you mean \"{known}\"?"),
        None => "`savio-relay providers` lists the bundled sources".to_owned(),
    };
    let message = format!("there is no bundled source `{}`", name.text);
    mistakes.push(Diagnostic::error(name.place.clone(), message).help(help));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::document::Document;
    use crate::diagnostics::table;

    fn check(value: &str, expected: Result<&BundledSelection, &str>) {
        let text = format!("{KEY} = {value}");
        let document = Document { name: "relay.toml".to_owned(), text };
        let mut mistakes = Diagnostics::new();
        let root = table::parse(&document, &mut mistakes);
        let mut root = TomlTable::root(&document, &root);

        let read = BundledSelection::read(&mut root, &mut mistakes);

        let shown: Vec<String> = mistakes
            .iter()
            .map(|it| format!("{} {}", it.message, it.help.as_deref().unwrap_or_default()))
            .collect();
        match expected {
            Ok(expected) => assert_eq!((read.as_ref(), &*shown), (Some(expected), &[][..])),
            Err(part) => assert!(shown.concat().contains(part), "{value}: {shown:?}"),
        }
    }

    #[test]
    fn bundled_sources_are_all_none_or_those_named() {
        let two = ["intercom", "typeform"].map(str::to_owned);
        let two = BundledSelection::Only(two.into());

        check("true", Ok(&BundledSelection::All));
        check("false", Ok(&BundledSelection::None));
        check("[]", Ok(&BundledSelection::Only(BTreeSet::new())));
        check("[\"typeform\", \"intercom\"]", Ok(&two));
        check("\"typeform, intercom\"", Ok(&two));
        check("[\"typefrom\"]", Err("did you mean \"typeform\"?"));
        check("[\"acme\"]", Err("there is no bundled source `acme` `savio-relay providers`"));
        check("[1]", Err("names in quotes"));
        check("1", Err("true, false or a list of sources"));
    }
}
