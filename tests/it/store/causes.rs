//! Causes of dead events: found when they die, kept over a replay, given to those of earlier programs.

use std::time::Duration;

use rusqlite::Connection;
use savio_relay::event::{EventId, State};
use savio_relay::store::maintenance::run_once;
use savio_relay::store::{
    DeadGroups, EventFilter, NextStep, PageRequest, ReplayId, ReplayRequest, StoppedAt, Store,
    run_replay,
};

use crate::support::store::{TestStore, at, claim_one, somebody, step, store_one, webhook};

/// Stores an event that dies unmapped for this reason.
async fn dead(store: &dyn Store, second: i64, reason: &str) -> EventId {
    let id = store_one(store, webhook(at(second))).await;
    die(store, second, reason).await;
    id
}

async fn die(store: &dyn Store, second: i64, reason: &str) {
    let claim = claim_one(store, at(second)).await.claim;
    let reason = Some(reason.to_owned());
    let next = NextStep::Settle { state: State::Dead, reason, at: at(second) };
    store.advance(claim, step(next)).await.unwrap();
}

async fn groups(store: &dyn Store) -> DeadGroups {
    store.dead_groups(None, None, at(100)).await.unwrap()
}

#[tokio::test]
async fn events_that_died_alike_have_one_cause() {
    let place = TestStore::new();
    let store = &*place.open();
    let first = dead(store, 1, "feedback[0]: \"Ann\" is no address").await;
    let second = dead(store, 2, "feedback[7]: \"Bob\" is no address").await;
    dead(store, 3, "`problem` is empty").await;

    let DeadGroups { groups, without_cause } = groups(store).await;

    assert_eq!((groups.len(), without_cause), (2, 0));
    let most = &groups[0];
    assert_eq!((most.events, most.first, most.last), (2, at(1), at(2)));
    assert_eq!(most.reason, "feedback[7]: \"Bob\" is no address", "that of the last one");
    assert_eq!((most.stage, most.status), (Some(StoppedAt::Mapping), None));
    assert_eq!((most.days.len(), most.days[29].events), (30, 2));
    let filter = EventFilter { reason_kind: Some(most.kind.clone()), ..EventFilter::default() };
    let page = PageRequest { limit: 10, after: None };
    let found: Vec<EventId> =
        store.list(filter, page).await.unwrap().events.iter().map(|event| event.id).collect();
    assert_eq!(found, [second, first]);
    let since = store.dead_groups(None, Some(at(2)), at(100)).await.unwrap();
    assert!(since.groups.iter().all(|group| group.events == 1), "{since:?}");
    // What the causes keep has nothing that an event quotes.
    let causes = store.dead_causes().await.unwrap().unwrap();
    assert!(causes.iter().all(|cause| !cause.reason.contains("Bob")), "{causes:?}");
}

