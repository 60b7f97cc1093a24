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
        "step",
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
        let Some(schema) = operation.json_body() else { continue };
        routes += 1;
        let path = operation.path.replace("{id}", &held);
        let request = json!({ "unknown": 1, "state": null, "rate": null, "event": null });
        let answer = scene.call(&operation.method, &path, Some(&request)).await;
        let response = answer.json()["reason"].as_str().unwrap().to_owned();
        assert_eq!(answer.status, 400, "{path}: {response}");
        assert!(response.contains("unknown key `unknown`; known here: "), "{path}: {response}");
        let at = request.to_string().find("unknown").unwrap() + "unknown\"".len();
        assert!(response.ends_with(&format!(" (line 1, column {at})")), "{path}: {response}");
        let schema = description.resolve(schema);
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
        if operation.json_body().is_none() {
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

const TIME_FORMATS: &str =
    "write an age (2h, 7d), a date (2026-01-31) or a time (2026-01-31T12:00:00Z)";

#[tokio::test]
async fn mistake_in_a_query_is_explained_in_words_for_people() {
    let scene = Scene::new().await;
    let [_, _, held, _] = scene.one_of_each().await;
    let formats = TIME_FORMATS;
    let since = format!("`since`: {formats}");
    let query = async |path: &str, reason: &str| {
        let answer = scene.call("GET", &format!("/api/v1/{path}"), None).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["reason"].as_str()),
            (400, Some(reason)),
            "{path}"
        );
    };
    let states = "write one of queued, delivered, ignored, held, dead";

    query("events?state=ded", &format!("`state`: there is no state ded; {states}")).await;
    query("events?state=dead,ded", &format!("`state`: there is no state ded; {states}")).await;
    query("events?since=soon", &since).await;
    query("events/counts?until=31.01.2026", &format!("`until`: {formats}")).await;
    query("events?limit=many", "`limit`: write a whole number").await;
    query("events?limit=99999", "`limit`: this number is too large").await;
    query("events?left_out=x", "`left_out`: write true or false").await;
    query(
        "events?attempts_min=0",
        "`attempts_min`: a whole number from 1 to 4294967295 is expected",
    )
    .await;
    query("events?q=a&q=b", "`q` is there more than once").await;
    query("audit?since=soon", &since).await;
    query(
        &format!("events/{held}/explain?mapping=old"),
        "`mapping`: there is no mapping old; write one of used, current",
    )
    .await;
}

#[tokio::test]
async fn mistake_in_a_body_is_explained_in_words_for_people() {
    let scene = Scene::new().await;
    let since = format!("`since`: {TIME_FORMATS}");
    let body = async |path: &str, body: Value, reason: &str| {
        let answer = scene.call("POST", &format!("/api/v1/{path}"), Some(&body)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["reason"].as_str()),
            (400, Some(reason)),
            "{path}"
        );
    };
    body("replay", json!({ "since": "soon", "dry_run": true }), &since).await;
    body(
        "replay",
        json!({ "stage": "mars" }),
        "`stage`: there is no stage mars; write one of mapping, savio, time",
    )
    .await;
    body("sources/form/changes", json!({ "mapping": "", "since": "soon" }), &since).await;
    body("draft", json!({}), "`payload` is missing").await;
    body("check", json!({ "mapping": 5 }), "`mapping`: a text is expected, not a number").await;
    body(
        "sources/form/tests",
        json!({ "event": "x" }),
        "`event`: write the whole id of an event, such as 01a1f2c4-0000-7000-8000-000000000000",
    )
    .await;
}

#[tokio::test]
async fn list_counts_and_replay_accept_ages_and_dates() {
    let scene = Scene::new().await;
    scene.one_of_each().await;
    let count = async |since: &str, until: &str| {
        let page = scene.get(&format!("/api/v1/events?since={since}&until={until}")).await;
        let counts = scene.get(&format!("/api/v1/events/counts?since={since}&until={until}")).await;
        let body = json!({ "since": since, "until": until, "dry_run": true });
        let replay = scene.call("POST", "/api/v1/replay", Some(&body)).await;
        assert_eq!(replay.status, 200, "{since} {until}");
        let counted: u64 =
            counts["events"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        let listed = page["events"].as_array().unwrap().len();
        assert_eq!(u64::try_from(listed).unwrap(), counted, "{since} {until}");
        listed
    };

    assert_eq!(count("1h", "2999-12-31").await, 4);
    assert_eq!(count("2020-01-31", "2999-12-31T12:00:00Z").await, 4);
    assert_eq!(count("7d", "1h").await, 0);
    assert_eq!(count("2020-01-31", "2020-02-01").await, 0);
}
