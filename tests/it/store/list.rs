//! The contract of every store for lists and searches of events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use savio_relay::comparison::{ComparisonThreads, MappingPair, Walk};
use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::event::{EventId, Outcome, State};
use savio_relay::mapping_file::file::MappingFile;
use savio_relay::parse_memory::ParseMemory;
use savio_relay::store::{
    CountFor, Cursor, EventFilter, EventPage, MatchCount, NewEvent, PageRequest, StateCounts,
    Store, Webhook,
};

use crate::support::store::{
    TestStore, after, at, attempt, claim, claim_one, from, name, plan_and_send, settle, step,
    store_one, wait, webhook,
};

async fn list(store: &dyn Store, filter: &EventFilter) -> Vec<EventId> {
    let listed = page(store, filter, 100, None).await;
    assert_eq!(listed.next, None);
    listed.events.iter().map(|line| line.id).collect()
}

async fn page(
    store: &dyn Store,
    filter: &EventFilter,
    limit: usize,
    after: Option<Cursor>,
) -> EventPage {
    store.list(filter.clone(), PageRequest { limit, after }).await.unwrap()
}

async fn check(store: &dyn Store, filter: &EventFilter, expected: &[EventId]) {
    assert_eq!(list(store, filter).await, expected, "{filter:?}");
    let matching = store.count_matching(filter.clone(), CountFor::Replay).await.unwrap();
    assert_eq!(matching.events(), expected.len() as u64, "{filter:?}");
}

fn text(text: &str) -> EventFilter {
    EventFilter { text: Some(text.to_owned()), ..EventFilter::default() }
}

#[tokio::test]
async fn events_are_listed_newest_first() {
    let place = TestStore::new();
    let store = &*place.open();
    let old = store_one(store, from("a", at(1))).await;
    let new = store_one(store, from("b", at(3))).await;
    let between = store_one(store, from("a", at(2))).await;

    check(store, &EventFilter::default(), &[new, between, old]).await;
}

#[tokio::test]
async fn pages_have_no_gaps_and_no_repeats() {
    let place = TestStore::new();
    let store = &*place.open();
    let mut kept = Vec::new();
    for (number, source) in (0..25).zip(["a", "b"].into_iter().cycle()) {
        kept.push(store_one(store, from(source, at(number / 10))).await);
    }
    for (filter, limit) in
        [(EventFilter::default(), 4), (EventFilter::default(), 5), (text("0"), 3)]
    {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let listed = page(store, &filter, limit, after).await;
            assert!(listed.events.len() <= limit);
            found.extend(listed.events.iter().map(|line| line.id));
            after = listed.next;
            if after.is_none() {
                break;
            }
        }
        found.reverse();
        assert_eq!(found, kept);
    }
}

#[tokio::test]
async fn filter_conditions_are_combined_with_and() {
    let place = TestStore::new();
    let store = &*place.open();
    let first = store_one(store, from("a", at(1))).await;
    let dead = settle_one_of_a(store).await;
    let second = store_one(store, from("a", at(2))).await;
    let other = store_one(store, from("b", at(2))).await;

    let of = |source: Option<savio_relay::event::SourceName>, state| {
        let sources = source.map(|source| vec![source]);
        EventFilter { sources, states: Vec::from_iter(state), ..EventFilter::default() }
    };
    check(store, &of(Some(name("a")), None), &[second, first]).await;
    check(store, &of(None, Some(State::Dead)), &[dead]).await;
    check(store, &of(Some(name("b")), Some(State::Dead)), &[]).await;
    check(store, &of(Some(name("c")), None), &[]).await;
    let sources = |names: &[&str]| EventFilter {
        sources: Some(names.iter().map(|it| name(it)).collect()),
        ..EventFilter::default()
    };
    check(store, &sources(&["a", "b"]), &[other, second, first]).await;
    check(store, &sources(&[]), &[]).await;
    let ids = vec![other, first, EventId::new(at(0)), first];
    check(store, &EventFilter { ids: ids.clone(), ..EventFilter::default() }, &[other, first])
        .await;
    let states = vec![State::Queued];
    check(store, &EventFilter { ids, states, ..EventFilter::default() }, &[other]).await;
    let states = vec![State::Queued, State::Dead];
    check(store, &EventFilter { states, ..EventFilter::default() }, &[other, second, dead]).await;
}

async fn settle_one_of_a(store: &dyn Store) -> EventId {
    let wanted = savio_relay::store::ClaimRequest {
        sources: vec![name("a")],
        slots: 1,
        bytes_max: usize::MAX,
        now: at(9),
        lease: std::time::Duration::from_mins(1),
    };
    let claim = store.claim(wanted).await.unwrap()[0].claim;
    store.advance(claim, step(settle(State::Dead))).await.unwrap();
    claim.event
}

