//! `GET providers`: what can be set up, and how.

use serde_json::{Value, json};

use super::Scene;

fn provider<'p>(listed: &'p Value, name: &str) -> &'p Value {
    let mut providers = listed["providers"].as_array().unwrap().iter();
    providers.find(|it| it["name"] == name).unwrap_or_else(|| panic!("no provider {name}"))
}

#[tokio::test]
async fn provider_says_how_to_set_up_a_source_of_it() {
    let public_url = ("SAVIO_RELAY_SERVER__PUBLIC_URL", "https://relay.example.com");
    let scene = Scene::with(&[public_url]).await;

    let listed = scene.get("/api/v1/providers").await;

    let stripe = provider(&listed, "stripe");
    assert_eq!(stripe["title"], "Stripe");
    assert_eq!(stripe["scheme"], "hmac");
    assert_eq!(stripe["secret_from"], "tool");
    assert_eq!(stripe["has_mapping"], true);
    assert_eq!(stripe["used_by"], json!([]));
    let first = &stripe["setup"]["steps"][0]["enter"];
    let endpoint = "https://relay.example.com/hooks/stripe";
    assert_eq!(first[0], json!({ "label": "Endpoint URL", "value": endpoint }));
    // The mapping says what it is to be sent.
    assert!(first[1]["value"].as_str().unwrap().starts_with("customer.created, "), "{first}");

    let asana = provider(&listed, "asana");
    assert_eq!(asana["secret_from"], "first_request");
    let front = provider(&listed, "front-rule");
    assert_eq!(front["mappings"][0]["name"], "front");
    assert!(front["setup"].to_string().contains("/hooks/front,"), "{front}");
}

#[tokio::test]
async fn provider_without_a_mapping_has_steps_too() {
    let scene = Scene::new().await;

    let listed = scene.get("/api/v1/providers").await;

    let sentry = provider(&listed, "sentry");
    assert_eq!((&sentry["has_mapping"], &sentry["mappings"]), (&json!(false), &json!([])));
    let steps = sentry["setup"].to_string();
    assert!(steps.contains("/hooks/sentry"), "{steps}");
    assert!(steps.contains("SENTRY_SECRET"), "{steps}");
    assert_eq!(provider(&listed, "form")["used_by"], json!(["form"]));
}
