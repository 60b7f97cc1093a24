//! Compiles the parser's tree to the one that is evaluated, and refuses what is not well-typed
//! (RFC 9535, section 2.4.3).

use std::ops::Range;
use std::vec::IntoIter;

use jsonpath_rust::parser::model::{
    Comparable, Comparison as ParsedComparison, Filter, FilterAtom, FnArg, Literal,
    Segment as ParsedSegment, Selector as ParsedSelector, SingularQuery, SingularQuerySegment,
    Test, TestFunction,
};
use serde_json::{Number, Value};

use super::ast::{
    Comparison, Logical, Matches, Operand, Operator, QueryPath, Segment, Selector, Slice, Start,
};
use super::error::QueryError;
use super::lexer::{ComparisonSpans, QueryTokens};
use super::pattern::{Cover, Pattern, Patterns};

type Compiled<T> = Result<T, QueryError>;

/// Compiles the parser's tree, and gives each node its place in the text.
#[derive(Debug)]
pub(super) struct QueryCompiler<'p> {
    patterns: &'p Patterns,
    whole: Range<usize>,
    // The tree has no places and the tokens have no tree: the nth path, call or comparison that is
    // compiled is the nth of the text. So each method takes the place of its node before it
    // compiles the parts, and these from left to right. A comparison is listed by its operator: its
    // place is taken between its two operands, since `count(@[?@.a == 1]) == 2` has another
    // comparison in the left operand. A method that compiles parts in another order would underline
    // the wrong part of a query; a test compares each place with the tree of its text.
    paths: IntoIter<Range<usize>>,
    calls: IntoIter<Range<usize>>,
    comparisons: IntoIter<ComparisonSpans>,
}

