//! Environment variables that override settings, rewritten as a TOML document.

use std::iter;

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
            let path = match name.split_once("__") {
                // These sections have tables inside: `DESTINATIONS__EU__TOKEN`,
                // `TRACES__HEADERS__KEY`.
                Some((section @ ("destinations" | "traces"), rest)) => {
                    iter::once(section).chain(rest.splitn(2, "__")).map(toml_key).collect()
                }
                Some((section, key)) => vec![toml_key(section), toml_key(key)],
                // For a service called savio-relay, Kubernetes sets SAVIO_RELAY_PORT and others,
                // which must not be errors. Only a name that resembles a key without a section
                // counts.
                None => nearest(&name, ["mappings", "shipped_mappings"])
                    .map(|_| vec![toml_key(&name)])?,
            };
            let (key, value) = (path.join("."), toml_value(value));
            // A comment ends with its line, and takes no control characters.
            Some(format!("{key} = {value} # {}\n", variable.escape_default()))
        })
        .collect();
    (!lines.is_empty())
        .then(|| Document { name: "the environment".to_owned(), text: lines.concat() })
}

/// Writes a part of a variable's name as a key, in quotes if TOML requires them.
// An invalid key would make the whole document invalid, with the settings of all other variables.
fn toml_key(part: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !part.is_empty() && part.bytes().all(is_bare) {
        return part.to_owned();
    }
    toml_string(part)
}

/// Writes a variable's value as TOML: a number or boolean as it is, anything else as a string.
fn toml_value(value: &str) -> String {
    let is_whole = value.parse::<i64>().is_ok_and(|whole| whole.to_string() == value);
    if is_whole || value.parse::<bool>().is_ok() || is_decimal(value) {
        return value.to_owned();
    }
    toml_string(value)
}

fn toml_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            // TOML takes no control characters in a string. A replacement character, where it is
            // not escaped, counts as a sign of a file that is not UTF-8.
            _ if c.is_control() || c == char::REPLACEMENT_CHARACTER => {
                quoted += &format!("\\u{:04X}", u32::from(c));
            }
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn is_decimal(value: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = |part: &str| digits(part) && (part == "0" || !part.starts_with('0'));
    value.split_once('.').is_some_and(|(whole, part)| is_whole(whole) && digits(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::table;

    /// Returns the sections that these variables set.
    fn read(variables: &[(&str, &str)]) -> toml::Table {
        let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let document = overrides(&pairs.collect()).unwrap();
        let mut mistakes = Diagnostics::new();
        table::parse(&document, &mut mistakes);
        assert!(mistakes.is_empty(), "{:?}: {mistakes:?}", document.text);
        toml::from_str(&document.text).unwrap()
    }

    #[test]
    fn every_character_of_a_value_is_kept() {
        let others = ['\u{85}', '\u{2028}', '\u{FEFF}', '\u{FFFD}', '\u{FFFF}', '\u{1F600}'];
        for c in (0..=0x9F).filter_map(char::from_u32).chain(others) {
            let value = format!("a{c}b");

            let sections = read(&[("SAVIO_RELAY_STORE__URL", &value)]);

            assert_eq!(sections["store"]["url"].as_str(), Some(&*value), "{value:?}");
        }
    }

    #[test]
    fn no_name_of_a_variable_affects_another() {
        let others = [
            "", "__", ".", "a.b", "a b", "a=b", "#", "\"", "'", "\\", "[", "é", "\n", "\r",
            "\u{7F}", "\u{FFFD}",
        ];
        for part in others {
            for section in ["STORE", "TRACES", "TRACES__HEADERS", "DESTINATIONS__EU", part] {
                let name = format!("SAVIO_RELAY_{section}__{part}");

                let sections = read(&[("SAVIO_RELAY_SERVER__LISTEN", "[::1]:1"), (&name, "x")]);

                assert_eq!(sections["server"]["listen"].as_str(), Some("[::1]:1"), "{name:?}");
                assert_eq!(sections.len(), 2, "{name:?}: {sections:?}");
            }
        }
    }

    #[test]
    fn parts_of_a_name_are_sections_and_keys() {
        let sections = read(&[
            ("SAVIO_RELAY_DESTINATIONS__EU__MAX_IN_FLIGHT", "2"),
            ("SAVIO_RELAY_TRACES__HEADERS__X-KEY.A", "env:KEY"),
        ]);

        assert_eq!(sections["destinations"]["eu"]["max_in_flight"].as_integer(), Some(2));
        assert_eq!(sections["traces"]["headers"]["x-key.a"].as_str(), Some("env:KEY"));
    }
}
