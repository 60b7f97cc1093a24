//! Nodes that a value evaluates to: each a text, a number or a boolean, none of them empty.

use std::ops::Range;

use serde_json::{Number, Value};

use crate::event::NUL;

/// Bytes of text in all nodes of one value.
const BYTES_MAX: usize = 5 * 1024 * 1024;
const NODES_MAX: usize = 100_000;

/// Reason why a value cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ValueError(pub(crate) String);

impl ValueError {
    pub(crate) fn new(reason: impl Into<String>) -> ValueError {
        ValueError(reason.into())
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Text(String),
    Number(Number),
    Boolean(bool),
}

/// A value that is written in the file, and its place there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SpannedScalar {
    pub(crate) value: Scalar,
    pub(crate) place: Range<usize>,
}

/// Number of nodes that a field or answer accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cardinality {
    /// One text: the first alternative that is not empty.
    One,
    /// One text, in which objects are printed as their entries.
    Answer,
    /// A list of the nodes of all alternatives.
    Many,
}

impl Scalar {
    pub(crate) fn text(&self) -> String {
        match self {
            Scalar::Text(text) => text.clone(),
            Scalar::Number(number) => print_number(number),
            Scalar::Boolean(boolean) => boolean.to_string(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            // With the node itself, which is larger than a short text.
            Scalar::Text(text) => size_of::<Scalar>() + text.len(),
            Scalar::Number(_) | Scalar::Boolean(_) => size_of::<Scalar>(),
        }
    }

    pub(crate) fn into_json(self) -> Value {
        match self {
            Scalar::Text(text) => Value::String(text),
            Scalar::Number(number) => Value::Number(number),
            Scalar::Boolean(boolean) => Value::Bool(boolean),
        }
    }

    /// Converts to a number, also from a text.
    pub(crate) fn into_number(self) -> Result<Number, ValueError> {
        let text = match self {
            Scalar::Number(number) => return Ok(number),
            Scalar::Text(text) => text,
            Scalar::Boolean(_) => return Err(ValueError::new("a boolean is not a number")),
        };
        // Integers first: through f64 those above 2^53 lose digits.
        let whole = text.parse::<i64>().map(Number::from);
        let whole = whole.or_else(|_| text.parse::<u64>().map(Number::from)).ok();
        let number = whole.or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64));
        number.ok_or_else(|| ValueError::new("the text is not a number"))
    }
}

/// Prints a number, `9.0` as `9`.
pub(crate) fn print_number(number: &Number) -> String {
    // From 2^53 on a float no longer has all the digits of an integer.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT_MAX => {
            format!("{float:.0}")
        }
        _ => number.to_string(),
    }
}

/// Returns the text trimmed, with `\n` as line end, and without NUL, which Savio cannot store.
pub(crate) fn clean(text: &str) -> String {
    // Before trimming, since white space may be on the other side of a NUL.
    if text.contains(NUL) {
        return clean(&text.replace(NUL, ""));
    }
    let text = text.trim();
    if text.contains("\r\n") { text.replace("\r\n", "\n") } else { text.to_owned() }
}

/// List of nodes that is being built: empty nodes are left out, arrays count as their items.
#[derive(Debug, Default)]
pub(crate) struct ScalarList {
    found: Vec<Scalar>,
    bytes: usize,
    /// Lists that were walked, including empty ones.
    lists: usize,
}

