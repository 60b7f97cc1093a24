//! Sessions of browsers: how they begin and end, and what they do not admit.

use std::fs;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::browser::{Caller, client, cookie};
use super::{Scene, TOKEN};
use crate::support::relay::Relay;
use crate::support::wait::until_async;

const READER: &str = "[[admin.tokens]]\nname = \"ada\"\ntoken = \"env:ADA\"\nrole = \"read\"\n";
pub(super) const ADA: &str = "the token of ada";

pub(super) async fn scene() -> Scene {
    Scene::configured(READER, &[("ADA", ADA)]).await
}

pub(super) const PAUSE: (&str, &str) = ("POST", "/api/v1/sources/form/pause");

async fn is_paused(scene: &Scene) -> bool {
    let sources = scene.get("/api/v1/sources").await;
    sources["sources"].as_array().unwrap().iter().any(|it| it["paused"] == true)
}

#[tokio::test]
async fn login_by_a_token_begins_a_session_with_its_role() {
    let scene = scene().await;

    let begun = scene.login(json!({ "token": ADA })).await;

    assert_eq!(begun.status(), 200);
    let set = begun.headers()["set-cookie"].to_str().unwrap().to_owned();
    let attributes = "; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200";
    assert!(set.starts_with("savio_relay_session=") && set.ends_with(attributes), "{set}");
    let browser = Caller::default().with("cookie", &cookie(&begun));
    let answered: Value = begun.json().await.unwrap();
    let session = browser.request(&scene, "GET", "/api/v1/session").send().await.unwrap();
    let session: Value = session.json().await.unwrap();
    assert_eq!(answered, session);
    let shown = (&session["who"], &session["via"], &session["role"]);
    assert_eq!(shown, (&json!("ada"), &json!("token"), &json!("read")));
    assert!(session["ends_at"].is_string() && session["csrf_token"].is_string());
    assert_eq!(browser.status(&scene, "GET", "/api/v1/events").await, 200);
    let by_token = Caller::bearer(ADA).request(&scene, "GET", "/api/v1/session");
    let by_token: Value = by_token.send().await.unwrap().json().await.unwrap();
    assert_eq!((&by_token["ends_at"], &by_token["csrf_token"]), (&Value::Null, &Value::Null));
    let log = scene.relay.log_at_stop();
    assert!(!set.split(['=', ';']).any(|part| part.len() > 40 && log.contains(part)), "{log}");
}

#[tokio::test]
async fn login_page_works_without_script() {
    let scene = scene().await;
    let url = format!("{}/login", scene.relay.admin_url);
    let page = client().get(format!("{url}?next=/api/v1/stats")).send().await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.text().await.unwrap();
    assert!(page.contains("<label for=\"token\">") && !page.contains("<script"), "{page}");
    assert!(page.contains("name=\"next\" value=\"/api/v1/stats\""), "{page}");
    let post = async |body: &'static str| {
        let form = "application/x-www-form-urlencoded";
        let post = client().post(&url).header("content-type", form).body(body);
        post.header("origin", &scene.relay.admin_url).send().await.unwrap()
    };

    let wrong = post("token=wrong&next=/api/v1/stats").await;
    assert_eq!(wrong.status(), 401);
    assert!(!wrong.headers().contains_key("set-cookie"));
    let shown = wrong.text().await.unwrap();
    assert!(shown.contains("<p role=\"alert\">This token is not known.</p>"), "{shown}");
    assert!(shown.contains("value=\"/api/v1/stats\"") && !shown.contains("wrong"), "{shown}");

    let right = post("token=the+token+of+ada&next=/api/v1/stats").await;
    assert_eq!(
        (right.status().as_u16(), &right.headers()["location"]),
        (303, &"/api/v1/stats".parse().unwrap())
    );
    let browser = Caller::default().with("cookie", &cookie(&right));
    assert_eq!(browser.status(&scene, "GET", "/api/v1/stats").await, 200);
    for elsewhere in ["token=the+token+of+ada&next=//evil.example", "token=the+token+of+ada"] {
        assert_eq!(post(elsewhere).await.headers()["location"], "login", "{elsewhere}");
    }
    for mistaken in ["", "token=x&code=y", "tokn=x"] {
        assert_eq!(post(mistaken).await.status(), 400, "{mistaken}");
    }
    let page = browser.request(&scene, "GET", "/login").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("You are the token ada with the role read."), "{page}");
}

