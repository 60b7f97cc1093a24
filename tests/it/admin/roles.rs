//! Tokens with roles: which routes each may call, and that a refused request changes nothing.

use serde_json::{Value, json};

use super::browser::{self, Caller};
use super::{MAPPING, Scene, TOKEN};

/// The role that each route needs. A new route has to be listed here.
pub(super) const ROUTES: [(&str, &str, &str); 54] = [
    ("GET", "/api/v1/events", "read"),
    ("GET", "/api/v1/events/counts", "read"),
    ("GET", "/api/v1/events/{id}", "read"),
    ("GET", "/api/v1/events/{id}/body", "read"),
    ("GET", "/api/v1/events/{id}/explain", "read"),
    ("POST", "/api/v1/events/{id}/copy", "operate"),
    ("POST", "/api/v1/events/{id}/erase", "everything"),
    ("POST", "/api/v1/events/{id}/release", "operate"),
    ("POST", "/api/v1/events/{id}/replay", "operate"),
    ("POST", "/api/v1/replay", "operate"),
    ("GET", "/api/v1/replays", "read"),
    ("GET", "/api/v1/replays/{id}", "read"),
    ("DELETE", "/api/v1/replays/{id}", "operate"),
    ("GET", "/api/v1/sources", "read"),
    ("POST", "/api/v1/sources/{name}/changes", "read"),
    ("GET", "/api/v1/sources/{name}/versions", "read"),
    ("GET", "/api/v1/sources/{name}/versions/{digest}", "read"),
    ("POST", "/api/v1/sources/{name}/pause", "operate"),
    ("POST", "/api/v1/sources/{name}/resume", "operate"),
    ("GET", "/api/v1/sources/{name}/mapping", "read"),
    ("PUT", "/api/v1/sources/{name}/mapping", "edit"),
    ("DELETE", "/api/v1/sources/{name}/mapping", "edit"),
    ("POST", "/api/v1/sources", "edit"),
    ("GET", "/api/v1/sources/{name}", "read"),
    ("PUT", "/api/v1/sources/{name}/secret", "edit"),
    ("POST", "/api/v1/sources/{name}/tests", "edit"),
    ("GET", "/api/v1/about", "read"),
    ("GET", "/api/v1/health", "read"),
    ("GET", "/api/v1/rejected", "read"),
    ("GET", "/api/v1/dead/groups", "read"),
    ("GET", "/api/v1/destinations", "read"),
    ("GET", "/api/v1/destinations/{name}/log", "read"),
    ("POST", "/api/v1/destinations/{name}/pause", "operate"),
    ("POST", "/api/v1/destinations/{name}/probe", "operate"),
    ("POST", "/api/v1/destinations/{name}/resume", "operate"),
    ("POST", "/api/v1/sources/{name}/test", "operate"),
    ("GET", "/api/v1/providers", "read"),
    ("POST", "/api/v1/preview", "read"),
    ("POST", "/api/v1/check", "read"),
    ("GET", "/api/v1/mapping.schema.json", "read"),
    ("POST", "/api/v1/draft", "read"),
    ("GET", "/api/v1/stats", "read"),
    ("GET", "/api/v1/series", "read"),
    ("GET", "/api/v1/stream", "read"),
    ("GET", "/api/v1/audit", "read"),
    ("GET", "/api/v1/issues", "read"),
    ("POST", "/api/v1/issues/{id}/mute", "operate"),
    ("POST", "/api/v1/alerts/test", "operate"),
    ("POST", "/api/v1/secrets/compare", "everything"),
    ("POST", "/api/v1/echo-keys", "operate"),
    ("GET", "/api/v1/session", "metrics"),
    ("POST", "/api/v1/login-links", "everything"),
    ("GET", "/metrics", "metrics"),
    ("GET", "/api/v1/openapi.json", "read"),
];

/// The routes that need no token.
const OPEN: [(&str, &str, &str); 5] = [
    ("GET", "/", "none"),
    ("GET", "/healthz", "none"),
    ("GET", "/login", "none"),
    ("POST", "/login", "none"),
    ("POST", "/logout", "none"),
];

/// The roles, each of which includes those before it.
pub(super) const ROLES: [&str; 4] = ["metrics", "read", "operate", "edit"];

/// Role of `admin.token` alone, which no token of `[[admin.tokens]]` can have.
pub(super) const EVERYTHING: &str = "everything";

