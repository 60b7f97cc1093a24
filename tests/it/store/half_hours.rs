//! What is counted by half hours: flows in the half hour in which each happened, and the balance of the events
//! that were received in it.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use savio_relay::event::{EventId, Outcome, SourceName, State};
use savio_relay::store::maintenance::run_once;
use savio_relay::store::{
    Balance, CopyRequest, EventFilter, Flows, HalfHour, HoldDecision, Recounted, ReplayId,
    ReplayRequest, SeriesRequest, StateCounts, Store, Webhook, WebhookOrigin, run_replay,
};

use crate::support::half_hours::{Totals, check, happened, only_grew};
use crate::support::store::{
    TestStore, after, at, attempt, claim, claim_one, deliveries, from, name, plan_and_send,
    release, set_version, settle, somebody, step, store_one, webhook,
};

/// Seconds of a half hour.
const HALF: i64 = 1_800;

fn file(place: &TestStore) -> PathBuf {
    place.settings().path
}

/// Returns what happened from some half hours before `at(0)` to as many after it, one step for each.
async fn series(store: &dyn Store, sources: Option<Vec<SourceName>>, around: i64) -> Vec<Flows> {
    let begin = HalfHour::of(at(0));
    let (since, until) = (begin.plus(-around), begin.plus(around));
    store.series(SeriesRequest { sources, since, until, step: 1 }).await.unwrap()
}

/// Stores an event that is received in the n-th half hour and settled in the next one.
async fn settled_in(store: &dyn Store, half_hour: i64, state: State) -> EventId {
    let id = store_one(store, webhook(at(half_hour * HALF + 5))).await;
    let claim = claim_one(store, at(half_hour * HALF + 5)).await.claim;
    store.advance(claim, plan_and_send(&["slow"])).await.unwrap();
    let next = savio_relay::store::NextStep::Settle {
        state,
        reason: None,
        at: at((half_hour + 1) * HALF + 5),
    };
    store.advance(claim, after(attempt(0, Outcome::Done), next)).await.unwrap();
    id
}

fn only(id: EventId, seconds: i64) -> ReplayRequest {
    ReplayRequest {
        id: ReplayId::new(at(seconds)),
        filter: EventFilter { ids: vec![id], ..EventFilter::default() },
        interval: Duration::ZERO,
        begun_at: at(seconds),
    }
}

#[tokio::test]
async fn each_state_is_counted_in_the_half_hour_in_which_it_was_reached() {
    let place = TestStore::new();
    let store = &*place.open();
    for state in [State::Delivered, State::Ignored, State::Held, State::Dead] {
        settled_in(store, 0, state).await;
    }

    let flows = series(store, None, 2).await;

    let accepted = Flows { accepted: 4, ..Flows::default() };
    let settled = Flows { delivered: 1, ignored: 1, held: 1, dead: 1, ..Flows::default() };
    assert_eq!(flows, [Flows::default(), Flows::default(), accepted, settled]);
    let balance = store.balances(at(0)).await.unwrap()[&name("form")];
    let events = StateCounts { queued: 0, delivered: 1, ignored: 1, held: 1, dead: 1 };
    assert_eq!(balance, Balance { events, ..Balance::default() });
    assert_eq!(store.balances(at(HALF)).await.unwrap()[&name("form")], Balance::default());
    check(&file(&place)).unwrap();
}

#[tokio::test]
async fn replay_and_its_cancellation_move_the_balance_and_lower_no_flow() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = settled_in(store, 0, State::Dead).await;
    let before = happened(&file(&place));

    let replay = only(id, 3 * HALF);
    let number = replay.id;
    store.start_replay(replay, somebody()).await.unwrap();
    run_replay(store, number, |_| {}).await.unwrap();
    assert_eq!(happened(&file(&place)), before);
    assert_eq!(check(&file(&place)).unwrap().queued, 1);
    store.cancel_replay(number, at(4 * HALF), somebody()).await.unwrap();
    run_replay(store, number, |_| {}).await.unwrap();

    assert_eq!(happened(&file(&place)), before);
    assert_eq!(check(&file(&place)).unwrap().queued, 0);
}

#[tokio::test]
async fn event_that_is_delivered_again_happened_twice() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = settled_in(store, 0, State::Dead).await;
    let replay = only(id, 20);
    let number = replay.id;
    store.start_replay(replay, somebody()).await.unwrap();
    run_replay(store, number, |_| {}).await.unwrap();
    let claim = claim_one(store, at(HALF)).await.claim;

    store.advance(claim, step(settle(State::Delivered))).await.unwrap();

    let totals = check(&file(&place)).unwrap();
    assert_eq!((totals.accepted, totals.settled, totals.queued), (1, 2, 0));
}