#[tokio::test]
async fn browser_at_the_front_is_sent_to_the_login_page() {
    let scene = scene().await;
    let front = async |accept: &str| {
        let url = format!("{}/", scene.relay.admin_url);
        client().get(url).header("accept", accept).send().await.unwrap()
    };

    let browser = front("text/html,application/xhtml+xml,*/*;q=0.8").await;

    assert_eq!(browser.status(), 303);
    assert_eq!(browser.headers()["location"], "login");
    let program = front("*/*").await;
    assert_eq!(program.status(), 404);
    let answered: Value = program.json().await.unwrap();
    assert_eq!(answered["reason"], "there is nothing here: the API is below /api/v1/");
}

#[tokio::test]
async fn wrong_token_and_missing_origin_are_named() {
    let scene = scene().await;
    let reason = async |caller: &Caller, (method, path): (&str, &str)| {
        let answer: Value =
            caller.request(&scene, method, path).send().await.unwrap().json().await.unwrap();
        answer["reason"].as_str().unwrap().to_owned()
    };

    let wrong = reason(&Caller::bearer("wrong"), ("GET", "/api/v1/stats")).await;
    let without = scene.browser(ADA).await.without("origin");
    let missing = reason(&without, ("POST", "/logout")).await;

    assert!(wrong.starts_with("this token is not known: compare it with ADMIN_TOKEN"), "{wrong}");
    let expected = format!("such as {}", scene.relay.admin_url);
    assert!(missing.starts_with("send the header Origin"), "{missing}");
    assert!(missing.ends_with(&expected), "{missing}");
}