#[tokio::test]
async fn each_message_of_savio_is_a_cause_for_lists_and_issues() {
    let place = TestStore::new();
    let store = &*place.open();
    let messages = [
        r#"{"person_email": ["Enter a valid email address."]}"#,
        r#"{"person_email": ["This field may not be blank."]}"#,
        r#"{"problem": ["This field may not be blank."]}"#,
        r#"{"problem": ["Ensure this field has no more than 5000 characters."]}"#,
        r#"{"feedback_type": ["\"TRIAL\" is not a valid choice."]}"#,
        r#"{"company": ["Invalid pk \"17\" - object does not exist."]}"#,
        r#"{"detail": "Your plan has no feature requests."}"#,
        r#"["The account is closed."]"#,
    ];
    for (second, message) in (0..).zip(messages) {
        dead(store, second, &format!("Savio returned 400: {message}")).await;
    }
    // Only what they quote and their numbers differ from the two before.
    dead(store, 8, r#"Savio returned 400: {"feedback_type": ["\"IDEA\" is not a valid choice."]}"#)
        .await;
    dead(
        store,
        9,
        r#"Savio returned 400: {"company": ["Invalid pk \"4\" - object does not exist."]}"#,
    )
    .await;

    let groups = groups(store).await.groups;
    let mut events: Vec<u64> = groups.iter().map(|group| group.events).collect();
    events.sort_unstable();
    assert_eq!(events, [1, 1, 1, 1, 1, 1, 2, 2]);
    let causes = store.dead_causes().await.unwrap().unwrap();
    assert_eq!(causes.len(), messages.len());
    let has = |text: &str| causes.iter().any(|cause| cause.reason.contains(text));
    assert!(has("person_email: Enter a valid email address."), "{causes:?}");
    assert!(!has("TRIAL") && !has("IDEA") && !has("17"), "{causes:?}");
}

#[tokio::test]
async fn cause_lasts_until_the_replayed_event_settles() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = dead(store, 1, "`problem` is empty").await;
    let replay = ReplayId::new(at(2));
    let filter = EventFilter { ids: vec![id], ..EventFilter::default() };
    let request = ReplayRequest { id: replay, filter, interval: Duration::ZERO, begun_at: at(2) };
    store.start_replay(request, somebody()).await.unwrap();
    run_replay(store, replay, |_| {}).await.unwrap();
    let kept = async || {
        run_once(store, Duration::from_hours(24 * 365), at(3)).await.unwrap();
        let causes = store.dead_causes().await.unwrap().unwrap();
        causes.iter().map(|cause| (cause.events, cause.last_at)).collect::<Vec<_>>()
    };

    assert_eq!(groups(store).await.groups.len(), 0, "it is queued");
    assert_eq!(kept().await, [(1, at(1))], "and its cause is not gone");

    store.cancel_replay(replay, at(3), somebody()).await.unwrap();
    run_replay(store, replay, |_| {}).await.unwrap();
    assert_eq!(groups(store).await.groups.len(), 1, "it is dead again");
    assert_eq!(kept().await, [(1, at(1))]);
}

#[tokio::test]
async fn dead_events_of_an_earlier_program_get_their_cause() {
    let place = TestStore::new();
    let store = place.open();
    for second in 0..250 {
        dead(&*store, second, "`problem` is empty").await;
    }
    store.close().await;
    let file = Connection::open(place.settings().path).unwrap();
    // 125 as an earlier program leaves them, and others that died anew under one.
    file.execute_batch(
        "UPDATE events SET cause = NULL, cause_at = NULL WHERE number % 2 = 0;
         UPDATE events SET cause = 17, cause_at = 5 WHERE number % 2 = 1",
    )
    .unwrap();
    drop(file);
    let store = &*place.open();
    assert_eq!(groups(store).await.without_cause, 250);
    assert_eq!(store.dead_causes().await.unwrap(), None, "they are not known yet");

    run_once(store, Duration::from_hours(24 * 365), at(300)).await.unwrap();

    let DeadGroups { groups, without_cause } = groups(store).await;
    assert_eq!((groups.len(), groups[0].events, without_cause), (1, 250, 0));
    assert_eq!(store.dead_causes().await.unwrap().unwrap()[0].events, 250);
}

#[tokio::test]
async fn causes_are_bounded_and_go_with_their_events() {
    let place = TestStore::new();
    let store = &*place.open();
    for number in 0..1_010_u16 {
        // Letters only, since numbers are taken out.
        let letters: String = number.to_string().bytes().map(|it| char::from(it + 49)).collect();
        dead(store, number.into(), &format!("{letters} is unknown")).await;
    }

    let of_all = groups(store).await.groups;
    let sum: u64 = of_all.iter().map(|group| group.events).sum();
    assert_eq!((of_all.len(), sum), (1_001, 1_010));

    // The second finds the causes without the events that the first deletes.
    for _ in 0..2 {
        run_once(store, Duration::ZERO, at(5_000)).await.unwrap();
    }
    assert_eq!(groups(store).await.groups, []);
    let file = Connection::open(place.settings().path).unwrap();
    let left: u64 = file.query_row("SELECT count(*) FROM causes", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}
