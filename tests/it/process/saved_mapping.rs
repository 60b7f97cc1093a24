//! A mapping file that is saved by the API while an editor deletes and renames it, SIGHUP arrives and
//! webhooks do not stop: none is lost, and each text is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::reload::{folder_with_survey, post_until, start_relay};
use crate::support::relay::{Relay, http};
use crate::support::wait::{until, until_async};

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 30;
const SAVES: usize = 20;

/// The feedback that arrived: its text, with the word at the end of the mapping that made it.
type Arrived = Arc<Mutex<BTreeMap<String, String>>>;

async fn start_savio(arrived: Arrived) -> String {
    async fn create(
        State(arrived): State<Arrived>,
        Json(body): Json<Value>,
    ) -> (StatusCode, Json<Value>) {
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        arrived.lock().unwrap().insert(text("problem"), text("person_name"));
        (StatusCode::CREATED, Json(json!({"id": 1})))
    }
    let router = Router::new().route("/app/api/create-feedback/", post(create)).with_state(arrived);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/app/api/")
}

/// Returns a text with the word at its beginning and its end, far from each other.
fn text(word: &str) -> String {
    let padding = "# padding\n".repeat(10_000);
    format!(
        "provider = \"typeform\"\nsecrets = [\"env:TYPEFORM_SECRET\"]\n\n[[feedback]]\n\
         problem = \"{word} {{{{ payload.form_response.token }}}}\"\n{padding}\
         person_name = \"{word}\"\n"
    )
}

/// Deletes the file and renames another to its place, as some editors do.
fn edit(path: &Path, text: &str) {
    let new = path.with_extension("edited");
    std::fs::write(&new, text).unwrap();
    let _ = std::fs::remove_file(path);
    std::fs::rename(new, path).unwrap();
}

struct Api {
    url: String,
    token: String,
}

impl Api {
    async fn call(&self, call: reqwest::RequestBuilder) -> (StatusCode, Value) {
        let answer = call.bearer_auth(&self.token).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn shown(&self) -> Value {
        let (status, shown) = self.call(http().get(&self.url)).await;
        assert_eq!(status, 200, "{shown}");
        shown
    }

    /// Saves a text on top of the one that is shown, which it returns; none if that has changed.
    async fn save(&self, new: &str) -> Option<String> {
        let shown = self.shown().await;
        let tag = format!("\"{}\"", shown["digest"].as_str().unwrap());
        let save = http().put(&self.url).header("if-match", tag).json(&json!({ "mapping": new }));
        let (status, answer) = self.call(save.timeout(std::time::Duration::from_secs(30))).await;
        assert!(status == 200 || status == 412, "{status} {answer}");
        (status == 200).then(|| shown["text"].as_str().unwrap().to_owned())
    }
}

/// A relay under load, with its one mapping file.
struct Race {
    folder: tempfile::TempDir,
    path: PathBuf,
    relay: Relay,
    api: Api,
    arrived: Arrived,
    accepted: Arc<Mutex<BTreeSet<String>>>,
    /// For each text that was saved, the one that it has replaced.
    saved: Mutex<BTreeMap<String, String>>,
    edits: AtomicUsize,
}

impl Race {
    async fn start() -> Race {
        let folder = folder_with_survey();
        let path = folder.path().join("mappings/survey.toml");
        std::fs::write(&path, text("first")).unwrap();
        let arrived = Arrived::default();
        let savio = start_savio(arrived.clone()).await;
        let relay = start_relay(folder.path(), &savio, "8");
        let token = std::fs::read_to_string(folder.path().join("admin-token")).unwrap();
        let url = format!("{}/api/v1/sources/survey/mapping", relay.admin_url);
        let api = Api { url, token: token.trim().to_owned() };
        let (accepted, saved, edits) = (Arc::default(), Mutex::default(), AtomicUsize::new(0));
        Race { folder, path, relay, api, arrived, accepted, saved, edits }
    }

