//! Promise 9: an event whose mapping crashes the process does not do so for ever, and does not
//! affect other events.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use http::StatusCode;
use savio_relay::event::{EventId, State};
use savio_relay::store::sqlite::Settings;
use savio_relay::store::{Archive, EventRecord, Sqlite};
use serde_json::{Value, json};

use super::{Arrived, MAPPING};
use crate::support::relay::{Relay, SECRET, http, program, typeform_signature};
use crate::support::savio::start_savio;
use crate::support::wait::{until, until_async};

/// Limit of `ulimit -d`, in KiB.
// The relay needs 60 MB for small events, and 600 MB to map the large one: its 2.5 million numbers
// alone take 128 MiB as values, and half as much again while their array grows.
const MEMORY_KIB: usize = 160_000;
const NUMBERS: usize = 2_500_000;

/// The first crash makes the event a suspect, and three more are counted.
const CRASHES: usize = 4;

/// A `serve` without enough memory for the large event, so that it may crash at any time.
struct RelayRun {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl RelayRun {
    fn start(folder: &Path, variables: &[(&str, &str)]) -> RelayRun {
        let serve = program(folder);
        let limited = format!("ulimit -d {MEMORY_KIB} && exec \"$0\" serve");
        let mut child = Command::new("/bin/sh")
            .args(["-c".as_ref(), limited.as_ref(), serve.get_program()])
            .current_dir(folder)
            .env_clear()
            .env("SAVIO_RELAY_SERVER__LISTEN", "127.0.0.1:0")
            .env("SAVIO_RELAY_SERVER__ADMIN_LISTEN", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell is there");
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::<Mutex<String>>::default();
        let lines_read = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                eprintln!("{line}");
                *lines_read.lock().unwrap() += &format!("{line}\n");
            }
        });
        RelayRun { child, log }
    }

    fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }

    async fn url(&self) -> String {
        let found = || {
            let log = self.log.lock().unwrap();
            let url = log.lines().find_map(|line| line.split_once("listening on "));
            url.map(|(_, url)| url.trim().to_owned())
        };
        until(|| found().is_some()).await;
        found().unwrap()
    }

    fn stop(mut self) {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().expect("kill is there");
        assert!(self.child.wait().expect("it is our child").success());
    }
}

impl Drop for RelayRun {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn post(url: &str, text: &str, numbers: usize) -> EventId {
    let form = json!({ "token": text, "numbers": vec![0; numbers] });
    let body = json!({ "event_id": text, "event_type": "form_response", "form_response": form });
    let body = body.to_string();
    let request = http()
        .post(format!("{url}/hooks/survey"))
        .header("content-type", "application/json")
        .header("typeform-signature", typeform_signature(body.as_bytes()))
        .timeout(std::time::Duration::from_mins(1))
        .body(body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let answer: Value = answer.json().await.unwrap();
    answer["events"][0].as_str().unwrap().parse().unwrap()
}

async fn record(folder: &Path, id: EventId) -> EventRecord {
    let store = Sqlite::open_shared(&Settings::new(folder.join("relay.db"))).unwrap();
    store.event(id).await.unwrap().expect("an accepted event is kept")
}

/// Restarts the relay until the event is dead; returns the number of crashes and the last process.
async fn restart_until_dead(
    folder: &Path,
    variables: &[(&str, &str)],
    poison: EventId,
) -> (usize, RelayRun) {
    let mut crashes = 0;
    loop {
        let mut run = RelayRun::start(folder, variables);
        let mut is_dead = false;
        until_async(async || {
            is_dead = record(folder, poison).await.state == State::Dead;
            is_dead || run.is_over()
        })
        .await;
        if is_dead {
            return (crashes, run);
        }
        crashes += 1;
        assert!(crashes <= CRASHES, "it dies again and again");
    }
}

#[cfg(target_os = "linux")] // Elsewhere `ulimit -d` does not limit what is allocated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_that_crashes_the_process_is_dead_after_three_crashes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("mappings")).unwrap();
    std::fs::write(folder.join("mappings/survey.toml"), MAPPING).unwrap();
    let arrived = Arrived::default();
    let savio = start_savio(arrived.clone()).await;
    let secret = ("TYPEFORM_SECRET", SECRET);
    // Else the event would be refused for the memory that it takes.
    let parsed = ("SAVIO_RELAY_SERVER__PARSED_BYTES_MAX", "1073741824");
    let savio = ("SAVIO_RELAY_SAVIO__BASE_URL", savio.as_str());
    let variables = [secret, parsed, ("SAVIO_API_TOKEN", "token"), savio];
    let has_arrived = |text: &str| arrived.lock().unwrap().contains_key(text);

    // Without a token nothing is mapped.
    let relay = Relay::start(folder, &[secret, parsed]);
    for number in 0..5 {
        post(&relay.url, &format!("before {number}"), 0).await;
    }
    let poison = post(&relay.url, "poison", NUMBERS).await;
    for number in 0..5 {
        post(&relay.url, &format!("after {number}"), 0).await;
    }
    assert!(relay.stop().success());
    let (crashes, mut run) = restart_until_dead(folder, &variables, poison).await;

    assert_eq!(crashes, CRASHES);
    for number in 0..5 {
        until(|| has_arrived(&format!("before {number}"))).await;
        until(|| has_arrived(&format!("after {number}"))).await;
    }
    post(&run.url().await, "later", 0).await;
    until(|| has_arrived("later")).await;
    assert!(!run.is_over() && !has_arrived("poison"));
    run.stop();
    let shown = program(folder).args(["events", "show", &poison.to_string()]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let reason = "the relay's process ended three times while it mapped this event alone";
    assert!(shown.contains(reason), "{}", &shown[..shown.len().min(2_000)]);
}