impl<'p> QueryCompiler<'p> {
    pub(super) fn new(scan: &QueryTokens<'_>, patterns: &'p Patterns) -> QueryCompiler<'p> {
        QueryCompiler {
            patterns,
            whole: scan.whole(),
            paths: scan.paths.clone().into_iter(),
            calls: scan.calls.clone().into_iter(),
            comparisons: scan.comparisons.clone().into_iter(),
        }
    }

    pub(super) fn path(&mut self, start: Start, segments: &[ParsedSegment]) -> Compiled<QueryPath> {
        let place = self.path_place();
        let mut compiled = Vec::new();
        for segment in segments {
            compiled.push(self.segment(segment)?);
        }
        Ok(QueryPath { start, segments: compiled, place })
    }

    pub(super) fn logical(&mut self, filter: &Filter) -> Compiled<Logical> {
        match filter {
            Filter::Or(filters) => self.logicals(filters).map(Logical::Or),
            Filter::And(filters) => self.logicals(filters).map(Logical::And),
            Filter::Atom(FilterAtom::Filter { expr, not }) => {
                Ok(negated(self.logical(expr)?, *not))
            }
            Filter::Atom(FilterAtom::Test { expr, not }) => Ok(negated(self.test(expr)?, *not)),
            Filter::Atom(FilterAtom::Comparison(comparison)) => self.comparison(comparison),
        }
    }

    fn logicals(&mut self, filters: &[Filter]) -> Compiled<Vec<Logical>> {
        filters.iter().map(|filter| self.logical(filter)).collect()
    }

    fn segment(&mut self, segment: &ParsedSegment) -> Compiled<Segment> {
        match segment {
            ParsedSegment::Descendant(segment) => {
                Ok(Segment { descends: true, ..self.segment(segment)? })
            }
            ParsedSegment::Selector(selector) => {
                Ok(Segment { descends: false, selectors: vec![self.selector(selector)?] })
            }
            ParsedSegment::Selectors(selectors) => {
                let selectors = selectors.iter().map(|selector| self.selector(selector));
                Ok(Segment { descends: false, selectors: selectors.collect::<Result<_, _>>()? })
            }
        }
    }

    fn selector(&mut self, selector: &ParsedSelector) -> Compiled<Selector> {
        Ok(match selector {
            ParsedSelector::Name(name) => Selector::Name(name.clone()),
            ParsedSelector::Wildcard => Selector::Wildcard,
            ParsedSelector::Index(index) => Selector::Index(*index),
            ParsedSelector::Slice(start, end, step) => {
                Selector::Slice(Slice { start: *start, end: *end, step: step.unwrap_or(1) })
            }
            ParsedSelector::Filter(filter) => Selector::Filter(self.logical(filter)?),
        })
    }

    fn test(&mut self, test: &Test) -> Compiled<Logical> {
        match test {
            Test::RelQuery(segments) => self.path(Start::Current, segments).map(Logical::Exists),
            Test::AbsQuery(query) => self.path(Start::Root, &query.segments).map(Logical::Exists),
            Test::Function(function) => self.test_function(function),
        }
    }

    fn test_function(&mut self, function: &TestFunction) -> Compiled<Logical> {
        match function {
            TestFunction::Match(text, pattern) => self.matches(text, pattern, Cover::Whole),
            TestFunction::Search(text, pattern) => self.matches(text, pattern, Cover::Part),
            TestFunction::Length(_) | TestFunction::Value(_) | TestFunction::Count(_) => {
                let message = "this gives a value, where a condition has to stand";
                Err(QueryError::new(message, self.call_place())
                    .help("compare it, such as `length(@.name) > 0`"))
            }
            TestFunction::Custom(name, _) => Err(self.unknown(name)),
        }
    }

    fn matches(&mut self, text: &FnArg, pattern: &FnArg, cover: Cover) -> Compiled<Logical> {
        let place = self.call_place();
        let text = self.value_argument(text, &place)?;
        // Only literals: their cost is bounded and their mistakes are shown when the file is read.
        let pattern = match pattern {
            FnArg::Literal(Literal::String(pattern)) => {
                let compiled = Pattern::compile(pattern, cover, self.patterns);
                let compiled = compiled.map_err(|invalid| QueryError {
                    message: invalid.message,
                    at: place,
                    help: invalid.help.map(str::to_owned),
                    fix: None,
                })?;
                Some(compiled)
            }
            FnArg::Literal(_) => None,
            FnArg::Test(_) | FnArg::Filter(_) => {
                let message = "the pattern has to be a text in quotes";
                return Err(QueryError::new(message, place)
                    .help("a pattern that comes from the payload is not supported"));
            }
        };
        Ok(Logical::Matches(Box::new(Matches { text, pattern })))
    }

    fn comparison(&mut self, comparison: &ParsedComparison) -> Compiled<Logical> {
        let (left, right) = comparison.vals();
        let operator = match comparison {
            ParsedComparison::Eq(..) => Operator::Equal,
            ParsedComparison::Ne(..) => Operator::NotEqual,
            ParsedComparison::Gt(..) => Operator::Greater,
            ParsedComparison::Gte(..) => Operator::GreaterOrEqual,
            ParsedComparison::Lt(..) => Operator::Less,
            ParsedComparison::Lte(..) => Operator::LessOrEqual,
        };
        let left = self.operand(left)?;
        // Between the operands: see the order in `QueryCompiler`.
        let place = self.comparisons.next().map_or(self.whole.clone(), |sides| sides.whole());
        let right = self.operand(right)?;
        Ok(Logical::Compare(Box::new(Comparison { left, operator, right, place })))
    }

    fn operand(&mut self, comparable: &Comparable) -> Compiled<Operand> {
        match comparable {
            Comparable::Literal(literal) => self.literal(literal).map(Operand::Literal),
            Comparable::Function(function) => self.value_function(function),
            Comparable::SingularQuery(query) => Ok(Operand::Path(self.singular(query))),
        }
    }

    fn singular(&mut self, query: &SingularQuery) -> QueryPath {
        let (start, segments) = match query {
            SingularQuery::Current(segments) => (Start::Current, segments),
            SingularQuery::Root(segments) => (Start::Root, segments),
        };
        let selectors = segments.iter().map(|segment| match segment {
            SingularQuerySegment::Index(index) => Selector::Index(*index),
            SingularQuerySegment::Name(name) => Selector::Name(name.clone()),
        });
        let segments =
            selectors.map(|selector| Segment { descends: false, selectors: vec![selector] });
        QueryPath { start, segments: segments.collect(), place: self.path_place() }
    }

    fn value_function(&mut self, function: &TestFunction) -> Compiled<Operand> {
        match function {
            TestFunction::Length(argument) => {
                let place = self.call_place();
                let operand = self.value_argument(argument, &place)?;
                Ok(Operand::Length(Box::new(operand)))
            }
            TestFunction::Count(argument) => self.nodes_argument(argument).map(Operand::Count),
            TestFunction::Value(argument) => self.nodes_argument(argument).map(Operand::Value),
            TestFunction::Search(..) | TestFunction::Match(..) => {
                let message = "this is a condition, where a value has to stand";
                Err(QueryError::new(message, self.call_place()))
            }
            TestFunction::Custom(name, _) => Err(self.unknown(name)),
        }
    }

    /// Compiles an argument that has to be one value or Nothing.
    fn value_argument(&mut self, argument: &FnArg, call: &Range<usize>) -> Compiled<Operand> {
        match argument {
            FnArg::Literal(literal) => self.literal(literal).map(Operand::Literal),
            FnArg::Test(test) => match &**test {
                Test::Function(function) => self.value_function(function),
                Test::RelQuery(segments) => self.one_value(Start::Current, segments),
                Test::AbsQuery(query) => self.one_value(Start::Root, &query.segments),
            },
            FnArg::Filter(_) => {
                Err(QueryError::new("this must be a value, not a condition", call.clone()))
            }
        }
    }

    fn one_value(&mut self, start: Start, segments: &[ParsedSegment]) -> Compiled<Operand> {
        let path = self.path(start, segments)?;
        if path.is_singular() {
            return Ok(Operand::Path(path));
        }
        let message = "this path may give several values, where one has to stand";
        Err(QueryError::new(message, path.place)
            .help("`count(...)` counts them; `@.items[?length(@.name) > 3]` looks at each"))
    }

    fn nodes_argument(&mut self, argument: &FnArg) -> Compiled<QueryPath> {
        let call = self.call_place();
        if let FnArg::Test(test) = argument {
            match &**test {
                Test::RelQuery(segments) => return self.path(Start::Current, segments),
                Test::AbsQuery(query) => return self.path(Start::Root, &query.segments),
                Test::Function(_) => {}
            }
        }
        Err(QueryError::new("this must be a path, such as `@.items[*]`", call))
    }

    fn literal(&self, literal: &Literal) -> Compiled<Value> {
        Ok(match literal {
            Literal::Int(integer) => Value::from(*integer),
            Literal::Float(float) => match Number::from_f64(*float) {
                Some(number) => Value::Number(number),
                None => return Err(QueryError::new("a number is too large", self.whole.clone())),
            },
            Literal::String(text) => Value::from(text.as_str()),
            Literal::Bool(boolean) => Value::from(*boolean),
            Literal::Null => Value::Null,
        })
    }

    fn unknown(&mut self, name: &str) -> QueryError {
        // jsonpath-rust parses functions that the RFC does not have, such as `in` and `any_of`.
        let message = format!("`{name}` is not a function of JSONPath (RFC 9535)");
        QueryError::new(message, self.call_place())
            .help("there are `length`, `count`, `value`, `match` and `search`")
    }

    fn path_place(&mut self) -> Range<usize> {
        self.paths.next().unwrap_or(self.whole.clone())
    }

    fn call_place(&mut self) -> Range<usize> {
        self.calls.next().unwrap_or(self.whole.clone())
    }
}