    /// Saves text after text until there were enough saves, and the editor has ended.
    async fn save(&self) {
        for number in 0.. {
            let new = text(&format!("api-{number}"));
            if let Some(before) = self.api.save(&new).await {
                self.saved.lock().unwrap().insert(new, before);
            }
            let is_enough = self.saved.lock().unwrap().len() >= SAVES;
            if is_enough && self.edits.load(Ordering::Relaxed) == ROUNDS {
                return;
            }
        }
    }

    async fn edit_and_hang_up(&self) {
        for round in 0..ROUNDS {
            let before = self.relay.logged("applied mapping files");
            edit(&self.path, &text(&format!("editor-{round}")));
            if round.is_multiple_of(2) {
                self.relay.hang_up();
            }
            until(|| self.relay.logged("applied mapping files") > before).await;
            self.edits.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn check_texts(&self) {
        let mut last = std::fs::read_to_string(&self.path).unwrap();
        let shown = self.api.shown().await;
        assert_eq!((&shown["text"], &shown["digest"]), (&json!(last), &shown["in_service"]));
        let mut saved = self.saved.lock().unwrap().clone();
        while let Some(before) = saved.remove(&last) {
            last = before;
        }
        let of_editor = text(&format!("editor-{}", ROUNDS - 1));
        assert_eq!(last, of_editor, "a text of the editor was overwritten");
        self.check_versions().await;
        let mappings = self.folder.path().join("mappings");
        let names: Vec<_> = std::fs::read_dir(mappings).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing is left beside the file: {names:?}");
    }

    /// Checks that each text that was in service is one that somebody wrote, byte for byte.
    async fn check_versions(&self) {
        let versions = self.api.url.replace("/mapping", "/versions");
        let (status, listed) = self.api.call(http().get(format!("{versions}?limit=500"))).await;
        assert_eq!(status, 200, "{listed}");
        let listed = listed["versions"].as_array().unwrap();
        assert!(listed.len() > SAVES, "{} versions", listed.len());
        for version in listed {
            let digest = version["digest"].as_str().unwrap();
            let (_, shown) = self.api.call(http().get(format!("{versions}/{digest}"))).await;
            let shown = shown["text"].as_str().unwrap();
            // The word at its end says who wrote it; all before has to be what they wrote.
            let word = shown.trim_end().rsplit('"').nth(1).unwrap_or_default();
            let is_known = ["first", "api-", "editor-"].iter().any(|it| word.starts_with(it));
            assert!(is_known && shown == text(word), "nobody wrote {digest}, which ends in {word}");
        }
    }

    async fn check_webhooks(&self) {
        let accepted = self.accepted.lock().unwrap().clone();
        assert!(accepted.len() > ROUNDS, "{} were accepted", accepted.len());
        let rejected = self.api.url.replace("sources/survey/mapping", "rejected?source=survey");
        let (_, listed) = self.api.call(http().get(rejected)).await;
        assert_eq!(listed["rejected"], json!([]), "the source was never off");
        let arrived = || self.arrived.lock().unwrap().clone();
        until_async(async || arrived().len() >= accepted.len()).await;
        let token = |(problem, name): (String, String)| {
            let (word, token) = problem.split_once(' ').unwrap();
            assert_eq!(word, name, "mapped by a text that nobody wrote");
            token.to_owned()
        };
        assert_eq!(arrived().into_iter().map(token).collect::<BTreeSet<_>>(), accepted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn saves_edits_and_hangups_under_load_lose_no_webhook_and_no_text() {
    let race = Race::start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let posting: Vec<_> = (0..CONNECTIONS)
        .map(|connection| {
            let (stop, accepted) = (stop.clone(), race.accepted.clone());
            tokio::spawn(post_until(stop, race.relay.url.clone(), connection, accepted))
        })
        .collect();

    tokio::join!(race.save(), race.edit_and_hang_up());
    stop.store(true, Ordering::Relaxed);
    for task in posting {
        task.await.unwrap();
    }

    race.check_texts().await;
    race.check_webhooks().await;
    assert!(race.relay.stop().success());
}
