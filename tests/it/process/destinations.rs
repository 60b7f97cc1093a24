//! Several Savio accounts: each source sends to its own, and a failure of one does not affect
//! others.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::relay::{Relay, http, program};
use crate::support::wait::until;

/// Two sources with a destination each, and a Savio for both destinations.
struct Scene {
    folder: TempDir,
    savio: MockServer,
}

impl Scene {
    async fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("mappings")).unwrap();
        write(folder.path(), "home", "");
        write(folder.path(), "abroad", "destination = \"eu\"\n");
        let savio = MockServer::start().await;
        let settings = format!(
            "[savio]\nbase_url = \"{0}/home/\"\n[destinations.eu]\nbase_url = \"{0}/eu/\"\n\
             token = \"env:EU\"\n",
            savio.uri()
        );
        std::fs::write(folder.path().join("relay.toml"), settings).unwrap();
        Scene { folder, savio }
    }

    fn relay(&self, variables: &[(&str, &str)]) -> Relay {
        let secret = [("FORM_SECRET", "secret"), ("RUST_BACKTRACE", "0")];
        Relay::start(self.folder.path(), &[&secret, variables].concat())
    }

    async fn answers(&self, account: &str, token: &str, status: u16) {
        let answer = ResponseTemplate::new(status).set_body_json(json!({ "id": 7 }));
        Mock::given(method("POST"))
            .and(path(format!("/{account}/create-feedback/")))
            .and(header("authorization", format!("Token {token}")))
            .respond_with(answer)
            .mount(&self.savio)
            .await;
    }

    fn run(&self, arguments: &[&str]) -> Output {
        program(self.folder.path()).args(arguments).output().expect("the program runs")
    }

    fn count(&self, arguments: &[&str]) -> usize {
        let output = self.run(&[&["events", "list", "--json"], arguments].concat());
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
        listed["events"].as_array().unwrap().len()
    }
}

fn write(folder: &Path, source: &str, first_line: &str) {
    let mapping = format!(
        "{first_line}provider = \"form\"\nsecrets = [\"env:FORM_SECRET\"]\n\n[[feedback]]\n\
         problem = \"$.text\"\n"
    );
    std::fs::write(folder.join(format!("mappings/{source}.toml")), mapping).unwrap();
}

async fn post(relay: &Relay, source: &str) {
    let url = format!("{}/hooks/{source}", relay.url);
    let sent = http().post(url).header("x-relay-token", "secret").json(&json!({ "text": "Slow" }));
    assert_eq!(sent.send().await.unwrap().status(), 202);
}

#[tokio::test]
async fn source_sends_to_its_own_account() {
    let scene = Scene::new().await;
    scene.answers("home", "at-home", 201).await;
    scene.answers("eu", "abroad", 201).await;
    let relay = scene.relay(&[("SAVIO_API_TOKEN", "at-home"), ("EU", "abroad")]);

    post(&relay, "home").await;
    post(&relay, "abroad").await;

    until(|| scene.count(&["--state", "delivered"]) == 2).await;
    assert_eq!(scene.count(&["--destination", "eu"]), 1);
    assert_eq!(scene.count(&["--destination", "default", "--source", "abroad"]), 0);
}

#[tokio::test]
async fn paused_account_does_not_stop_others() {
    let scene = Scene::new().await;
    scene.answers("home", "at-home", 401).await;
    scene.answers("eu", "abroad", 201).await;
    let relay = scene.relay(&[("SAVIO_API_TOKEN", "at-home"), ("EU", "abroad")]);
    post(&relay, "home").await;
    until(|| relay.logged("delivery is paused: Savio answered 401") > 0).await;

    post(&relay, "abroad").await;

    until(|| scene.count(&["--source", "abroad", "--state", "delivered"]) == 1).await;
    assert_eq!(scene.count(&["--source", "home", "--state", "queued"]), 1);
}

#[tokio::test]
async fn account_without_a_token_keeps_its_events() {
    let scene = Scene::new().await;
    scene.answers("home", "at-home", 201).await;
    let relay = scene.relay(&[("SAVIO_API_TOKEN", "at-home")]);

    post(&relay, "abroad").await;
    post(&relay, "home").await;

    until(|| scene.count(&["--source", "home", "--state", "delivered"]) == 1).await;
    assert_eq!(scene.count(&["--destination", "eu", "--state", "queued"]), 1);
}

#[tokio::test]
async fn unknown_destination_is_an_error_in_the_mapping_file() {
    let scene = Scene::new().await;
    write(scene.folder.path(), "abroad", "destination = \"ue\"\n");

    let output = scene.run(&["check"]);

    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    for part in ["abroad.toml:1:15", "there is no destination `ue`", "did you mean \"eu\"?"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let _relay = scene.relay(&[]);
    let unknown = scene.run(&["events", "list", "--destination", "us"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("there are: default, eu"));
}

/// A Savio at a host that does not exist, and is only reached through the proxy of the environment.
async fn scene_in_clear() -> (Scene, [(&'static str, String); 2]) {
    let scene = Scene::new().await;
    write_settings(&scene, "");
    let found = ResponseTemplate::new(200).set_body_json(json!({ "results": [] }));
    Mock::given(method("GET")).respond_with(found).mount(&scene.savio).await;
    let made = ResponseTemplate::new(201).set_body_json(json!({ "id": 7 }));
    Mock::given(method("POST")).respond_with(made).mount(&scene.savio).await;
    let variables =
        [("SAVIO_API_TOKEN", "canary-token".to_owned()), ("HTTP_PROXY", scene.savio.uri())];
    (scene, variables)
}

fn write_settings(scene: &Scene, more: &str) {
    let base_url = "http://savio.example.invalid/app/api/";
    let settings = format!("[savio]\nbase_url = \"{base_url}\"\n{more}\n[destinations.eu]\n");
    std::fs::write(scene.folder.path().join("relay.toml"), settings).unwrap();
}

#[tokio::test]
async fn token_is_sent_in_clear_to_public_hosts_only_if_allowed() {
    let (scene, variables) = scene_in_clear().await;
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let relay = scene.relay(&variables);

    post(&relay, "home").await;
    let output = || relay.startup_output.clone() + &relay.log();
    until(|| output().contains("delivery is paused: savio.example.invalid is not known")).await;
    assert!(output().contains("`insecure = true`"), "{}", output());
    let mut command = program(scene.folder.path());
    let listed = command.args(["savio", "contacts", "list"]).envs(variables).output().unwrap();
    let output = String::from_utf8(listed.stderr).unwrap();
    assert_eq!(listed.status.code(), Some(1), "{output}");
    assert!(output.contains("the token is not sent: savio.example.invalid"), "{output}");
    assert!(relay.stop().success());
    assert_eq!(scene.savio.received_requests().await.unwrap().len(), 0);

    write_settings(&scene, "insecure = true");
    let relay = scene.relay(&variables);
    until(|| scene.count(&["--source", "home", "--state", "delivered"]) == 1).await;
    assert!((relay.startup_output.clone() + &relay.log()).contains("requests are sent again"));
}
