//! Beginnings of ids, and names in filters that nothing has.

use savio_relay::event::State;
use serde_json::json;

use super::{Place, post, settled};

fn output(place: &Place, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = place.run(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beginning_of_an_id_is_enough_for_every_command() {
    let place = Place::new(&[201]).await;
    let store = place.store();
    let held = settled(&store, State::Held, 2).await;
    let dead = settled(&store, State::Dead, 2).await;
    drop(store);
    let beginning = |id: &savio_relay::event::EventId| id.to_string()[..34].to_owned();

    let shown = place.event(&beginning(&held[0]));
    assert_eq!(shown["id"], held[0].to_string().as_str());
    let plain = dead[0].to_string().replace('-', "").to_uppercase();
    assert_eq!(place.event(&plain)["id"], dead[0].to_string().as_str());
    let (code, released, errors) =
        output(&place, &["events", "release", &beginning(&held[1]), "--again"]);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(released, format!("event {} is queued\n", held[1]));
    for command in ["events", "dead"] {
        let replayed = place.json(&[command, "replay", "--dry-run", &beginning(&dead[1])]);
        assert_eq!(replayed["matched"], 1, "{command}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_beginning_lists_the_events() {
    let place = Place::new(&[201]).await;
    let ids = settled(&place.store(), State::Dead, 2).await;
    // Made at the same time, they have the first twelve digits in common.
    let beginning = ids[0].to_string()[..8].to_owned();

    for arguments in [&["events", "show"][..], &["events", "replay"], &["dead", "replay"]] {
        let (code, _, errors) = output(&place, &[arguments, &[&beginning]].concat());
        assert_eq!(code, Some(1), "{errors}");
        for id in &ids {
            assert!(errors.contains(&id.to_string()), "{arguments:?}: {errors}");
        }
        assert!(errors.contains("write more of the id"), "{errors}");
    }
    let (code, _, errors) = output(&place, &["events", "show", "01a"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("at least its first four digits"), "{errors}");
    let (code, _, errors) = output(&place, &["events", "show", "ffffffff"]);
    assert_eq!((code, errors.as_str()), (Some(1), "savio-relay: there is no event ffffffff\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_beginning_lists_the_newest_events_with_what_they_say() {
    let place = Place::new(&[201]).await;
    let relay = place.relay();
    let mut ids = Vec::new();
    for number in 0..12 {
        let id = post(&relay, json!({ "text": format!("Said {number}") })).await;
        place.until(&id, "delivered").await;
        ids.push(id);
    }

    let (_, _, errors) = output(&place, &["events", "show", &ids[11][..4]]);

    assert!(errors.contains("(the newest of more)"), "{errors}");
    let said: Vec<usize> = (0..12).filter(|it| errors.contains(&format!("Said {it}\n"))).collect();
    assert_eq!(said, (2..12).collect::<Vec<_>>(), "{errors}");
    assert!(errors.find("Said 11") < errors.find("Said 10"), "{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn misspelled_name_in_a_filter_gets_a_suggestion() {
    let place = Place::new(&[201]).await;
    settled(&place.store(), State::Dead, 1).await;
    let check = |arguments: &[&str], code, expected: &str| {
        let (found, _, errors) = output(&place, arguments);
        assert_eq!(found, Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
    };
    for command in
        [&["events", "list"][..], &["events", "tail"], &["dead", "list"], &["dead", "replay"]]
    {
        let source = [command, &["--source", "from"]].concat();
        check(&source, 1, "no source `from`; did you mean form?");
        let destination = [command, &["--destination", "defualt"]].concat();
        check(&destination, 1, "no destination `defualt`; did you mean default?");
    }
    check(&["events", "list", "--state", "deda"], 2, "'dead'");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_store_is_told_with_its_folder_and_the_way_to_one() {
    let place = Place::new(&[201]).await;
    let folder = place.folder.path().canonicalize().unwrap();
    let expected =
        format!("there is no store relay.db in {}, where `store.url` says", folder.display());
    for arguments in [&["events", "list"][..], &["events", "tail"], &["dead", "list"]] {
        let (code, _, errors) = output(&place, arguments);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains(&expected) && errors.contains("savio-relay serve"), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_in_a_pipe_are_utc_and_say_so() {
    let place = Place::new(&[201]).await;
    let ids = settled(&place.store(), State::Dead, 1).await;
    let mut command = crate::support::relay::program(place.folder.path());
    let listed = command.args(["events", "list"]).env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3");
    let listed = String::from_utf8(listed.output().unwrap().stdout).unwrap();
    assert!(listed.starts_with("id "), "{listed}");
    assert!(listed.lines().next().unwrap().contains("received (UTC)"), "{listed}");

    let (_, shown, _) = output(&place, &["events", "show", &ids[0].to_string()]);
    let received = shown.lines().find(|line| line.contains("received")).unwrap();
    assert!(received.ends_with('Z'), "{shown}");
}
