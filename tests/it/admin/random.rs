//! Random calls, generated from the API's own description.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::described::Operation;
use super::{Scene, TOKEN};

const CALLS: u32 = 400;

/// Keys of bodies that are not those of a filter.
const OF_BODIES: [&str; 15] = [
    "arrived",
    "mapping",
    "payload",
    "event",
    "headers",
    "name",
    "provider",
    "secret",
    "keep_old_until",
    "update_tests",
    "sample",
    "deliver",
    "limit",
    "after",
    "x",
];

/// A random operation, and the values to fill in.
#[derive(Debug, Clone)]
struct Call {
    operation: usize,
    word: String,
    parameters: Vec<(usize, String)>,
    body: Option<Value>,
}

/// Values that are valid, or almost valid, for a parameter or a name in a path.
fn word(ids: &[String]) -> impl Strategy<Value = String> + use<> {
    let known = [
        "form",
        "off",
        "default",
        "dead",
        "held",
        "dead,held",
        "mapping",
        "true",
        "50",
        "6h",
        "0",
        "-1",
        "2026-01-31T12:00:00Z",
    ];
    let known: Vec<String> = known.iter().map(ToString::to_string).chain(ids.to_vec()).collect();
    prop_oneof![4 => prop::sample::select(known), 1 => ".{0,12}", 1 => "[0-9]{1,20}-[0-9]{1,20}"]
}

fn value(ids: &[String]) -> impl Strategy<Value = Value> + use<> {
    let leaf = prop_oneof![
        word(ids).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::from))
}

fn body(ids: &[String]) -> impl Strategy<Value = Option<Value>> + use<> {
    let keys =
        ["state", "source", "destination", "since", "until", "q", "left_out", "dry_run", "rate"];
    let keys =
        [&keys[..], &["contains", "type", "stage", "attempts_min", "may_repeat", "imported"]]
            .concat();
    let keys = [&keys[..], &OF_BODIES[..]].concat();
    let member = (prop::sample::select(keys), value(ids));
    let object = prop::collection::vec(member, 0..5).prop_map(|members| {
        let members = members.into_iter().map(|(key, value)| (key.to_owned(), value));
        Value::Object(members.collect())
    });
    prop::option::of(prop_oneof![4 => object, 1 => value(ids)])
}

fn call(ids: &[String]) -> impl Strategy<Value = Call> + use<> {
    let parameters = prop::collection::vec((any::<prop::sample::Index>(), word(ids)), 0..4);
    (any::<prop::sample::Index>(), word(ids), parameters, body(ids)).prop_map(
        |(operation, word, parameters, body)| Call {
            operation: operation.index(1000),
            word,
            parameters: parameters.into_iter().map(|(at, it)| (at.index(1000), it)).collect(),
            body,
        },
    )
}

fn address(operation: &Operation, call: &Call) -> String {
    let word: String = url_encoded(&call.word);
    let path = ["{id}", "{name}", "{digest}"]
        .iter()
        .fold(operation.path.clone(), |path, part| path.replace(part, &word));
    let described = operation.description["parameters"].as_array().cloned().unwrap_or_default();
    let names: Vec<&Value> =
        described.iter().filter(|it| it["in"] == "query").map(|it| &it["name"]).collect();
    if names.is_empty() {
        return path;
    }
    let parameters = call.parameters.iter().map(|(at, value)| {
        format!("{}={}", names[at % names.len()].as_str().unwrap(), url_encoded(value))
    });
    format!("{path}?{}", parameters.collect::<Vec<_>>().join("&"))
}

/// Encodes every byte. The result is never empty, nor `.` or `..`, which would make it another
/// path.
fn url_encoded(text: &str) -> String {
    if text.is_empty() || text.chars().all(|c| c == '.') {
        return "none".to_owned();
    }
    text.bytes().fold(String::new(), |encoded, byte| encoded + &format!("%{byte:02X}"))
}

#[tokio::test]
async fn random_calls_are_answered_as_described() {
    let scene = Scene::new().await;
    let ids = scene.one_of_each().await;
    let description = scene.description().await;
    let operations = description.operations();
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let calls = call(&ids);

    for _ in 0..CALLS {
        let call = calls.new_tree(&mut runner).unwrap().current();
        let operation = &operations[call.operation % operations.len()];
        let address = address(operation, &call);
        let has_body = operation.description.get("requestBody").is_some();
        let body = call.body.as_ref().filter(|_| has_body);

        let condition = call.word.len().is_multiple_of(2).then_some("*");
        let request = (operation.method.as_str(), address.as_str(), condition);
        let answer = scene.call_if(TOKEN, request, body).await;

        let status = answer.status.as_u16();
        assert!(status < 500 || status == 503, "{operation:?} {address} {body:?}: {answer:?}");
        let mismatches = description.mismatches(operation, status, &answer.body);
        assert!(mismatches.is_empty(), "{address} {body:?}: {mismatches:?}");
    }
}
