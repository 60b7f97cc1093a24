//! Versions of mapping files: each text that went into service, and which events it mapped.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use savio_relay::event::{EventId, MappingDigest, State};
use savio_relay::store::maintenance::run_once;
use savio_relay::store::{
    EventFilter, FoundVersion, MappingHistory, MappingText, MappingTexts, MappingVersion,
    PageRequest, Progress, Store, VERSIONS_KEPT,
};

use crate::support::store::{
    TestStore, at, claim_one, from, name, plan_and_send, record, settle, step, store_one, webhook,
};

fn text(text: &str, seconds: i64) -> Arc<MappingText> {
    Arc::new(MappingText::new(text, at(seconds)))
}

async fn serve(store: &dyn Store, source: &str, mapping: &str, seconds: i64) {
    let texts: MappingTexts = [(name(source), text(mapping, seconds))].into();
    store.put_in_service(texts).await.unwrap();
}

/// Stores an event and records that it was mapped by this text.
async fn map_one(store: &dyn Store, mapping: &Arc<MappingText>) -> EventId {
    let id = store_one(store, webhook(at(0))).await;
    let claimed = claim_one(store, at(0)).await;
    let mapping = Some(Arc::clone(mapping));
    let planned = Progress { mapping, ..plan_and_send(&["slow"]) };
    store.advance(claimed.claim, planned).await.unwrap();
    let settled = step(settle(State::Delivered));
    store.advance(claimed.claim, settled).await.unwrap();
    id
}

async fn history(store: &dyn Store, source: &str) -> MappingHistory {
    store.mapping_history(name(source), 500, None).await.unwrap()
}

/// Returns the start of each version in seconds and its number of events, newest first.
fn outline(history: &MappingHistory) -> Vec<(i64, u64)> {
    let since = |version: MappingVersion| version.since.as_second() - at(0).as_second();
    history.versions.iter().map(|it| (since(it.version), it.events)).collect()
}

#[tokio::test]
async fn text_that_goes_back_into_service_is_a_new_version_with_one_text() {
    let place = TestStore::new();
    let store = place.open();
    for (mapping, seconds) in [("a", 1), ("a", 2), ("b", 3), ("b", 4), ("a", 5)] {
        serve(&*store, "form", mapping, seconds).await;
    }
    serve(&*store, "other", "a", 6).await;

    let listed = history(&*store, "form").await;

    assert_eq!(outline(&listed), [(5, 0), (3, 0), (1, 0)]);
    let newest: Vec<bool> = listed.versions.iter().map(|it| it.is_newest).collect();
    assert_eq!(newest, [true, false, false]);
    let digests: Vec<MappingDigest> = listed.versions.iter().map(|it| it.version.digest).collect();
    assert_eq!(digests, ["a", "b", "a"].map(MappingDigest::of));
    assert_eq!(outline(&history(&*store, "other").await), [(6, 0)]);
    let file = Connection::open(&place.settings().path).unwrap();
    let texts: i64 =
        file.query_row("SELECT count(*) FROM mapping_texts", [], |row| row.get(0)).unwrap();
    assert_eq!(texts, 2);
}

#[tokio::test]
async fn event_names_the_version_by_which_it_was_mapped_last() {
    let place = TestStore::new();
    let store = place.open();
    serve(&*store, "form", "a", 1).await;
    let id = map_one(&*store, &text("a", 1)).await;
    let unmapped = store_one(&*store, from("form", at(1))).await;

    let version = |digest: &str, seconds| {
        Some(MappingVersion { digest: MappingDigest::of(digest), since: at(seconds) })
    };
    assert_eq!(record(&*store, id).await.mapping, version("a", 1));
    assert_eq!(record(&*store, unmapped).await.mapping, None);
    let page = PageRequest { limit: 9, after: None };
    let listed = store.list(EventFilter::default(), page).await.unwrap().events;
    let mapped: Vec<_> = listed.iter().map(|event| event.mapping).collect();
    assert_eq!(mapped, [None, version("a", 1)]);

    serve(&*store, "form", "b", 2).await;
    let claimed = claim_one(&*store, at(1)).await;
    let dead = Progress { mapping: Some(text("b", 2)), ..step(settle(State::Dead)) };
    store.advance(claimed.claim, dead).await.unwrap();
    assert_eq!(record(&*store, unmapped).await.mapping, version("b", 2));
    assert_eq!(record(&*store, id).await.mapping, version("a", 1));
    assert_eq!(outline(&history(&*store, "form").await), [(2, 1), (1, 1)]);
}

