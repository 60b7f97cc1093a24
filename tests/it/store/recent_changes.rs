//! What a store tells of its changes to whoever follows them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use savio_relay::event::{EventId, Outcome, State};
use savio_relay::store::{
    CopyRequest, ErasureRequest, EventFilter, EventSummary, HoldDecision, NextStep, PageRequest,
    Progress, RecentChanges, Renewal, ReplayId, ReplayRequest, Sqlite, Store, WaitsFor, Webhook,
    WebhookOrigin, run_replay,
};

use crate::support::store::{
    TestStore, after, at, attempt, claim, claim_one, name, plan_and_send, release, settle,
    somebody, step, store_one, wait, webhook,
};

type Entries = BTreeMap<u64, EventSummary>;

async fn entries(store: &dyn Store) -> Entries {
    let page = PageRequest { limit: 500, after: None };
    let page = store.list(EventFilter::default(), page).await.unwrap();
    page.events.into_iter().map(|entry| (entry.seq, entry)).collect()
}

/// A store of which it is checked that every change of an entry is told.
struct FollowedStore<'s> {
    store: &'s dyn Store,
    before: Entries,
    /// What was done of which entries had to be told.
    told: BTreeSet<&'static str>,
}

impl FollowedStore<'_> {
    async fn new(store: &dyn Store) -> FollowedStore<'_> {
        store.follow_changes().await.unwrap();
        FollowedStore { store, before: entries(store).await, told: BTreeSet::new() }
    }

    /// Checks that what has changed since the last check is told, and nothing else.
    async fn check(&mut self, what: &'static str) {
        let now = entries(self.store).await;
        let RecentChanges { events, has_gap, .. } = self.store.take_changes().await.unwrap();
        assert!(!has_gap, "{what}");
        assert!(events.is_sorted_by(|a, b| a > b), "{what}: the newest first: {events:?}");
        let changed = now.iter().filter(|(seq, entry)| self.before.get(*seq) != Some(*entry));
        let changed: Vec<u64> = changed.map(|(seq, _)| *seq).collect();
        for seq in &changed {
            assert!(
                events.contains(seq),
                "{what}: event {seq} changed, and these are told: {events:?}"
            );
        }
        if !changed.is_empty() {
            self.told.insert(what);
        }
        let read: Vec<u64> =
            self.store.entries(events.clone()).await.unwrap().iter().map(|it| it.seq).collect();
        assert_eq!(read, events, "{what}");
        self.before = now;
    }
}

#[tokio::test]
async fn every_step_of_a_delivery_is_told() {
    let place = TestStore::new();
    let store = &*place.open();
    let mut followed = FollowedStore::new(store).await;

    store_one(store, webhook(at(0))).await;
    followed.check("store").await;
    let claimed = claim_one(store, at(0)).await;
    followed.check("claim").await;
    let claim_of_first = claimed.claim;
    let waits_for = Some(WaitsFor { event: 7, reason: "waits for another".to_owned() });
    let parked = NextStep::Park { waits_for: waits_for.clone() };
    store.advance(claim_of_first, step(parked)).await.unwrap();
    followed.check("park").await;
    let reason = "waits for one more".to_owned();
    let renewal = Renewal { claim: claim_of_first, waits_for: Some(WaitsFor { event: 8, reason }) };
    store.renew(vec![renewal], at(70)).await.unwrap();
    followed.check("renew").await;
    store.advance(claim_of_first, plan_and_send(&["slow"])).await.unwrap();
    followed.check("send").await;
    let again = after(attempt(0, Outcome::Retry), wait(100));
    store.advance(claim_of_first, again).await.unwrap();
    followed.check("wait").await;
    store.rewind(vec![name("form")], at(-50)).await.unwrap();
    followed.check("rewind").await;
    let claimed = claim_one(store, at(200)).await;
    store.advance(claimed.claim, step(NextStep::Send { position: 0, at: at(200) })).await.unwrap();
    followed.check("send again").await;
    let held = after(attempt(0, Outcome::Unanswered), settle(State::Held));
    store.advance(claimed.claim, held).await.unwrap();
    followed.check("hold").await;

    let steps = ["store", "park", "renew", "send", "wait", "rewind", "send again", "hold"];
    assert_eq!(followed.told, steps.into());
}

