//! Syntax tree of a checked query, with its regular expressions compiled.

use std::ops::Range;

use serde_json::Value;

use super::pattern::Pattern;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// `$`
    Root,
    /// `@`
    Current,
}

#[derive(Debug, Clone)]
pub(super) struct QueryPath {
    pub(super) start: Start,
    pub(super) segments: Vec<Segment>,
    /// Bytes of the query's text.
    pub(super) place: Range<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// `..`: the selectors see the node and everything below it.
    pub(super) descends: bool,
    pub(super) selectors: Vec<Selector>,
}

#[derive(Debug, Clone)]
pub(super) enum Selector {
    Name(String),
    Wildcard,
    Index(i64),
    Slice(Slice),
    Filter(Logical),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Slice {
    pub(super) start: Option<i64>,
    pub(super) end: Option<i64>,
    pub(super) step: i64,
}

#[derive(Debug, Clone)]
pub(super) enum Logical {
    Or(Vec<Logical>),
    And(Vec<Logical>),
    Not(Box<Logical>),
    Exists(QueryPath),
    Compare(Box<Comparison>),
    Matches(Box<Matches>),
}

#[derive(Debug, Clone)]
pub(super) struct Comparison {
    pub(super) left: Operand,
    pub(super) operator: Operator,
    pub(super) right: Operand,
    /// From the left operand to the right one.
    pub(super) place: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Operand of a comparison: one value or Nothing.
#[derive(Debug, Clone)]
pub(super) enum Operand {
    Literal(Value),
    /// A singular path.
    Path(QueryPath),
    Length(Box<Operand>),
    Count(QueryPath),
    Value(QueryPath),
}

/// Call of `match` or `search`, which differ only in the pattern.
#[derive(Debug, Clone)]
pub(super) struct Matches {
    pub(super) text: Operand,
    /// `None` if the pattern is a literal but no text: then nothing matches.
    pub(super) pattern: Option<Pattern>,
}

impl QueryPath {
    pub(super) fn is_singular(&self) -> bool {
        // RFC 9535, section 2.3.5.1: name and index selectors, one in each segment.
        self.segments.iter().all(|segment| {
            let one = matches!(segment.selectors[..], [Selector::Name(_) | Selector::Index(_)]);
            one && !segment.descends
        })
    }
}
