//! Mapping files that change while the relay runs: a new set is applied as a whole or not at all,
//! and no webhook is lost.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::relay::{Relay, SECRET, http, typeform_signature};
use crate::support::savio::{Arrived, start_savio};
use crate::support::wait::until;

const RELOADS: usize = 100;
const CONNECTIONS: usize = 4;

/// A folder with the source `survey`, a relay that runs in it, and what arrived at Savio.
pub(super) struct Scene {
    pub(super) folder: tempfile::TempDir,
    pub(super) relay: Relay,
    arrived: Arrived,
}

impl Scene {
    pub(super) async fn start() -> Scene {
        Scene::start_in(folder_with_survey()).await
    }

    pub(super) async fn start_in(folder: tempfile::TempDir) -> Scene {
        let arrived = Arrived::default();
        let savio = start_savio(arrived.clone()).await;
        let relay = start_relay(folder.path(), &savio, "8");
        Scene { folder, relay, arrived }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("mappings").join(format!("{name}.toml"))
    }

    pub(super) async fn post(&self, source: &str, text: &str) -> StatusCode {
        post(&http(), &self.relay.url, source, text).await
    }

    pub(super) async fn arrives(&self, text: &str) {
        until(|| self.arrived.lock().unwrap().contains_key(text)).await;
    }

    /// Waits until the log has more than `before` lines with this text.
    pub(super) async fn logs(&self, text: &str, before: usize) {
        until(|| self.relay.logged(text) > before).await;
    }
}

pub(super) fn folder_with_survey() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    write(&folder.path().join("mappings/survey.toml"), &mapping("first"));
    folder
}

pub(super) fn start_relay(folder: &Path, savio: &str, max_in_flight: &str) -> Relay {
    let variables = [
        ("TYPEFORM_SECRET", SECRET),
        ("SAVIO_API_TOKEN", "token"),
        ("SAVIO_RELAY_SAVIO__BASE_URL", savio),
        ("SAVIO_RELAY_SAVIO__MAX_IN_FLIGHT", max_in_flight),
    ];
    Relay::start(folder, &variables)
}

/// Returns a mapping file whose feedback is this word and the response's token.
pub(super) fn mapping(word: &str) -> String {
    let problem = format!("{word} {{{{ payload.form_response.token }}}}");
    format!(
        "provider = \"typeform\"\nsecrets = [\"env:TYPEFORM_SECRET\"]\n\n[[feedback]]\n\
         problem = \"{problem}\"\n"
    )
}

const BAD: &str = "provider = \"typeform\"\nsecrets = [\"env:TYPEFORM_SECRET\"]\nevnts = [\"x\"]\n";

/// Replaces a file as editors do: writes a new one and renames it.
pub(super) fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

async fn post(http: &reqwest::Client, url: &str, source: &str, text: &str) -> StatusCode {
    let body = json!({
        "event_id": text,
        "event_type": "form_response",
        "form_response": {"token": text},
    });
    let body = body.to_string();
    let sent = http
        .post(format!("{url}/hooks/{source}"))
        .header("content-type", "application/json")
        .header("typeform-signature", typeform_signature(body.as_bytes()))
        .body(body)
        .send();
    sent.await.unwrap().status()
}

#[tokio::test]
async fn changed_mapping_file_is_applied_when_saved() {
    let scene = Scene::start().await;

    std::fs::write(scene.path("survey"), mapping("second")).unwrap();
    scene.logs("applied mapping files: survey changed", 0).await;

    assert_eq!(scene.post("survey", "1").await, 202);
    scene.arrives("second 1").await;
}

#[tokio::test]
async fn invalid_file_keeps_all_current_mapping_files() {
    let scene = Scene::start().await;
    write(&scene.path("other"), BAD);
    write(&scene.path("survey"), &mapping("second"));

    scene.relay.hang_up();
    scene
        .logs(
            "reload rejected, keeping the current mapping files: 1 mistake in mappings/other.toml",
            0,
        )
        .await;

    assert!(scene.relay.logged("mappings/other.toml:3:1: unknown key `evnts`") > 0);
    assert_eq!(scene.post("other", "1").await, 404);
    assert_eq!(scene.post("survey", "2").await, 202);
    scene.arrives("first 2").await;
}

#[tokio::test]
async fn source_whose_file_cannot_be_read_is_off_beside_the_others() {
    let folder = folder_with_survey();
    let link = folder.path().join("mappings/other.toml");
    std::os::unix::fs::symlink("target", &link).unwrap();
    // Emacs makes such a link beside a file with unsaved changes.
    let lock = folder.path().join("mappings/.#survey.toml");
    std::os::unix::fs::symlink("ada@example.com.1:2", lock).unwrap();
    let scene = Scene::start_in(folder).await;
    assert_eq!(scene.post("survey", "1").await, 202);
    scene.arrives("first 1").await;
    assert_eq!(scene.post("other", "2").await, 503);

    write(&scene.path("survey"), &mapping("second"));
    let rejected = "keeping the current mapping files: 1 mistake in mappings/other.toml";
    scene.logs(rejected, 0).await;
    assert!(scene.relay.logged("the file cannot be read: No such file or directory") > 0);
    assert_eq!(scene.post("survey", "3").await, 202);
    scene.arrives("first 3").await;

    std::fs::write(scene.folder.path().join("mappings/target"), mapping("other")).unwrap();
    scene.relay.hang_up();
    scene.logs("other is live at", 0).await;
    assert_eq!(scene.post("other", "4").await, 202);
    scene.arrives("other 4").await;
    assert_eq!(scene.post("survey", "5").await, 202);
    scene.arrives("second 5").await;
}

