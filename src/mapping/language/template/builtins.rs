//! minijinja's own filters and tests that do much work for little fuel, wrapped so that each is
//! paid for before it begins.

use std::borrow::Cow;

use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, State, Value, filters, tests};

use super::error::invalid;
use super::weight::{
    is_container, is_there, listed, weigh, weigh_all, weigh_all_printed, weigh_printed,
};

/// Bytes of text for a unit of fuel, as in minijinja.
const BYTES_PER_FUEL: usize = 64;
/// Bytes of serialized output for a unit of fuel, as in minijinja.
const SERIALIZED_BYTES_PER_FUEL: usize = 4;

pub(super) fn bound(environment: &mut Environment<'static>) {
    bound_printing(environment);
    bound_comparing(environment);
    bound_lists(environment);
    bound_tests(environment);
}

/// Wraps a filter or test of minijinja; `pay` is called before it begins.
fn charged(
    builtin: Value,
    charge: impl Fn(&State, &[Value]) -> Result<(), Error> + Send + Sync + 'static,
) -> impl Fn(&mut State, Rest<ValueOrKwargs>) -> Result<Value, Error> + Send + Sync + 'static {
    move |state, arguments| {
        let arguments = arguments.into_values();
        charge(state, &arguments)?;
        builtin.call(state, &arguments)
    }
}

/// Wraps filters that print their arguments.
fn bound_printing(environment: &mut Environment<'static>) {
    for (name, filter) in [
        ("string", Value::from_function(filters::string)),
        ("format", Value::from_function(filters::format)),
        ("safe", Value::from_function(filters::safe)),
        ("escape", Value::from_function(filters::escape)),
        ("e", Value::from_function(filters::escape)),
        ("upper", Value::from_function(filters::upper)),
        ("lower", Value::from_function(filters::lower)),
        ("title", Value::from_function(filters::title)),
        ("capitalize", Value::from_function(filters::capitalize)),
    ] {
        environment.add_filter(name, charged(filter, weigh_all_printed));
    }
    environment.add_filter("lines", charged(Value::from_function(filters::lines), charge_lines));
    environment.add_filter("join", charged(Value::from_function(filters::join), weigh_all));
    environment.add_filter("trim", charged(Value::from_function(filters::trim), charge_trim));
    environment.add_filter("indent", charged(Value::from_function(filters::indent), charge_indent));
    environment.add_filter("replace", replace);
    environment.add_filter("tojson", tojson);
    environment.add_filter("pprint", |state: &State, value: &Value| {
        weigh_printed(state, value, 4)?;
        serialized(state, filters::pprint(value))
    });
}

fn charge_trim(state: &State, arguments: &[Value]) -> Result<(), Error> {
    weigh_all_printed(state, arguments)?;
    // Each character is compared with each of those to trim.
    let length = |at: usize| arguments.get(at).and_then(Value::as_str).map_or(0, str::len);
    charge_bytes(state, length(0).saturating_mul(length(1)))
}

fn charge_lines(state: &State, arguments: &[Value]) -> Result<(), Error> {
    weigh_all_printed(state, arguments)?;
    // Each line becomes a value. minijinja charges for these too, but only once all are there.
    let text = arguments.first().and_then(Value::as_str).unwrap_or_default();
    charge(state, text.matches('\n').count() / 2)
}

fn charge_indent(state: &State, arguments: &[Value]) -> Result<(), Error> {
    weigh_all_printed(state, arguments)?;
    let lines = |text: &str| text.matches('\n').count() + 1;
    let lines = arguments.first().and_then(Value::as_str).map_or(1, lines);
    charge_bytes(state, lines.saturating_mul(number(arguments, "width")?.unwrap_or(4)))
}

/// Returns the second argument, or the one with the name.
fn number(arguments: &[Value], name: &str) -> Result<Option<usize>, Error> {
    let (arguments, named): (&[Value], Kwargs) = from_args(arguments)?;
    let number = match arguments.get(1) {
        Some(number) => Some(number.clone()),
        None => named.get::<Option<Value>>(name)?,
    };
    Ok(number.and_then(|number| number.as_usize()))
}

// Not a wrapper: how long the result is depends on how often the text is found.
fn replace(state: &State, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let arguments = arguments.into_values();
    weigh_all_printed(state, &arguments)?;
    let (text, from, to, count, named): (Cow<str>, Cow<str>, Cow<str>, Option<i64>, Kwargs) =
        from_args(&arguments)?;
    let count = count.map_or_else(|| named.get("count"), |count| Ok(Some(count)))?;
    named.assert_all_used()?;
    let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    let found = text.matches(&*from).take(count).count();
    charge_bytes(state, text.len().saturating_add(found.saturating_mul(to.len())))?;
    Ok(Value::from(text.replacen(&*from, &to, count)))
}

fn tojson(state: &State, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let arguments = arguments.into_values();
    let indent = number(&arguments, "indent")?.unwrap_or(2);
    let (value, written, named): (&Value, Option<Value>, Kwargs) = from_args(&arguments)?;
    weigh_printed(state, value, indent)?;
    // Called as a function, minijinja's filter has no state to charge for its output.
    let json = filters::tojson(value, written, named)?;
    charge(state, json.as_str().map_or(0, str::len) / SERIALIZED_BYTES_PER_FUEL)?;
    Ok(json)
}