#[tokio::test]
async fn time_range_includes_its_start_and_excludes_its_end() {
    let place = TestStore::new();
    let store = &*place.open();
    let mut ids = Vec::new();
    for second in 0..4 {
        ids.push(store_one(store, webhook(at(second))).await);
    }
    let within = |since, until| EventFilter { since, until, ..EventFilter::default() };

    check(store, &within(Some(at(2)), None), &[ids[3], ids[2]]).await;
    check(store, &within(None, Some(at(2))), &[ids[1], ids[0]]).await;
    check(store, &within(Some(at(1)), Some(at(2))), &[ids[1]]).await;
    check(store, &within(Some(at(2)), Some(at(1))), &[]).await;
}

#[tokio::test]
async fn text_search_covers_id_delivery_id_type_and_reason() {
    let place = TestStore::new();
    let store = &*place.open();
    let mut first = webhook(at(0));
    first.events[0].delivery_id = Some("Delivery-77".to_owned());
    first.events[0].event_type = Some("form_response".to_owned());
    let first = store_one(store, first).await;
    let claim = claim_one(store, at(0)).await.claim;
    store.advance(claim, step(wait(5))).await.unwrap();
    let second = store_one(store, webhook(at(1))).await;

    for found in ["delivery-7", "FORM_", "savio said 503", &first.to_string()] {
        check(store, &text(found), &[first]).await;
    }
    check(store, &text(&second.to_string()[20..].to_uppercase()), &[second]).await;
    check(store, &text("%"), &[]).await;
    check(store, &text(""), &[second, first]).await;
}

#[tokio::test]
async fn list_entry_shows_the_state_of_its_event() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = store_one(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;
    store.advance(claim, plan_and_send(&["slow"])).await.unwrap();
    store.advance(claim, after(attempt(0, Outcome::Retry), wait(5))).await.unwrap();

    let line = page(store, &EventFilter::default(), 9, None).await.events.remove(0);

    assert_eq!((line.id, line.source, line.state), (id, name("form"), State::Queued));
    assert_eq!((line.received_at, line.due_at, line.attempts), (at(0), Some(at(5)), 1));
    assert_eq!(line.reason.as_deref(), Some("savio said 503"));
}

#[tokio::test]
async fn matching_and_queued_events_are_counted() {
    let place = TestStore::new();
    let store = &*place.open();
    for _ in 0..3 {
        store_one(store, webhook(at(0))).await;
    }
    let claim = claim_one(store, at(0)).await.claim;
    store.advance(claim, step(settle(State::Dead))).await.unwrap();

    for filter in
        [EventFilter::default(), text("-"), EventFilter { since: Some(at(0)), ..text("-") }]
    {
        let matching = store.count_matching(filter, CountFor::Replay).await.unwrap();
        let states = StateCounts { queued: 2, dead: 1, ..StateCounts::default() };
        assert_eq!(matching, MatchCount { states, at_least: false });
        assert_eq!((matching.events(), matching.queued()), (3, 2));
    }
}

/// Stores many events in few webhooks, and settles up to 500 of them as dead.
async fn many(store: &dyn Store, events: i64) {
    for second in 0..events / 1000 {
        let template = webhook(at(second));
        let event = |_| NewEvent { id: EventId::new(at(second)), ..template.events[0].clone() };
        let events = (0..1000).map(event).collect();
        store.store(Webhook { events, ..template.clone() }).await.unwrap();
    }
    for claimed in claim(store, at(events), 500).await {
        store.advance(claimed.claim, step(settle(State::Dead))).await.unwrap();
    }
}

/// Returns the time of the quickest of twenty consecutive pages.
async fn quickest(store: &dyn Store, filter: &EventFilter) -> Duration {
    let mut after = None;
    let mut quickest = Duration::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        let listed = page(store, filter, 20, after).await;
        quickest = quickest.min(start.elapsed());
        assert_eq!(listed.events.len(), 20);
        after = listed.next;
    }
    quickest
}

#[tokio::test]
async fn page_costs_the_same_with_a_thousand_and_100_000_events() {
    let (small, large) = (TestStore::new(), TestStore::new());
    let (few, all) = (small.open(), large.open());
    many(&*few, 1_000).await;
    many(&*all, 100_000).await;
    let dead = EventFilter { states: vec![State::Dead], ..EventFilter::default() };

    for filter in [EventFilter::default(), dead] {
        let (few_time, all_time) = (quickest(&*few, &filter).await, quickest(&*all, &filter).await);

        // Reading all of them would take a hundred times as long.
        assert!(all_time < few_time * 10, "{all_time:?} and {few_time:?}");
    }
}

