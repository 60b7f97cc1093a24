//! The stream of changes: what it tells, how a client goes on after a break, and when it ends.

use std::collections::BTreeSet;
use std::process::Command;

use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::browser::Caller;
use super::event_stream::{EventStream, PATH};
use super::{MAPPING, Scene, TOKEN, start};
use crate::support::relay::{program, typeform_signature};
use crate::support::wait::until_async;

const PAUSE: &str = "/api/v1/destinations/default/pause";
const RESUME: &str = "/api/v1/destinations/default/resume";

fn admin() -> Caller {
    Caller::bearer(TOKEN)
}

#[tokio::test]
async fn stream_tells_the_story_of_an_event() {
    let scene = Scene::new().await;
    scene.savio_answers().await;
    let mut stream = EventStream::open(&scene, &admin()).await;

    scene.post(PAUSE, json!({})).await;
    let paused = stream.until(|it| it.event == "destinations").await.data;
    let paused = &paused["destinations"][0];
    assert_eq!((&paused["name"], &paused["paused"]), (&json!("default"), &json!(true)));
    assert_eq!(paused["paused_by"], "person");
    let id = scene.webhook(&json!({ "text": "It is slow", "email": "ada@example.com" })).await;
    let queued = stream.line(&id, "queued").await;
    let listed = scene.get("/api/v1/events").await["events"][0].clone();
    assert_eq!(queued, listed, "a line is as in the list");
    assert_eq!(queued["waiting_for"]["kind"], "paused_by_person");
    let counts = stream.until(|it| it.event == "counts").await;
    assert!(counts.id.is_some(), "the last message of a batch has its id");
    let one = json!({ "queued": 1, "delivered": 0, "ignored": 0, "held": 0, "dead": 0 });
    let expected = json!({
        "events": one, "sources": { "form": one }, "rejected": {}, "omitted": 0
    });
    assert_eq!(counts.data, expected);

    scene.post(RESUME, json!({})).await;
    let delivered = stream.line(&id, "delivered").await;
    assert_eq!(delivered["summary"], "It is slow");
    assert_eq!(delivered["who"], "ada@example.com");

    scene.webhook(&json!({ "text": "refuse" })).await;
    let opened = stream.until(|it| it.event == "issues").await.data;
    assert_eq!((&opened["open"], &opened["issues"][0]["kind"]), (&json!(1), &json!("dead")));
}

#[tokio::test]
async fn stream_tells_of_paused_and_changed_sources_and_of_rejected_webhooks() {
    let scene = Scene::new().await;
    let mut stream = EventStream::open(&scene, &admin()).await;

    scene.post("/api/v1/sources/form/pause", json!({})).await;
    let changed = stream.until(|it| it.event == "sources").await.data;
    assert_eq!(changed, json!({ "sources": ["form"] }));
    // Until it is right, no file of the folder is taken.
    let off = MAPPING.replace("FORM_SECRET", "OFF_SECRET");
    std::fs::write(scene.folder.path().join("mappings/off.toml"), off).unwrap();
    let changed = stream.until(|it| it.event == "sources").await.data;
    assert_eq!(changed, json!({ "sources": ["off"] }));

    let url = format!("{}/hooks/form", scene.relay.url);
    let wrong = super::http().post(url).header("x-relay-token", "wrong").json(&json!({}));
    assert_eq!(wrong.send().await.unwrap().status(), 401);
    let counts = stream.until(|it| it.event == "counts").await.data;
    assert_eq!(counts["rejected"], json!({ "form": 1 }));
}