fn negated(logical: Logical, not: bool) -> Logical {
    if not { Logical::Not(Box::new(logical)) } else { logical }
}

#[cfg(test)]
mod tests {
    use jsonpath_rust::parser::parse_json_path;

    use super::*;
    use crate::mapping::language::query::{Condition, Query};

    const QUERIES: [&str; 8] = [
        "$.a[?@.b[0] == length(@.c) && $.d > -1].*",
        "$[?count(@[?@.a == 1]) == 2 || @.b < 3]",
        "$[?1 == count(@[?@.a != 'x' && $.b == @])]",
        "$[?!(@.a || @..b[?@.c >= value($..d)]) && @.e]",
        "$[?match(@.a, 'b') && search(value(@..c), 'd') && @.e == true]",
        "$['a', ?@.b == 'c', 0, ?@['d'] <= @.e.f]..[?@.g]",
        "$[?length(value(@.a[?@.b == $.c])) > count($..d)]",
        "$ [ ? @ [ 'a' ] == \n count( $ ..b ) ]",
    ];

    #[test]
    fn place_of_each_node_compiles_to_the_node() {
        QUERIES.into_iter().for_each(check);
        for text in queries_of_the_compliance_suite() {
            if Query::parse(&text).is_ok() {
                check(&text);
            }
        }
    }

