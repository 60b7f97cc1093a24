//! The differences between the requests that two mappings make of an event, field by field.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::mapped::MappedEvent;
use crate::event::{Request, RequestKind};
use crate::mapping::LinkMode;

/// Number of differences that are told of one event.
// An event may become 1,000 requests.
const FIELDS_MAX: usize = 200;

/// The field that delivery may replace by the title of a feature request that exists.
const TITLE: &str = "feature_request_title";

/// One difference between the requests of an event.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FieldChange {
    /// Such as `feedback[0]`: the first feedback that the event becomes. A request that is removed
    /// has its number among those of the mapping in service.
    pub request: String,
    /// Such as `problem` or `filterable_attributes.plan`; null: the whole request is added or removed.
    pub field: Option<String>,
    /// Null: it is not there.
    pub was: Value,
    /// Null: it would not be there.
    pub now: Value,
    /// Whether delivery looks the value up among the feature requests at Savio, which was not asked
    /// here: the values are as the mappings write them.
    pub linked_at_delivery: bool,
}

/// A request with what decides how it is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
struct SentAs<'m> {
    request: &'m Request,
    link: Option<LinkMode>,
}

/// Returns whether both mappings make the same requests, sent in the same way.
pub(super) fn are_equal(before: &MappedEvent, after: &MappedEvent) -> bool {
    before.requests == after.requests && sent(before).eq(sent(after))
}

fn sent(mapped: &MappedEvent) -> impl Iterator<Item = SentAs<'_>> {
    mapped.requests.iter().enumerate().map(|(position, request)| {
        let link = mapped.links.iter().find(|link| link.request == position);
        SentAs { request, link: link.map(|link| link.existing) }
    })
}

/// Returns the differences, and the number of those beyond the limit.
pub(super) fn between(before: &MappedEvent, after: &MappedEvent) -> (Vec<FieldChange>, usize) {
    let mut changes = Vec::new();
    // Both have their requests in this order.
    for kind in [RequestKind::Company, RequestKind::Contact, RequestKind::Feedback] {
        let of = |mapped| sent(mapped).filter(|sent| sent.request.kind == kind).collect();
        let (before, after): (Vec<SentAs<'_>>, Vec<SentAs<'_>>) = (of(before), of(after));
        requests(kind, (&before, &after), &mut changes);
    }
    let more = changes.len().saturating_sub(FIELDS_MAX);
    changes.truncate(FIELDS_MAX);
    (changes, more)
}

/// Compares the requests of one kind.
fn requests(
    kind: RequestKind,
    (before, after): (&[SentAs<'_>], &[SentAs<'_>]),
    changes: &mut Vec<FieldChange>,
) {
    // What is equal at both ends is set aside, so that a request that is added in front or removed
    // does not make all that follow it look changed.
    let is_equal = |(before, after): &(&SentAs<'_>, &SentAs<'_>)| before == after;
    let start = before.iter().zip(after).take_while(is_equal).count();
    let (before_rest, after_rest) = (&before[start..], &after[start..]);
    let end = before_rest.iter().rev().zip(after_rest.iter().rev()).take_while(is_equal).count();
    let before_rest = &before_rest[..before_rest.len() - end];
    let after_rest = &after_rest[..after_rest.len() - end];

    let name = |index: usize| format!("{}[{}]", kind.as_str(), start + index);
    for index in 0..before_rest.len().max(after_rest.len()) {
        match (before_rest.get(index), after_rest.get(index)) {
            (Some(before), Some(after)) => pair(&name(index), (before, after), changes),
            (before, after) => {
                let body = |sent: Option<&SentAs<'_>>| {
                    sent.map_or(Value::Null, |sent| Value::Object(sent.request.body.clone()))
                };
                let linked_at_delivery = before.or(after).is_some_and(|sent| sent.link.is_some());
                let (was, now) = (body(before), body(after));
                let request = name(index);
                changes.push(FieldChange { request, field: None, was, now, linked_at_delivery });
            }
        }
    }
}

fn pair(
    request: &str,
    (before, after): (&SentAs<'_>, &SentAs<'_>),
    changes: &mut Vec<FieldChange>,
) {
    let is_linked = before.link.is_some() || after.link.is_some();
    let mut change = |field: String, was: Value, now: Value| {
        let linked_at_delivery = is_linked && field.starts_with(TITLE);
        let (request, field) = (request.to_owned(), Some(field));
        changes.push(FieldChange { request, field, was, now, linked_at_delivery });
    };
    members("", (&before.request.body, &after.request.body), &mut change);
    if before.link != after.link {
        let mode = |link: Option<LinkMode>| link.map_or(Value::Null, |it| it.as_str().into());
        change(format!("{TITLE}.existing"), mode(before.link), mode(after.link));
    }
}

/// Compares objects member by member, in the order of the proposed mapping.
fn members(
    prefix: &str,
    (before, after): (&Map<String, Value>, &Map<String, Value>),
    change: &mut impl FnMut(String, Value, Value),
) {
    let removed = before.keys().filter(|name| !after.contains_key(*name));
    for name in after.keys().chain(removed) {
        let path = format!("{prefix}{name}");
        match (before.get(name), after.get(name)) {
            (was, now) if was == now => {}
            (Some(Value::Object(was)), Some(Value::Object(now))) => {
                members(&format!("{path}."), (was, now), change);
            }
            (was, now) => {
                let value = |it: Option<&Value>| it.cloned().unwrap_or(Value::Null);
                change(path, value(was), value(now));
            }
        }
    }
}