pub(super) fn rank(role: &str) -> usize {
    if role == "none" {
        return 0;
    }
    let named = ROLES.iter().position(|it| *it == role);
    named.unwrap_or_else(|| {
        assert_eq!(role, EVERYTHING);
        ROLES.len()
    })
}

pub(super) fn token_of(role: &str) -> String {
    format!("the secret of the role {role}")
}

/// Starts a relay that has a token for each role, named like the role.
pub(super) async fn scene() -> Scene {
    let table = |role: &str| {
        let variable = role.to_uppercase();
        format!(
            "[[admin.tokens]]\nname = \"{role}\"\ntoken = \"env:{variable}\"\nrole = \"{role}\"\n"
        )
    };
    let users = ROLES.map(|role| format!("\"{role}-user\" = \"{role}\""));
    let proxy = format!(
        "[admin.proxy_auth]\nheader = \"{}\"\nfrom = \"127.0.0.1\"\nroles = {{ {} }}\n",
        browser::USER,
        users.join(", ")
    );
    let variables = ROLES.map(|role| (role.to_uppercase(), token_of(role)));
    let variables = variables.each_ref().map(|(name, value)| (name.as_str(), value.as_str()));
    Scene::configured(&(ROLES.map(table).concat() + &proxy), &variables).await
}

/// Returns callers with this role, one for each way to prove who one is, and how each is named.
async fn callers(scene: &Scene, role: &str) -> Vec<(Caller, String)> {
    vec![
        (Caller::bearer(&token_of(role)), format!("the token {role}")),
        (scene.browser(&token_of(role)).await, format!("the token {role}")),
        (scene.browser_by_link(role).await, "this login link".to_owned()),
        (scene.browser_of_proxy(&format!("{role}-user")).await, format!("the user {role}-user")),
    ]
}

#[tokio::test]
async fn every_route_states_the_role_that_it_needs() {
    let scene = scene().await;

    let mut described: Vec<_> = scene
        .description()
        .await
        .operations()
        .into_iter()
        .map(|it| {
            let role = it.description["x-role"].as_str().unwrap().to_owned();
            let is_open = it.description["security"] == json!([]);
            assert_eq!(is_open, role == "none", "{} {}", it.method, it.path);
            (it.method, it.path, role)
        })
        .collect();
    described.sort();

    let owned = |(a, b, c): &(&str, &str, &str)| (a.to_string(), b.to_string(), c.to_string());
    let mut expected: Vec<_> = ROUTES.iter().chain(&OPEN).map(owned).collect();
    expected.sort();
    assert_eq!(described, expected);
}

#[tokio::test]
async fn role_that_does_not_suffice_is_403_and_changes_nothing() {
    let scene = scene().await;
    let [_, _, held, dead] = scene.one_of_each().await;
    let body = |path: &str| match path {
        "/api/v1/preview" => json!({ "mapping": MAPPING, "payload": { "text": "Slow" } }),
        "/api/v1/sources/{name}/changes" | "/api/v1/check" => json!({ "mapping": MAPPING }),
        "/api/v1/events/{id}/copy" => json!({ "payload": {} }),
        "/api/v1/events/{id}/release" => json!({ "arrived": true }),
        "/api/v1/replay" => json!({ "state": "dead" }),
        "/api/v1/sources/{name}/tests" => json!({ "event": dead }),
        _ => json!({}),
    };

    for (at, has) in ROLES.into_iter().enumerate() {
        for (caller, named) in callers(&scene, has).await {
            // The login is kept, too.
            let before = scene.kept_state();
            let refused = ROUTES.into_iter().filter(|(_, _, needed)| rank(needed) > at);
            for (method, route, needed) in refused {
                let id = if route.ends_with("/release") { &held } else { &dead };
                let name = if route.contains("destinations") { "default" } else { "form" };
                let path = route.replace("{id}", id).replace("{name}", name);
                let mut request = caller.request(&scene, method, &path);
                if method == "POST" {
                    request = request.json(&body(route));
                }
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), 403, "{named}: {method} {path}");
                let error: Value = answer.json().await.unwrap();
                assert_eq!(error["error"], "forbidden", "{error}");
                let needs = match needed {
                    EVERYTHING => "admin.token".to_owned(),
                    needed => format!("{needed} or more"),
                };
                assert_eq!(
                    error["reason"],
                    format!("{named} has the role {has}: this needs {needs}")
                );
            }
            assert_eq!(before.differences(&scene.kept_state()), [""; 0], "{named}, {has}");
        }
    }
}

