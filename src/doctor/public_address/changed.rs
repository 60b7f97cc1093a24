//! Findings about webhooks that arrive changed. Pure.

use super::advice::{ProxyFault, advice};
use super::comparison::Change;
use super::heading::PUBLIC;
use super::proxy_kind::ProxyKind;
use super::test_request::Subject;
use super::way::Way;
use crate::diagnostics::shorten;
use crate::doctor::finding::{Finding, FindingLevel};

/// Longest path that is shown.
const SHOWN_CHARS: usize = 120;

/// Returns the finding about a change.
pub(super) fn finding(
    (subject, change): (Subject, &Change),
    kind: ProxyKind,
    way: &Way<'_>,
) -> Finding {
    let finding = Finding::at(level(subject, change, way), PUBLIC, found(subject, change, way));
    match fault(subject, change) {
        Some(fault) => finding.advice(advice(fault, kind, way.place.listen)),
        None => finding,
    }
}

fn level(subject: Subject, change: &Change, way: &Way<'_>) -> FindingLevel {
    let is_wrong = match change {
        // No name of a source has a character that is escaped.
        Change::PathEscapes { .. } => return FindingLevel::Ok,
        Change::Misrouted { .. } | Change::QueryLost => true,
        Change::QueryEscapes | Change::Query { .. } => way.needs.url_signer.is_some(),
        // Few providers compress.
        Change::Body(_) => subject != Subject::Gzip,
        Change::HeadersLost(names) | Change::HeadersChanged(names) => {
            let is_needed = |name: &String| {
                name.starts_with("content-") || way.needs.credentials.contains(name)
            };
            names.iter().any(is_needed)
        }
    };
    if is_wrong { FindingLevel::Wrong } else { FindingLevel::Warning }
}

fn found(subject: Subject, change: &Change, way: &Way<'_>) -> String {
    let words = subject.words();
    match change {
        Change::Misrouted { received } => {
            let received = shorten(received, SHOWN_CHARS);
            format!("{words} arrives at the path {received}, where the relay answers 404")
        }
        Change::PathEscapes { received } => {
            format!(
                "escapes in a path are rewritten ({received} arrives): no source's address has any"
            )
        }
        Change::QueryLost => format!("{words} arrives without its parameters"),
        Change::QueryEscapes | Change::Query { .. } => {
            let what = match &way.needs.url_signer {
                Some(name) => format!("the provider of {name} signs them, and is refused"),
                None => "a provider that signs them would be refused".to_owned(),
            };
            format!("parameters in the URL of a webhook are rewritten: {what}")
        }
        Change::Body(how) => format!("{words} arrives changed: {}", how.words()),
        Change::HeadersLost(names) => {
            format!("{words} arrives without its headers: {}", names.join(", "))
        }
        Change::HeadersChanged(names) => {
            format!("{words} arrives with other values of: {}", names.join(", "))
        }
    }
}

fn fault(subject: Subject, change: &Change) -> Option<ProxyFault> {
    match change {
        Change::Misrouted { .. } => Some(ProxyFault::Path),
        Change::PathEscapes { .. } => None,
        Change::QueryLost | Change::QueryEscapes | Change::Query { .. } => Some(ProxyFault::Query),
        Change::Body(_) if subject == Subject::Gzip => Some(ProxyFault::Compressed),
        Change::Body(_) => Some(ProxyFault::Body),
        Change::HeadersLost(_) | Change::HeadersChanged(_) => Some(ProxyFault::Headers),
    }
}