#[tokio::test]
async fn every_change_by_a_person_is_told() {
    let place = TestStore::new();
    let store = &*place.open();
    let first = store_one(store, webhook(at(0))).await;
    let claimed = claim_one(store, at(0)).await;
    store.advance(claimed.claim, plan_and_send(&["slow"])).await.unwrap();
    let held = after(attempt(0, Outcome::Unanswered), settle(State::Held));
    store.advance(claimed.claim, held).await.unwrap();
    let mut followed = FollowedStore::new(store).await;

    store.release(release(first, HoldDecision::AlreadyArrived, at(210))).await.unwrap();
    followed.check("release").await;

    let order = |id: EventId| ReplayRequest {
        id: ReplayId::new(at(220)),
        filter: EventFilter { ids: vec![id], ..EventFilter::default() },
        interval: Duration::ZERO,
        begun_at: at(220),
    };
    let replay = order(first);
    let replay_id = replay.id;
    store.start_replay(replay, somebody()).await.unwrap();
    run_replay(store, replay_id, |_| {}).await.unwrap();
    followed.check("replay").await;
    store.cancel_replay(replay_id, at(230), somebody()).await.unwrap();
    run_replay(store, replay_id, |_| {}).await.unwrap();
    followed.check("cancel").await;
    let copy = Webhook { origin: WebhookOrigin::Made, ..webhook(at(240)) };
    store.copy(CopyRequest { original: first, webhook: copy, by: somebody() }).await.unwrap();
    followed.check("copy").await;
    let claimed = claim_one(store, at(250)).await;
    store.advance(claimed.claim, step(settle(State::Ignored))).await.unwrap();
    followed.check("settle").await;
    let erasure = ErasureRequest { ids: vec![first], person: None, at: at(260), by: somebody() };
    store.erase(erasure).await.unwrap();
    let erased = store.take_changes().await.unwrap().events;
    assert_eq!(erased, [1], "whether or not the log was emptied, which looks like another's write");

    assert_eq!(followed.told, ["release", "replay", "cancel", "copy", "settle"].into());
}

#[tokio::test]
async fn nothing_is_remembered_unless_somebody_follows() {
    let place = TestStore::new();
    let store = &*place.open();
    store_one(store, webhook(at(0))).await;
    assert!(store.take_changes().await.unwrap().is_empty());

    store.follow_changes().await.unwrap();
    assert!(store.take_changes().await.unwrap().is_empty());
    store_one(store, webhook(at(1))).await;
    let RecentChanges { events, sources, has_gap } = store.take_changes().await.unwrap();
    assert_eq!((events, has_gap), (vec![2], false));
    assert_eq!(sources, [(name("form"), 0)].into());
    assert!(store.take_changes().await.unwrap().is_empty());

    store_one(store, webhook(at(2))).await;
    store.stop_following();
    store_one(store, webhook(at(3))).await;
    assert!(store.take_changes().await.unwrap().is_empty());
}

#[tokio::test]
async fn step_that_fails_changes_nothing_that_is_told() {
    let place = TestStore::new();
    let store = &*place.open();
    store_one(store, webhook(at(0))).await;
    let claimed = claim(store, at(0), 1).await.remove(0);
    store.follow_changes().await.unwrap();

    let wrong = step(NextStep::Send { position: 3, at: at(1) });
    assert!(store.advance(claimed.claim, Progress { ..wrong }).await.is_err());

    let counted = store.take_changes().await.unwrap().sources;
    assert!(counted.is_empty(), "{counted:?}");
}

#[tokio::test]
async fn write_of_another_process_is_a_gap() {
    let place = TestStore::new();
    let store = &*place.open();
    let other = Sqlite::open_shared(&place.settings()).unwrap();
    store.follow_changes().await.unwrap();
    store_one(store, webhook(at(0))).await;
    assert!(!store.take_changes().await.unwrap().has_gap, "its own write");
    // A read of the other is no write.
    entries(&other).await;
    assert!(!store.take_changes().await.unwrap().has_gap);

    store_one(&other, webhook(at(1))).await;

    assert!(store.take_changes().await.unwrap().has_gap);
    store_one(store, webhook(at(2))).await;
    let changes = store.take_changes().await.unwrap();
    assert_eq!((changes.events, changes.has_gap), (vec![3], false));
}
