//! The steps that set up the source of a mapping file, or of a provider alone.

use super::bundle;
use super::file::MappingFile;
use super::secrets_folder::SecretsFolder;
use crate::diagnostics::document::Document;
use crate::diagnostics::table::{self, Diagnostics, TomlTable};
use crate::event::SourceName;
use crate::intake::provider::Provider;
use crate::intake::provider::setup_guide::{FilledSetup, SetupTarget};

/// Returns the steps that set up the file's source, for a relay with this base URL.
pub fn steps(file: &MappingFile, relay_url: &str) -> FilledSetup {
    steps_with(file, relay_url, None)
}

/// Returns the same, of which the API sets the secrets that this folder keeps.
pub(crate) fn steps_with(
    file: &MappingFile,
    relay_url: &str,
    kept: Option<&SecretsFolder>,
) -> FilledSetup {
    let name = file.name.as_ref().map_or("", SourceName::as_str);
    let secret = file.named_secrets().into_iter().next();
    let kept = kept.zip(file.name.as_ref()).map(|(folder, name)| folder.current(name).reference());
    file.setup.filled(&SetupTarget {
        name,
        title: file.title.as_deref().unwrap_or(name),
        relay_url,
        secret: secret.as_deref(),
        is_set_by_api: kept.is_some() && kept == secret,
    })
}

/// Returns the steps that set up a bundled source.
pub(crate) fn of_bundled(name: &str, relay_url: &str) -> FilledSetup {
    let text = bundle::text(&format!("{name}.toml")).unwrap_or_default();
    of_text(text.to_owned(), name, relay_url)
}

/// Returns the steps that set up a source of the provider, which has its name.
pub(crate) fn of_provider(provider: &str, relay_url: &str) -> FilledSetup {
    of_text(format!("provider = \"{provider}\"\n"), provider, relay_url)
}

/// Reads the set-up alone, since compiling the mapping takes far longer.
fn of_text(text: String, name: &str, relay_url: &str) -> FilledSetup {
    let document = Document { name: format!("{name}.toml"), text };
    let mut mistakes = Diagnostics::new();
    let mut root = table::parse(&document, &mut mistakes);
    Provider::inherit(root.get_mut());
    let Provider { setup, title, .. } =
        Provider::read(&mut TomlTable::root(&document, &root), &mut mistakes);
    let title = title.as_deref().unwrap_or(name);
    // A bundled source has its secret in the variable that is named after it.
    setup.filled(&SetupTarget { name, title, relay_url, secret: None, is_set_by_api: false })
}
