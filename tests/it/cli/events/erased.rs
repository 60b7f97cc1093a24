//! `events erase` and `audit`.

use savio_relay::event::State;
use serde_json::json;

use super::{Place, post, settled};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_person_are_counted_then_erased_beside_a_running_relay() {
    let place = Place::new(&[201]).await;
    let relay = place.relay();
    let named = post(&relay, json!({ "text": "I am Ada@Example.com" })).await;
    let other = post(&relay, json!({ "text": "I am nada@example.com" })).await;
    place.until(&named, "delivered").await;
    place.until(&other, "delivered").await;
    let person = ["events", "erase", "--person", "ada@example.com"];

    let counted = place.json(&[&person[..], &["--dry-run"]].concat());
    let unasked = place.run(&person);
    let erased = place.json(&[&person[..], &["--yes"]].concat());

    assert_eq!((&counted["erasable"], &counted["erased"]), (&json!(1), &json!(0)));
    assert_eq!(unasked.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unasked.stderr).contains("--yes"), "{unasked:?}");
    assert_eq!((&erased["erased"], &erased["log_emptied"]), (&json!(1), &json!(true)));
    let shown = String::from_utf8(place.run(&["events", "show", &named]).stdout).unwrap();
    assert!(shown.contains("erased ") && !shown.contains("Ada"), "{shown}");
    let shown = String::from_utf8(place.run(&["events", "show", &other]).stdout).unwrap();
    assert!(shown.contains("nada@example.com"), "{shown}");
    let replayed = place.run(&["events", "replay", &named]);
    assert_eq!(replayed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&replayed.stderr).contains("is erased"), "{replayed:?}");
    let audit = String::from_utf8(place.run(&["audit", "--action", "erase"]).stdout).unwrap();
    assert!(audit.contains("cli: ") && audit.contains(&named), "{audit}");
    assert!(!audit.to_lowercase().contains("example.com"), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_event_is_not_erased_and_says_what_to_do() {
    let place = Place::new(&[201]).await;
    let id = settled(&place.store(), State::Held, 1).await[0].to_string();

    let refused = place.run(&["events", "erase", &id, "--yes"]);

    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("is held and may yet be sent: release it as arrived"), "{said}");
}