#[tokio::test]
async fn role_that_suffices_is_admitted() {
    let scene = scene().await;
    let [_, _, _, dead] = scene.one_of_each().await;

    for (at, has) in ROLES.into_iter().enumerate() {
        for (caller, named) in callers(&scene, has).await {
            let admitted = ROUTES.into_iter().filter(|(_, _, needed)| rank(needed) <= at);
            for (method, route, _) in admitted {
                let path = route.replace("{id}", &dead).replace("{name}", "no");
                let status = caller.status(&scene, method, &path).await;
                assert!(![401, 403, 421].contains(&status), "{named}, {has}: {method} {path}");
            }
        }
    }
    let browsers = [
        Caller::bearer(TOKEN),
        scene.browser(TOKEN).await,
        scene.browser_by_link(EVERYTHING).await,
    ];
    for (method, route, _) in ROUTES {
        let path = route.replace("{id}", &dead).replace("{name}", "no");
        for caller in &browsers {
            let status = caller.status(&scene, method, &path).await;
            assert!(![401, 403, 421].contains(&status), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn reader_may_try_a_replay_and_not_start_one() {
    let scene = scene().await;
    let [_, _, _, dead] = scene.one_of_each().await;
    let requests = [
        ("/api/v1/replay".to_owned(), json!({ "state": "dead" })),
        (format!("/api/v1/events/{dead}/replay"), json!({})),
    ];

    for (path, mut body) in requests {
        let reader = token_of("read");
        assert_eq!(scene.call_as(&reader, ("POST", &path), Some(&body)).await.status, 403);
        body["dry_run"] = json!(true);
        let tried = scene.call_as(&reader, ("POST", &path), Some(&body)).await;
        assert_eq!((tried.status.as_u16(), &tried.json()["matched"]), (200, &json!(1)));
        let scraper = token_of("metrics");
        assert_eq!(scene.call_as(&scraper, ("POST", &path), Some(&body)).await.status, 403);
    }
    assert_eq!(scene.get(&format!("/api/v1/events/{dead}")).await["state"], "dead");
}

#[tokio::test]
async fn action_is_logged_with_the_name_of_its_token() {
    let scene = scene().await;
    let [_, _, _, dead] = scene.one_of_each().await;
    let pause = ("POST", "/api/v1/sources/form/pause");

    assert_eq!(scene.call_as(&token_of("read"), pause, None).await.status, 403);
    assert_eq!(scene.call_as(&token_of("operate"), pause, None).await.status, 200);
    scene.call("POST", "/api/v1/sources/form/resume", None).await;
    let path = format!("/api/v1/events/{dead}/replay");
    scene.call_as(&token_of("edit"), ("POST", &path), Some(&json!({ "dry_run": true }))).await;
    scene.call_as(&token_of("edit"), ("POST", &path), None).await;

    let log = scene.relay.log_at_stop();
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(lines("POST /api/v1/sources/form/pause token=operate"), 1, "{log}");
    assert_eq!(lines("POST /api/v1/sources/form/resume token=admin.token"), 1, "{log}");
    assert_eq!(lines("started a replay token=edit"), 1, "{log}");
    assert_eq!(lines("token=read"), 0, "{log}");
    assert!(!log.contains(TOKEN) && !log.contains("the secret of"), "{log}");
}

#[tokio::test]
async fn token_without_its_secret_or_with_a_short_one_is_warned_about() {
    let table = |name: &str| {
        format!("[[admin.tokens]]\nname = \"{name}\"\ntoken = \"env:{name}\"\nrole = \"read\"\n")
    };
    let config = table("absent") + &table("short");

    let scene = Scene::configured(&config, &[("short", "hunter2")]).await;

    let log = &scene.relay.startup_output;
    assert!(log.contains("the admin token \"short\" is short"), "{log}");
    let absent = "the admin token \"absent\" is not accepted: the environment variable absent is \
                  not set";
    assert!(log.contains(absent), "{log}");
    let read = scene.call_as("hunter2", ("GET", "/api/v1/stats"), None).await;
    assert_eq!(read.status, 200);
}
