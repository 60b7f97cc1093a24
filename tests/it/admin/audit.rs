//! The audit by HTTP: who did what, and that what changed nothing is not in it.

use serde_json::{Value, json};

use super::roles::{ROUTES, rank};
use super::{MAPPING, Scene, TOKEN, issues};
use crate::support::relay::http;
use crate::support::wait::until_async;

const OPERATOR: &str = "a token of the operator";

async fn scene() -> Scene {
    let config = "[[admin.tokens]]\nname = \"ops\"\ntoken = \"env:OPS\"\nrole = \"operate\"\n";
    Scene::configured(config, &[("OPS", OPERATOR)]).await
}

/// Returns who did what on what, oldest first.
async fn audit(scene: &Scene, query: &str) -> Vec<[String; 3]> {
    let listed = scene.get(&format!("/api/v1/audit{query}")).await;
    let mut entries = listed["entries"].as_array().unwrap().clone();
    entries.reverse();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    entries.iter().map(|it| [text(&it["who"]), text(&it["action"]), text(&it["on"])]).collect()
}

#[tokio::test]
async fn each_action_is_recorded_with_who_did_it() {
    let scene = scene().await;
    let [delivered, _, held, dead] = scene.one_of_each().await;
    let act = async |path: &str, body: Value| {
        let path = format!("/api/v1/{path}");
        let answer = scene.call_as(OPERATOR, ("POST", &path), Some(&body)).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    };

    act("sources/form/pause", json!({})).await;
    act("sources/form/resume", json!({})).await;
    act("destinations/default/pause", json!({})).await;
    act("destinations/default/resume", json!({})).await;
    act("destinations/default/probe", json!({})).await;
    act("echo-keys", json!({})).await;
    act(&format!("events/{held}/release"), json!({ "arrived": true })).await;
    act(&format!("events/{delivered}/copy"), json!({ "payload": { "text": "Slow" } })).await;
    let replay = act("replay", json!({ "state": "dead" })).await;
    let replay = replay["replay_id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/replays/{replay}");
    assert_eq!(scene.call_as(OPERATOR, ("DELETE", &path), None).await.status, 200);
    until_async(async || scene.get(&format!("/api/v1/events/{dead}")).await["state"] == "dead")
        .await;
    scene.post(&format!("/api/v1/events/{dead}/erase"), json!({})).await;

    let expected = [
        ("ops", "pause", "source form".to_owned()),
        ("ops", "resume", "source form".to_owned()),
        ("ops", "pause", "destination default".to_owned()),
        ("ops", "resume", "destination default".to_owned()),
        ("ops", "probe", "destination default".to_owned()),
        ("ops", "issue_echo_key", "-".to_owned()),
        ("ops", "release", format!("event {held}")),
        ("ops", "copy", format!("event {delivered}")),
        ("ops", "replay", "dead".to_owned()),
        ("ops", "cancel_replay", format!("replay {replay}")),
        ("admin.token", "erase", "events".to_owned()),
    ];
    let expected = expected.map(|(who, action, on)| [who.to_owned(), action.to_owned(), on]);
    assert_eq!(audit(&scene, "").await, expected);
    assert_eq!(audit(&scene, "?who=admin.token").await, expected[10..]);
    assert_eq!(audit(&scene, "?action=release").await, expected[6..7]);
    let listed = scene.get("/api/v1/audit?limit=2").await;
    assert_eq!(listed["people"], json!(["admin.token", "ops"]));
    assert_eq!(listed["actions"].as_array().unwrap().len(), 9);
    let next = listed["next"].as_str().unwrap();
    assert_eq!(audit(&scene, &format!("?limit=9&after={next}")).await, expected[..9]);
}

