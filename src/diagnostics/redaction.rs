//! Finds and hides secrets that seem to be written out in a file, so that they are never shown: a mistake
//! beside one, or in its key, is shown all the same.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Document};
use super::suggestion::nearest;

/// Their entries are named by the person, or looked up in payloads.
const FREE: [&str; 6] = ["feedback", "contact", "company", "answers", "event", "test"];

const HARMLESS: [&str; 4] = ["secret_encoding", "secret_prefix", "until", "key_bytes_max"];

/// Returns the document with stars in place of its secrets, as long as before.
pub(super) fn redact(document: &Document, mistakes: &[Diagnostic]) -> Document {
    let text = &document.text;
    let mut masked = text.clone().into_bytes();
    let known = mistakes.iter().filter(|mistake| mistake.secret).map(|it| it.place.clone());
    for place in known.chain(likely_secrets(text)) {
        let start = text.floor_char_boundary(place.start);
        let end = text.floor_char_boundary(place.end).max(start);
        masked[start..end].fill(b'*');
    }
    let text = String::from_utf8(masked).expect("whole characters became stars");
    Document { name: document.name.clone(), text }
}

/// The places of the values under keys that sound like a secret's, but for those that only name
/// where one is.
fn likely_secrets(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (root, _) = DeTable::parse_recoverable(text);
    search(root.get_ref(), false, &mut found);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        found.extend(without_equals(line).map(|at| start + at..start + line.trim_end().len()));
        start += line.len();
    }
    found
}

/// `token: hunter2` is no TOML: what stands there is no value of any key.
fn without_equals(line: &str) -> Option<usize> {
    let indent = line.len() - line.trim_start().len();
    let end = indent + line[indent..].find(|c: char| c == ':' || c.is_whitespace())?;
    (!line.contains('=') && sounds_secret(&line[indent..end])).then_some(end)
}

fn search(table: &DeTable<'_>, is_secret: bool, found: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        let key = key.get_ref();
        if !FREE.contains(&key.as_ref()) && !HARMLESS.contains(&key.as_ref()) {
            search_value(value, is_secret || sounds_secret(key), found);
        }
    }
}

fn search_value(value: &Spanned<DeValue<'_>>, is_secret: bool, found: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => search(table, is_secret, found),
        DeValue::Array(items) => items.iter().for_each(|it| search_value(it, is_secret, found)),
        DeValue::String(text) if text.starts_with("env:") || text.starts_with("file:") => {}
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => found.extend(is_secret.then(|| value.span())),
    }
}

fn sounds_secret(key: &str) -> bool {
    let words = ["secret", "secrets", "token", "password"];
    key.ends_with("key") || key.split(['_', '-']).any(|part| nearest(part, words).is_some())
}
