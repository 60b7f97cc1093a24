//! Functions and filters of templates in addition to minijinja's own.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use minijinja::value::{Object, ValueKind};
use minijinja::{Environment, Error, State, Value};
use serde_json::Value as Json;

use super::error::invalid;
use super::json_value::{plain, share};
use super::weight::weigh_printed;
use super::{builtins, weight};
use crate::mapping::language::email::first_email;
use crate::mapping::language::query::{Patterns, Query};
use crate::mapping::language::scope::Budget;
use crate::mapping::language::taken::NodeOrigin;
use crate::mapping::markup::{html_to_text, slack_to_text};

/// Name of the variable with the roots of queries.
// Not an identifier, so no template can assign to it.
pub(super) const ROOTS: &str = "$";

/// Functions that a template may call.
pub(super) const FUNCTIONS: [&str; 6] =
    ["jsonpath", "date", "range", "dict", "namespace", "caller"];

/// Filters that are suggested for an unknown one.
pub(super) const FILTERS: [&str; 26] = [
    "html_to_text",
    "slack_to_text",
    "first_email",
    "date",
    "number",
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

/// Bytes of text for a unit of fuel, as in minijinja.
const BYTES_PER_FUEL: u64 = 64;

/// Longer texts are not parsed as numbers.
// The shortest form of a double has at most 24 characters; all of its digits are at most 767.
const NUMBER_BYTES_MAX: usize = 1024;

/// Numbers from here on are times in milliseconds, smaller ones in seconds.
// As seconds this would be the year 5138.
const MILLISECONDS_MIN: f64 = 1e11;

/// Values on which `jsonpath()` evaluates its queries.
#[derive(Debug)]
pub(super) struct QueryRoots {
    pub(super) payload: Arc<Json>,
    pub(super) item: Option<Arc<Json>>,
    pub(super) budget: Budget,
    /// `None` if nothing is recorded, as the next.
    pub(super) payload_origin: Option<NodeOrigin>,
    pub(super) item_origin: Option<NodeOrigin>,
}

impl Object for QueryRoots {}

impl QueryRoots {
    fn share(&self, node: &Json, origin: Option<NodeOrigin>) -> Result<Value, Error> {
        if let Some(value) = plain(node) {
            if let Some(origin) = origin {
                origin.read("", node);
            }
            return Ok(value);
        }
        let copy = self.budget.copy(node).map_err(|failure| invalid(failure.0))?;
        Ok(share(&copy, &self.budget, origin))
    }

    /// Returns the value of `@`.
    fn current(&self) -> &Json {
        self.item.as_ref().unwrap_or(&self.payload)
    }

    /// Returns the origins of the nodes of a query; none if nothing is recorded.
    fn origins(&self, query: &Query, nodes: &[&Json]) -> Vec<Option<NodeOrigin>> {
        let (root, origin) = match (query.is_relative(), &self.item_origin) {
            (true, Some(of_item)) => (self.current(), Some(of_item)),
            (true, None) | (false, _) => (&*self.payload, self.payload_origin.as_ref()),
        };
        origin.map(|origin| origin.origins(root, nodes)).unwrap_or_default()
    }
}

/// Queries that are literals in the templates, by their text.
pub(super) type StaticQueries = BTreeMap<String, Query>;

pub(super) fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter("html_to_text", |state: &State, value: &Value| {
        on_text(state, value, html_to_text)
    });
    environment.add_filter("slack_to_text", |state: &State, value: &Value| {
        on_text(state, value, slack_to_text)
    });
    environment.add_filter("first_email", |state: &State, value: &Value| {
        on_text(state, value, |text| first_email(text).unwrap_or_default())
    });
    environment
        .add_filter("urlencode", |state: &State, value: &Value| on_text(state, value, url_encode));
    environment.add_filter("number", number);
    environment.add_filter("split", split);
    environment.add_filter("date", date);
    environment.add_function("date", date);
    // Null of the payload is undefined in templates.
    environment.add_test("none", |value: &Value| value.is_none() || value.is_undefined());
    // It prints all variables, with the headers of the webhook.
    environment.remove_global("debug");
    builtins::bound(environment);
    weight::add_filters(environment);
}

