//! Random queries on random documents give what another implementation of RFC 9535 gives.

use jsonpath_rfc9535::JsonPath;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use savio_relay::mapping::language::query::{Condition, Query};
use serde_json::Value;

const CASES: u32 = 2000;

// Few names, so that queries often match.
fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c"])
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1_i64..2).prop_map(Value::from),
        (-3_i32..4).prop_map(|half| Value::from(f64::from(half) / 2.0)),
        prop::sample::select(vec!["", "a", "ab", "é", "😀"]).prop_map(Value::from),
    ]
}

// Beyond 2^53, where floats lose the last digit; RFC 9535 permits no such literals in queries.
fn large() -> impl Strategy<Value = Value> {
    (0_u64..4).prop_map(|more| Value::from(9_007_199_254_740_992 + more))
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![9 => scalar(), 1 => large()];
    let inner = leaf.prop_recursive(3, 30, 4, container);
    container(inner.boxed())
}

fn container(inner: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let members = prop::collection::vec((name(), inner.clone()), 1..4).prop_map(|members| {
        let named = members.into_iter().map(|(name, value)| (name.to_owned(), value));
        Value::Object(named.collect())
    });
    prop_oneof![prop::collection::vec(inner, 1..5).prop_map(Value::from), members].boxed()
}

fn literal() -> impl Strategy<Value = String> {
    scalar().prop_map(|value| value.to_string())
}

fn singular_segment() -> impl Strategy<Value = String> {
    prop_oneof![
        name().prop_map(|name| format!(".{name}")),
        name().prop_map(|name| format!("['{name}']")),
        (-3..4).prop_map(|index| format!("[{index}]")),
    ]
}

fn singular() -> impl Strategy<Value = String> {
    let start = prop::sample::select(vec!["$", "@", "@", "@"]);
    (start, prop::collection::vec(singular_segment(), 0..3))
        .prop_map(|(start, segments)| format!("{start}{}", segments.concat()))
}

fn slice() -> impl Strategy<Value = String> {
    let bound = || prop::option::of(-5..6).prop_map(|bound| bound.map_or(String::new(), text));
    (bound(), bound(), prop::option::of(-3..4)).prop_map(|(start, end, step)| match step {
        Some(step) => format!("{start}:{end}:{step}"),
        None => format!("{start}:{end}"),
    })
}

fn text(number: i32) -> String {
    number.to_string()
}

fn selector(filter: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => name().prop_map(|name| format!("'{name}'")),
        2 => Just("*".to_owned()),
        2 => (-3..4).prop_map(text),
        2 => slice(),
        3 => filter.prop_map(|filter| format!("?{filter}")),
    ]
}

fn segments(filter: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    let bracket = prop::collection::vec(selector(filter), 1..3)
        .prop_map(|selectors| format!("[{}]", selectors.join(", ")))
        .boxed();
    let segment = prop_oneof![
        3 => singular_segment(),
        2 => bracket.clone(),
        1 => Just(".*".to_owned()),
        1 => name().prop_map(|name| format!("..{name}")),
        1 => bracket.prop_map(|bracket| format!("..{bracket}")),
    ];
    prop::collection::vec(segment, 0..4).prop_map(|segments| segments.concat())
}

fn comparison(path: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    let operand = prop_oneof![
        3 => literal(),
        3 => singular(),
        1 => singular().prop_map(|path| format!("length({path})")),
        1 => path.clone().prop_map(|path| format!("count({path})")),
        1 => path.prop_map(|path| format!("value({path})")),
    ]
    .boxed();
    let operator = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    (operand.clone(), operator, operand)
        .prop_map(|(left, operator, right)| format!("{left} {operator} {right}"))
}

// No filters in functions: the other crate's parser takes exponential time for these.
fn filter() -> BoxedStrategy<String> {
    let plain_path = singular().prop_flat_map(|path| {
        prop::sample::select(vec!["", ".*", "[*]", "..*", "..a", "[1:]"])
            .prop_map(move |rest| format!("{path}{rest}"))
    });
    let plain_path = plain_path.boxed();
    let atom = prop_oneof![
        4 => comparison(plain_path.clone()),
        2 => plain_path,
        1 => singular().prop_map(|path| format!("match({path}, 'a.*|.')")),
        1 => singular().prop_map(|path| format!("search({path}, '[b-z]')")),
    ];
    atom.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("{left} && {right}")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("{left} || {right}")),
            inner.clone().prop_map(|inner| format!("!({inner})")),
            inner.clone().prop_map(|inner| format!("({inner})")),
            segments(inner.boxed()).prop_map(|segments| format!("@{segments}")),
        ]
    })
    .boxed()
}

fn query() -> impl Strategy<Value = String> {
    let filtered = (prop::sample::select(vec!["", ".*", "..", "[0]"]), filter())
        .prop_map(|(before, filter)| format!("${before}[?{filter}]"));
    prop_oneof![segments(filter()).prop_map(|segments| format!("${segments}")), filtered]
}

#[test]
fn nodes_equal_those_of_another_implementation() {
    let compare = |(text, document): (String, Value)| {
        let other = JsonPath::parse(&text).map_err(|error| fail(&text, &error.to_string()))?;
        let ours = Query::parse(&text).map_err(|error| fail(&text, &format!("{error:?}")))?;
        let nodes =
            ours.nodes(&document, &document).map_err(|error| fail(&text, &error.to_string()))?;
        prop_assert_eq!(nodes, other.query_values(&document), "{}", text);
        Ok(())
    };

    runner(CASES).run(&(query(), document()), compare).unwrap();
}

/// Returns a runner with the same cases in every run.
fn runner(cases: u32) -> TestRunner {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let config = Config { failure_persistence: None, ..Config::with_cases(cases) };
    TestRunner::new_with_rng(config, rng)
}

fn fail(text: &str, reason: &str) -> TestCaseError {
    TestCaseError::fail(format!("{text}: {reason}"))
}

/// Fragments of queries in any order.
fn fragments() -> impl Strategy<Value = String> {
    let pieces = "$ @ . .. * [ ] ( ) ? ' \" \\ , : - = == != <= && || & | ! and not a b-c é ‘ 1 -1.5e3 \
        true null length( match( in( [? [*] 'x' \t \u{1}";
    let piece = prop::sample::select(pieces.split(' ').collect::<Vec<_>>());
    let start = prop::sample::select(vec!["$", "@", "", "$.a[?", "@.a == "]);
    (start, prop::collection::vec(piece, 0..12))
        .prop_map(|(start, pieces)| start.to_owned() + &pieces.concat())
}

#[test]
fn mistake_has_a_place_in_any_text() {
    let check = |text: String| {
        let errors = [Query::parse(&text).err(), Condition::parse(&text).err()];
        for error in errors.into_iter().flatten() {
            prop_assert!(text.get(error.at.clone()).is_some(), "{:?} {:?}", text, error);
        }
        Ok(())
    };

    runner(5 * CASES).run(&fragments(), check).unwrap();
}
