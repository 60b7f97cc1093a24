//! Lints of conditions that are valid but probably not meant.

use std::ops::Range;

use serde_json::Value;

use super::ast::{Comparison, Logical, Operand, Operator, QueryPath};
use super::evaluator::Evaluation;

/// Part of a condition that was probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    pub message: String,
    pub help: String,
    /// Bytes of the condition's text.
    pub at: Range<usize>,
}

/// Lints a condition with a sample, of which `$` and `@` are `root` and `current`. Null in place of
/// a sample shows what the text alone does.
pub(super) fn lints<'v>(logical: &Logical, root: &'v Value, current: &'v Value) -> Vec<Lint> {
    let mut found = Vec::new();
    collect(logical, &LintSample { root, current }, &mut found);
    found
}

struct LintSample<'v> {
    root: &'v Value,
    current: &'v Value,
}

fn collect(logical: &Logical, sample: &LintSample<'_>, found: &mut Vec<Lint>) {
    match logical {
        Logical::Or(parts) | Logical::And(parts) => {
            for part in parts {
                collect(part, sample, found);
            }
        }
        Logical::Not(part) => collect(part, sample, found),
        Logical::Exists(path) => found.extend(sample.existence(path)),
        Logical::Compare(comparison) => found.extend(sample.comparison(comparison)),
        Logical::Matches(_) => {}
    }
}

/// Type of an operand, by the text or in the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OperandType<'v> {
    Number,
    Text(&'v str),
    Other,
}

impl<'v> LintSample<'v> {
    fn existence(&self, path: &QueryPath) -> Option<Lint> {
        // In RFC 9535 a path alone tests existence; elsewhere null and false would not hold.
        let node = path.is_singular().then(|| self.node(path))??;
        let value = match node {
            Value::Null => "null",
            Value::Bool(false) => "false",
            _ => return None,
        };
        Some(Lint {
            message: format!("this holds as soon as the field is there, and here it is {value}"),
            help: "say what it has to be, such as `== true` or `!= null`".to_owned(),
            at: path.place.clone(),
        })
    }

    fn comparison(&self, comparison: &Comparison) -> Option<Lint> {
        let (left, right) = (&comparison.left, &comparison.right);
        let text = match (self.operand_type(left), self.operand_type(right)) {
            (OperandType::Number, OperandType::Text(text))
            | (OperandType::Text(text), OperandType::Number) => text,
            // Of an unknown type and a text that reads as a number; texts such as dates are
            // ordered on purpose.
            (OperandType::Text(text), OperandType::Other)
            | (OperandType::Other, OperandType::Text(text))
                if is_ordering(comparison.operator) && text.parse::<f64>().is_ok() =>
            {
                text
            }
            _ => return None,
        };
        Some(Lint {
            message: "a number compared with a text: they are never equal, and have no order"
                .to_owned(),
            help: match text.parse::<f64>() {
                Ok(_) => format!("write both as numbers, `{text}`, or both as texts, `'{text}'`"),
                Err(_) => "compare numbers with numbers, texts with texts".to_owned(),
            },
            at: comparison.place.clone(),
        })
    }

    fn operand_type<'a>(&self, operand: &'a Operand) -> OperandType<'a>
    where
        'v: 'a,
    {
        match operand {
            Operand::Literal(literal) => value_type(literal),
            Operand::Length(_) | Operand::Count(_) => OperandType::Number,
            Operand::Path(path) | Operand::Value(path) => {
                self.node(path).map_or(OperandType::Other, value_type)
            }
        }
    }

    fn node(&self, path: &QueryPath) -> Option<&'v Value> {
        match Evaluation::new(self.root).nodes(path, self.current).ok()?[..] {
            [node] => Some(node),
            _ => None,
        }
    }
}

fn value_type(value: &Value) -> OperandType<'_> {
    match value {
        Value::Number(_) => OperandType::Number,
        Value::String(text) => OperandType::Text(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => OperandType::Other,
    }
}

fn is_ordering(operator: Operator) -> bool {
    match operator {
        Operator::Equal | Operator::NotEqual => false,
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mapping::language::query::Condition;

    fn check(condition: &str, sample: &Value, expected: &[&str]) {
        let doubts = Condition::parse(condition).unwrap().lints(sample, sample);
        let places: Vec<&str> = doubts.iter().map(|doubt| &condition[doubt.at.clone()]).collect();
        assert_eq!(places, expected, "{condition} {doubts:?}");
    }

    #[test]
    fn number_compared_with_text_is_found_without_a_sample() {
        check("@.votes > '5'", &Value::Null, &["@.votes > '5'"]);
        check("@.a && 'x' == count(@.*)", &Value::Null, &["'x' == count(@.*)"]);
        check("@.date > '2027-01-31' && @.id == '5'", &Value::Null, &[]);
        check("@.votes > 5 && @.name == 'x'", &Value::Null, &[]);
    }

    #[test]
    fn number_compared_with_text_is_found_in_a_sample() {
        let sample = json!({"id": 5, "name": "x", "votes": "7"});

        check("@.id == '5' || @.name == 'x'", &sample, &["@.id == '5'"]);
        check("!(@.votes == 7)", &sample, &["@.votes == 7"]);
        check("@.id == 5 && @.missing == 'x'", &sample, &[]);
    }

    #[test]
    fn existence_of_null_or_false_is_found_in_a_sample() {
        let sample = json!({"gone": null, "off": false, "empty": "", "on": true, "many": [null]});

        check("@.gone && !$.off", &sample, &["@.gone", "$.off"]);
        check("@.on && @.missing && @.many[*]", &sample, &[]);
        check("@.off == true", &sample, &[]);
    }
}
