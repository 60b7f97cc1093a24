//! The steps that set up the source of a mapping file, or of a provider alone.

use super::file::MappingFile;
use crate::diagnostics::document::Document;
use crate::event::SourceName;
use crate::intake::provider::setup_guide::{FilledSetup, SetupTarget};

/// Returns the steps that set up the file's source, for a relay with this base URL.
pub fn steps(file: &MappingFile, relay_url: &str) -> FilledSetup {
    let name = file.name.as_ref().map_or("", SourceName::as_str);
    let secret = file.named_secrets().into_iter().next();
    file.setup.filled(&SetupTarget {
        name,
        title: file.title.as_deref().unwrap_or(name),
        relay_url,
        secret: secret.as_deref(),
    })
}

/// Returns the mapping file of a source that has the provider's name and only names it.
pub(crate) fn of_provider(provider: &str) -> MappingFile {
    let variable = provider.to_uppercase().replace('-', "_");
    // The block only makes the file valid.
    let text = format!(
        "provider = \"{provider}\"\nsecrets = [\"env:{variable}_SECRET\"]\n[[feedback]]\nproblem = \
         \"$.text\"\n"
    );
    MappingFile::of_text(Document { name: format!("{provider}.toml"), text })
}
