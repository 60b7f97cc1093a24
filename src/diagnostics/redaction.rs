//! Hides what may be literal secrets in a file before parts of it are shown, while mistakes beside
//! them stay visible.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Document, MISTAKES_MAX};
use super::suggestion::nearest;

// Tables whose keys a person chooses, or whose values are looked up in payloads: there `token`
// names a field and no secret.
const FREE_FORM_TABLES: [&str; 6] = ["feedback", "contact", "company", "answers", "event", "test"];

// Known keys that only resemble a secret's.
const HARMLESS_KEYS: [&str; 5] =
    ["secret_encoding", "secret_prefix", "until", "key_bytes_max", "secrets_folder"];

// A table whose `key` is the path of a private key.
const PATHS_TABLE: &str = "tls";

/// Returns the document with stars in place of its secrets. Its length and all places stay the
/// same.
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

/// Returns the places of values whose keys resemble a secret's, without those that name where one
/// is.
fn likely_secrets(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    // The file is shown because something is wrong with it, so a strict parser might see no key at
    // all.
    let (root, errors) = DeTable::parse_recoverable(text);
    search(root.get_ref(), false, &mut found);
    let spans = errors.iter().filter_map(toml::de::Error::span);
    let mut wrong: Vec<usize> = spans.map(|span| span.start).take(MISTAKES_MAX).collect();
    wrong.sort_unstable();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let has_error =
            wrong.partition_point(|at| *at < start) < wrong.partition_point(|at| *at < end);
        if has_error || !line.contains('=') {
            let value = unread_value(line);
            found.extend(value.map(|at| start + at..start + line.trim_end().len()));
        }
        start = end;
    }
    found
}

/// Returns where the value of a line such as `token: hunter2` or `token = hunter2` begins.
fn unread_value(line: &str) -> Option<usize> {
    // It is not TOML, so the parser finds neither a key nor a value in it.
    let indent = line.len() - line.trim_start().len();
    let end =
        indent + line[indent..].find(|c: char| matches!(c, ':' | '=') || c.is_whitespace())?;
    line[indent..end].split('.').any(resembles_secret).then_some(end)
}

fn search(table: &DeTable<'_>, is_secret: bool, found: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        let key = key.get_ref();
        if key == PATHS_TABLE {
            search_paths(value, found);
        } else if !FREE_FORM_TABLES.contains(&key.as_ref())
            && !HARMLESS_KEYS.contains(&key.as_ref())
        {
            search_value(value, is_secret || resembles_secret(key), found);
        }
    }
}

/// Searches a table of paths for what is the content of a file instead.
fn search_paths(value: &Spanned<DeValue<'_>>, found: &mut Vec<Range<usize>>) {
    let Some(table) = value.get_ref().as_table() else { return };
    let is_content = |value: &&Spanned<DeValue<'_>>| {
        value
            .get_ref()
            .as_str()
            .is_some_and(|text| text.contains("-----BEGIN") || text.len() > 4096)
    };
    found.extend(table.values().filter(is_content).map(Spanned::span));
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

pub(super) fn resembles_secret(key: &str) -> bool {
    // Also near misses: a mistyped `tokn` is an unknown key, whose line is shown.
    let words = ["secret", "secrets", "token", "password"];
    key.ends_with("key") || key.split(['_', '-']).any(|part| nearest(part, words).is_some())
}