#[tokio::test]
async fn new_mapping_file_is_a_live_source() {
    let scene = Scene::start().await;
    assert_eq!(scene.post("other", "1").await, 404);

    write(&scene.path("other"), &mapping("other"));
    scene.logs("other is live at", 0).await;

    assert_eq!(scene.post("other", "1").await, 202);
    scene.arrives("other 1").await;
}

#[tokio::test]
async fn source_without_its_file_is_off_until_it_is_back() {
    let scene = Scene::start().await;

    std::fs::remove_file(scene.path("survey")).unwrap();
    scene.logs("survey is off: its mapping file is gone", 0).await;
    assert_eq!(scene.post("survey", "1").await, 503);

    write(&scene.path("survey"), &mapping("back"));
    scene.logs("survey is live", 0).await;
    assert_eq!(scene.post("survey", "1").await, 202);
    scene.arrives("back 1").await;
}

#[tokio::test]
async fn file_that_is_removed_and_written_again_is_never_gone() {
    let scene = Scene::start().await;

    std::fs::remove_file(scene.path("survey")).unwrap();
    scene.relay.hang_up();
    scene.logs("applied mapping files: nothing changed", 0).await;
    assert_eq!(scene.post("survey", "1").await, 202);
    scene.arrives("first 1").await;
    write(&scene.path("survey"), &mapping("second"));
    scene.logs("survey changed", 0).await;

    assert_eq!(scene.post("survey", "2").await, 202);
    scene.arrives("second 2").await;
    assert_eq!(scene.relay.logged("gone"), 0);
}

#[tokio::test]
async fn files_of_other_programs_block_no_reload() {
    let folder = folder_with_survey();
    let leave = |folder: &Path| {
        for name in
            ["._survey.toml", ".#survey.toml", "#survey.toml#", "survey.toml~", "~$survey.toml"]
        {
            std::fs::write(folder.join("mappings").join(name), "\0\x05\x16 not TOML").unwrap();
        }
    };
    leave(folder.path());
    let scene = Scene::start_in(folder).await;
    assert!(!scene.relay.startup_output.contains("mistake"), "{}", scene.relay.startup_output);

    leave(scene.folder.path());
    write(&scene.path("survey"), &mapping("second"));
    scene.logs("applied mapping files: survey changed", 0).await;

    assert_eq!(scene.relay.logged("reload rejected"), 0);
    let mut check = crate::support::relay::program(scene.folder.path());
    let output = check.arg("check").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// Starts a stand-in for Savio that never responds.
async fn start_silent_savio() -> String {
    let router = Router::new().fallback(std::future::pending::<StatusCode>);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/app/api/")
}

#[tokio::test]
async fn events_wait_for_a_missing_mapping_file_over_a_restart() {
    let folder = folder_with_survey();
    let savio = start_silent_savio().await;
    let relay = start_relay(folder.path(), &savio, "1");
    for text in ["1", "2"] {
        assert_eq!(post(&http(), &relay.url, "survey", text).await, 202);
    }
    relay.kill();
    std::fs::remove_file(folder.path().join("mappings/survey.toml")).unwrap();

    let scene = Scene::start_in(folder).await;
    scene.logs("queued events wait: the source survey has no mapping at present", 0).await;
    write(&scene.path("survey"), &mapping("back"));

    // One of them may have been mapped before the kill; which one is not determined.
    let has = |text: &str| scene.arrived.lock().unwrap().contains_key(text);
    until(|| ["1", "2"].iter().all(|n| has(&format!("first {n}")) || has(&format!("back {n}"))))
        .await;
    assert!(has("back 1") || has("back 2"));
}

#[tokio::test]
async fn folder_replaced_by_a_link_is_applied() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let mappings = folder.path().join("mappings");
    // The layout of a ConfigMap that Kubernetes mounts.
    for version in ["..1", "..2"] {
        std::fs::create_dir_all(mappings.join(version)).unwrap();
        std::fs::write(mappings.join(version).join("survey.toml"), mapping(version)).unwrap();
    }
    symlink("..1", mappings.join("..data")).unwrap();
    symlink("..data/survey.toml", mappings.join("survey.toml")).unwrap();
    let scene = Scene::start_in(folder).await;

    symlink("..2", mappings.join("..data_tmp")).unwrap();
    std::fs::rename(mappings.join("..data_tmp"), mappings.join("..data")).unwrap();
    scene.logs("applied mapping files: survey changed", 0).await;

    assert_eq!(scene.post("survey", "1").await, 202);
    scene.arrives("..2 1").await;
}

