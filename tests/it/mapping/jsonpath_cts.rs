//! The public compliance suite of RFC 9535, read from the file that `JSONPATH_CTS` names.

use std::fs;

use savio_relay::mapping::language::query::Query;
use serde_json::Value;

use crate::support::left_out::file_of;

/// Valid queries that are refused: their pattern is no literal (see `query.rs`).
const REFUSED: [&str; 4] = [
    "$.values[?match(@, $.regex)]",
    "$.values[?search(@, $.regex)]",
    "$.values[?match(@.a, value($..['regex']))]",
    "$.values[?search(@, value($..['regex']))]",
];

#[test]
fn jsonpath_compliance_suite_passes() {
    let Some(file) = file_of("JSONPATH_CTS", "the JSONPath compliance suite") else { return };
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let suite: Value = serde_json::from_str(&text).unwrap();
    let cases = suite["tests"].as_array().unwrap();

    let failures: Vec<String> = cases.iter().filter_map(failure).collect();

    assert!(failures.is_empty(), "{}\n{} failures", failures.join("\n"), failures.len());
    let refused = |text| cases.iter().any(|case| case["selector"] == text);
    assert!(REFUSED.into_iter().all(refused), "the suite lacks a case that is listed here");
}

fn failure(case: &Value) -> Option<String> {
    let text = case["selector"].as_str().expect("every case has a selector");
    let invalid = case["invalid_selector"] == true || REFUSED.contains(&text);
    match (Query::parse(text), invalid) {
        (Err(_), true) => None,
        (Err(error), false) => Some(format!("{text}: {error:?}")),
        (Ok(_), true) => Some(format!("{text}: was not refused")),
        (Ok(query), false) => difference(&query, case).map(|found| format!("{text}: {found}")),
    }
}

fn difference(query: &Query, case: &Value) -> Option<String> {
    let document = &case["document"];
    let nodes = query.nodes(document, document).expect("the suite is within the budget");
    let found = Value::Array(nodes.into_iter().cloned().collect());
    let any_of = case["results"].as_array().map(Vec::as_slice);
    let expected = any_of.unwrap_or_else(|| std::slice::from_ref(&case["result"]));
    (!expected.contains(&found)).then(|| found.to_string())
}
