//! The audit: what people did, page by page and by each filter.

use std::time::Duration;

use savio_relay::event::{Outcome, State};
use savio_relay::store::maintenance::run_once;
use savio_relay::store::{
    Actor, AuditAction, AuditEntry, AuditFilter, AuditPage, AuditVia, EventFilter, HoldDecision,
    PageRequest, ReplayId, ReplayRequest, Store, run_replay,
};

use crate::support::store::{
    TestStore, after, at, attempt, claim_one, plan_and_send, release, settle, step, store_one,
    webhook,
};

fn person(name: &str) -> Actor {
    Actor::new(name, AuditVia::Token)
}

async fn list(store: &dyn Store, filter: AuditFilter, limit: usize) -> AuditPage {
    store.audit(filter, PageRequest { limit, after: None }).await.unwrap()
}

fn told(entries: &[AuditEntry]) -> Vec<(&str, &str)> {
    entries.iter().map(|entry| (entry.who.as_str(), entry.action.as_str())).collect()
}

/// Records six actions: each of two people pauses, resumes and pauses again.
async fn two_people(store: &dyn Store) {
    let actions = [AuditAction::Pause, AuditAction::Resume, AuditAction::Pause];
    for (second, action) in (0..).zip(actions) {
        for who in ["ada", "ben"] {
            let entry = person(who).did(action, at(second)).on("source form");
            store.record(entry).await.unwrap();
        }
    }
}

#[tokio::test]
async fn recorded_action_is_listed_whole() {
    let place = TestStore::new();
    let store = place.open();
    let entry = Actor::new("ops@relay-1", AuditVia::Cli)
        .did(AuditAction::SaveMapping, at(1))
        .on("source form")
        .count(2)
        .detail("one test updated")
        .digests(Some("a".repeat(64)), None);

    store.record(entry).await.unwrap();

    let AuditPage { entries, next } = list(&*store, AuditFilter::default(), 10).await;
    let expected = AuditEntry {
        at: at(1),
        who: "ops@relay-1".to_owned(),
        via: "cli".to_owned(),
        action: "save_mapping".to_owned(),
        on: Some("source form".to_owned()),
        count: Some(2),
        detail: Some("one test updated".to_owned()),
        digest_before: Some("a".repeat(64)),
        digest_after: None,
    };
    assert_eq!((entries, next), (vec![expected], None));
}

#[tokio::test]
async fn actions_are_found_by_each_filter() {
    let place = TestStore::new();
    let store = place.open();
    two_people(&*store).await;
    let found = async |filter| {
        let page = list(&*store, filter, 10).await;
        page.entries.into_iter().map(|it| format!("{} {}", it.who, it.action)).collect::<Vec<_>>()
    };
    let filter = AuditFilter::default;

    assert_eq!(found(filter()).await.len(), 6);
    let ada = AuditFilter { who: Some("ada".to_owned()), ..filter() };
    assert_eq!(found(ada.clone()).await, ["ada pause", "ada resume", "ada pause"]);
    let resumes = AuditFilter { action: Some(AuditAction::Resume), ..filter() };
    assert_eq!(found(resumes).await, ["ben resume", "ada resume"]);
    let both = AuditFilter { action: Some(AuditAction::Pause), ..ada.clone() };
    assert_eq!(found(both).await, ["ada pause", "ada pause"]);
    let times = AuditFilter { since: Some(at(1)), until: Some(at(2)), ..ada };
    assert_eq!(found(times).await, ["ada resume"]);
    assert!(found(AuditFilter { who: Some("eve".to_owned()), ..filter() }).await.is_empty());
}

#[tokio::test]
async fn pages_have_each_entry_once_newest_first() {
    let place = TestStore::new();
    let store = place.open();
    two_people(&*store).await;

    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = PageRequest { limit: 2, after };
        let AuditPage { entries, next } = store.audit(AuditFilter::default(), page).await.unwrap();
        assert!(entries.len() <= 2);
        seen.extend(entries);
        after = next;
        if after.is_none() {
            break;
        }
    }

    let expected = [
        ("ben", "pause"),
        ("ada", "pause"),
        ("ben", "resume"),
        ("ada", "resume"),
        ("ben", "pause"),
        ("ada", "pause"),
    ];
    assert_eq!(told(&seen), expected);
}

