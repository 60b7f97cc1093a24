//! What every route refuses: an empty value, which would mean everything, and a list for an object, whose
//! members would be taken by position.

use serde_json::{Value, json};

use super::Scene;
use super::described::Operation;

fn parameters(of: &Operation) -> Vec<String> {
    let parameters = of.said["parameters"].as_array().cloned().unwrap_or_default();
    let in_query = parameters.iter().filter(|it| it["in"] == "query");
    in_query.map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_empty_query_parameter_is_refused_by_every_route() {
    let scene = Scene::new().await;
    let mut tried = Vec::new();

    for operation in scene.description().await.operations() {
        for name in parameters(&operation) {
            for blank in ["", "%20", "%09%0A"] {
                let path = format!("{}?{name}={blank}", operation.path);
                let answer = scene.call(&operation.method, &path, None).await;
                let said = String::from_utf8_lossy(&answer.body).into_owned();
                assert_eq!(answer.status, 400, "{path}: {said}");
                assert!(said.contains(&format!("`{name}` is empty")), "{path}: {said}");
            }
            tried.push(name);
        }
    }

    for name in
        ["state", "source", "destination", "since", "until", "q", "left_out", "after", "limit"]
    {
        assert!(tried.iter().any(|it| it == name), "{name} is a parameter");
    }
}

#[tokio::test]
async fn path_that_is_not_utf8_is_refused_in_json_by_every_route() {
    let scene = Scene::new().await;
    let mut tried = 0;

    for operation in scene.description().await.operations() {
        let Some((before, rest)) = operation.path.split_once('{') else { continue };
        let (_, after) = rest.split_once('}').unwrap();
        let path = format!("{before}%ff{after}");
        let answer = scene.call(&operation.method, &path, Some(&json!({}))).await;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 400, "{path}: {said}");
        assert_eq!(answer.json()["error"], "bad request", "{path}: {said}");
        assert!(answer.json()["reason"].as_str().unwrap().contains("UTF-8"), "{path}: {said}");
        tried += 1;
    }

    assert!(tried >= 9, "{tried} routes have a part that varies");
}

#[tokio::test]
async fn an_empty_filter_value_replays_nothing() {
    let scene = Scene::new().await;
    let [_, _, _, dead] = scene.one_of_each().await;

    for name in ["state", "source", "destination", "since", "until", "q"] {
        for blank in ["", " ", "\t\n"] {
            let other = if name == "state" { ("source", "form") } else { ("state", "dead") };
            for order in [json!({ name: blank }), json!({ name: blank, other.0: other.1 })] {
                let answer = scene.call("POST", "/api/v1/replay", Some(&order)).await;
                let said = String::from_utf8_lossy(&answer.body).into_owned();
                assert_eq!(answer.status, 400, "{order}: {said}");
            }
        }
    }

    assert_eq!(scene.get(&format!("/api/v1/events/{dead}")).await["state"], "dead");
}

#[tokio::test]
async fn unknown_key_is_refused_by_every_route_with_its_place_and_the_known_ones() {
    let scene = Scene::new().await;
    let [_, _, held, _] = scene.one_of_each().await;
    let description = scene.description().await;
    let mut routes = 0;

    for operation in description.operations() {
        let Some(body) = operation.said.get("requestBody") else { continue };
        routes += 1;
        let path = operation.path.replace("{id}", &held);
        let order = json!({ "unknown": 1, "state": null, "rate": null, "event": null });
        let answer = scene.call(&operation.method, &path, Some(&order)).await;
        let said = answer.json()["reason"].as_str().unwrap().to_owned();
        assert_eq!(answer.status, 400, "{path}: {said}");
        assert!(said.contains("unknown field `unknown`, expected "), "{path}: {said}");
        let at = order.to_string().find("unknown").unwrap() + "unknown\"".len();
        assert!(said.ends_with(&format!(" at line 1 column {at}")), "{path}: {said}");
        let schema = description.resolve(&body["content"]["application/json"]["schema"]);
        assert_eq!(schema["additionalProperties"], false, "{path}: {schema}");
    }

    assert!(routes >= 4, "{routes} routes take a body");
}

/// A filter is the same in the query of a list and in the order of a replay.
#[tokio::test]
async fn replay_takes_the_filter_that_a_list_takes() {
    let scene = Scene::new().await;
    let operations = scene.description().await.operations();
    let list = operations.iter().find(|it| it.method == "GET" && it.path == "/api/v1/events");
    let filter = parameters(list.unwrap()).into_iter();
    let filter: Vec<String> = filter.filter(|it| it != "limit" && it != "after").collect();
    let schema = &scene.description().await.0["components"]["schemas"]["ReplayBody"];

    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let own = ["dry_run", "rate"];
    let keys: Vec<String> =
        properties.keys().filter(|it| !own.contains(&it.as_str())).cloned().collect();

    assert_eq!(keys, filter);
}

/// What stands for an object by position, for some order of the API.
fn lists() -> Vec<Value> {
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
async fn a_list_is_taken_for_an_object_by_no_route() {
    let scene = Scene::new().await;
    let [_, _, held, _] = scene.one_of_each().await;
    let mut routes = 0;

    for operation in scene.description().await.operations() {
        if operation.said.get("requestBody").is_none() {
            continue;
        }
        routes += 1;
        let path = operation.path.replace("{id}", &held);
        for body in lists() {
            let answer = scene.call(&operation.method, &path, Some(&body)).await;
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!(answer.status, 400, "{path} {body}: {said}");
            assert!(said.contains("a JSON object is expected"), "{path} {body}: {said}");
        }
    }

    assert!(routes >= 4, "{routes} routes take a body");
    assert_eq!(scene.get(&format!("/api/v1/events/{held}")).await["state"], "held");
}
