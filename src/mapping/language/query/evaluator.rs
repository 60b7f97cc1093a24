//! Evaluates a compiled query; each node, comparison and 64 bytes of text cost a step.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::ast::{
    Comparison, Logical, Matches, Operand, Operator, QueryPath, Segment, Selector, Slice, Start,
};
use super::number;

pub(super) const STEPS_MAX: usize = 1_000_000;
pub(super) const NODES_MAX: usize = 100_000;

/// Bytes that are hashed or compared in about the time of one step.
const BYTES_PER_STEP: usize = 64;

/// Error of a query that costs more on this payload than its budget; it has no partial result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the query takes more than {STEPS_MAX} steps or gives more than {NODES_MAX} values here")]
pub struct BudgetExceeded;

type Budgeted<T> = Result<T, BudgetExceeded>;

#[derive(Debug)]
pub(super) struct Evaluation<'v> {
    root: &'v Value,
    steps_left: usize,
}

impl<'v> Evaluation<'v> {
    pub(super) fn new(root: &'v Value) -> Evaluation<'v> {
        Evaluation { root, steps_left: STEPS_MAX }
    }

    pub(super) fn within(root: &'v Value, steps: usize) -> Evaluation<'v> {
        Evaluation { root, steps_left: steps.min(STEPS_MAX) }
    }

    pub(super) fn steps_left(&self) -> usize {
        self.steps_left
    }

    pub(super) fn nodes(
        &mut self,
        path: &QueryPath,
        current: &'v Value,
    ) -> Budgeted<Vec<&'v Value>> {
        // Segment by segment, each over all nodes of the one before: this is the order of RFC 9535,
        // on which `first`, the order of tags and that of the requests of a `for_each` depend.
        let mut nodes = vec![self.start(path, current)];
        for segment in &path.segments {
            let mut found = Vec::new();
            for node in nodes {
                self.segment(segment, node, &mut found)?;
            }
            nodes = found;
        }
        Ok(nodes)
    }

    pub(super) fn holds(&mut self, logical: &Logical, current: &'v Value) -> Budgeted<bool> {
        self.spend(1)?;
        match logical {
            Logical::Or(alternatives) => {
                for alternative in alternatives {
                    if self.holds(alternative, current)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Logical::And(conditions) => {
                for condition in conditions {
                    if !self.holds(condition, current)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Logical::Not(condition) => Ok(!self.holds(condition, current)?),
            Logical::Exists(path) => Ok(!self.nodes(path, current)?.is_empty()),
            Logical::Compare(comparison) => self.compare(comparison, current),
            Logical::Matches(matches) => self.matches(matches, current),
        }
    }

    /// Returns the value of an operand; `None` is the RFC's Nothing.
    pub(super) fn value<'a>(
        &mut self,
        operand: &'a Operand,
        current: &'v Value,
    ) -> Budgeted<Option<Cow<'a, Value>>>
    where
        'v: 'a,
    {
        match operand {
            Operand::Literal(literal) => Ok(Some(Cow::Borrowed(literal))),
            Operand::Path(path) | Operand::Value(path) => {
                Ok(self.only(path, current)?.map(Cow::Borrowed))
            }
            Operand::Count(path) => {
                let count = self.nodes(path, current)?.len();
                Ok(Some(Cow::Owned(Value::from(count))))
            }
            Operand::Length(operand) => {
                let value = self.value(operand, current)?;
                let length = match value.as_deref() {
                    Some(value) => self.length(value)?,
                    None => None,
                };
                Ok(length.map(|length| Cow::Owned(Value::from(length))))
            }
        }
    }

    /// Returns the node of a path that gives exactly one.
    fn only(&mut self, path: &QueryPath, current: &'v Value) -> Budgeted<Option<&'v Value>> {
        match self.nodes(path, current)?[..] {
            [node] => Ok(Some(node)),
            _ => Ok(None),
        }
    }

    fn spend(&mut self, steps: usize) -> Budgeted<()> {
        self.steps_left = self.steps_left.checked_sub(steps).ok_or(BudgetExceeded)?;
        Ok(())
    }

    fn start(&self, path: &QueryPath, current: &'v Value) -> &'v Value {
        match path.start {
            Start::Root => self.root,
            Start::Current => current,
        }
    }

    fn segment(
        &mut self,
        segment: &Segment,
        node: &'v Value,
        found: &mut Vec<&'v Value>,
    ) -> Budgeted<()> {
        if !segment.descends {
            return self.select(&segment.selectors, node, found);
        }
        // Depth first, and each node before its children, as the RFC requires. Without recursion,
        // since filters in filters would multiply its depth by that of the payload. Scalars have no
        // children and are left out.
        let mut waiting = vec![node];
        while let Some(node) = waiting.pop() {
            self.spend(1 + size(node))?;
            self.select(&segment.selectors, node, found)?;
            let first_child = waiting.len();
            waiting.extend(children(node).filter(|child| child.is_array() || child.is_object()));
            waiting[first_child..].reverse();
        }
        Ok(())
    }

    fn select(
        &mut self,
        selectors: &[Selector],
        node: &'v Value,
        found: &mut Vec<&'v Value>,
    ) -> Budgeted<()> {
        for selector in selectors {
            self.spend(1)?;
            match selector {
                Selector::Name(name) => {
                    // A map with more than one entry hashes the name anew at each look-up.
                    self.spend(if size(node) > 1 { name.len() / BYTES_PER_STEP } else { 0 })?;
                    found.extend(node.get(name));
                }
                Selector::Wildcard => {
                    self.spend(size(node))?;
                    found.extend(children(node));
                }
                Selector::Index(index) => found.extend(item(node, *index)),
                Selector::Slice(slice) => self.slice(*slice, node, found)?,
                Selector::Filter(logical) => {
                    for child in children(node) {
                        if self.holds(logical, child)? {
                            found.push(child);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn slice(&mut self, slice: Slice, node: &'v Value, found: &mut Vec<&'v Value>) -> Budgeted<()> {
        let Value::Array(items) = node else {
            return Ok(());
        };
        let length = i64::try_from(items.len()).expect("no array is longer than i64 counts");
        let (mut at, end) = bounds(slice, length);
        // A step of 0 selects nothing (RFC 9535, section 2.3.4.2).
        while (slice.step > 0 && at < end) || (slice.step < 0 && at > end) {
            self.spend(1)?;
            found.extend(item(node, at));
            at += slice.step;
        }
        Ok(())
    }

    fn compare(&mut self, comparison: &Comparison, current: &'v Value) -> Budgeted<bool> {
        let left = self.value(&comparison.left, current)?;
        let right = self.value(&comparison.right, current)?;
        let (left, right) = (left.as_deref(), right.as_deref());
        match comparison.operator {
            Operator::Equal => self.equal(left, right),
            Operator::NotEqual => Ok(!self.equal(left, right)?),
            Operator::Less => self.less(left, right),
            // RFC 9535, section 2.3.5.2.2: also true for equal values without an order.
            Operator::LessOrEqual => Ok(self.less(left, right)? || self.equal(left, right)?),
            Operator::Greater => self.less(right, left),
            Operator::GreaterOrEqual => Ok(self.less(right, left)? || self.equal(left, right)?),
        }
    }

    fn equal(&mut self, left: Option<&Value>, right: Option<&Value>) -> Budgeted<bool> {
        match (left, right) {
            (Some(left), Some(right)) => self.same(left, right),
            (None, None) => Ok(true),
            (Some(_), None) | (None, Some(_)) => Ok(false),
        }
    }

    fn same(&mut self, left: &Value, right: &Value) -> Budgeted<bool> {
        self.spend(1)?;
        match (left, right) {
            (Value::Number(left), Value::Number(right)) => {
                Ok(number::order(left, right) == Some(Ordering::Equal))
            }
            (Value::String(left), Value::String(right)) => {
                self.spend(left.len().min(right.len()) / BYTES_PER_STEP)?;
                Ok(left == right)
            }
            (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
                for (left, right) in left.iter().zip(right) {
                    if !self.same(left, right)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Object(left), Value::Object(right)) if left.len() == right.len() => {
                for (name, left) in left {
                    self.spend(name.len() / BYTES_PER_STEP)?;
                    let Some(right) = right.get(name) else {
                        return Ok(false);
                    };
                    if !self.same(left, right)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Null, Value::Null) => Ok(true),
            (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
            _ => Ok(false),
        }
    }

    /// Returns whether left is less than right; only numbers and texts have an order.
    fn less(&mut self, left: Option<&Value>, right: Option<&Value>) -> Budgeted<bool> {
        match (left, right) {
            (Some(Value::Number(left)), Some(Value::Number(right))) => {
                Ok(number::order(left, right) == Some(Ordering::Less))
            }
            (Some(Value::String(left)), Some(Value::String(right))) => {
                self.spend(left.len().min(right.len()) / BYTES_PER_STEP)?;
                // The order of bytes in UTF-8 is that of code points, which the RFC requires.
                Ok(left < right)
            }
            _ => Ok(false),
        }
    }

    fn length(&mut self, value: &Value) -> Budgeted<Option<usize>> {
        match value {
            Value::String(text) => {
                self.spend(text.len() / BYTES_PER_STEP)?;
                Ok(Some(text.chars().count()))
            }
            Value::Array(items) => Ok(Some(items.len())),
            Value::Object(members) => Ok(Some(members.len())),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(None),
        }
    }

    fn matches(&mut self, matches: &Matches, current: &'v Value) -> Budgeted<bool> {
        let text = self.value(&matches.text, current)?;
        let (Some(Value::String(text)), Some(pattern)) = (text.as_deref(), &matches.pattern) else {
            return Ok(false);
        };
        // Before the match, which cannot be stopped.
        self.spend(pattern.steps(text))?;
        Ok(pattern.is_match(text))
    }
}

fn children(node: &Value) -> impl Iterator<Item = &Value> {
    let items = node.as_array().into_iter().flatten();
    items.chain(node.as_object().into_iter().flat_map(serde_json::Map::values))
}

fn size(node: &Value) -> usize {
    match node {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Returns the item at an index; a negative one counts from the end.
fn item(node: &Value, index: i64) -> Option<&Value> {
    let items = node.as_array()?;
    let from_end = index.unsigned_abs().try_into().ok()?;
    if index < 0 { items.get(items.len().checked_sub(from_end)?) } else { items.get(from_end) }
}

/// Returns the first index and the one to stop before (RFC 9535, section 2.3.4.2.2).
fn bounds(slice: Slice, length: i64) -> (i64, i64) {
    let from_end = |index: i64| if index < 0 { length + index } else { index };
    if slice.step >= 0 {
        let start = from_end(slice.start.unwrap_or(0)).clamp(0, length);
        let end = from_end(slice.end.unwrap_or(length)).clamp(0, length);
        (start, end)
    } else {
        let start = slice.start.map_or(length - 1, from_end).clamp(-1, length - 1);
        let end = slice.end.map_or(-1, from_end).clamp(-1, length - 1);
        (start, end)
    }
}
