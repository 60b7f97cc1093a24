//! `events tail`: begins with the newest events, shows what arrives and changes, and ends cleanly.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use savio_relay::event::State;
use serde_json::{Value, json};

use super::{Place, post, settled};
use crate::support::relay::program;

/// A running `events tail`, killed on drop.
struct Tail {
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Tail {
    fn start(place: &Place, more: &[&str]) -> Tail {
        let mut command = program(place.folder.path());
        let command = command.args(["events", "tail"]).args(more).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Tail { child, lines: Some(lines) }
    }

    fn line(&mut self) -> String {
        self.lines.as_mut().unwrap().next().expect("it still runs").unwrap()
    }

    fn event(&mut self) -> (String, String) {
        let event: Value = serde_json::from_str(&self.line()).unwrap();
        let text = |key: &str| event[key].as_str().unwrap().to_owned();
        (text("id"), text("state"))
    }

    /// Sends SIGINT, as Ctrl-C does.
    fn interrupt(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-INT", &id]).status().expect("kill is there");
        self.child.wait().unwrap()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_begins_with_the_newest_events_and_follows_new_ones_to_their_end() {
    let place = Place::new(&[201]).await;
    let ids = settled(&place.store(), State::Dead, 3).await;
    let relay = place.relay();
    let mut tail = Tail::start(&place, &["--json", "-n", "2"]);
    let dead = |index: usize| (ids[index].to_string(), "dead".to_owned());
    assert_eq!((tail.event(), tail.event()), (dead(1), dead(2)));

    let id = post(&relay, json!({ "text": "It is slow" })).await;
    // It may be delivered before its first look.
    let mut states = Vec::new();
    while states.last().is_none_or(|state| state != "delivered") {
        let (shown, state) = tail.event();
        assert_eq!(shown, id);
        states.push(state);
    }
    assert!(states.len() <= 3, "{states:?}");
    assert!(tail.interrupt().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_shows_only_what_its_filter_selects() {
    let place = Place::new(&[400, 201]).await;
    let relay = place.relay();
    let id = post(&relay, json!({ "text": "first" })).await;
    place.until(&id, "dead").await;
    let mut tail = Tail::start(&place, &["--state", "delivered", "--source", "form"]);

    let id = post(&relay, json!({ "text": "second" })).await;

    let line = tail.line();
    assert!(line.contains(&id) && line.contains("  delivered"), "{line}");
    assert!(line.split_whitespace().nth(1).unwrap().ends_with('Z'), "the zone is told: {line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replayed_event_is_shown_again() {
    let place = Place::new(&[400, 201]).await;
    let relay = place.relay();
    let id = post(&relay, json!({ "text": "It is slow" })).await;
    place.until(&id, "dead").await;
    let mut tail = Tail::start(&place, &["--json"]);
    assert_eq!(tail.event(), (id.clone(), "dead".to_owned()));

    place.json(&["dead", "replay"]);

    while tail.event() != (id.clone(), "delivered".to_owned()) {}
    drop(relay);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_ends_when_its_pipe_is_closed() {
    let place = Place::new(&[201]).await;
    settled(&place.store(), State::Dead, 1).await;
    let mut tail = Tail::start(&place, &["--json"]);
    tail.line();

    // Nothing happens in the store meanwhile: only the pipe can tell.
    drop(tail.lines.take());

    assert!(tail.child.wait().unwrap().success());
}