#[tokio::test]
async fn released_event_is_delivered_when_it_is_released() {
    for (decision, settled) in [(HoldDecision::AlreadyArrived, 2), (HoldDecision::SendAgain, 1)] {
        let place = TestStore::new();
        let store = &*place.open();
        let id = settled_in(store, 0, State::Held).await;

        store.release(release(id, decision, at(3 * HALF))).await.unwrap();

        let totals = check(&file(&place)).unwrap();
        assert_eq!((totals.settled, totals.queued), (settled, 2 - settled), "{decision:?}");
    }
}

#[tokio::test]
async fn purge_lowers_the_balance_only() {
    let place = TestStore::new();
    let store = &*place.open();
    settled_in(store, 0, State::Delivered).await;
    let before = happened(&file(&place));

    run_once(store, Duration::ZERO, at(5 * HALF)).await.unwrap();

    assert_eq!(store.balances(at(0)).await.unwrap()[&name("form")], Balance::default());
    assert_eq!(happened(&file(&place)), before);
    check(&file(&place)).unwrap();
}

#[tokio::test]
async fn half_hours_are_kept_for_thirteen_months_and_while_their_events_are() {
    let place = TestStore::new();
    let store = &*place.open();
    settled_in(store, 0, State::Delivered).await;
    let held = store_one(store, from("other", at(0))).await;
    let day = 86_400;

    run_once(store, Duration::ZERO, at(390 * day)).await.unwrap();
    assert_eq!(happened(&file(&place)).len(), 3);
    run_once(store, Duration::ZERO, at(400 * day)).await.unwrap();

    let kept: Vec<_> = happened(&file(&place)).into_keys().map(|(source, _)| source).collect();
    assert_eq!(kept, ["other"]);
    assert!(store.event(held).await.unwrap().is_some());
}

#[tokio::test]
async fn only_what_the_sender_sent_is_a_webhook_of_it() {
    let place = TestStore::new();
    let store = &*place.open();
    let of = |origin| Webhook { origin, ..webhook(at(0)) };
    let original = store_one(store, of(WebhookOrigin::Sent)).await;
    store_one(store, of(WebhookOrigin::Made)).await;
    store_one(store, of(WebhookOrigin::Imported { due_at: at(0) })).await;
    let copy = CopyRequest { original, webhook: of(WebhookOrigin::Made), by: somebody() };
    store.copy(copy).await.unwrap();
    // One webhook with two events, and the same once more.
    for _ in 0..2 {
        store.store(deliveries(&["a", "b"])).await.unwrap();
    }

    let webhooks = store.webhooks(HalfHour::of(at(0))).await.unwrap();

    assert_eq!(webhooks[&name("form")], [(HalfHour::of(at(0)), 3)]);
    let expected = Totals { accepted: 6, settled: 0, duplicates: 2, webhooks: 3, queued: 6 };
    assert_eq!(check(&file(&place)), Ok(expected));
}

#[tokio::test]
async fn balance_since_a_time_within_a_half_hour_counts_its_events_by_their_times() {
    let place = TestStore::new();
    let store = &*place.open();
    for second in [9, 10, 11, HALF - 1, HALF, 3 * HALF] {
        store_one(store, webhook(at(second))).await;
    }
    store_one(store, from("other", at(1))).await;

    let queued = async |second| {
        let balances = store.balances(at(second)).await.unwrap();
        let queued = balances.get(&name("form")).map_or(0, |it| it.events.queued);
        (queued, balances.get(&name("other")).map_or(0, |it| it.events.queued))
    };

    assert_eq!(queued(0).await, (6, 1));
    assert_eq!(queued(1).await, (6, 1));
    assert_eq!(queued(10).await, (5, 0));
    assert_eq!(queued(HALF).await, (2, 0));
    assert_eq!(queued(HALF + 1).await, (1, 0));
    assert_eq!(queued(9 * HALF).await, (0, 0));
}