/// A call of each route that acts, in this order: what fills its path, its body, and what is recorded.
/// Events are named by their states, an issue and a replay as the last one.
const ACTING: [(&str, &str, &str, &str, &str); 21] = [
    ("POST", "/api/v1/sources/{}/pause", "form", "{}", "pause"),
    ("POST", "/api/v1/sources/{}/resume", "form", "{}", "resume"),
    ("POST", "/api/v1/destinations/{}/pause", "default", "{}", "pause"),
    ("POST", "/api/v1/destinations/{}/resume", "default", "{}", "resume"),
    ("POST", "/api/v1/destinations/{}/probe", "default", "{}", "probe"),
    ("POST", "/api/v1/echo-keys", "", "{}", "issue_echo_key"),
    ("POST", "/api/v1/login-links", "", r#"{"role":"read"}"#, "make_login_link"),
    ("POST", "/api/v1/issues/{}/mute", "ISSUE", "{}", "mute_issue"),
    ("POST", "/api/v1/alerts/test", "", "{}", "test_alerts"),
    ("POST", "/api/v1/events/{}/release", "HELD", r#"{"arrived":true}"#, "release"),
    ("POST", "/api/v1/events/{}/copy", "DELIVERED", r#"{"payload":{}}"#, "copy"),
    ("POST", "/api/v1/events/{}/replay", "DEAD", "{}", "replay"),
    ("POST", "/api/v1/replay", "", r#"{"state":"held"}"#, "replay"),
    ("DELETE", "/api/v1/replays/{}", "LAST", "", "cancel_replay"),
    ("POST", "/api/v1/events/{}/erase", "DELIVERED", "{}", "erase"),
    ("POST", "/api/v1/sources", "", r#"{"name":"survey","provider":"typeform"}"#, "add_source"),
    ("PUT", "/api/v1/sources/{}/secret", "survey", r#"{"secret":"of the survey"}"#, "set_secret"),
    ("POST", "/api/v1/sources/{}/tests", "form", r#"{"event":"HELD","name":"kept"}"#, "save_test"),
    ("POST", "/api/v1/sources/{}/test", "form", r#"{"payload":{},"deliver":true}"#, "test_source"),
    ("PUT", "/api/v1/sources/{}/mapping", "form", r#"{"mapping":"MAPPING"}"#, "save_mapping"),
    ("DELETE", "/api/v1/sources/{}/mapping", "form", "", "remove_mapping"),
];

#[test]
fn every_route_that_acts_is_called() {
    let acting = ROUTES.into_iter().filter(|(_, _, role)| rank(role) >= rank("operate"));
    // It answers a question of a command, and changes nothing.
    let acting = acting.filter(|(_, path, _)| *path != "/api/v1/secrets/compare");
    let mut acting: Vec<(&str, String)> = acting
        .map(|(method, path, _)| (method, path.replace("{id}", "{}").replace("{name}", "{}")))
        .collect();
    acting.sort();

    let mut called = ACTING.map(|(method, path, ..)| (method, path.to_owned()));
    called.sort();

    assert_eq!(acting, called);
}

#[tokio::test]
async fn every_route_that_acts_is_recorded() {
    let scene = Scene::with(&[("SAVIO_RELAY_SHIPPED_MAPPINGS", "form")]).await;
    let scene = scene.without_mistakes().await;
    let [delivered, _, held, dead] = scene.one_of_each().await;
    let issue = issues::open(&scene, "held", 1).await[0]["id"].as_str().unwrap().to_owned();
    let (mut recorded, mut last_replay) = (audit(&scene, "").await.len(), String::new());

    for (method, path, filling, body, action) in ACTING {
        let filling = match filling {
            "HELD" => &held,
            "DELIVERED" => &delivered,
            "DEAD" => &dead,
            "ISSUE" => &issue,
            "LAST" => &last_replay,
            name => name,
        };
        let path = path.replace("{}", filling);
        let mut body: Value =
            serde_json::from_str(&body.replace("HELD", &held)).unwrap_or_default();
        if body["mapping"] == "MAPPING" {
            body["mapping"] = json!(MAPPING);
        }
        let body = (method != "DELETE").then_some(&body);
        let answer = scene.call_if(TOKEN, (method, &path, Some("*")), body).await;
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        if let Some(id) = answer.json()["replay_id"].as_str() {
            id.clone_into(&mut last_replay);
        }
        let now = audit(&scene, "").await;
        let new: Vec<&str> = now[recorded..].iter().map(|it| it[1].as_str()).collect();
        assert_eq!(new, [action], "{method} {path}");
        recorded = now.len();
    }
}

#[tokio::test]
async fn what_changes_nothing_is_not_recorded() {
    let scene = scene().await;
    let [delivered, _, _, dead] = scene.one_of_each().await;
    for (method, path, body) in [
        ("POST", "sources/no/pause".to_owned(), json!({})),
        ("POST", "destinations/no/resume".to_owned(), json!({})),
        ("POST", format!("events/{delivered}/release"), json!({ "arrived": true })),
        ("POST", format!("events/{delivered}/copy"), json!({ "payload": null, "x": 1 })),
        ("POST", format!("events/{delivered}/erase"), json!({})),
        ("POST", "replay".to_owned(), json!({})),
        ("POST", format!("events/{dead}/replay"), json!({ "dry_run": true })),
        ("DELETE", format!("replays/{delivered}"), json!({})),
    ] {
        scene.call_as(OPERATOR, (method, &format!("/api/v1/{path}")), Some(&body)).await;
    }
    scene.get("/api/v1/events").await;
    scene.get("/api/v1/audit").await;

    assert!(audit(&scene, "").await.is_empty());
}

#[tokio::test]
async fn user_that_a_command_names_counts_with_the_main_token_only() {
    let scene = scene().await;
    let pause = async |token: &str, user: &'static str| {
        let url = format!("{}/api/v1/sources/form/pause", scene.relay.admin_url);
        let call = http().post(url).bearer_auth(token).header("x-savio-relay-user", user);
        assert_eq!(call.send().await.unwrap().status(), 200);
    };

    pause(OPERATOR, "boss@relay-1").await;
    pause(TOKEN, "ada@relay-1").await;
    pause(TOKEN, " ").await;

    let listed = scene.get("/api/v1/audit").await;
    let told: Vec<_> = listed["entries"].as_array().unwrap().iter().map(|it| &it["who"]).collect();
    assert_eq!(told, ["admin.token", "ada@relay-1", "ops"]);
    assert_eq!(listed["entries"][1]["via"], "cli");
    assert_eq!(listed["entries"][2]["via"], "token");
}
