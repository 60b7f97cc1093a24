//! Environment variables that override settings, as a document in TOML.

use crate::diagnostics::document::Document;
use crate::diagnostics::suggestion::nearest;
use crate::diagnostics::table::Diagnostics;
use crate::secret::Environment;

/// The documents that were read, each with its mistakes.
pub type ReadDocuments = Vec<(Document, Diagnostics)>;

const PREFIX: &str = "SAVIO_RELAY_";

/// The variables as a document of its own, so that a mistake in one is shown like any other.
pub(super) fn overrides(environment: &Environment) -> Option<Document> {
    let lines: Vec<String> = environment
        .iter()
        .filter_map(|(variable, value)| {
            let name = variable.strip_prefix(PREFIX)?.to_lowercase();
            let key = match name.split_once("__") {
                Some((section @ ("destinations" | "traces"), key)) => {
                    format!("{section}.{}", key.replacen("__", ".", 1))
                }
                Some((section, key)) => format!("{section}.{key}"),
                // An orchestrator sets other variables of this form for a service of this name.
                None => nearest(&name, ["mappings"]).map(|_| name)?,
            };
            Some(format!("{key} = {} # {variable}\n", written(value)))
        })
        .collect();
    (!lines.is_empty())
        .then(|| Document { name: "the environment".to_owned(), text: lines.concat() })
}

/// A variable's value as TOML: a number or truth value as itself, anything else as a text
/// (whose JSON form is one of TOML's).
fn written(value: &str) -> String {
    let is_whole = value.parse::<i64>().is_ok_and(|whole| whole.to_string() == value);
    if is_whole || value.parse::<bool>().is_ok() || is_decimal(value) {
        return value.to_owned();
    }
    serde_json::Value::from(value).to_string()
}

fn is_decimal(value: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = |part: &str| digits(part) && (part == "0" || !part.starts_with('0'));
    value.split_once('.').is_some_and(|(whole, part)| is_whole(whole) && digits(part))
}
