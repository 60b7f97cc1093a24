//! `secrets` of a mapping file: where each is found, and until when it is valid.

use std::path::PathBuf;

use jiff::civil::Date;
use secrecy::SecretString;
use toml::Spanned;
use toml::de::DeValue;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::document::Document;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable, as_text, wrong_type};
use crate::intake::signature::{Key, Signature};
use crate::secret::{self, Environment, Secret};

/// Where secrets are looked up, and what they have to be keys of.
#[derive(Clone, Copy)]
pub(crate) struct SecretLookup<'l> {
    pub(crate) environment: &'l Environment,
    /// `None` if the file's signature has mistakes.
    pub(crate) signature: Option<&'l Signature>,
}

/// A secret as the mapping file names it.
#[derive(Debug)]
pub(crate) struct SecretRef {
    pub(crate) secret: Secret,
    /// True if it is in an environment variable that does not exist. One that is empty is somebody's
    /// attempt to set it.
    is_unset: bool,
    /// Its file, if that does not exist yet.
    pub(crate) absent: Option<PathBuf>,
    /// Last day on which it is valid, UTC.
    pub(crate) until: Option<Date>,
}

/// Reads the secrets in their order; `None` if there are none. Without a lookup only their form is
/// checked, and no file or variable is read.
pub(crate) fn read(
    file: &mut TomlTable<'_>,
    lookup: Option<SecretLookup<'_>>,
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
    let secrets = items.into_iter().filter_map(|item| read_one(document, item, lookup, mistakes));
    let secrets = secrets.collect();
    (!is_empty).then_some(secrets)
}

fn read_one(
    document: &Document,
    item: &Spanned<DeValue<'_>>,
    lookup: Option<SecretLookup<'_>>,
    mistakes: &mut Diagnostics,
) -> Option<SecretRef> {
    if let Some(text) = as_text(document, item) {
        return find(&text, lookup, mistakes);
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
    Some(SecretRef { until, ..find(&from?, lookup, mistakes)? })
}

fn find(
    from: &SpannedText,
    lookup: Option<SecretLookup<'_>>,
    mistakes: &mut Diagnostics,
) -> Option<SecretRef> {
    let Some(SecretLookup { environment, signature }) = lookup else {
        let secret = secret::find_unread(from, mistakes)?;
        return Some(SecretRef { secret, is_unset: false, absent: None, until: None });
    };
    // A file whose new value is no key keeps the old one, like one that cannot be read.
    let check = |secret: &SecretString| match signature {
        Some(signature) => signature.secret.check(secret).map_err(|error| error.to_string()),
        None => Ok(()),
    };
    let secret = secret::find_checked(from, environment, &check, mistakes)?;
    let absent = secret.absent_file(environment);
    let is_unset = secret.is_in_unset_variable(environment);
    Some(SecretRef { secret, is_unset, absent, until: None })
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

/// Returns where each secret is found, such as `env:NAME`.
pub(crate) fn locations(secrets: &[SecretRef]) -> Vec<String> {
    secrets.iter().map(|named| named.secret.location().reference()).collect()
}

/// Returns the keys of the secrets that are set, and notes on the others.
pub(crate) fn keys(secrets: &[SecretRef], signature: &Signature) -> (Vec<Key>, Vec<SecretNote>) {
    let mut keys = Vec::new();
    let mut notes = Vec::new();
    let mut note = |position, text, lack| notes.push(SecretNote { position, text, lack });
    // One wrong secret does not switch the source off: during a rotation the other one still works.
    for (position, named) in secrets.iter().enumerate() {
        match named.secret.value() {
            Err(reason) => {
                let lack = if named.is_unset { SecretLack::Unset } else { SecretLack::Unusable };
                note(position, reason.to_owned(), lack);
            }
            Ok(secret) => match signature.key(secret, named.until, position) {
                Ok(key) => keys.push(key),
                Err(error) => {
                    let text = format!("{} {error}", named.secret.location());
                    note(position, text, SecretLack::Unusable);
                }
            },
        }
    }
    (keys, notes)
}
