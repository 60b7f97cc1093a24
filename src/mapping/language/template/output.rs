//! Prints the values of `{{ }}` as a query's nodes are printed.

use std::borrow::Cow;

use minijinja::value::ValueKind;
use minijinja::{Error, Output, State, Value};

use super::error::{failure, invalid};
use crate::mapping::language::form_answers::FormAnswers;
use crate::mapping::language::value::{
    Scalar, ScalarList, ValueError, clean, joined, object_failure,
};

/// Levels of nested lists in an expression's value.
const LIST_DEPTH_MAX: usize = 64;

/// First character in the name of a template that is one `{{ expression }}` and gives its value.
pub(super) const EXPRESSION: char = '=';

/// Values that the `{{ }}` of one rendering printed.
#[derive(Debug, Default)]
pub(super) struct RenderedOutput {
    pub(super) prints: usize,
    /// Number of values that were not blank.
    pub(super) shown: usize,
    pub(super) last: Value,
}

/// Returns the value of a text without `{{ }}`; `None` if it is blank.
pub(crate) fn literal(text: &str) -> Option<Scalar> {
    let text = squeeze(&clean(text)).into_owned();
    (!text.is_empty()).then_some(Scalar::Text(text))
}

/// Prints a value of `{{ }}`, and keeps it for templates that are one expression.
pub(super) fn print(output: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let mut blank = true;
    // An expression gives its value: as a text, a list would lose its items.
    if !state.name().starts_with(EXPRESSION) {
        let text = match value.as_str() {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(text_of(value).map_err(|failure| invalid(failure.0))?),
        };
        blank = text.trim().is_empty();
        output.write_str(&text)?;
    }
    let printed = state.get_or_insert_extension_with(RenderedOutput::default);
    printed.prints += 1;
    printed.shown += usize::from(!blank);
    printed.last = value.clone();
    Ok(())
}

fn text_of(value: &Value) -> Result<String, ValueError> {
    let mut nodes = ScalarList::default();
    gather(value, &mut nodes)?;
    Ok(joined(&nodes.finish(), ", "))
}

/// Adds the nodes of a value.
pub(super) fn gather(value: &Value, nodes: &mut ScalarList) -> Result<(), ValueError> {
    gather_within(value, nodes, LIST_DEPTH_MAX)
}

fn gather_within(value: &Value, nodes: &mut ScalarList, depth: usize) -> Result<(), ValueError> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(()),
        ValueKind::Bool => nodes.push(Scalar::Boolean(value.is_true())),
        ValueKind::Number => nodes.push(number_of(value)),
        ValueKind::String | ValueKind::Bytes => {
            nodes.push_text(&squeeze(&clean(&value.to_string())))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            if let Some(collected) = value.downcast_object_ref::<FormAnswers>() {
                return nodes.push_text(&collected.to_string());
            }
            if depth == 0 {
                return Err(ValueError::new("it gives lists in lists, too deep"));
            }
            nodes.list()?;
            let items = value.try_iter().map_err(failure)?;
            items
                .checked()
                .try_for_each(|item| gather_within(&item.map_err(failure)?, nodes, depth - 1))
        }
        ValueKind::Map => {
            let keys: Vec<Value> = value.try_iter().map_err(failure)?.take(5).collect();
            Err(object_failure(keys.iter().filter_map(Value::as_str)))
        }
        _ => Err(ValueError(format!("it gives a {}, not a text", value.kind()))),
    }
}

fn number_of(value: &Value) -> Scalar {
    if let Ok(whole) = i64::try_from(value.clone()) {
        // The conversion also accepts 9.0, which should stay a float.
        if value.is_integer() {
            return Scalar::Number(whole.into());
        }
    }
    if let Ok(whole) = u64::try_from(value.clone())
        && value.is_integer()
    {
        return Scalar::Number(whole.into());
    }
    let float = f64::try_from(value.clone()).ok().and_then(serde_json::Number::from_f64);
    float.map_or_else(|| Scalar::Text(value.to_string()), Scalar::Number)
}

/// Replaces three and more line ends by two.
pub(super) fn squeeze(text: &str) -> Cow<'_, str> {
    // Empty values leave several empty lines in a row.
    if !text.contains("\n\n\n") {
        return Cow::Borrowed(text);
    }
    let mut squeezed = String::with_capacity(text.len());
    let mut line_ends = 0;
    for c in text.chars() {
        line_ends = if c == '\n' { line_ends + 1 } else { 0 };
        if line_ends <= 2 {
            squeezed.push(c);
        }
    }
    Cow::Owned(squeezed)
}