#[tokio::test]
async fn steps_of_a_series_add_up_and_are_read_for_any_sources() {
    let place = TestStore::new();
    let store = &*place.open();
    // Over more than one read.
    for (half_hour, source) in [(0, "form"), (0, "other"), (5, "form"), (3_000, "third")] {
        store_one(store, from(source, at(half_hour * HALF))).await;
    }
    let since = HalfHour::of(at(0));
    let accepted = async |sources: Option<&[&str]>, step| {
        let sources = sources.map(|it| it.iter().map(|source| name(source)).collect());
        let request = SeriesRequest { sources, since, until: since.plus(3_001), step };
        let flows = store.series(request).await.unwrap();
        assert_eq!(flows.len(), 3_001_usize.div_ceil(step as usize));
        let accepted = flows.iter().enumerate().filter(|(_, it)| it.accepted > 0);
        accepted.map(|(place, it)| (place, it.accepted)).collect::<Vec<_>>()
    };

    assert_eq!(accepted(None, 1).await, [(0, 2), (5, 1), (3_000, 1)]);
    assert_eq!(accepted(None, 48).await, [(0, 3), (62, 1)]);
    assert_eq!(accepted(Some(&["form"]), 1).await, [(0, 1), (5, 1)]);
    assert_eq!(accepted(Some(&["form", "third"]), 2).await, [(0, 1), (2, 1), (1_500, 1)]);
    assert_eq!(accepted(Some(&[]), 1).await, []);
}

#[tokio::test]
async fn wrong_counts_are_corrected() {
    let place = TestStore::new();
    let store = &*place.open();
    settled_in(store, 0, State::Dead).await;
    let other = Connection::open(file(&place)).unwrap();
    other
        .execute_batch(
            "INSERT INTO counts VALUES ('gone', 'dead', 3);
             INSERT INTO half_hours (at, source, now_held) VALUES (0, 'gone', 2);
             UPDATE half_hours SET now_dead = 0, now_ignored = 7 WHERE now_dead = 1;",
        )
        .unwrap();
    let before = happened(&file(&place));
    assert!(check(&file(&place)).is_err());

    assert_eq!(store.recount().await, Ok(Recounted { counts: 1, half_hours: 2 }));

    check(&file(&place)).unwrap();
    assert_eq!(happened(&file(&place)), before);
    assert_eq!(store.counts().await.unwrap().iter().map(|it| it.events).sum::<u64>(), 1);
    assert_eq!(store.recount().await, Ok(Recounted::default()));
}

#[tokio::test]
async fn half_hours_of_an_older_program_are_filled_in() {
    let place = TestStore::new();
    let store = place.open();
    for half_hour in [0, 4, 2_000] {
        for state in [State::Delivered, State::Dead, State::Held] {
            settled_in(&*store, half_hour, state).await;
        }
    }
    store.store(deliveries(&["a", "b"])).await.unwrap();
    store_one(
        &*store,
        Webhook { origin: WebhookOrigin::Imported { due_at: at(0) }, ..webhook(at(0)) },
    )
    .await;
    let counted = check(&file(&place)).unwrap();
    let before = happened(&file(&place));
    drop(store);
    set_version(&Connection::open(file(&place)).unwrap(), 15);

    let store = place.open();
    let recounted = store.recount().await.unwrap();

    assert_eq!(recounted.counts, 0);
    assert!(recounted.half_hours > 0);
    // When an event was held is not stored.
    let filled = check(&file(&place)).unwrap();
    assert_eq!(filled, Totals { settled: counted.settled - 3, ..counted });
    assert!(only_grew(&happened(&file(&place)), &before));
    assert_eq!(store.recount().await, Ok(Recounted::default()));
}

#[tokio::test]
async fn flows_that_the_events_no_longer_show_stay_after_a_recount() {
    let place = TestStore::new();
    let store = &*place.open();
    settled_in(store, 0, State::Delivered).await;
    settled_in(store, 0, State::Dead).await;
    let file = file(&place);
    run_once(store, Duration::ZERO, at(5 * HALF)).await.unwrap();
    for _ in 0..3 {
        store_one(store, webhook(at(0))).await;
    }
    let before = happened(&file);
    // An older program stores and settles one.
    let claimed = claim(store, at(9), 1).await;
    store.advance(claimed[0].claim, step(settle(State::Ignored))).await.unwrap();
    let other = Connection::open(&file).unwrap();
    other
        .execute_batch("UPDATE half_hours SET now_ignored = 0, ignored = 0, now_queued = 3")
        .unwrap();

    store.recount().await.unwrap();

    assert!(only_grew(&before, &happened(&file)));
    let totals = check(&file).unwrap();
    assert_eq!((totals.accepted, totals.settled, totals.webhooks), (5, 3, 5));
}