#[tokio::test]
async fn event_is_in_a_batch_once_and_in_its_last_state() {
    let scene = Scene::new().await;
    scene.savio_answers().await;
    let mut stream = EventStream::open(&scene, &admin()).await;

    let mut waiting = BTreeSet::new();
    for number in 0..30 {
        waiting.insert(scene.webhook(&json!({ "text": format!("Slow {number}") })).await);
    }

    while !waiting.is_empty() {
        let batch = stream.until(|it| it.event == "events").await.data;
        let lines = batch["events"].as_array().unwrap();
        let ids: BTreeSet<&str> = lines.iter().map(|it| it["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), lines.len(), "{batch}");
        for line in lines.iter().filter(|it| it["state"] == "delivered") {
            assert!(waiting.remove(line["id"].as_str().unwrap()), "it is told once: {line}");
        }
    }
}

#[tokio::test]
async fn client_goes_on_where_it_was() {
    let scene = Scene::new().await;
    scene.savio_answers().await;
    let mut stream = EventStream::open(&scene, &admin()).await;
    let beginning = stream.last_id.clone();
    let first = scene.webhook(&json!({ "text": "first" })).await;
    stream.line(&first, "delivered").await;
    stream.until(|it| it.event == "counts").await;
    let last = stream.last_id.clone();
    drop(stream);

    // Nobody is connected.
    let second = scene.webhook(&json!({ "text": "second" })).await;
    scene.until(&second, "delivered").await;

    let mut resumed = EventStream::resume(&scene, &admin(), &last).await;
    let next = resumed.next().await.unwrap();
    let lines = next.data["events"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "the first is not told again: {lines:?}");
    assert_eq!((&lines[0]["id"], &lines[0]["state"]), (&json!(second), &json!("delivered")));
    let mut from_the_beginning = EventStream::resume(&scene, &admin(), &beginning).await;
    from_the_beginning.line(&first, "delivered").await;
    from_the_beginning.line(&second, "delivered").await;
}

#[tokio::test]
async fn unknown_position_begins_with_a_reset() {
    let scene = Scene::new().await;
    let known = EventStream::open(&scene, &admin()).await.last_id;
    let (run, _) = known.split_once('-').unwrap();

    for unknown in ["7", "x-7", &format!("{run}-99"), &format!("{run}-x"), "\u{e9}"] {
        let mut stream = EventStream::resume(&scene, &admin(), unknown).await;
        let reset = stream.next().await.unwrap();
        assert_eq!((reset.event.as_str(), reset.data), ("reset", json!({})), "{unknown}");
        assert!(reset.id.is_some());
        let id = scene.webhook(&json!({ "text": "after the reset" })).await;
        stream.line(&id, "queued").await;
    }
    let Scene { folder, savio, relay } = scene;
    assert!(relay.stop().success());
    let relay = start(&folder, &savio, &[]);
    let scene = Scene { folder, savio, relay };
    let mut stream = EventStream::resume(&scene, &admin(), &known).await;
    assert_eq!(stream.next().await.unwrap().event, "reset", "it is of another process");
}

#[tokio::test]
async fn change_by_a_command_is_a_reset() {
    let scene = Scene::new().await;
    let [_, _, held, _] = scene.one_of_each().await;
    let mut stream = EventStream::open(&scene, &admin()).await;

    let mut release = program(scene.folder.path());
    release.args(["events", "release", &held, "--arrived"]);
    let released = release.output().unwrap();
    assert!(released.status.success(), "{}", String::from_utf8_lossy(&released.stderr));

    while stream.next().await.expect("it goes on").event != "reset" {}
    let id = scene.webhook(&json!({ "text": "after the reset" })).await;
    stream.line(&id, "delivered").await;
}

#[tokio::test]
async fn stream_ends_with_its_session() {
    let config = "[[admin.tokens]]\nname = \"ada\"\ntoken = \"file:ada\"\nrole = \"read\"\n";
    let folder_token = "the token of ada in a file";
    let scene = Scene::configured(config, &[]).await;
    let path = scene.folder.path().join("ada");
    std::fs::write(&path, folder_token).unwrap();
    scene.relay.hang_up();
    until_async(async || Caller::bearer(folder_token).status(&scene, "GET", PATH).await == 200)
        .await;
    let browser = scene.browser(TOKEN).await;
    let mut other = EventStream::open(&scene, &scene.browser(TOKEN).await).await;
    let mut bearer = EventStream::open(&scene, &Caller::bearer(folder_token)).await;

    let mut stream = EventStream::open(&scene, &browser).await;
    assert_eq!(browser.status(&scene, "POST", "/logout").await, 204);
    stream.end().await;

    let id = scene.webhook(&json!({ "text": "others go on" })).await;
    other.line(&id, "queued").await;
    bearer.line(&id, "queued").await;
    // As another node does.
    let store = Connection::open(scene.folder.path().join("relay.db")).unwrap();
    store.execute("DELETE FROM sessions", []).unwrap();
    other.end().await;
    std::fs::write(&path, "another token of ada in the file").unwrap();
    scene.relay.hang_up();
    bearer.end().await;
}

#[tokio::test]
async fn streams_end_before_the_requests_at_a_stop() {
    let scene = Scene::new().await;
    let mut streams = Vec::new();
    for _ in 0..200 {
        streams.push(EventStream::open(&scene, &admin()).await);
    }
    // A webhook that is under way keeps the relay from ending.
    let address = scene.relay.url.strip_prefix("http://").unwrap();
    let mut webhook = TcpStream::connect(address).await.unwrap();
    let signature = typeform_signature(b"{}");
    let head = format!(
        "POST /hooks/form HTTP/1.1\r\nhost: relay\r\nx-relay-token: secret\r\n\
         typeform-signature: {signature}\r\ncontent-type: application/json\r\n\
         content-length: 2\r\n\r\n{{"
    );
    webhook.write_all(head.as_bytes()).await.unwrap();

    scene.relay.send_sigterm();
    for stream in &mut streams {
        stream.end().await;
    }

    let pid = scene.relay.id().to_string();
    let is_running = Command::new("kill").args(["-0", &pid]).status().unwrap().success();
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert!(is_running && !state.contains(") Z "), "the webhook is still under way: {state}");
    webhook.write_all(b"}").await.unwrap();
    assert!(scene.relay.stop().success());
}

#[tokio::test]
async fn stream_beyond_the_limit_is_503_until_one_is_closed() {
    let scene = Scene::new().await;
    let mut streams = Vec::new();
    for _ in 0..256 {
        streams.push(EventStream::open(&scene, &admin()).await);
    }

    let refused = admin().request(&scene, "GET", PATH).send().await.unwrap();

    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let error: Value = refused.json().await.unwrap();
    assert_eq!(error["reason"], "256 streams are open: close one");
    assert_eq!(admin().status(&scene, "GET", "/api/v1/stats").await, 200, "requests go on");
    streams.truncate(255);
    // The relay notices at what it sends next.
    until_async(async || {
        scene.webhook(&json!({ "text": "to be told" })).await;
        admin().status(&scene, "GET", PATH).await == 200
    })
    .await;
}
