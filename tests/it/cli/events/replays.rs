//! The dry run of a replay, and the list of replays.

use savio_relay::event::State;
use savio_relay::store::{Inbox, Queue};
use serde_json::json;

use super::{Place, settled};
use crate::support::relay::FORM_MAPPING;
use crate::support::store::{at, claim, claim_from, from, settle, step};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dry_run_says_what_the_mapping_files_make_of_the_events() {
    let place = Place::new(&[201]).await;
    let store = place.store();
    settled(&store, State::Dead, 3).await;
    store.store(from("gone", at(1))).await.unwrap();
    for claimed in claim_from(&*store, &["gone"], at(2), 1).await {
        store.advance(claimed.claim, step(settle(State::Dead))).await.unwrap();
    }
    drop(store);
    let text = |arguments: &[&str]| String::from_utf8(place.run(arguments).stdout).unwrap();
    let file = place.folder.path().join("mappings/form.toml");

    assert_eq!(
        text(&["dead", "replay", "--dry-run"]),
        "4 would be replayed\n3 would be sent, 1 would fail:\n  1 no mapping of gone is in service\n"
    );
    std::fs::write(&file, FORM_MAPPING.replace("$.text", "$.message")).unwrap();
    let failing = place.json(&["dead", "replay", "--dry-run", "--source", "form"]);
    let reasons = json!([{ "reason": "feedback[0].problem: it is empty", "events": 3 }]);
    let would = json!({
        "send": 0, "ignore": 0, "fail": 3, "mapped": 3, "sample": false, "reasons": reasons,
    });
    assert_eq!((&failing["would"], &failing["matched"]), (&would, &json!(3)));
    let ignoring = FORM_MAPPING.replace("problem", "when = \"@.never\"\nproblem");
    std::fs::write(&file, ignoring).unwrap();
    assert_eq!(
        text(&["dead", "replay", "--dry-run", "--source", "form"]),
        "3 would be replayed\n3 would be ignored\n"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_500_events_are_sampled_and_the_command_says_so() {
    let place = Place::new(&[201]).await;
    let store = place.store();
    settled(&store, State::Dead, 501).await;
    drop(store);

    let output = place.run(&["dead", "replay", "--dry-run"]);

    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "501 would be replayed\nof the newest 500 events: 500 would be sent\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replays_are_listed_with_what_became_of_their_events() {
    let place = Place::new(&[201]).await;
    let store = place.store();
    settled(&store, State::Dead, 2).await;
    drop(store);
    let text = |arguments: &[&str]| String::from_utf8(place.run(arguments).stdout).unwrap();
    assert_eq!(text(&["replays"]), "there are no replays\n");

    let started = place.json(&["dead", "replay"]);
    let listed = text(&["replays"]);

    let id = started["replay_id"].as_str().unwrap();
    assert!(listed.contains(id) && listed.contains("running, 2 queued"), "{listed}");
    let store = place.store();
    // Whenever the command began the replay, its events are due then.
    let now = at(1_000_000_000);
    for (claimed, state) in
        claim(&*store, now, 2).await.into_iter().zip([State::Ignored, State::Dead])
    {
        store.advance(claimed.claim, step(settle(state))).await.unwrap();
    }
    drop(store);
    let listed = text(&["replays"]);
    assert!(listed.contains("done, 1 dead, 1 ignored"), "{listed}");
    let shown = text(&["events", "replay", "--progress", id]);
    assert!(shown.ends_with("so far 1 dead, 1 ignored\n"), "{shown}");
    let json = place.json(&["replays", "--limit", "1"]);
    let one = &json["replays"][0];
    assert_eq!(
        (&one["running"], &one["dead"], &one["which"]),
        (&json!(false), &json!(1), &json!("dead"))
    );
    assert_eq!(json["next"], json!(null));
}
