//! `POST draft`: a mapping file from one payload.

use serde_json::{Value, json};

use super::Scene;

const PATH: &str = "/api/v1/draft";

#[tokio::test]
async fn draft_of_a_known_tool_is_a_mapping_that_works() {
    let scene = Scene::new().await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/mappings/samples/typeform.every_kind.json");
    let sample = std::fs::read_to_string(path).unwrap();
    let payload: Value = serde_json::from_str(&sample).unwrap();

    let drafted = scene.call("POST", PATH, Some(&json!({ "payload": payload }))).await.json();

    assert_eq!(drafted["provider"]["name"], "typeform", "{drafted}");
    assert!(drafted["provider"]["why"].is_string(), "{drafted}");
    let mapping = drafted["mapping"].as_str().unwrap();
    assert!(mapping.contains("provider = \"typeform\""), "{mapping}");
    assert_eq!(drafted["requests"][0]["request"], "feedback", "{drafted}");
    let left = drafted["left"].to_string();
    assert!(left.contains("finished mapping for Typeform"), "{left}");
    // The API itself accepts what it drafted.
    let preview = json!({ "mapping": mapping, "payload": payload });
    let previewed = scene.call("POST", "/api/v1/preview", Some(&preview)).await.json();
    assert_eq!(previewed["requests"], drafted["requests"]);
}

#[tokio::test]
async fn draft_says_what_it_guessed_and_what_is_left() {
    let scene = Scene::new().await;
    let payload = json!({
        "ticket": { "id": "t-1", "description": "Please add a dark theme to the reports page." },
        "requester": { "email": "ada@example.com" },
    });

    let body = json!({ "payload": payload, "name": "acme" });
    let drafted = scene.call("POST", PATH, Some(&body)).await.json();

    assert_eq!((&drafted["name"], &drafted["provider"]), (&json!("acme"), &Value::Null));
    let guesses = drafted["guesses"].as_array().unwrap();
    let email = guesses.iter().find(|it| it["field"] == "person_email").unwrap();
    assert_eq!(email["taken"], "$.requester.email");
    assert!(email["why"].is_string(), "{email}");
    let left = drafted["left"].to_string();
    assert!(left.contains("no tool that is known sends this"), "{left}");
    assert!(left.contains("not found: person_name, company_name"), "{left}");
}

#[tokio::test]
async fn text_is_read_as_a_request_that_was_saved_with_its_headers() {
    let scene = Scene::new().await;
    let saved = "POST / HTTP/1.1\nX-GitHub-Event: issues\nContent-Type: application/json\n\n\
                 {\"action\": \"opened\", \"issue\": {\"title\": \"Dark theme\", \
                 \"body\": \"The reports are too bright at night.\"}}";

    let drafted = scene.call("POST", PATH, Some(&json!({ "payload": saved }))).await.json();

    assert_eq!(drafted["provider"]["name"], "github", "{drafted}");
}

#[tokio::test]
async fn unfit_input_of_a_draft_is_refused() {
    let scene = Scene::new().await;
    let large = "x".repeat(256 * 1024 + 1);
    let headers: serde_json::Map<String, Value> =
        (0..201).map(|number| (format!("x-{number}"), json!("1"))).collect();
    for (body, reason) in [
        (json!({}), "payload"),
        (json!({ "payload": {}, "provider": "tipeform" }), "did you mean typeform?"),
        (json!({ "payload": "no JSON" }), ""),
        (json!({ "payload": large }), "larger than 256 KiB"),
        (json!({ "payload": { "a": vec![1; 1_001] } }), "more than 1000 values"),
        (json!({ "payload": {}, "headers": headers }), "more than 200 headers"),
        (json!({ "payload": {}, "name": "no name!" }), ""),
        (json!({ "payload": {}, "x": 1 }), "unknown key `x`"),
    ] {
        let answer = scene.call("POST", PATH, Some(&body)).await;

        assert_eq!(answer.status, 400, "{reason}: {answer:?}");
        let text = answer.json()["reason"].as_str().unwrap().to_owned();
        assert!(text.contains(reason), "{text}");
    }
}
