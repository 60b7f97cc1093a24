//! Headers of requests of the relay, whose values are secrets: `headers` in several sections.

use std::collections::BTreeMap;

use http::HeaderName;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, TomlTable, as_text, wrong_type};
use crate::secret::{self, Environment, Secret};

/// Returns the secrets by the names of their headers in lower case, since these ignore case.
pub(super) fn secret_headers(
    headers: &TomlTable<'_>,
    environment: &Environment,
    mistakes: &mut Diagnostics,
) -> BTreeMap<String, Secret> {
    let mut found = BTreeMap::new();
    for (name, value) in headers.entries() {
        let Some(named) = as_text(headers.document(), value) else {
            // A key that is not quoted is a secret all the same.
            mistakes.push(wrong_type(&name.text, value, "a text in quotes").secret());
            continue;
        };
        if name.text.parse::<HeaderName>().is_err() {
            let message = format!("`{}` is not the name of a header", name.text);
            mistakes.push(Diagnostic::error(name.place, message));
        } else if let Some(secret) = secret::find(&named, environment, mistakes) {
            found.insert(name.text.to_lowercase(), secret);
        }
    }
    found
}
