//! Every route answers as it is described, and refuses a wrong request with the reason.

use std::collections::{BTreeMap, BTreeSet};

use savio_relay::event::MappingDigest;
use serde_json::json;

use super::described::Operation;
use super::{MAPPING, Scene, TOKEN, issues};
use crate::support::relay::http;

/// A mapping of the source `off`, whose secret the relay keeps.
const OTHER_MAPPING: &str = "provider = \"typeform\"\nsecrets = [\"file:secrets/off.secret\"]\n\n[[feedback]]\nproblem = \"$.text\"\n";
#[tokio::test]
async fn request_without_the_token_is_401() {
    let scene = Scene::new().await;

    let needs_token = |it: &Operation| it.description["x-role"] != "none";
    let operations = scene.description().await.operations().into_iter().filter(needs_token);
    for Operation { method, path, .. } in operations {
        let url = format!("{}{path}", scene.relay.admin_url);
        for token in ["", "another token of the test"] {
            let call = http().request(method.parse().unwrap(), &url).bearer_auth(token);
            assert_eq!(call.send().await.unwrap().status(), 401, "{method} {path}");
        }
    }
    let url = &scene.relay.admin_url;
    assert_eq!(
        http().get(format!("{url}/api/v1/openapi.json")).send().await.unwrap().status(),
        401
    );
    assert_eq!(http().get(format!("{url}/no/such")).send().await.unwrap().status(), 401);
    assert_eq!(http().get(format!("{url}/healthz")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn generated_token_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::with(&[("ADMIN_TOKEN", "")]).await;
    let path = scene.folder.path().join("admin-token");

    let token = std::fs::read_to_string(&path).unwrap();

    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(token.trim().len(), 64);
    let url = format!("{}/api/v1/stats", scene.relay.admin_url);
    let stats = http().get(url).bearer_auth(token.trim()).send().await.unwrap();
    assert_eq!(stats.status(), 200);
    assert_eq!(scene.relay.logged(token.trim()), 0);
}

#[tokio::test]
async fn every_route_answers_as_described() {
    let scene = Scene::new().await;
    let [delivered, _, held, dead] = scene.one_of_each().await;
    let issue = issues::open(&scene, "dead", 1).await[0]["id"].as_str().unwrap().to_owned();
    let description = scene.description().await;
    let replayed = scene.post(&format!("/api/v1/events/{dead}/replay"), json!({})).await;
    let digest = MappingDigest::of(MAPPING).to_string();
    let fillings = BTreeMap::from([
        (
            "id",
            vec![delivered.as_str(), &held, replayed["replay_id"].as_str().unwrap(), &issue, "no"],
        ),
        ("name", vec!["form", "default", "off", "no"]),
        ("digest", vec![digest.as_str(), &digest[..4], "0000", "no"]),
    ]);
    let bodies = [
        json!({}),
        json!({ "arrived": true }),
        json!({ "state": "dead", "dry_run": true }),
        json!({ "mapping": MAPPING, "payload": { "text": "Slow" } }),
        json!({ "payload": { "text": "Slow" } }),
        json!({ "mapping": MAPPING, "event": held }),
        json!({ "mapping": MAPPING.replace("$.text", "$.email") }),
        json!({ "mapping": "[[feedback]]" }),
        json!({ "mapping": "[[feedback]]", "event": held }),
        json!({ "mapping": MAPPING, "source": "form" }),
        json!({ "mapping": OTHER_MAPPING, "update_tests": true }),
        json!({ "nonce": "0".repeat(32), "secrets": [{ "purpose": "admin.token", "fingerprint": "0" }] }),
        json!({ "event": held, "name": "kept" }),
        json!({ "name": "added", "provider": "typeform" }),
        json!({ "secret": "a secret of the source" }),
        json!({ "payload": { "text": "Slow" } }),
        json!({ "unknown": 1 }),
    ];

    let mut seen = BTreeSet::new();
    // From `/` a browser is sent on, which is tested with the logins.
    for operation in description.operations().into_iter().filter(|it| it.path != "/") {
        for path in filled(&operation.path, &fillings) {
            let bodies = bodies.iter().map(Some).chain([None]);
            let has_body = operation.description.get("requestBody").is_some();
            for body in bodies.filter(|it| it.is_none() || has_body) {
                let call = (operation.method.as_str(), path.as_str(), Some("*"));
                let answer = scene.call_if(TOKEN, call, body).await;
                let mismatches =
                    description.mismatches(&operation, answer.status.as_u16(), &answer.body);
                assert!(mismatches.is_empty(), "{path} {body:?}: {mismatches:?}");
                seen.insert((operation.path.clone(), answer.status.is_success()));
            }
        }
        assert!(seen.contains(&(operation.path.clone(), true)), "{} never works", operation.path);
    }
}

fn filled(path: &str, fillings: &BTreeMap<&str, Vec<&str>>) -> Vec<String> {
    let filling = fillings.iter().find(|(name, _)| path.contains(&format!("{{{name}}}")));
    match filling {
        None => vec![path.to_owned()],
        Some((name, values)) => {
            let one = |value: &&str| filled(&path.replace(&format!("{{{name}}}"), value), fillings);
            values.iter().flat_map(one).collect()
        }
    }
}

#[tokio::test]
async fn invalid_request_is_refused_with_its_reason() {
    let scene = Scene::new().await;
    let check = async |path: &str, reason: &str| {
        let answer = scene.call("GET", path, None).await;
        assert_eq!(answer.status, 400, "{path}");
        let error = answer.json();
        assert!(error["reason"].as_str().unwrap().contains(reason), "{error}");
    };

    check("/api/v1/events?stat=dead", "unknown parameter `stat`").await;
    check("/api/v1/events?state=gone", "gone").await;
    check("/api/v1/events?limit=501", "from 1 to 500").await;
    check("/api/v1/events?after=x", "not the `next` of a page").await;
    check("/api/v1/events?since=yesterday", "since").await;
    check("/api/v1/events?source=A%20B", "`source`").await;
    check("/api/v1/rejected?sources=form", "unknown parameter `sources`").await;
    for path in ["sources", "destinations", "stats", "openapi.json", "events/x", "replays/x"] {
        check(&format!("/api/v1/{path}?sorce=form"), "unknown parameter `sorce`").await;
    }
    let paused = scene.call("POST", "/api/v1/sources/form/pause?for=1h", None).await;
    assert_eq!(paused.status, 400, "a pause without the end that was asked for");
    let everything = scene.call("POST", "/api/v1/replay", Some(&json!({}))).await;
    assert_eq!(everything.status, 400, "an empty filter replays nothing by mistake");
}
