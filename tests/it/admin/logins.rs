//! Logins: how often one may fail, and links that log a browser in once.

use std::fs;

use serde_json::{Value, json};

use super::browser::Caller;
use super::sessions::{ADA, PAUSE, scene};
use super::{Scene, TOKEN};
use crate::support::relay::{http, program};
use crate::support::wait::until_async;

#[tokio::test]
async fn failed_logins_are_limited_and_successes_are_not() {
    let scene = scene().await;
    for _ in 0..20 {
        assert_eq!(scene.login(json!({ "token": ADA })).await.status(), 200);
    }
    let mut limited = None;
    for _ in 0..8 {
        let failed = scene.login(json!({ "token": "wrong" })).await;
        if failed.status() == 429 {
            limited = Some(failed);
            break;
        }
        assert_eq!(failed.status(), 401);
    }
    let limited = limited.expect("the sixth failure is too many");
    let seconds: u64 = limited.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");
    assert_eq!(limited.json::<Value>().await.unwrap()["error"], "too many requests");

    // A token in the header is no login, and a right code is no guess: a stranger behind the same
    // proxy cannot keep its holder out. A wrong one is.
    assert_eq!(scene.call("GET", "/api/v1/stats", None).await.status, 200);
    let code = scene.link_code("read").await;
    let statuses = async |code: &str| scene.login(json!({ "code": code })).await.status().as_u16();
    assert_eq!((statuses(&code).await, statuses(&code).await), (200, 429));
    let elsewhere = client_from([127, 0, 0, 9], &scene).await;
    assert_eq!(elsewhere, 200);
}

#[tokio::test]
async fn short_tokens_in_a_header_are_limited_and_long_ones_are_not() {
    let scene = scene().await;
    let stats = async |token: &str| {
        let call = Caller::bearer(token).request(&scene, "GET", "/api/v1/stats");
        call.send().await.unwrap()
    };
    for _ in 0..20 {
        assert_eq!(stats("a long token that is wrong").await.status(), 401);
        assert_eq!(stats("").await.status(), 401);
    }
    let mut limited = None;
    for number in 0..8 {
        let failed = stats(&format!("hunter{number}")).await;
        if failed.status() == 429 {
            limited = Some(failed);
            break;
        }
        assert_eq!(failed.status(), 401);
    }
    let limited = limited.expect("the sixth failure is too many");
    assert!(limited.headers().contains_key("retry-after"));
    assert_eq!(stats(TOKEN).await.status(), 200);
    assert_eq!(stats("a long token that is wrong").await.status(), 401);
}

/// Returns the status of a right login from another address.
async fn client_from(address: [u8; 4], scene: &Scene) -> u16 {
    let client = crate::support::relay::http_from(address.into());
    let url = format!("{}/login", scene.relay.admin_url);
    let login = async || client.post(&url).json(&json!({ "token": ADA })).send().await.unwrap();
    // The limit of all clients lasts a second, that of one client ten.
    until_async(async || login().await.status() != 429).await;
    login().await.status().as_u16()
}

#[tokio::test]
async fn login_link_works_once_with_its_role() {
    let scene = scene().await;
    let code = scene.link_code("operate").await;
    let page = http().get(format!("{}/login?code={code}", scene.relay.admin_url));
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(page.contains("<button type=\"submit\">Log in</button>"), "{page}");

    let begun = scene.login(json!({ "code": code })).await;
    assert_eq!(begun.status(), 200, "to open the page spends nothing");
    let again = scene.login(json!({ "code": code })).await;
    assert_eq!(again.status(), 401);
    let reason = again.json::<Value>().await.unwrap()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("was used before"), "{reason}");
    let browser = Caller::default().in_session(&scene, &begun).await;
    let session = browser.request(&scene, "GET", "/api/v1/session").send().await.unwrap();
    let session: Value = session.json().await.unwrap();
    let shown = (&session["who"], &session["via"], &session["role"]);
    assert_eq!(shown, (&json!("admin.login-link"), &json!("link"), &json!("operate")));
    assert_eq!(browser.status(&scene, PAUSE.0, PAUSE.1).await, 200);
    let (status, reason) = browser.refusal(&scene, "POST", "/api/v1/login-links").await;
    assert_eq!(status, 403);
    assert_eq!(reason, "this login link has the role operate: this needs admin.token");
    let wrong = scene.call("POST", "/api/v1/login-links", Some(&json!({ "role": "root" }))).await;
    assert_eq!(wrong.status, 400);
    let log = scene.relay.log_at_stop();
    assert!(log.contains("token=admin.login-link") && !log.contains(&code), "{log}");
}

#[tokio::test]
async fn command_makes_a_login_link_of_the_running_relay() {
    let config = "[admin]\npublic_url = \"http://relay.example.com/\"\n";
    let scene = Scene::configured(config, &[]).await;
    let address = scene.relay.admin_url.trim_start_matches("http://");
    let run = |more: &[&str], token: &str| {
        let mut command = program(scene.folder.path());
        command.args(["login-link"]).args(more).env("ADMIN_TOKEN", token);
        command.env("SAVIO_RELAY_SERVER__ADMIN_LISTEN", address).output().unwrap()
    };

    let made = run(&["--role", "read"], TOKEN);

    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let url = String::from_utf8(made.stdout).unwrap();
    let code = url.trim().strip_prefix("http://relay.example.com/login?code=").unwrap();
    let told = String::from_utf8(made.stderr).unwrap();
    assert!(told.contains("with the role read"), "{told}");
    let session: Value = scene.login(json!({ "code": code })).await.json().await.unwrap();
    assert_eq!(session["role"], "read");
    let answer: Value = serde_json::from_slice(&run(&["--json"], TOKEN).stdout).unwrap();
    assert_eq!(answer["role"], "everything");
    assert_eq!(run(&["--role", "root"], TOKEN).status.code(), Some(2));
    assert_eq!(run(&[], "another token").status.code(), Some(1));
}

#[tokio::test]
async fn start_shows_a_login_link_on_a_terminal_only() {
    let scene = scene().await;
    assert!(!scene.relay.startup_output.contains("/login?code="));
    assert!(!scene.relay.log_at_stop().contains("/login?code="));

    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_savio-relay");
    let serve = format!("timeout -s TERM 60 {program} serve 2>{}/log", folder.path().display());
    let mut script = std::process::Command::new("script");
    script.args(["-qfec", &serve, "terminal"]).current_dir(folder.path());
    script.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    for address in ["LISTEN", "ADMIN_LISTEN"] {
        script.env(format!("SAVIO_RELAY_SERVER__{address}"), "127.0.0.1:0");
    }
    let mut script = script.env("ADMIN_TOKEN", TOKEN).spawn().unwrap();
    let shown = || fs::read_to_string(folder.path().join("terminal")).unwrap_or_default();
    until_async(async || shown().contains("/login?code=")).await;
    script.kill().unwrap();
    script.wait().unwrap();
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!log.contains("/login?code="), "{log}");
}