impl ScalarList {
    pub(crate) fn of_json<'v>(
        values: impl IntoIterator<Item = &'v Value>,
    ) -> Result<Vec<Scalar>, ValueError> {
        let mut nodes = ScalarList::default();
        for value in values {
            nodes.push_json(value)?;
        }
        Ok(nodes.finish())
    }

    fn push_json(&mut self, value: &Value) -> Result<(), ValueError> {
        match value {
            Value::Null => Ok(()),
            Value::Bool(boolean) => self.push(Scalar::Boolean(*boolean)),
            Value::Number(number) => self.push(Scalar::Number(number.clone())),
            Value::String(text) => self.push_text(text),
            Value::Array(items) => items.iter().try_for_each(|item| self.push_json(item)),
            Value::Object(object) => Err(object_failure(object.keys().map(String::as_str))),
        }
    }

    /// Collects the nodes of an answer; objects count as their entries, `key: value`.
    pub(crate) fn of_answer<'v>(
        values: impl IntoIterator<Item = &'v Value>,
    ) -> Result<Vec<Scalar>, ValueError> {
        let mut nodes = ScalarList::default();
        for value in values {
            nodes.push_answer(value)?;
        }
        Ok(nodes.finish())
    }

    fn push_answer(&mut self, value: &Value) -> Result<(), ValueError> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.push_answer(item)),
            Value::Object(object) => {
                for (key, value) in object {
                    let answer = joined(&ScalarList::of_answer([value])?, ", ");
                    if !answer.is_empty() {
                        self.push_text(&format!("{key}: {answer}"))?;
                    }
                }
                Ok(())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.push_json(value)
            }
        }
    }

    pub(crate) fn push_text(&mut self, text: &str) -> Result<(), ValueError> {
        let text = clean(text);
        if text.is_empty() { Ok(()) } else { self.push(Scalar::Text(text)) }
    }

    pub(crate) fn push(&mut self, node: Scalar) -> Result<(), ValueError> {
        if let Scalar::Text(text) = &node {
            self.bytes += text.len();
        }
        if self.bytes > BYTES_MAX || self.found.len() >= NODES_MAX {
            return Err(too_much());
        }
        self.found.push(node);
        Ok(())
    }

    /// Counts a list that is walked.
    pub(crate) fn list(&mut self) -> Result<(), ValueError> {
        // An empty list adds no node: without this count, a template could have millions walked.
        self.lists += 1;
        if self.lists > NODES_MAX { Err(too_much()) } else { Ok(()) }
    }

    pub(crate) fn finish(self) -> Vec<Scalar> {
        self.found
    }
}

fn too_much() -> ValueError {
    ValueError::new("it gives more than 5 MiB or 100,000 items")
}

/// Returns the error of an object in place of a text, with its first keys as advice.
pub(crate) fn object_failure<'k>(keys: impl Iterator<Item = &'k str>) -> ValueError {
    // Keys are from the payload: long ones would hide the advice.
    let keys: Vec<&str> = keys.filter(|key| key.len() <= 40).take(5).collect();
    let advice = if keys.is_empty() {
        String::new()
    } else {
        format!(" (they begin with {})", keys.join(", "))
    };
    ValueError(format!("expected text, got an object: select one of its keys{advice}"))
}

/// Returns several nodes as one text.
pub(crate) fn joined(nodes: &[Scalar], separator: &str) -> String {
    nodes.iter().map(Scalar::text).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nodes_are_printed_and_joined() {
        check(&json!("  a\r\nb "), "a\nb");
        check(&json!([9.0, 9.5, -0.5, 1e300, 12_345_678_901_234_567_i64]), {
            "9, 9.5, -0.5, 1e+300, 12345678901234567"
        });
        check(&json!([true, null, "", "  ", ["x", ["y"]]]), "true, x, y");
        check(&json!(null), "");
    }

    #[test]
    fn object_fails_and_names_its_keys() {
        let failure = ScalarList::of_json([&json!({"first": 1, "last": 2})]).unwrap_err();

        assert!(failure.0.contains("object"), "{failure}");
        assert!(failure.0.contains("first, last"), "{failure}");
    }

    #[test]
    fn numeric_text_converts_to_a_number() {
        let number = |text: &str| Scalar::Text(text.into()).into_number();
        assert_eq!(number("12"), Ok(Number::from(12)));
        assert_eq!(number("1.5"), Ok(Number::from_f64(1.5).unwrap()));
        assert_eq!(number("18446744073709551615"), Ok(Number::from(u64::MAX)));
        for bad in ["twelve", "NaN", "inf", "1,5"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }

    fn check(value: &Value, expected: &str) {
        assert_eq!(joined(&ScalarList::of_json([value]).unwrap(), ", "), expected);
    }
}