#[tokio::test]
async fn text_that_could_not_be_stored_is_stored_with_its_first_event() {
    let place = TestStore::new();
    let store = place.open();
    serve(&*store, "form", "a", 1).await;

    let first = map_one(&*store, &text("b\r\n", 2)).await;
    let second = map_one(&*store, &text("b\r\n", 2)).await;

    let version = MappingVersion { digest: MappingDigest::of("b\r\n"), since: at(2) };
    assert_eq!(record(&*store, first).await.mapping, Some(version));
    assert_eq!(record(&*store, second).await.mapping, Some(version));
    assert_eq!(outline(&history(&*store, "form").await), [(2, 2), (1, 0)]);
    let found = store.mapping_text(name("form"), version.digest.short().parse().unwrap()).await;
    let text = "b\r\n".to_owned();
    assert_eq!(found, Ok(FoundVersion::One { version, text, is_newest: true }));
}

#[tokio::test]
async fn text_is_found_by_the_beginning_of_its_digest_in_its_source_only() {
    let place = TestStore::new();
    let store = place.open();
    serve(&*store, "form", "a", 1).await;
    serve(&*store, "form", "b", 2).await;
    let find = async |source: &str, prefix: &str| {
        store.mapping_text(name(source), prefix.parse().unwrap()).await.unwrap()
    };

    let digest = MappingDigest::of("a").to_string();
    let FoundVersion::One { version, text, is_newest } = find("form", &digest[..4]).await else {
        panic!("it is there");
    };
    assert_eq!((version.since, text.as_str(), is_newest), (at(1), "a", false));
    assert_eq!(find("other", &digest).await, FoundVersion::None);
    assert_eq!(find("form", &MappingDigest::of("c").to_string()).await, FoundVersion::None);

    let file = Connection::open(&place.settings().path).unwrap();
    let twin = format!(
        "INSERT INTO mapping_versions (source, digest, since)
         SELECT source, unhex('{}ff' || substr(hex(digest), 7)), 7 FROM mapping_versions
         WHERE hex(digest) LIKE '{digest}'",
        &digest[..4]
    );
    file.execute(&twin, []).unwrap();
    assert_eq!(find("form", &digest[..4]).await, FoundVersion::Several);
}

#[tokio::test]
async fn history_is_read_in_pages() {
    let place = TestStore::new();
    let store = place.open();
    for seconds in 0..5 {
        serve(&*store, "form", &format!("text {seconds}"), seconds).await;
    }
    let mut after = None;
    let mut pages = Vec::new();
    loop {
        let page = store.mapping_history(name("form"), 2, after).await.unwrap();
        pages.push(outline(&page));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec![(4, 0), (3, 0)], vec![(2, 0), (1, 0)], vec![(0, 0)]]);
    assert_eq!(after, None);
}

#[tokio::test]
async fn versions_are_kept_while_they_are_among_the_last_or_an_event_names_them() {
    let place = TestStore::new();
    let store = place.open();
    let used = text("used", 0);
    serve(&*store, "form", "unused", -1).await;
    serve(&*store, "form", "used", 0).await;
    map_one(&*store, &used).await;
    let kept = i64::try_from(VERSIONS_KEPT).unwrap();
    for seconds in 1..=kept {
        serve(&*store, "form", &format!("text {seconds}"), seconds).await;
    }
    serve(&*store, "other", "used", 0).await;

    run_once(&*store, Duration::from_mins(1), at(1)).await.unwrap();

    let expected: Vec<(i64, u64)> = (1..=kept).rev().map(|it| (it, 0)).chain([(0, 1)]).collect();
    assert_eq!(outline(&history(&*store, "form").await), expected);
    let unused = MappingDigest::of("unused").to_string().parse().unwrap();
    assert_eq!(store.mapping_text(name("form"), unused).await, Ok(FoundVersion::None));

    // Its only event expires.
    run_once(&*store, Duration::from_mins(1), at(3600)).await.unwrap();

    assert_eq!(history(&*store, "form").await.versions.len(), VERSIONS_KEPT);
    let digest = used.digest.to_string();
    let found = store.mapping_text(name("other"), digest.parse().unwrap()).await.unwrap();
    assert!(matches!(found, FoundVersion::One { .. }), "another source has the text: {found:?}");
    assert_eq!(store.prune_mapping_versions().await, Ok(false));
}