#[tokio::test]
async fn logout_ends_the_session() {
    let scene = scene().await;
    let browser = scene.browser(ADA).await;
    let page = browser.request(&scene, "GET", "/login").send().await.unwrap().text().await.unwrap();
    let (_, field) = page.split_once("name=\"csrf\" value=\"").unwrap();
    let csrf = field.split('"').next().unwrap();
    let of_page = browser.clone().without("x-csrf-token");
    let log_out = async |caller: &Caller, form: String| {
        let form = caller.request(&scene, "POST", "/logout").body(form);
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        form.send().await.unwrap()
    };

    assert_eq!(log_out(&of_page, "csrf=wrong".to_owned()).await.status(), 403);
    assert_eq!(of_page.status(&scene, "GET", "/api/v1/session").await, 200);
    let done = log_out(&of_page, format!("csrf={csrf}")).await;

    assert_eq!(
        (done.status().as_u16(), &done.headers()["location"]),
        (303, &"login".parse().unwrap())
    );
    assert!(done.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    let (status, reason) = browser.refusal(&scene, "GET", "/api/v1/session").await;
    assert_eq!((status, reason.as_str()), (401, "the session has ended: log in again at /login"));
    assert_eq!(scene.browser(ADA).await.status(&scene, "POST", "/logout").await, 204);
    assert_eq!(Caller::default().status(&scene, "POST", "/logout").await, 204);
}

#[tokio::test]
async fn login_begins_another_session_and_ends_the_one_before() {
    let scene = scene().await;
    let planted = Caller::default().with("cookie", "savio_relay_session=planted");
    let login = async |caller: &Caller| {
        let login = caller.request(&scene, "POST", "/login").json(&json!({ "token": ADA }));
        cookie(&login.send().await.unwrap())
    };

    let first = login(&planted).await;
    assert_ne!(first, "savio_relay_session=planted");
    assert_eq!(planted.status(&scene, "GET", "/api/v1/session").await, 401);
    let first = Caller::default().with("cookie", &first);
    let second = Caller::default().with("cookie", &login(&first).await);

    assert_eq!(first.status(&scene, "GET", "/api/v1/session").await, 401);
    assert_eq!(second.status(&scene, "GET", "/api/v1/session").await, 200);
}

#[tokio::test]
async fn request_of_another_sites_page_is_403_and_changes_nothing() {
    let scene = scene().await;
    let browser = scene.browser(TOKEN).await;
    let other = scene.browser(TOKEN).await;
    let token_of = |caller: &Caller| {
        let found = caller.headers.iter().find(|(name, _)| *name == "x-csrf-token");
        found.unwrap().1.clone()
    };
    let bare = browser.clone().without("origin").without("x-csrf-token");
    let (origin, token) = (scene.relay.admin_url.clone(), token_of(&browser));
    let (method, path) = PAUSE;

    for (origin, token) in [
        (None, Some(token.as_str())),
        (Some("null"), Some(&token)),
        (Some("https://evil.example"), Some(&token)),
        (Some("http://localhost.evil.example"), Some(&token)),
        (Some(&origin), None),
        (Some(&origin), Some("")),
        (Some(&origin), Some(&token[1..])),
        (Some(&origin), Some(&token_of(&other))),
    ] {
        let mut forged = bare.clone();
        forged.headers.extend(origin.map(|it| ("origin", it.to_owned())));
        forged.headers.extend(token.map(|it| ("x-csrf-token", it.to_owned())));
        let (status, _) = forged.refusal(&scene, method, path).await;
        assert_eq!(status, 403, "{origin:?} {token:?}");
        let delete = forged.status(&scene, "DELETE", "/api/v1/replays/x").await;
        assert_eq!(delete, 403, "{origin:?} {token:?}");
    }
    assert!(!is_paused(&scene).await);
    assert_eq!(browser.status(&scene, method, path).await, 200);
    assert!(is_paused(&scene).await);
    let log = scene.relay.log_at_stop();
    assert!(log.contains("POST /api/v1/sources/form/pause token=admin.token"), "{log}");
}

#[tokio::test]
async fn token_of_a_form_is_read_from_its_field() {
    let scene = scene().await;
    let browser = scene.browser(TOKEN).await;
    let (_, token) = browser.headers.iter().find(|(name, _)| *name == "x-csrf-token").unwrap();
    let of_page = browser.clone().without("x-csrf-token");
    let post = async |path: &str, body: String| {
        let post = of_page.request(&scene, "POST", path).body(body);
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        post.header("content-type", form).send().await.unwrap().status().as_u16()
    };

    let path = "/api/v1/preview";
    assert_eq!(post(path, String::new()).await, 403);
    assert_eq!(post(path, "csrf=x&mapping=y".to_owned()).await, 403);
    // It is admitted; the route takes JSON.
    assert_eq!(post(path, format!("mapping=y&csrf={token}")).await, 415);
    // A button without script sends the field alone, to a route that takes no body.
    let path = "/api/v1/sources/form/pause";
    assert_eq!(post(path, "csrf=x".to_owned()).await, 403);
    assert_eq!(post(path, format!("csrf={token}&until=1")).await, 400);
    assert_eq!(post(path, format!("csrf={token}&csrf={token}")).await, 400);
    assert!(!is_paused(&scene).await);
    assert_eq!(post(path, format!("csrf={token}")).await, 200);
    assert!(is_paused(&scene).await);
}

#[tokio::test]
async fn name_that_another_site_made_lead_here_is_421() {
    let scene = Scene::configured(
        "[admin]\npublic_url = \"https://relay.example.com\"\nhosts = [\"inside\"]",
        &[],
    )
    .await;
    let begun = scene.login(json!({ "token": TOKEN })).await;
    let session = cookie(&begun);
    assert!(session.starts_with("__Host-savio_relay_session="), "{session}");
    let browser = Caller::default().with("cookie", &session);

    for (host, status) in [
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8081", 421),
        ("relay.example.com.evil.example", 421),
        ("relay.example.com", 200),
        ("RELAY.example.com:8443", 200),
        ("inside:1", 200),
        ("localhost:8081", 200),
        ("192.0.2.7", 200),
        ("[2001:db8::1]:8081", 200),
    ] {
        let named = browser.clone().with("host", host);
        assert_eq!(named.status(&scene, "GET", "/api/v1/session").await, status, "{host}");
        assert_eq!(named.status(&scene, "GET", "/login").await, status, "{host}");
    }
    let evil = |caller: Caller| caller.with("host", "evil.example");
    let (status, reason) = evil(browser).refusal(&scene, "GET", "/api/v1/session").await;
    assert_eq!(status, 421);
    assert!(reason.contains("evil.example") && reason.contains("admin.hosts"), "{reason}");
    assert_eq!(evil(Caller::default()).status(&scene, "POST", "/login").await, 421);
    assert_eq!(evil(Caller::default()).status(&scene, "POST", "/logout").await, 421);
    let path = "/api/v1/session";
    assert_eq!(evil(Caller::default()).status(&scene, "GET", "/healthz").await, 200);
    assert_eq!(evil(Caller::bearer(TOKEN)).status(&scene, "GET", path).await, 200);
    assert_eq!(evil(Caller::bearer("wrong")).status(&scene, "GET", path).await, 401);
    assert_eq!(evil(Caller::default()).status(&scene, "GET", path).await, 401);
}

#[tokio::test]
async fn token_in_the_header_counts_before_a_session() {
    let scene = scene().await;
    let browser = scene.browser(ADA).await.without("origin").without("x-csrf-token");
    let with = |header: &str| browser.clone().with("authorization", header);
    let status = async |header: &str, (method, path): (&'static str, &'static str)| {
        with(header).status(&scene, method, path).await
    };
    let read = ("GET", "/api/v1/stats");

    for wrong in ["Bearer wrong", "Bearer", "bearer  ", "Bearer \u{e9}"] {
        assert_eq!(status(wrong, read).await, 401, "{wrong}");
    }
    let twice = with(&format!("Bearer {TOKEN}")).with("authorization", &format!("Bearer {TOKEN}"));
    assert_eq!(twice.status(&scene, "GET", read.1).await, 401);
    // Such a header is for a proxy in front.
    assert_eq!(status("Basic YTpi", read).await, 200);
    assert_eq!(status(&format!("bearer {TOKEN}"), PAUSE).await, 200);
}

#[tokio::test]
async fn session_survives_a_restart() {
    let scene = scene().await;
    let browser = scene.browser(ADA).await;
    let restarted = |Scene { folder, savio, relay }, ada| {
        assert!(relay.stop().success());
        let variables = [("FORM_SECRET", "s"), ("ADMIN_TOKEN", TOKEN), ("ADA", ada)];
        let relay = Relay::start(folder.path(), &variables);
        Scene { folder, savio, relay }
    };
    let status = async |scene: &Scene| browser.status(scene, "GET", "/api/v1/session").await;

    let scene = restarted(scene, ADA);
    assert_eq!(status(&scene).await, 200);
    let scene = restarted(scene, "another token");
    assert_eq!(status(&scene).await, 401);
}

#[tokio::test]
async fn session_goes_on_while_the_store_is_not_available() {
    let scene = scene().await;
    let browser = scene.browser(ADA).await;
    let leaving = scene.browser(ADA).await;
    let store = Connection::open(scene.folder.path().join("relay.db")).unwrap();
    store.execute_batch("ALTER TABLE sessions RENAME TO away").unwrap();
    let status = async |caller: &Caller| caller.status(&scene, "GET", "/api/v1/session").await;

    // Whatever the store says of one that is not known, the answer is not that it has ended.
    let unknown = Caller::default().with("cookie", "savio_relay_session=unknown");
    until_async(async || status(&unknown).await == 503).await;
    assert_eq!(scene.login(json!({ "token": ADA })).await.status(), 503);
    assert_eq!(leaving.status(&scene, "POST", "/logout").await, 204);
    assert_eq!((status(&browser).await, status(&leaving).await), (200, 401));

    store.execute_batch("ALTER TABLE away RENAME TO sessions").unwrap();
    until_async(async || status(&unknown).await == 401).await;
    assert_eq!((status(&browser).await, status(&leaving).await), (200, 401));
    let left: i64 = store.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1, "the one that ended meanwhile is deleted");
}