#[tokio::test]
async fn interrupted_search_resumes_until_all_is_found() {
    let place = TestStore::new();
    let store = &*place.open();
    many(store, 12_000).await;

    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let listed = page(store, &text("-"), 500, after).await;
        found.extend(listed.events.into_iter().map(|line| line.id));
        after = listed.next;
        if after.is_none() {
            break;
        }
    }
    let matching = store.count_matching(text("-"), CountFor::Replay).await.unwrap();
    let nowhere = store.count_matching(text("nowhere"), CountFor::Replay).await.unwrap();

    let mut each = found.clone();
    each.sort_unstable();
    each.dedup();
    assert_eq!((found.len(), each.len()), (12_000, 12_000));
    assert!(matching.at_least && (1_000..=10_000).contains(&matching.events()), "{matching:?}");
    assert_eq!(nowhere.events(), 0);
}

#[tokio::test]
async fn long_search_releases_its_reader() {
    let place = TestStore::new();
    let store = &*place.open();
    many(store, 30_000).await;

    let first = page(store, &text("nowhere"), 50, None).await;
    let last = page(store, &text("nowhere"), 50, first.next).await;

    assert!(first.events.is_empty() && first.next.is_some());
    assert_eq!(last, EventPage { events: Vec::new(), next: None, newest: 30_000 });
}

#[tokio::test]
async fn comparison_whose_search_finds_nothing_lets_its_caller_stop() {
    let place = TestStore::new();
    let store = &*place.open();
    let found = store_one(store, webhook(at(0))).await.to_string();
    many(store, 30_000).await;
    let text = "provider = \"form\"\nsecrets = [\"env:S\"]\n[[feedback]]\nproblem = \"x\"\n";
    let document = Document { name: "form.toml".to_owned(), text: text.to_owned() };
    let mapping = MappingFile::of_text(document).mapping;
    let pair = MappingPair { old: Arc::clone(&mapping), new: mapping };
    let threads = ComparisonThreads::default();
    let memory = Arc::new(ParseMemory::new(1 << 20));
    let walk = |after| {
        let events =
            (EventFilter { text: Some(found.clone()), ..EventFilter::default() }, 9, after);
        Walk::new(store, pair.clone(), events, (&memory, &threads, threads.begin("ada".into())))
    };

    let mut first = walk(None);
    assert_eq!(first.next().await.unwrap().map(|it| it.len()), Some(0));
    assert!(first.has_more());

    let mut rest = walk(first.reached());
    let mut compared = Vec::new();
    while let Some(slice) = rest.next().await.unwrap() {
        compared.extend(slice);
    }
    assert_eq!((compared.len(), rest.has_more()), (1, false));
}

#[tokio::test]
async fn rare_type_is_found_page_by_page_and_not_missed_by_a_count() {
    let place = TestStore::new();
    let store = &*place.open();
    let mut webhook = webhook(at(0));
    webhook.events[0].event_type = Some("rare".to_owned());
    let rare = store_one(store, webhook).await;
    many(store, 30_000).await;
    let filter = EventFilter { event_type: Some("rare".to_owned()), ..EventFilter::default() };

    let mut listed = page(store, &filter, 50, None).await;
    assert!(listed.events.is_empty(), "more events than a page looks at are newer");
    let matching = store.count_matching(filter.clone(), CountFor::Display).await.unwrap();
    assert_eq!((matching.events(), matching.at_least), (0, true));
    while let Some(next) = listed.next {
        listed = page(store, &filter, 50, Some(next)).await;
    }
    let found: Vec<EventId> = listed.events.iter().map(|event| event.id).collect();
    assert_eq!(found, [rare]);
}

#[tokio::test]
async fn event_with_invalid_utf8_is_listed_with_the_others() {
    let place = TestStore::new();
    let store = &*place.open();
    let damaged = store_one(store, webhook(at(0))).await;
    let good = store_one(store, webhook(at(1))).await;
    let file = rusqlite::Connection::open(&place.settings().path).unwrap();
    for column in ["type", "delivery_id", "reason", "left_out"] {
        let change =
            format!("UPDATE events SET {column} = CAST(x'41ff42' AS TEXT) WHERE number = 1");
        file.execute(&change, []).unwrap();

        let named = EventFilter { ids: vec![damaged, good], ..EventFilter::default() };
        for filter in [EventFilter::default(), text("-"), named] {
            let listed = page(store, &filter, 9, None).await.events;
            let ids: Vec<EventId> = listed.iter().map(|line| line.id).collect();
            assert_eq!(ids, [good, damaged], "{column}: {filter:?}");
        }
    }

    let listed = page(store, &EventFilter::default(), 9, None).await.events.remove(1);
    let shown = Some("A\u{fffd}B");
    assert_eq!(listed.event_type.as_deref(), shown);
    assert_eq!((listed.delivery_id.as_deref(), listed.reason.as_deref()), (shown, shown));
    assert_eq!(page(store, &text("a\u{fffd}b"), 9, None).await.events.len(), 1);
}