fn serialized(state: &State, text: String) -> Result<Value, Error> {
    charge(state, text.len() / SERIALIZED_BYTES_PER_FUEL)?;
    Ok(Value::from(text))
}

fn charge(state: &State, fuel: usize) -> Result<(), Error> {
    state.consume_fuel(fuel as u64)
}

fn charge_bytes(state: &State, bytes: usize) -> Result<(), Error> {
    charge(state, bytes / BYTES_PER_FUEL)
}

fn bound_comparing(environment: &mut Environment<'static>) {
    for (name, filter) in [
        ("sort", Value::from_function(filters::sort)),
        ("min", Value::from_function(filters::min)),
        ("max", Value::from_function(filters::max)),
        ("unique", Value::from_function(filters::unique)),
    ] {
        environment.add_filter(name, charged(filter, weigh_all));
    }
    environment.add_filter("groupby", charged(Value::from_function(filters::groupby), charge_sort));
    environment
        .add_filter("dictsort", charged(Value::from_function(filters::dictsort), charge_sort));
}

fn charge_sort(state: &State, arguments: &[Value]) -> Result<(), Error> {
    weigh_all(state, arguments)?;
    let length = arguments.first().and_then(Value::len).unwrap_or(0);
    // Both filters sort.
    let comparisons = length.checked_ilog2().map_or(0, |log| length.saturating_mul(log as usize));
    charge(state, comparisons)
}

/// Wraps filters that put values into lists, and those that give lazy lists.
fn bound_lists(environment: &mut Environment<'static>) {
    environment.add_filter("batch", charged(Value::from_function(filters::batch), weigh_all));
    environment.add_filter("slice", charged(Value::from_function(filters::slice), weigh_all));
    let arguments = |state: &State, arguments: &[Value]| {
        weigh_all(state, arguments.get(1..).unwrap_or_default())
    };
    environment.add_filter("map", charged(Value::from_function(filters::map), arguments));
    for (name, filter) in [
        ("zip", Value::from_function(filters::zip)),
        ("items", Value::from_function(filters::items)),
        ("chain", Value::from_function(filters::chain)),
    ] {
        let lazy = charged(filter, weigh_all);
        // A lazy list that is made of another one reads it by a nested call: 9,000 of them in a loop
        // would overflow the stack.
        environment.add_filter(name, move |state: &mut State, arguments: Rest<ValueOrKwargs>| {
            let lazy = lazy(state, arguments)?;
            evaluated(state, &lazy)
        });
    }
    environment.add_filter("sum", charged(Value::from_function(filters::sum), check_sum_start));
}

fn evaluated(state: &State, lazy: &Value) -> Result<Value, Error> {
    weigh(state, lazy)?;
    if lazy.kind() != ValueKind::Map {
        return if lazy.kind() == ValueKind::Iterable {
            listed(lazy)
        } else {
            lazy.try_iter()?.checked().collect::<Result<Vec<Value>, Error>>().map(Value::from)
        };
    }
    let mut entries = Vec::new();
    for key in lazy.try_iter()?.checked() {
        let key = key?;
        let value = lazy.get_item(&key)?;
        entries.push((key, value));
    }
    Ok(Value::from_pairs(entries))
}

fn check_sum_start(_: &State, arguments: &[Value]) -> Result<(), Error> {
    // A sum of lists or texts would be copied for each of its parts, which is quadratic.
    let (arguments, named): (&[Value], Kwargs) = from_args(arguments)?;
    let start = match arguments.get(2) {
        Some(start) => Some(start.clone()),
        None => named.get::<Option<Value>>("start")?,
    };
    if start.is_some_and(|start| is_container(&start) || start.as_str().is_some()) {
        return Err(invalid("sum adds numbers: begin with one"));
    }
    Ok(())
}

fn bound_tests(environment: &mut Environment<'static>) {
    for (names, test) in [
        (&["eq", "equalto", "=="][..], Value::from_function(tests::is_eq)),
        (&["ne", "!="], Value::from_function(tests::is_ne)),
        (&["lt", "lessthan", "<"], ordering(tests::is_lt)),
        (&["le", "<="], ordering(tests::is_le)),
        (&["gt", "greaterthan", ">"], ordering(tests::is_gt)),
        (&["ge", ">="], ordering(tests::is_ge)),
        (&["in"], Value::from_function(tests::is_in)),
        (&["sameas"], Value::from_function(tests::is_sameas)),
        (&["startingwith"], Value::from_function(tests::is_startingwith)),
        (&["endingwith"], Value::from_function(tests::is_endingwith)),
        (&["lower"], Value::from_function(tests::is_lower)),
        (&["upper"], Value::from_function(tests::is_upper)),
    ] {
        for name in names {
            environment.add_test(*name, charged(test.clone(), charge_test));
        }
    }
}

/// Returns a test that is false for absent values.
fn ordering(test: fn(&Value, &Value) -> bool) -> Value {
    // As for the operators (see `guard`): minijinja orders absent values before all others, and a
    // missing score would be `lt 9`.
    Value::from_function(move |value: &Value, other: &Value| {
        is_there(value) && is_there(other) && test(value, other)
    })
}

fn charge_test(state: &State, arguments: &[Value]) -> Result<(), Error> {
    weigh_all(state, arguments)?;
    // A text by itself weighs nothing, and is compared here.
    let texts = arguments.iter().filter_map(Value::as_str);
    charge_bytes(state, texts.map(str::len).sum())
}
