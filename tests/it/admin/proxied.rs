//! Users whom a proxy in front of the admin listener has logged in.

use serde_json::{Value, json};

use super::browser::{Caller, USER, cookie};
use super::{Scene, TOKEN};
use crate::support::relay::{http_from, program};

const PROXY: &str = "[admin.proxy_auth]\nheader = \"X-Forwarded-User\"\nfrom = [\"127.0.0.1\"]\n\
                     roles = { \"ops@example.com\" = \"operate\" }\n";

async fn scene(more: &str) -> Scene {
    Scene::configured(&format!("{PROXY}{more}"), &[("PROXY_SECRET", "open sesame")]).await
}

const SESSION: (&str, &str) = ("GET", "/api/v1/session");
const PAUSE: (&str, &str) = ("POST", "/api/v1/sources/form/pause");

async fn status(caller: &Caller, scene: &Scene, (method, path): (&str, &str)) -> u16 {
    caller.status(scene, method, path).await
}

#[tokio::test]
async fn user_of_the_proxy_needs_no_login() {
    let scene = scene("").await;
    let ada = Caller::of_proxy("ada@example.com");
    assert_eq!(status(&ada, &scene, ("GET", "/api/v1/events")).await, 200);
    assert_eq!(status(&ada, &scene, PAUSE).await, 403, "it may read");

    let ops = scene.browser_of_proxy("ops@example.com").await;

    let session = ops.request(&scene, "GET", SESSION.1).send().await.unwrap();
    assert!(!session.headers().contains_key("set-cookie"), "the session goes on");
    let session: Value = session.json().await.unwrap();
    let shown = (&session["who"], &session["via"], &session["role"]);
    assert_eq!(shown, (&json!("ops@example.com"), &json!("proxy"), &json!("operate")));
    let bare = Caller::of_proxy("ops@example.com").with("origin", &scene.relay.admin_url);
    let (refused, reason) = bare.refusal(&scene, PAUSE.0, PAUSE.1).await;
    assert_eq!(refused, 403, "a page of another site could send this: {reason}");
    assert_eq!(status(&ops.clone().without("x-csrf-token"), &scene, PAUSE).await, 403);
    assert_eq!(status(&ops.clone().without("origin"), &scene, PAUSE).await, 403);
    assert_eq!(status(&ops, &scene, PAUSE).await, 200);
    let page = ops.request(&scene, "GET", "/login").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("the user ops@example.com with the role operate"), "{page}");
    let log = scene.relay.log_at_stop();
    assert!(log.contains("POST /api/v1/sources/form/pause user=ops@example.com"), "{log}");
}

#[tokio::test]
async fn header_of_anybody_else_does_not_count() {
    let scene = scene("").await;
    let url = format!("{}{}", scene.relay.admin_url, SESSION.1);
    let elsewhere = http_from([127, 0, 0, 2].into()).get(url).header(USER, "ops@example.com");
    let forwarded = elsewhere.header("x-forwarded-for", "127.0.0.1");

    assert_eq!(forwarded.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn header_that_is_there_twice_or_empty_is_401() {
    let scene = scene("").await;
    let ops = scene.browser_of_proxy("ops@example.com").await;
    let without_user = ops.clone().without(USER);

    for users in [&["ops@example.com", "ops@example.com"][..], &[""], &["  "]] {
        let caller = users.iter().fold(without_user.clone(), |it, user| it.with(USER, user));
        let (refused, reason) = caller.refusal(&scene, "GET", SESSION.1).await;
        assert_eq!(refused, 401, "{users:?}");
        assert!(reason.contains("x-forwarded-user of the proxy"), "{reason}");
    }
    // The session is worth nothing without the proxy.
    assert_eq!(status(&without_user, &scene, SESSION).await, 401);
    assert_eq!(status(&ops, &scene, SESSION).await, 200);
}

#[tokio::test]
async fn session_ends_when_the_proxy_names_somebody_else() {
    let scene = scene("").await;
    let ops = scene.browser_of_proxy("ops@example.com").await;

    let ada = ops.clone().without(USER).with(USER, "ada@example.com");
    assert_eq!(status(&ada, &scene, ("GET", "/api/v1/stats")).await, 200);

    assert_eq!(status(&ops, &scene, PAUSE).await, 403, "it has no session any more");
    let begun = ops.request(&scene, "GET", SESSION.1).send().await.unwrap();
    assert_ne!(cookie(&begun), ops.headers.iter().find(|(it, _)| *it == "cookie").unwrap().1);
}

#[tokio::test]
async fn login_behind_the_proxy_is_not_needed() {
    let scene = scene("").await;
    let ada = Caller::of_proxy("ada@example.com");

    let login = ada.request(&scene, "POST", "/login").json(&json!({ "token": TOKEN }));
    assert_eq!(login.send().await.unwrap().status(), 409);
    let next = ada.request(&scene, "GET", "/login?next=/api/v1/stats").send().await.unwrap();
    assert_eq!(
        (next.status().as_u16(), &next.headers()["location"]),
        (303, &"/api/v1/stats".parse().unwrap())
    );
    let bearer = ada.with("authorization", &format!("Bearer {TOKEN}"));
    assert_eq!(status(&bearer, &scene, PAUSE).await, 200, "a token counts before the proxy");
}

#[tokio::test]
async fn host_is_checked_for_users_of_the_proxy() {
    let scene = scene("").await;

    let rebound = Caller::of_proxy("ada@example.com").with("host", "evil.example");

    assert_eq!(status(&rebound, &scene, SESSION).await, 421);
}

#[tokio::test]
async fn secret_of_the_proxy_is_required_where_it_is_configured() {
    let secret = "secret_header = { name = \"X-Proxy-Secret\", value = \"env:PROXY_SECRET\" }\n";
    let scene = scene(secret).await;
    let ada = Caller::of_proxy("ada@example.com");

    let (refused, reason) = ada.refusal(&scene, "GET", SESSION.1).await;
    assert_eq!(refused, 401);
    assert!(reason.contains("x-proxy-secret"), "{reason}");
    assert_eq!(status(&ada.clone().with("x-proxy-secret", "wrong"), &scene, SESSION).await, 401);
    let right = ada.with("x-proxy-secret", "open sesame");
    assert_eq!(status(&right, &scene, SESSION).await, 200);

    let missing = Scene::configured(&format!("{PROXY}{secret}"), &[]).await;
    assert_eq!(status(&right, &missing, SESSION).await, 401);
    let shown = &missing.relay.startup_output;
    let warning = "users of the admin proxy are not admitted: the environment variable PROXY_SECRET is not set";
    assert!(shown.contains(warning), "{shown}");
}

#[tokio::test]
async fn proxy_that_many_machines_may_be_is_warned_about() {
    let config = PROXY.replace("\"127.0.0.1\"", "\"10.0.0.0/8\"");
    let scene = Scene::configured(&config, &[]).await;
    let warning = "every machine in 10.0.0.0/8 may name itself any user";
    assert!(scene.relay.startup_output.contains(warning));

    for command in ["check", "doctor"] {
        let output = program(scene.folder.path()).arg(command).output().unwrap();
        let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(shown.contains(warning), "{command}: {shown}");
    }
}
