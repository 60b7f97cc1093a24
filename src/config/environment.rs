//! Environment variables that override settings, rewritten as a TOML document.

use crate::diagnostics::document::Document;
use crate::diagnostics::suggestion::nearest;
use crate::diagnostics::table::Diagnostics;
use crate::secret::Environment;

/// The documents that were read, each with its mistakes.
pub type ReadDocuments = Vec<(Document, Diagnostics)>;

const PREFIX: &str = "SAVIO_RELAY_";

/// Returns the variables as a document, so that a mistake in one is shown like one in a file.
pub(super) fn overrides(environment: &Environment) -> Option<Document> {
    let lines: Vec<String> = environment
        .iter()
        .filter_map(|(variable, value)| {
            let name = variable.strip_prefix(PREFIX)?.to_lowercase();
            let key = match name.split_once("__") {
                // These sections have tables inside: `DESTINATIONS__EU__TOKEN`,
                // `TRACES__HEADERS__KEY`.
                Some((section @ ("destinations" | "traces"), key)) => {
                    format!("{section}.{}", key.replacen("__", ".", 1))
                }
                Some((section, key)) => format!("{section}.{key}"),
                // For a service called savio-relay, Kubernetes sets SAVIO_RELAY_PORT and others,
                // which must not be errors. Only a name that resembles the one key without a
                // section counts.
                None => nearest(&name, ["mappings"]).map(|_| name)?,
            };
            Some(format!("{key} = {} # {variable}\n", toml_value(value)))
        })
        .collect();
    (!lines.is_empty())
        .then(|| Document { name: "the environment".to_owned(), text: lines.concat() })
}

/// Writes a variable's value as TOML: a number or boolean as it is, anything else as a string.
fn toml_value(value: &str) -> String {
    let is_whole = value.parse::<i64>().is_ok_and(|whole| whole.to_string() == value);
    if is_whole || value.parse::<bool>().is_ok() || is_decimal(value) {
        return value.to_owned();
    }
    // A JSON string is a basic string of TOML as well, with the same escapes.
    serde_json::Value::from(value).to_string()
}

fn is_decimal(value: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = |part: &str| digits(part) && (part == "0" || !part.starts_with('0'));
    value.split_once('.').is_some_and(|(whole, part)| is_whole(whole) && digits(part))
}
