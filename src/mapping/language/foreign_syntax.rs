//! Placeholders of other template languages, and expressions without braces: each would be sent as it
//! is written.

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::SpannedText;

/// Beginnings of an expression. Of `event` and `item` only with a name that they have: other texts
/// begin like that, such as `item.created`.
const EXPRESSIONS: [&str; 7] =
    ["payload.", "payload[", "answers[", "answers.", "headers.", "headers[", "jsonpath("];
const EVENT: [&str; 4] = ["event.id", "event.type", "event.source", "event.received_at"];

/// Opening and closing signs of placeholders elsewhere.
const PLACEHOLDERS: [(&str, &str); 4] = [("${", "}"), ("#{", "}"), ("<%", "%>"), ("%(", ")s")];

/// Returns a warning about a literal text that is probably meant as a template or a query.
pub(super) fn foreign_syntax(text: &SpannedText) -> Option<Diagnostic> {
    let written = text.text.trim();
    if is_expression(written) && !written.contains("  ") {
        let message = "an expression without braces is sent as it is written";
        let template = format!("{{{{ {} }}}}", written.replace('"', "'"));
        let warning = Diagnostic::warning(text.place.clone(), message);
        let fix = text.written(&template);
        return Some(warning.help(format!("write \"{template}\"")).maybe_fix(fix));
    }
    let found = placeholder(&text.text)
        .or_else(|| single_braces(&text.text))
        .or_else(|| query(&text.text))?;
    let (part, inner) = found;
    let template = format!("{{{{ {} }}}}", in_payload(inner));
    let message = format!("`{}` is sent as it is written", &text.text[part.clone()]);
    let fix = is_path(inner).then(|| text.replaced(part.clone(), &template)).flatten();
    let warning = Diagnostic::warning(text.part(part), message);
    Some(warning.help(format!("write {template}")).maybe_fix(fix))
}

type Found<'t> = (std::ops::Range<usize>, &'t str);

fn is_expression(text: &str) -> bool {
    EVENT.contains(&text) || EXPRESSIONS.iter().any(|start| text.starts_with(start))
}

fn placeholder(text: &str) -> Option<Found<'_>> {
    PLACEHOLDERS.iter().find_map(|(open, close)| {
        let start = text.find(open)?;
        let inner = &text[start + open.len()..];
        let length = inner.find(close)?;
        let end = start + open.len() + length + close.len();
        Some((start..end, inner[..length].trim_start_matches(['=', '-']).trim()))
    })
}

/// Finds `{payload.name}` and `{$.name}`.
fn single_braces(text: &str) -> Option<Found<'_>> {
    let mut from = 0;
    while let Some(open) = text[from..].find('{') {
        let start = from + open;
        let length = text[start..].find('}')?;
        let inner = text[start + 1..start + length].trim();
        if is_expression(inner) || inner.starts_with("$.") || inner.starts_with("item.") {
            return Some((start..start + length + 1, inner));
        }
        from = start + 1;
    }
    None
}

/// Finds a query inside of a text, as in `Name: $.name`.
fn query(text: &str) -> Option<Found<'_>> {
    let found = text.match_indices("$.").find(|(at, _)| {
        let is_name = text[at + 2..].starts_with(|c: char| c.is_alphabetic() || c == '_');
        let is_apart = !text[..*at].ends_with(|c: char| c.is_alphanumeric());
        is_name && is_apart
    });
    let (start, _) = found?;
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']');
    let length = text[start + 1..].find(|c| !is_path(c)).map_or(text.len() - start, |at| at + 1);
    let path = text[start..start + length].trim_end_matches('.');
    Some((start..start + path.len(), path))
}

/// Returns the expression for what another language looks up by this text.
pub(super) fn in_payload(text: &str) -> String {
    if is_expression(text) || text.starts_with("item.") {
        text.to_owned()
    } else if is_path(text) {
        format!("payload.{}", text.trim_start_matches(['$', '.', '@']))
    } else {
        "payload.name".to_owned()
    }
}

/// Returns whether the text names what it looks up, and nothing else.
pub(super) fn is_path(text: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || "_.[]'".contains(c);
    let path = text.trim_start_matches(['$', '.', '@']);
    !path.is_empty() && path.chars().all(is_plain) && !path.contains("..")
}