pub(super) fn add_jsonpath(environment: &mut Environment<'static>, queries: Arc<StaticQueries>) {
    environment
        .add_function("jsonpath", move |state: &State, text: &str| jsonpath(state, text, &queries));
}

fn jsonpath(state: &State, text: &str, queries: &StaticQueries) -> Result<Value, Error> {
    let roots = state.lookup(ROOTS);
    let Some(roots) = roots.as_ref().and_then(|roots| roots.downcast_object_ref::<QueryRoots>())
    else {
        return Ok(Value::UNDEFINED);
    };
    let parsed;
    let query = if let Some(query) = queries.get(text) {
        query
    } else {
        parsed = computed(state, text)?;
        &parsed
    };
    if query.is_relative() && roots.item.is_none() {
        return Err(invalid("`@` is the item, and there is none outside of for_each"));
    }
    let nodes = roots.budget.nodes(query, &roots.payload, roots.current());
    let nodes = nodes.map_err(|failure| invalid(failure.0))?;
    let mut origins = roots.origins(query, &nodes).into_iter();
    let mut paid = |node: &Json| {
        let text = node.as_str().map_or(0, str::len);
        state.consume_fuel(1 + text as u64 / BYTES_PER_FUEL)?;
        roots.share(node, origins.next().flatten())
    };
    if query.is_singular() {
        return nodes.first().map_or(Ok(Value::UNDEFINED), |node| paid(node));
    }
    nodes.into_iter().map(paid).collect::<Result<Vec<Value>, Error>>().map(Value::from)
}

/// Parses a query that the template puts together.
fn computed(state: &State, text: &str) -> Result<Query, Error> {
    // A unit of fuel is about a microsecond of work, which parsing takes for each byte. Patterns are
    // compiled for what is left: without this, one field took 21 s.
    state.consume_fuel(text.len() as u64)?;
    let fuel = state.fuel_levels().map_or(0, |(_, left)| left);
    let patterns = Patterns::within(fuel);
    let parsed = Query::parse_within(text, &patterns);
    state.consume_fuel(fuel.saturating_sub(patterns.left()))?;
    parsed.map_err(|error| invalid(error.message))
}

fn on_text(state: &State, value: &Value, change: impl Fn(&str) -> String) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(Value::UNDEFINED);
    }
    weigh_printed(state, value, 0)?;
    Ok(Value::from(match value.as_str() {
        Some(text) => change(text),
        None => change(&value.to_string()),
    }))
}

/// Splits a text into its trimmed parts, without empty ones.
fn split(state: &State, value: &Value, separator: Option<&str>) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(Value::from(Vec::<Value>::new()));
    }
    weigh_printed(state, value, 0)?;
    let text = value.to_string();
    let separator = separator.filter(|separator| !separator.is_empty()).unwrap_or(",");
    // minijinja charges for the parts too, but only once all are there.
    state.consume_fuel(text.matches(separator).count() as u64 / 2)?;
    Ok(text.split(separator).map(str::trim).filter(|part| !part.is_empty()).collect())
}

/// Returns a number, or a text that is one, as a number; anything else is undefined.
fn number(value: &Value) -> Value {
    // Undefined and not 0 as with `int`, so that a missing answer is no score.
    if value.kind() == ValueKind::Number {
        return value.clone();
    }
    let text = value.as_str().map(str::trim).filter(|text| text.len() <= NUMBER_BYTES_MAX);
    let Some(text) = text else { return Value::UNDEFINED };
    let whole =
        text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from));
    whole.unwrap_or_else(|_| {
        // Rust also parses "inf" and "NaN".
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.map_or(Value::UNDEFINED, Value::from)
    })
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
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

/// Formats a time in UTC; `value` is in seconds, milliseconds or RFC 3339.
fn date(value: &Value, format: Option<&str>) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() || value.as_str().is_some_and(str::is_empty) {
        return Ok(Value::UNDEFINED);
    }
    let time = time_of(value).ok_or_else(|| {
        invalid("date() needs seconds, milliseconds or a time such as 2026-01-31T12:00:00Z")
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
    // A time without an offset is read as UTC.
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
