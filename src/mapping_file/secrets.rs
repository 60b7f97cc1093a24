//! `secrets` of a mapping file: where each is found, and until when it is valid.

use std::path::PathBuf;

use jiff::civil::Date;
use toml::Spanned;
use toml::de::DeValue;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::document::Document;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable, as_text, wrong_type};
use crate::intake::signature::{Key, Signature};
use crate::secret::{self, Environment, Secret};

/// A secret as the mapping file names it.
#[derive(Debug)]
pub(crate) struct SecretRef {
    /// As the file names it, such as `env:NAME`.
    pub(crate) named: String,
    secret: Secret,
    /// True if it is in an environment variable that does not exist. One that is empty is somebody's
    /// attempt to set it.
    is_unset: bool,
    /// Its file, if that does not exist yet.
    pub(crate) absent: Option<PathBuf>,
    /// Last day on which it is valid, UTC.
    until: Option<Date>,
}

/// Reads the secrets in their order; `None` if there are none. Without an environment only their
/// form is checked, and no file or variable is read.
pub(crate) fn read(
    file: &mut TomlTable<'_>,
    environment: Option<&Environment>,
    mistakes: &mut Diagnostics,
) -> Option<Vec<SecretRef>> {
    let document = file.document();
    let value = file.value("secrets")?;
    let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref().as_array() {
        Some(items) => items.iter().collect(),
        None => vec![value],
    };
    // By the items and not by what could be read: a wrong secret is no missing one.
    let is_empty = items.is_empty();
    let secrets =
        items.into_iter().filter_map(|item| read_one(document, item, environment, mistakes));
    let secrets = secrets.collect();
    (!is_empty).then_some(secrets)
}

fn read_one(
    document: &Document,
    item: &Spanned<DeValue<'_>>,
    environment: Option<&Environment>,
    mistakes: &mut Diagnostics,
) -> Option<SecretRef> {
    if let Some(text) = as_text(document, item) {
        return find(&text, environment, mistakes);
    }
    let Some(entries) = item.get_ref().as_table() else {
        let forms =
            "\"env:NAME\", \"file:PATH\" or { from = \"env:NAME\", until = \"2027-01-31\" }";
        mistakes.push(wrong_type("secrets", item, forms));
        return None;
    };
    let mut table = TomlTable::new(document, entries, item.span());
    let from = table.required_text("from", mistakes);
    let until = table.text("until", mistakes);
    table.finish(mistakes);
    let until = match until.as_ref().map(|until| until.text.parse::<Date>()) {
        None => None,
        Some(Ok(date)) => Some(date),
        Some(Err(_)) => {
            let place = until.map_or(item.span(), |until| until.place);
            let message = "`until` is not a date";
            mistakes.push(Diagnostic::error(place, message).help("write it as \"2027-01-31\""));
            return None;
        }
    };
    Some(SecretRef { until, ..find(&from?, environment, mistakes)? })
}

fn find(
    from: &SpannedText,
    environment: Option<&Environment>,
    mistakes: &mut Diagnostics,
) -> Option<SecretRef> {
    let Some(environment) = environment else {
        let secret = Secret::Missing("nobody looked where it is".to_owned());
        return secret::is_named(from, mistakes).then_some(SecretRef {
            named: from.text.clone(),
            secret,
            is_unset: false,
            absent: None,
            until: None,
        });
    };
    let secret = secret::find(from, environment, mistakes)?;
    let absent = secret::missing_file(from);
    let variable = from.text.strip_prefix("env:");
    let is_unset = variable.is_some_and(|name| !environment.contains_key(name));
    Some(SecretRef { named: from.text.clone(), secret, is_unset, absent, until: None })
}

/// Note on a secret that is missing or cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretNote {
    /// Its place in the list of secrets.
    pub(crate) position: usize,
    pub(crate) text: String,
    pub(crate) lack: SecretLack,
}

/// Why a source has no key from a secret that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecretLack {
    /// Nobody has tried to set it.
    Unset,
    /// It is empty, cannot be read, or is no key for this signature.
    Unusable,
    /// A file of the folder has it.
    LeftToFolder,
}

/// Returns the keys of the secrets that are set, and notes on the others.
pub(crate) fn keys(secrets: &[SecretRef], signature: &Signature) -> (Vec<Key>, Vec<SecretNote>) {
    let mut keys = Vec::new();
    let mut notes = Vec::new();
    let mut note = |position, text, lack| notes.push(SecretNote { position, text, lack });
    // One wrong secret does not switch the source off: during a rotation the other one still works.
    for (position, named) in secrets.iter().enumerate() {
        match &named.secret {
            Secret::Missing(reason) => {
                let lack = if named.is_unset { SecretLack::Unset } else { SecretLack::Unusable };
                note(position, reason.clone(), lack);
            }
            Secret::Found(secret) => match signature.key(secret, named.until, position) {
                Ok(key) => keys.push(key),
                Err(error) => {
                    let text = format!("secret {} {error}", position + 1);
                    note(position, text, SecretLack::Unusable);
                }
            },
        }
    }
    (keys, notes)
}