#[tokio::test]
async fn replaced_folder_is_watched() {
    let scene = Scene::start().await;
    let root = scene.folder.path();
    std::fs::create_dir(root.join("next")).unwrap();
    std::fs::write(root.join("next/survey.toml"), mapping("second")).unwrap();

    std::fs::rename(root.join("mappings"), root.join("old")).unwrap();
    std::fs::rename(root.join("next"), root.join("mappings")).unwrap();
    scene.logs("survey changed", 0).await;
    write(&scene.path("survey"), &mapping("third"));
    scene.logs("survey changed", 1).await;

    assert_eq!(scene.post("survey", "1").await, 202);
    scene.arrives("third 1").await;
}

#[tokio::test]
async fn secret_files_are_read_again_on_reload() {
    let scene = Scene::start().await;
    let secret = scene.folder.path().join("secret");
    std::fs::write(&secret, "an old secret").unwrap();
    let with_file = mapping("kept").replace("env:TYPEFORM_SECRET", "file:secret");
    write(&scene.path("survey"), &with_file);
    scene.logs("survey changed", 0).await;
    assert_eq!(scene.post("survey", "1").await, 401);

    std::fs::write(&secret, SECRET).unwrap();
    scene.relay.hang_up();
    scene.logs("the secrets in files were read again", 0).await;

    assert_eq!(scene.post("survey", "1").await, 202);
}

#[tokio::test]
async fn changed_config_applies_only_the_mapping_folder() {
    let scene = Scene::start().await;
    let root = scene.folder.path();
    std::fs::create_dir(root.join("others")).unwrap();
    std::fs::write(root.join("others/other.toml"), mapping("other")).unwrap();

    std::fs::write(root.join("relay.toml"), "mappings = \"others\"\n").unwrap();
    scene.logs("relay.toml has changed: only `mappings`", 0).await;
    assert_eq!(scene.post("other", "1").await, 202);
    assert_eq!(scene.post("survey", "2").await, 503);

    std::fs::write(root.join("relay.toml"), "mapings = \"others\"\n").unwrap();
    scene
        .logs("reload rejected, keeping the current mapping files: 1 mistake in relay.toml", 0)
        .await;
    std::fs::remove_file(root.join("relay.toml")).unwrap();
    scene.logs("reload rejected, keeping the current mapping files: relay.toml is gone", 0).await;
    assert_eq!(scene.post("other", "3").await, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundred_reloads_under_load_lose_no_webhook() {
    let scene = Scene::start().await;
    let accepted = Arc::new(Mutex::new(BTreeSet::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let posting: Vec<_> = (0..CONNECTIONS)
        .map(|connection| {
            let url = scene.relay.url.clone();
            tokio::spawn(post_until(stop.clone(), url, connection, accepted.clone()))
        })
        .collect();

    for round in 0..RELOADS {
        reload(&scene, round).await;
    }
    write(&scene.path("survey"), &mapping("last"));
    scene.relay.hang_up();
    stop.store(true, Ordering::Relaxed);
    for task in posting {
        task.await.unwrap();
    }

    let accepted = accepted.lock().unwrap().clone();
    assert!(accepted.len() > RELOADS, "{} were taken", accepted.len());
    until(|| missing(&scene.arrived, &accepted).is_empty()).await;
    assert!(scene.relay.stop().success());
}

/// Makes one of four kinds of change, and waits until the relay has applied or rejected it.
async fn reload(scene: &Scene, round: usize) {
    let reloads = || {
        scene.relay.logged("applied mapping files")
            + scene.relay.logged("keeping the current mapping files")
    };
    let before = reloads();
    match round % 4 {
        0 => write(&scene.path("survey"), BAD),
        1 => write(&scene.path("survey"), &mapping(&format!("{round}"))),
        2 => std::fs::remove_file(scene.path("survey")).unwrap(),
        _ => write(&scene.path("survey"), &mapping("again")),
    }
    // Most are requested by SIGHUP, so that the test does not wait for the files to come to rest.
    if !round.is_multiple_of(10) {
        scene.relay.hang_up();
    }
    until(|| reloads() > before).await;
}

pub(super) async fn post_until(
    stop: Arc<AtomicBool>,
    url: String,
    connection: usize,
    accepted: Arc<Mutex<BTreeSet<String>>>,
) {
    let http = http();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let text = format!("{connection}-{number}");
        match post(&http, &url, "survey", &text).await {
            StatusCode::ACCEPTED => drop(accepted.lock().unwrap().insert(text)),
            StatusCode::SERVICE_UNAVAILABLE => tokio::task::yield_now().await,
            status => panic!("{status} for {text}"),
        }
    }
}

/// Returns what was accepted and has not arrived at Savio, under any mapping.
fn missing(arrived: &Arrived, accepted: &BTreeSet<String>) -> Vec<String> {
    let arrived = arrived.lock().unwrap();
    let tokens: BTreeSet<&str> =
        arrived.keys().filter_map(|text| text.split_once(' ')).map(|(_, token)| token).collect();
    accepted.iter().filter(|text| !tokens.contains(text.as_str())).cloned().collect()
}
