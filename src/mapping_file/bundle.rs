//! The mapping files and samples that come inside the program.

use crate::diagnostics::document::Document;

/// Path below `mappings/` and text.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The mapping files; their samples are found by `text`.
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
