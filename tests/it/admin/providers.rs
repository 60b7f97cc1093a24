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
async fn every_bundled_mapping_is_listed_and_can_be_added() {
    let scene = Scene::new().await.without_mistakes().await;
    let files = std::fs::read_dir("mappings").unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|it| it == "toml"));
    let mut bundled: Vec<String> =
        files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    bundled.sort();

    let listed = scene.get("/api/v1/providers").await;

    let mut seen = Vec::new();
    for provider in listed["providers"].as_array().unwrap() {
        let text = |key: &str| provider[key].as_str().unwrap();
        for (key, begins) in [("title", ""), ("scheme", ""), ("docs", "https://")] {
            assert!(text(key).len() > begins.len() && text(key).starts_with(begins), "{provider}");
        }
        assert!(!provider["setup"]["steps"].as_array().unwrap().is_empty(), "{provider}");
        let mappings = provider["mappings"].as_array().unwrap();
        for (at, mapping) in mappings.iter().map(|it| it["name"].as_str().unwrap()).enumerate() {
            let name = format!("new-{mapping}");
            let mut body = json!({ "name": name, "provider": text("name") });
            if at > 0 {
                body["mapping"] = json!(mapping);
            }
            let added = scene.post("/api/v1/sources", body).await;
            assert_eq!((&added["paused"], &added["mistakes"]), (&json!(true), &json!([])));
            assert_eq!(added["title"], provider["title"], "{mapping}");
            assert_eq!(added["secrets"][0]["location"], format!("file:secrets/{name}.secret"));
            let saved = std::fs::read_to_string(scene.file(&format!("{name}.toml"))).unwrap();
            let own = std::fs::read_to_string(format!("mappings/{mapping}.toml")).unwrap();
            assert!(saved.lines().zip(own.lines()).filter(|(a, b)| a != b).count() <= 1, "{saved}");
            seen.push(mapping.to_owned());
        }
    }
    seen.sort();
    assert_eq!(seen, bundled);
}

#[tokio::test]
async fn mapping_of_another_provider_is_not_added() {
    let scene = Scene::new().await.without_mistakes().await;
    for (provider, mapping, reason) in [
        ("form", "stripe", "`mapping`: the provider form has form, customers"),
        ("sentry", "sentry", "`mapping`: the provider sentry has none"),
        ("sendgrid-inbund", "sendgrid-inbound", "did you mean sendgrid-inbound?"),
    ] {
        let body = json!({ "name": "survey", "provider": provider, "mapping": mapping });
        let refused = scene.call("POST", "/api/v1/sources", Some(&body)).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(refused.json()["reason"].as_str().unwrap().contains(reason), "{refused:?}");
        assert!(!scene.file("survey.toml").exists());
    }
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
