//! Random calls with each role, generated from the API's own description: each is answered as described,
//! and whoever may not act changes nothing.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::described::{Description, Operation};
use super::roles::{self, EVERYTHING, ROLES, rank};
use super::{Answer, MAPPING, Scene, TOKEN};

/// Number of calls of each route with each role.
const CALLS: u32 = 6;

/// The random parts of a call.
#[derive(Debug, Clone)]
struct Call {
    word: String,
    parameters: Vec<(usize, String)>,
    members: Vec<(usize, Value)>,
    /// In the place of an object of these members.
    body: Option<Value>,
    has_condition: bool,
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
        MAPPING,
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

fn call(ids: &[String]) -> impl Strategy<Value = Call> + use<> {
    let parameters = prop::collection::vec((any::<prop::sample::Index>(), word(ids)), 0..4);
    let members = prop::collection::vec((any::<prop::sample::Index>(), value(ids)), 0..5);
    let body = prop::option::weighted(0.2, value(ids));
    (word(ids), parameters, members, body, any::<bool>()).prop_map(
        |(word, parameters, members, body, has_condition)| Call {
            word,
            parameters: parameters.into_iter().map(|(at, it)| (at.index(1000), it)).collect(),
            members: members.into_iter().map(|(at, it)| (at.index(1000), it)).collect(),
            body,
            has_condition,
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

/// Returns a body with keys that the description names, and one that no body has; none where a route
/// takes none.
fn body(description: &Description, operation: &Operation, call: &Call) -> Option<Value> {
    let schema = operation.json_body()?;
    if let Some(body) = &call.body {
        return Some(body.clone());
    }
    let described = description.resolve(schema)["properties"].as_object().unwrap();
    let mut keys: Vec<&str> = described.keys().map(String::as_str).collect();
    keys.push("x");
    let members =
        call.members.iter().map(|(at, value)| (keys[at % keys.len()].to_owned(), value.clone()));
    Some(Value::Object(members.collect()))
}

/// Returns the least role with which the operation may be called at all.
fn role_min(operation: &Operation) -> &str {
    let of = |key: &str| operation.description[key].as_str();
    of("x-role-dry-run").or_else(|| of("x-role")).unwrap()
}

/// What random calls are made of.
struct RandomCalls {
    scene: Scene,
    description: Description,
    ids: [String; 4],
    runner: TestRunner,
}

impl RandomCalls {
    async fn new() -> RandomCalls {
        let scene = roles::scene().await;
        let ids = scene.one_of_each().await;
        let config = Config { failure_persistence: None, ..Config::default() };
        let (description, runner) = (scene.description().await, TestRunner::new(config));
        RandomCalls { scene, description, ids, runner }
    }

    /// Calls each operation with a token, some times, and checks that it is answered as described.
    async fn make(&mut self, token: &str, operations: &[Operation], check: impl Fn(&str, &Answer)) {
        let calls = call(&self.ids);
        for operation in operations {
            for _ in 0..CALLS {
                let call = calls.new_tree(&mut self.runner).unwrap().current();
                let address = address(operation, &call);
                let body = body(&self.description, operation, &call);
                let condition = call.has_condition.then_some("*");
                let request = (operation.method.as_str(), address.as_str(), condition);
                let answer = self.scene.call_if(token, request, body.as_ref()).await;

                let status = answer.status.as_u16();
                let what = format!("{} {address} {body:?}", operation.method);
                assert!(status < 500 || status == 503, "{what}: {answer:?}");
                let mismatches = self.description.mismatches(operation, status, &answer.body);
                assert!(mismatches.is_empty(), "{what}: {mismatches:?}");
                check(&what, &answer);
            }
        }
    }
}

#[tokio::test]
async fn random_calls_are_answered_as_described_and_change_what_the_role_may() {
    for role in ROLES.into_iter().chain([EVERYTHING]) {
        let mut calls = RandomCalls::new().await;
        let token = if role == EVERYTHING { TOKEN.to_owned() } else { roles::token_of(role) };
        let operations = calls.description.operations();
        let (admitted, refused): (Vec<_>, Vec<_>) =
            operations.into_iter().partition(|it| rank(role_min(it)) <= rank(role));
        let before = calls.scene.kept_state();

        calls
            .make(&token, &refused, |what, answer| {
                assert_eq!(answer.status, 403, "{role}: {what}: {answer:?}");
            })
            .await;
        let after = calls.scene.kept_state();
        assert_eq!(before.differences(&after), [""; 0], "{role}, refused");

        calls.make(&token, &admitted, |_, _| {}).await;
        if rank(role) <= rank("read") {
            let after = calls.scene.kept_state();
            assert_eq!(before.differences(&after), [""; 0], "{role} reads only");
        }
    }
}
