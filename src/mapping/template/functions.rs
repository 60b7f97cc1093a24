//! The functions and filters that templates have beside minijinja's own.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use minijinja::value::Object;
use minijinja::{Environment, Error, ErrorKind, State, Value};
use serde_json::Value as Json;

use super::shared::{plain, share};
use crate::mapping::markup::{html_to_text, slack_to_text};
use crate::mapping::query::Query;
use crate::mapping::scope::Budget;

/// The name under which a template finds the roots of its queries; no template can assign to it.
pub(super) const ROOTS: &str = "$";

/// Names of functions that a template may call.
pub(super) const FUNCTIONS: [&str; 6] =
    ["jsonpath", "date", "range", "dict", "namespace", "caller"];

/// Filters that are advised when an unknown one is used.
pub(super) const FILTERS: [&str; 24] = [
    "html_to_text",
    "slack_to_text",
    "date",
    "split",
    "urlencode",
    "capitalize",
    "default",
    "first",
    "float",
    "format",
    "int",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "replace",
    "round",
    "selectattr",
    "title",
    "trim",
    "unique",
    "upper",
];

/// From here on a number of time is one of milliseconds; as seconds it would be the year 5138.
const MILLISECONDS_MIN: f64 = 1e11;

/// What `jsonpath()` evaluates its queries on.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) payload: Arc<Json>,
    pub(super) item: Option<Arc<Json>>,
    pub(super) budget: Budget,
}

impl Object for Roots {}

impl Roots {
    fn share(&self, node: &Json) -> Result<Value, Error> {
        if let Some(value) = plain(node) {
            return Ok(value);
        }
        self.budget.copy(node).map(|copy| share(&copy)).map_err(|failure| invalid(failure.0))
    }
}

/// Queries that stand in the templates as they are, by their text.
pub(super) type Queries = BTreeMap<String, Query>;

pub(super) fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter("html_to_text", |value: &Value| on_text(value, html_to_text));
    environment.add_filter("slack_to_text", |value: &Value| on_text(value, slack_to_text));
    environment.add_filter("urlencode", |value: &Value| on_text(value, url_encode));
    environment.add_filter("split", split);
    environment.add_filter("date", date);
    environment.add_function("date", date);
    environment.add_test("none", |value: &Value| value.is_none() || value.is_undefined());
    environment.remove_global("debug");
}

pub(super) fn add_jsonpath(environment: &mut Environment<'static>, queries: Arc<Queries>) {
    environment
        .add_function("jsonpath", move |state: &State, text: &str| jsonpath(state, text, &queries));
}

fn jsonpath(state: &State, text: &str, queries: &Queries) -> Result<Value, Error> {
    let roots = state.lookup(ROOTS);
    let Some(roots) = roots.as_ref().and_then(|roots| roots.downcast_object_ref::<Roots>()) else {
        return Ok(Value::UNDEFINED);
    };
    let parsed;
    let query = if let Some(query) = queries.get(text) {
        query
    } else {
        state.consume_fuel(text.len() as u64)?;
        parsed = Query::parse(text).map_err(|error| invalid(error.message))?;
        &parsed
    };
    if query.is_relative() && roots.item.is_none() {
        return Err(invalid("`@` is the item, and there is none outside of for_each"));
    }
    let current = roots.item.as_ref().unwrap_or(&roots.payload);
    let nodes = roots.budget.nodes(query, &roots.payload, current);
    let nodes = nodes.map_err(|failure| invalid(failure.0))?;
    if query.is_singular() {
        return nodes.first().map_or(Ok(Value::UNDEFINED), |node| roots.share(node));
    }
    state.consume_fuel(nodes.len() as u64)?;
    nodes.into_iter().map(|node| roots.share(node)).collect()
}

fn on_text(value: &Value, change: impl Fn(&str) -> String) -> Value {
    if value.is_undefined() || value.is_none() {
        return Value::UNDEFINED;
    }
    Value::from(match value.as_str() {
        Some(text) => change(text),
        None => change(&value.to_string()),
    })
}

/// The parts of a text, trimmed, the empty ones left out.
fn split(value: &Value, separator: Option<&str>) -> Value {
    if value.is_undefined() || value.is_none() {
        return Value::from(Vec::<Value>::new());
    }
    let text = value.to_string();
    let separator = separator.filter(|separator| !separator.is_empty()).unwrap_or(",");
    text.split(separator).map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Everything but letters, digits and `-._~` as `%XX`.
fn url_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes any text");
        }
    }
    encoded
}

/// A time in UTC; `value` is in seconds, milliseconds or RFC 3339.
fn date(value: &Value, format: Option<&str>) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() || value.as_str().is_some_and(str::is_empty) {
        return Ok(Value::UNDEFINED);
    }
    let time = time_of(value).ok_or_else(|| {
        invalid("date() wants seconds, milliseconds or a time such as 2026-01-31T12:00:00Z")
    })?;
    let format = format.unwrap_or("%Y-%m-%d");
    jiff::fmt::strtime::format(format, &time.to_zoned(TimeZone::UTC))
        .map(Value::from)
        .map_err(|error| invalid(format!("date() cannot use the format `{format}`: {error}")))
}

fn time_of(value: &Value) -> Option<Timestamp> {
    let Some(text) = value.as_str().map(str::trim) else {
        return time_of_number(f64::try_from(value.clone()).ok()?);
    };
    if let Ok(number) = text.parse::<f64>() {
        return time_of_number(number);
    }
    let without_zone = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    text.parse::<Timestamp>().ok().or_else(|| Some(without_zone()?.timestamp()))
}

#[expect(clippy::cast_possible_truncation, reason = "a time that is too large is refused by jiff")]
fn time_of_number(number: f64) -> Option<Timestamp> {
    if !number.is_finite() {
        return None;
    }
    let milliseconds = if number.abs() < MILLISECONDS_MIN { number * 1000.0 } else { number };
    Timestamp::from_millisecond(milliseconds as i64).ok()
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason.into())
}
