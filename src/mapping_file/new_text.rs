//! Texts of mapping files that the relay writes itself: that of a new source, and changes of a text that
//! leave all other bytes as they are.

use std::ops::Range;

use serde_json::Value;
use toml::de::DeTable;

use super::bundle;
use super::proof::NamedSecret;
use crate::diagnostics::visible_json;
use crate::event::Headers;
use crate::intake::provider::Provider;

/// Returns the text for a new source of a provider: that of a bundled mapping without its tests, or the
/// least that a file needs.
// The samples of its tests have one copy, which a change of the tests of another source would change.
pub(crate) fn of_provider(
    provider: &str,
    mapping: Option<&str>,
    secrets: &[NamedSecret],
) -> String {
    let bundled = mapping.and_then(bundle::of);
    bundled.and_then(|text| with_secrets(&without_tests(text), secrets)).unwrap_or_else(|| {
        let (title, name) = (Provider::title_of(provider), quoted(provider));
        format!(
            "# {title}: name below what of a webhook becomes feedback. Its payload is shown with its event.\n\
             provider = {name}\nsecrets  = {}\n\n[[feedback]]\nproblem = \"$.path.to.the.text\"\n",
            list(secrets)
        )
    })
}

/// Returns a text with other `secrets`; none if it is not TOML.
pub(crate) fn with_secrets(text: &str, secrets: &[NamedSecret]) -> Option<String> {
    let (place, is_new) = place_of_secrets(text)?;
    let value = if is_new { format!("secrets = {}\n", list(secrets)) } else { list(secrets) };
    let (before, after) = (&text[..place.start], &text[place.end..]);
    Some([before, &value, after].concat())
}

/// Returns a bundled text without its `[[test]]`s and the comments above them.
fn without_tests(text: &str) -> String {
    let (mut kept, mut is_test) = (Vec::new(), false);
    for line in text.lines() {
        if line.starts_with('[') {
            is_test = line.starts_with("[[test]]");
            if is_test {
                let is_above = |line: &&str| line.is_empty() || line.starts_with('#');
                while kept.last().is_some_and(is_above) {
                    kept.pop();
                }
            }
        }
        if !is_test {
            kept.push(line);
        }
    }
    kept.join("\n") + "\n"
}

/// Returns the place of the value of `secrets`, or where the key would be.
pub(crate) fn secrets_place(text: &str) -> Range<usize> {
    place_of_secrets(text).map_or(0..0, |(place, _)| place)
}

/// Returns the place of the value, or the place for the key if there is none.
fn place_of_secrets(text: &str) -> Option<(Range<usize>, bool)> {
    let root = DeTable::parse(text).ok()?;
    if let Some(value) = root.get_ref().get("secrets") {
        return Some((value.span(), false));
    }
    // Before the first key, since after a table it would be one of that table's.
    let first = root.get_ref().keys().map(|key| key.span().start).min().unwrap_or(text.len());
    let line = text[..first].rfind('\n').map_or(0, |at| at + 1);
    Some((line..line, true))
}

fn list(secrets: &[NamedSecret]) -> String {
    let one = |NamedSecret { location, until }: &NamedSecret| {
        let from = quoted(&location.reference());
        match until {
            Some(day) => format!("{{ from = {from}, until = \"{day}\" }}"),
            None => from,
        }
    };
    format!("[{}]", secrets.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// Returns the table of a test, to be added at the end of a text.
pub(crate) fn test_table(
    (payload, headers, expect): (&str, &Headers, &str),
    comment: &str,
    text: &str,
) -> String {
    // As the file ends its lines.
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut lines = vec![String::new()];
    if !text.is_empty() && !text.ends_with('\n') {
        lines.push(String::new());
    }
    lines.extend([format!("# {comment}"), "[[test]]".to_owned()]);
    lines.push(format!("payload = {}", quoted(payload)));
    if !headers.is_empty() {
        let pairs = headers.iter().map(|(name, it)| format!("{} = {}", quoted(name), quoted(it)));
        lines.push(format!("headers = {{ {} }}", pairs.collect::<Vec<_>>().join(", ")));
    }
    lines.push(format!("expect  = {}", quoted(expect)));
    lines.push(String::new());
    lines.join(end)
}

/// Quotes a text as TOML.
fn quoted(text: &str) -> String {
    visible_json(&Value::from(text).to_string()).replace(char::REPLACEMENT_CHARACTER, "\\ufffd")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::document::Document;
    use crate::mapping_file::file::MappingFile;
    use crate::secret::SecretLocation;

    fn secret(path: &str) -> NamedSecret {
        NamedSecret { location: SecretLocation::File(path.to_owned()), until: None }
    }

    #[test]
    fn every_provider_has_a_text_for_a_new_source() {
        let secrets = [secret("secrets/new.secret")];
        let bundled = bundle::providers();
        let bundled = bundled.iter().map(|(name, provider)| (provider.as_str(), Some(*name)));
        for (provider, mapping) in Provider::names().map(|it| (it, None)).chain(bundled) {
            let text = of_provider(provider, mapping, &secrets);

            let file = MappingFile::of_text(Document { name: "new.toml".to_owned(), text });

            assert_eq!(file.mistakes, [], "{provider} {mapping:?}");
            assert!(file.tests.is_empty(), "{provider} {mapping:?}");
            let bundled = mapping.and_then(bundle::of).unwrap_or_default().to_owned();
            let bundled =
                MappingFile::of_text(Document { name: "new.toml".to_owned(), text: bundled });
            let blocks = |file: &MappingFile| file.mapping.blocks().len();
            assert!(blocks(&file) >= blocks(&bundled), "{provider} {mapping:?}");
            let known = Provider::builtin(provider).map(|_| provider);
            assert_eq!(file.proof.provider.as_deref(), known, "{mapping:?}");
            assert_eq!(file.proof.secrets, secrets, "{provider} {mapping:?}");
        }
    }

    #[test]
    fn other_secrets_leave_all_other_bytes() {
        let old = NamedSecret { until: "2026-12-31".parse().ok(), ..secret("b") };
        let new = [secret("a"), old];
        let list = "[\"file:a\", { from = \"file:b\", until = \"2026-12-31\" }]";
        let check = |before: &str, after: &str| {
            let after = after.replace("LIST", list);
            assert_eq!(with_secrets(before, &new).as_deref(), Some(after.as_str()));
        };

        check("# é\r\nsecrets   = 'env:A' # why\r\n[x]", "# é\r\nsecrets   = LIST # why\r\n[x]");
        check("secrets = [\n  \"env:A\", # one\n]\na = 1", "secrets = LIST\na = 1");
        check("# top\na = 1\n[x]\nsecrets = 1", "# top\nsecrets = LIST\na = 1\n[x]\nsecrets = 1");
        check("", "secrets = LIST\n");
        assert_eq!(with_secrets("a = ", &new), None);
    }
}
