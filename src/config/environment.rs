//! Environment variables that override settings, rewritten as a TOML document.

use std::ops::Range;

use super::known_keys::{self, KnownKey, PREFIX, ValueKind};
use super::unknown_variable;
use crate::diagnostics::document::Document;
use crate::diagnostics::table::Diagnostics;
use crate::secret::Environment;

/// The documents that were read, each with its mistakes.
pub type ReadDocuments = Vec<(Document, Diagnostics)>;

/// The variables as a document, so that a mistake in one is shown like one in a file.
pub(super) struct Overrides {
    pub(super) document: Document,
    keys: Vec<KnownKey>,
    /// Variables that are no setting, with their place in the document.
    unknown: Vec<(String, Range<usize>)>,
}

impl Overrides {
    /// Reads all variables that begin as settings do; none if there are none.
    pub(super) fn read(environment: &Environment) -> Option<Overrides> {
        let mut variables =
            environment.iter().filter(|(name, _)| name.starts_with(PREFIX)).peekable();
        variables.peek()?;
        let document = Document { name: "the environment".to_owned(), text: String::new() };
        let mut overrides = Overrides { document, keys: known_keys::all(), unknown: Vec::new() };
        for (variable, value) in variables {
            overrides.take(variable, value);
        }
        Some(overrides)
    }

    fn take(&mut self, variable: &str, value: &str) {
        let name = variable.trim_start_matches(PREFIX).to_lowercase();
        let parts: Vec<&str> = name.split("__").collect();
        let text = &mut self.document.text;
        // A comment ends with its line, and takes no control characters.
        let shown = variable.escape_default();
        match self.keys.iter().find_map(|key| Some((key.matched(&parts)?, key.kind))) {
            Some((path, kind)) if kind != ValueKind::Tables => {
                let path: Vec<String> = path.iter().map(|part| toml_key(part)).collect();
                *text += &format!("{} = {} # {shown}\n", path.join("."), toml_value(kind, value));
            }
            // Without its value: it may be a secret of somebody else.
            Some(_) | None => {
                let start = text.len() + 2;
                *text += &format!("# {shown}\n");
                self.unknown.push((variable.to_owned(), start..text.len() - 1));
            }
        }
    }

    /// Reports the variables that are no setting. `named` returns the variables that files name, and
    /// is only called if there are any.
    pub(super) fn judge_unknown(
        &self,
        named: impl FnOnce() -> Vec<String>,
        mistakes: &mut Diagnostics,
    ) {
        if self.unknown.is_empty() {
            return;
        }
        let named = named();
        for (variable, place) in &self.unknown {
            if !named.contains(variable) {
                mistakes.extend(unknown_variable::judge(variable, place.clone(), &self.keys));
            }
        }
    }
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

/// Writes a variable's value as TOML. A list is `a,b`.
fn toml_value(kind: ValueKind, value: &str) -> String {
    match kind {
        ValueKind::Text | ValueKind::Tables => toml_string(value),
        ValueKind::Bare => bare(value),
        ValueKind::BooleanOrList if value.trim().parse::<bool>().is_ok() => value.trim().to_owned(),
        ValueKind::List | ValueKind::BooleanOrList => {
            let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
            format!("[{}]", items.map(toml_string).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Writes a number or boolean as it is, and anything else as a string, which is reported as such.
fn bare(value: &str) -> String {
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

    fn overrides(variables: &[(&str, &str)]) -> Overrides {
        let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Overrides::read(&pairs.collect()).unwrap()
    }

    /// Returns the sections that these variables set.
    fn read(variables: &[(&str, &str)]) -> toml::Table {
        let document = overrides(variables).document;
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
                let variables = [("SAVIO_RELAY_SERVER__LISTEN", "[::1]:1"), (&name, "x")];

                let sections = read(&variables);

                assert_eq!(sections["server"]["listen"].as_str(), Some("[::1]:1"), "{name:?}");
                let unknown = overrides(&variables).unknown.len();
                assert_eq!(sections.len() + unknown, 2, "{name:?}: {sections:?}");
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

    #[test]
    fn list_is_written_with_commas() {
        let check = |value: &str, expected: &[&str]| {
            let sections = read(&[("SAVIO_RELAY_SERVER__TRUSTED_PROXIES", value)]);
            let list = sections["server"]["trusted_proxies"].as_array().unwrap();
            let list: Vec<&str> = list.iter().filter_map(toml::Value::as_str).collect();
            assert_eq!(list, expected, "{value:?}");
        };
        check("10.0.0.0/8", &["10.0.0.0/8"]);
        check("127.0.0.1, ::1 ,10.0.0.0/8,", &["127.0.0.1", "::1", "10.0.0.0/8"]);
        check("", &[]);
        assert_eq!(toml_value(ValueKind::BooleanOrList, "false"), "false");
        assert_eq!(toml_value(ValueKind::BooleanOrList, "form,jira"), "[\"form\", \"jira\"]");
    }
}