#[tokio::test]
async fn people_and_actions_are_named_once() {
    let place = TestStore::new();
    let store = place.open();
    assert!(store.audit_names().await.unwrap().people.is_empty());
    two_people(&*store).await;

    let names = store.audit_names().await.unwrap();

    assert_eq!(names.people, ["ada", "ben"]);
    assert_eq!(names.actions, ["pause", "resume"]);
}

#[tokio::test]
async fn entries_are_kept_for_a_year() {
    let place = TestStore::new();
    let store = place.open();
    let year = 365 * 24 * 3600;
    let old = (0..1200).map(|_| at(-1)).chain([at(0), at(1)]);
    for time in old {
        store.record(person("ada").did(AuditAction::Pause, time)).await.unwrap();
    }

    run_once(&*store, Duration::from_mins(1), at(year)).await.unwrap();

    let left = list(&*store, AuditFilter::default(), 500).await.entries;
    assert_eq!(left.iter().map(|entry| entry.at).collect::<Vec<_>>(), [at(1), at(0)]);
}

#[tokio::test]
async fn replay_is_recorded_with_the_events_that_it_queued() {
    let place = TestStore::new();
    let store = place.open();
    for _ in 0..3 {
        store_one(&*store, webhook(at(0))).await;
        let claim = claim_one(&*store, at(0)).await.claim;
        store.advance(claim, step(settle(State::Dead))).await.unwrap();
    }
    let id = ReplayId::new(at(20));
    let text = Some("no@example.com".to_owned());
    let filter = EventFilter { states: vec![State::Dead], ..EventFilter::default() };
    let request =
        ReplayRequest { id, filter: filter.clone(), interval: Duration::ZERO, begun_at: at(20) };
    store.start_replay(request.clone(), person("ada")).await.unwrap();
    run_replay(&*store, id, |_| {}).await.unwrap();
    store.cancel_replay(id, at(21), person("ben")).await.unwrap();
    store.cancel_replay(id, at(22), person("ben")).await.unwrap();
    store.cancel_replay(ReplayId::new(at(0)), at(22), person("ben")).await.unwrap();
    let searched = EventFilter { text, ..filter };
    let request =
        ReplayRequest { id: ReplayId::new(at(30)), filter: searched, begun_at: at(30), ..request };
    store.start_replay(request, person("ada")).await.unwrap();

    let entries = list(&*store, AuditFilter::default(), 10).await.entries;

    let told: Vec<_> = entries
        .iter()
        .map(|it| (it.who.as_str(), it.action.as_str(), it.on.clone().unwrap(), it.count))
        .collect();
    let expected = [
        ("ada", "replay", "dead, a text search".to_owned(), Some(0)),
        ("ben", "cancel_replay", format!("replay {id}"), Some(3)),
        ("ada", "replay", "dead".to_owned(), Some(3)),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn release_is_recorded_if_something_was_released() {
    let place = TestStore::new();
    let store = place.open();
    let id = store_one(&*store, webhook(at(0))).await;
    store.release(release(id, HoldDecision::SendAgain, at(1))).await.unwrap();
    assert!(list(&*store, AuditFilter::default(), 10).await.entries.is_empty());
    let claim = claim_one(&*store, at(0)).await.claim;
    store.advance(claim, plan_and_send(&["slow"])).await.unwrap();
    store
        .advance(claim, after(attempt(0, Outcome::Unanswered), settle(State::Held)))
        .await
        .unwrap();

    store.release(release(id, HoldDecision::AlreadyArrived, at(2))).await.unwrap();

    let entries = list(&*store, AuditFilter::default(), 10).await.entries;
    assert_eq!(told(&entries), [("somebody", "release")]);
    assert_eq!(entries[0].on, Some(format!("event {id}")));
    assert_eq!(entries[0].detail.as_deref(), Some("it arrived"));
}