#[tokio::test]
async fn session_that_another_node_ended_ends_here() {
    let scene = scene().await;
    let browser = scene.browser(ADA).await;
    let store = Connection::open(scene.folder.path().join("relay.db")).unwrap();

    store.execute("DELETE FROM sessions", []).unwrap();

    let start = std::time::Instant::now();
    until_async(async || browser.status(&scene, "GET", "/api/v1/session").await == 401).await;
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn changed_token_ends_its_sessions_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ada");
    fs::write(&file, ADA).unwrap();
    let config = READER.replace("env:ADA", &format!("file:{}", file.display()));
    let scene = Scene::configured(&config, &[]).await;
    let (browser, main) = (scene.browser(ADA).await, scene.browser(TOKEN).await);
    let linked = scene.browser_by_link("read").await;
    let status = async |caller: &Caller| caller.status(&scene, "GET", "/api/v1/session").await;
    let used = || scene.relay.logged("admin token ada: the new value");

    fs::write(&file, "another token of ada").unwrap();
    scene.relay.hang_up();
    until_async(async || used() == 1).await;
    assert_eq!((status(&browser).await, status(&main).await), (401, 200));
    assert_eq!(status(&linked).await, 200);

    fs::write(&file, ADA).unwrap();
    scene.relay.hang_up();
    until_async(async || used() == 2).await;
    assert_eq!(status(&browser).await, 401);
    assert_eq!(scene.login(json!({ "token": ADA })).await.status(), 200);
}

