//! Mapping files and samples that are part of the program.

use crate::diagnostics::document::Document;

/// Paths below `mappings/`, each with its text.
// Written by build.rs, so that a new file in `mappings/` needs no line of code.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// Returns the mapping files; `text` finds their samples.
pub(crate) fn mappings() -> Vec<Document> {
    FILES
        .iter()
        .filter(|(path, _)| !path.contains('/') && is_toml(path))
        .map(|(path, text)| Document { name: (*path).to_owned(), text: (*text).to_owned() })
        .collect()
}

pub(crate) fn text(path: &str) -> Option<&'static str> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, text)| *text)
}

fn is_toml(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == "toml")
}