    fn check(text: &str) {
        let scan = QueryTokens::new(text).unwrap();
        let parsed = parse_json_path(text).unwrap();
        let patterns = Patterns::of_file();
        let mut compiler = QueryCompiler::new(&scan, &patterns);
        let path = compiler.path(Start::Root, &parsed.segments).unwrap();

        let left = (compiler.paths.len(), compiler.calls.len(), compiler.comparisons.len());
        assert_eq!(left, (0, 0, 0), "{text}");
        check_path(text, &path);
    }

    /// The text at the path's place compiles to the path.
    fn check_path(text: &str, path: &QueryPath) {
        let place = &text[path.place.clone()];
        assert_eq!(shape(&Query::parse(place).unwrap().path), shape(path), "{place} in {text}");
        for segment in &path.segments {
            for selector in &segment.selectors {
                if let Selector::Filter(logical) = selector {
                    check_logical(text, logical);
                }
            }
        }
    }

    fn check_logical(text: &str, logical: &Logical) {
        match logical {
            Logical::Or(parts) | Logical::And(parts) => {
                for part in parts {
                    check_logical(text, part);
                }
            }
            Logical::Not(part) => check_logical(text, part),
            Logical::Exists(path) => check_path(text, path),
            Logical::Matches(matches) => check_operand(text, &matches.text),
            Logical::Compare(comparison) => {
                let place = &text[comparison.place.clone()];
                let alone = Condition::parse(place).unwrap().logical;
                assert_eq!(shape(&alone), shape(logical), "{place} in {text}");
                check_operand(text, &comparison.left);
                check_operand(text, &comparison.right);
            }
        }
    }

    fn check_operand(text: &str, operand: &Operand) {
        match operand {
            Operand::Literal(_) => {}
            Operand::Length(operand) => check_operand(text, operand),
            Operand::Path(path) | Operand::Count(path) | Operand::Value(path) => {
                check_path(text, path);
            }
        }
    }

    /// Returns what was compiled without the places.
    fn shape(compiled: &impl std::fmt::Debug) -> String {
        let places = regex::Regex::new(r"place: \d+\.\.\d+").unwrap();
        places.replace_all(&format!("{compiled:?}"), "").into_owned()
    }

    #[expect(clippy::disallowed_methods, reason = "the suite lies beside this repository")]
    fn queries_of_the_compliance_suite() -> Vec<String> {
        let Ok(file) = std::env::var("JSONPATH_CTS") else {
            let is_ci = std::env::var("CI").is_ok_and(|ci| !["", "0", "false"].contains(&&*ci));
            assert!(!is_ci, "JSONPATH_CTS names no file: nothing is left out in CI");
            return Vec::new();
        };
        let suite: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let cases = suite["tests"].as_array().unwrap().iter();
        let queries: Vec<String> =
            cases.map(|case| case["selector"].as_str().unwrap().to_owned()).collect();
        assert!(queries.len() > 500, "the suite has only {} queries", queries.len());
        queries
    }
}
