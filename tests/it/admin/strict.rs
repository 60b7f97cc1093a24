//! Requests that every route refuses: an empty value, which would match everything, and an array in
//! place of an object, whose elements would be read as members by position.

use serde_json::{Value, json};

use super::Scene;
use super::described::Operation;

fn parameters(operation: &Operation) -> Vec<String> {
    let parameters = operation.description["parameters"].as_array().cloned().unwrap_or_default();
    let in_query = parameters.iter().filter(|it| it["in"] == "query");
    in_query.map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn empty_query_parameter_is_refused_by_every_route() {
    let scene = Scene::new().await;
    let mut tried = Vec::new();

    for operation in scene.description().await.operations() {
        for name in parameters(&operation) {
            for blank in ["", "%20", "%09%0A"] {
                let path = format!("{}?{name}={blank}", operation.path);
                let answer = scene.call(&operation.method, &path, None).await;
                let response = String::from_utf8_lossy(&answer.body).into_owned();
                assert_eq!(answer.status, 400, "{path}: {response}");
                assert!(response.contains(&format!("`{name}` is empty")), "{path}: {response}");
            }
            tried.push(name);
        }
    }

    for name in [
        "state",
        "source",
        "destination",
        "since",
        "until",
        "q",
        "contains",
        "type",
        "stage",
        "attempts_min",
        "left_out",
        "may_repeat",
        "imported",
        "newer_than",
        "after",
        "limit",
    ] {
        assert!(tried.iter().any(|it| it == name), "{name} is a parameter");
    }
}

#[tokio::test]
async fn path_that_is_not_utf8_is_refused_by_every_route() {
    let scene = Scene::new().await;
    let mut tried = 0;

    for operation in scene.description().await.operations() {
        let Some((before, rest)) = operation.path.split_once('{') else { continue };
        let (_, after) = rest.split_once('}').unwrap();
        let path = format!("{before}%ff{after}");
        let answer = scene.call(&operation.method, &path, Some(&json!({}))).await;
        let response = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 400, "{path}: {response}");
        assert_eq!(answer.json()["error"], "bad request", "{path}: {response}");
        assert!(answer.json()["reason"].as_str().unwrap().contains("UTF-8"), "{path}: {response}");
        tried += 1;
    }

    assert!(tried >= 9, "{tried} routes have a part that varies");
}

#[tokio::test]
async fn empty_filter_value_replays_nothing() {
    let scene = Scene::new().await;
    let [_, _, _, dead] = scene.one_of_each().await;

    for name in
        ["state", "source", "destination", "since", "until", "q", "contains", "type", "stage"]
    {
        for blank in ["", " ", "\t\n"] {
            let other = if name == "state" { ("source", "form") } else { ("state", "dead") };
            for request in [json!({ name: blank }), json!({ name: blank, other.0: other.1 })] {
                let answer = scene.call("POST", "/api/v1/replay", Some(&request)).await;
                let response = String::from_utf8_lossy(&answer.body).into_owned();
                assert_eq!(answer.status, 400, "{request}: {response}");
            }
        }
    }

    assert_eq!(scene.get(&format!("/api/v1/events/{dead}")).await["state"], "dead");
}

#[tokio::test]
async fn unknown_key_is_refused_with_its_place_and_the_known_keys() {
    let scene = Scene::new().await;
    let [_, _, held, _] = scene.one_of_each().await;
    let description = scene.description().await;
    let mut routes = 0;

    for operation in description.operations() {
        let Some(body) = operation.description.get("requestBody") else { continue };
        routes += 1;
        let path = operation.path.replace("{id}", &held);
        let request = json!({ "unknown": 1, "state": null, "rate": null, "event": null });
        let answer = scene.call(&operation.method, &path, Some(&request)).await;
        let response = answer.json()["reason"].as_str().unwrap().to_owned();
        assert_eq!(answer.status, 400, "{path}: {response}");
        assert!(response.contains("unknown field `unknown`, expected "), "{path}: {response}");
        let at = request.to_string().find("unknown").unwrap() + "unknown\"".len();
        assert!(response.ends_with(&format!(" at line 1 column {at}")), "{path}: {response}");
        let schema = description.resolve(&body["content"]["application/json"]["schema"]);
        assert_eq!(schema["additionalProperties"], false, "{path}: {schema}");
    }

    assert!(routes >= 4, "{routes} routes take a body");
}

#[tokio::test]
async fn replay_accepts_the_filter_of_a_list() {
    let scene = Scene::new().await;
    let operations = scene.description().await.operations();
    let list = operations.iter().find(|it| it.method == "GET" && it.path == "/api/v1/events");
    let filter = parameters(list.unwrap()).into_iter();
    let filter: Vec<String> =
        filter.filter(|it| !["limit", "after", "newer_than"].contains(&it.as_str())).collect();
    let schema = &scene.description().await.0["components"]["schemas"]["ReplayBody"];

    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let own = ["dry_run", "rate"];
    let keys: Vec<String> =
        properties.keys().filter(|it| !own.contains(&it.as_str())).cloned().collect();

    assert_eq!(keys, filter);
}

/// Arrays that would be read as an object of some body of the API, by position.
fn arrays() -> Vec<Value> {
    let mapping = "[[feedback]]\nproblem = \"$.text\"\n";
    vec![
        json!([]),
        json!([true]),
        json!([[true]]),
        json!([true, 5.0]),
        json!([null, null, null, null, null, null, true]),
        json!([mapping, { "text": "Slow" }, {}, null, null]),
    ]
}

#[tokio::test]
async fn json_array_for_an_object_is_refused_by_every_route() {
    let scene = Scene::new().await;
    let [_, _, held, _] = scene.one_of_each().await;
    let mut routes = 0;

    for operation in scene.description().await.operations() {
        if operation.description.get("requestBody").is_none() {
            continue;
        }
        routes += 1;
        let path = operation.path.replace("{id}", &held);
        for body in arrays() {
            let answer = scene.call(&operation.method, &path, Some(&body)).await;
            let response = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!(answer.status, 400, "{path} {body}: {response}");
            assert!(response.contains("a JSON object is expected"), "{path} {body}: {response}");
        }
    }

    assert!(routes >= 4, "{routes} routes take a body");
    assert_eq!(scene.get(&format!("/api/v1/events/{held}")).await["state"], "held");
}