#[tokio::test]
async fn every_response_has_the_headers_that_protect_pages() {
    let scene = scene().await;
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
                  connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

    for path in ["/healthz", "/login", "/api/v1/stats", "/no", "/login?x=1", "/logout"] {
        for caller in [Caller::default(), Caller::bearer(TOKEN)] {
            let response = caller.request(&scene, "GET", path).send().await.unwrap();
            let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(header("content-security-policy"), policy, "{path}");
            assert_eq!(header("referrer-policy"), "same-origin", "{path}");
            assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(header("cache-control"), "no-store", "{path}");
        }
    }
}

#[tokio::test]
async fn logins_and_logouts_are_in_the_audit() {
    let scene = scene().await;
    let browser = scene.browser(ADA).await;
    let linked = scene.browser_by_link("operate").await;
    assert_eq!(scene.login(json!({ "token": "wrong" })).await.status(), 401);
    assert_eq!(linked.status(&scene, PAUSE.0, PAUSE.1).await, 200);
    assert_eq!(browser.status(&scene, "POST", "/logout").await, 204);

    let store = Connection::open(scene.folder.path().join("relay.db")).unwrap();
    let sql = "SELECT who || ' ' || via || ' ' || action FROM audit ORDER BY number";
    let mut entries = store.prepare(sql).unwrap();
    let entries = entries.query_map([], |row| row.get(0)).unwrap();
    let entries: Vec<String> = entries.collect::<Result<_, _>>().unwrap();

    assert_eq!(
        entries,
        [
            "ada session login",
            "admin.token token make_login_link",
            "admin.login-link session login",
            "admin.login-link session pause",
            "ada session logout",
        ]
    );
    let failed =
        "a login at the admin address failed: the token or the link is not known client=127.0.0.1";
    assert_eq!(scene.relay.logged(failed), 1);
}
