//! Which fields the mapped events of a source have.

use jiff::Timestamp;
use savio_relay::event::{FieldSet, FilledBlock, State};
use savio_relay::store::{
    FILLED_EVENTS_MAX, FieldSearch, FieldUse, NewEvent, Progress, Store, Webhook,
};

use crate::support::store::{TestStore, at, claim_one, name, request, settle, step, webhook};

const EMAIL: usize = 5;

fn block(fields: &[usize]) -> FilledBlock {
    let filled = fields.iter().fold(FieldSet::default(), |set, it| set.with(FieldSet::of(*it)));
    let missing = FieldSet::of(EMAIL).without(filled);
    FilledBlock { block: "feedback[0] 1f3a9c0d".into(), filled, missing }
}

/// Stores an event that was mapped to this, and ends so.
async fn mapped(
    store: &dyn Store,
    (event_type, received_at): (Option<&str>, Timestamp),
    filled: Vec<FilledBlock>,
    state: State,
) {
    let webhook = webhook(received_at);
    let event_type = event_type.map(str::to_owned);
    let events = vec![NewEvent { event_type, ..webhook.events[0].clone() }];
    store.store(Webhook { events, ..webhook }).await.unwrap();
    let claimed = claim_one(store, at(1_000_000)).await;
    let planned = Some(vec![request("It is slow")]);
    let progress = Progress { planned, filled, ..step(settle(state)) };
    store.advance(claimed.claim, progress).await.unwrap();
}

fn search(times: &[(i64, i64)]) -> FieldSearch {
    FieldSearch {
        source: name("form"),
        event_type: None,
        block: "feedback[0] 1f3a9c0d".to_owned(),
        position: EMAIL,
        times: times.iter().map(|(since, until)| at(*since)..at(*until)).collect(),
        events_max: 10,
    }
}

#[tokio::test]
async fn filled_events_are_those_of_the_sender_in_their_order() {
    let place = TestStore::new();
    let store = place.open();
    for (second, state) in [(3, State::Delivered), (1, State::Dead), (2, State::Ignored)] {
        mapped(&*store, (None, at(second)), vec![block(&[0, EMAIL])], state).await;
    }
    // Of a replay, an import, a copy or a test nothing is recorded.
    mapped(&*store, (None, at(4)), Vec::new(), State::Delivered).await;

    let found = store.filled_events(name("form")).await.unwrap();

    let times: Vec<Timestamp> = found.iter().map(|event| event.received_at).collect();
    assert_eq!(times, [at(1), at(2), at(3)]);
    assert_eq!(found[0].blocks, [block(&[0, EMAIL])]);
    assert!(store.filled_events(name("other")).await.unwrap().is_empty());
}

#[tokio::test]
async fn last_events_of_each_type_are_read() {
    let place = TestStore::new();
    let store = place.open();
    mapped(&*store, (Some("rare"), at(0)), vec![block(&[0])], State::Delivered).await;
    for second in 1..=FILLED_EVENTS_MAX + 5 {
        let received_at = at(i64::try_from(second).unwrap());
        mapped(&*store, (Some("usual"), received_at), vec![block(&[0])], State::Delivered).await;
    }

    let found = store.filled_events(name("form")).await.unwrap();

    let of_type = |name| found.iter().filter(|it| it.event_type.as_deref() == Some(name)).count();
    assert_eq!((of_type("rare"), of_type("usual")), (1, FILLED_EVENTS_MAX));
    assert_eq!(found[1].received_at, at(6));
}

#[tokio::test]
async fn use_of_a_field_is_counted_in_a_time() {
    let place = TestStore::new();
    let store = place.open();
    for second in 10..40 {
        let fields: &[usize] = if second % 2 == 0 { &[0, EMAIL] } else { &[0] };
        mapped(&*store, (None, at(second)), vec![block(fields)], State::Delivered).await;
    }
    mapped(&*store, (Some("other"), at(20)), vec![block(&[EMAIL])], State::Delivered).await;

    for (times, expected) in [
        (&[(10, 16)][..], FieldUse { events: 3, is_known: false }),
        (&[(11, 16)], FieldUse { events: 2, is_known: true }),
        (&[(11, 16), (30, 36)], FieldUse { events: 5, is_known: true }),
        (&[(0, 100)], FieldUse { events: 10, is_known: false }),
        (&[(50, 60)], FieldUse { events: 0, is_known: true }),
    ] {
        assert_eq!(store.field_use(search(times)).await.unwrap(), expected, "{times:?}");
    }
}
