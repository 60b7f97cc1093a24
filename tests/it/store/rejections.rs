//! Rejected webhooks in the store: rows, pages, counts, and how long they are kept.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use savio_relay::event::SourceName;
use savio_relay::store::maintenance::run_once;
use savio_relay::store::{
    HalfHour, PageRequest, REJECTIONS_OF_SOURCE_MAX, RejectionBatch, RejectionFilter,
    RejectionPage, RejectionRecord, SeriesRequest, Store,
};
use uuid::Uuid;

use crate::support::store::{TestStore, at, name};

fn record(source: &str, second: i64, count: u64) -> RejectionRecord {
    RejectionRecord {
        source: name(source),
        at: at(second),
        first_at: at(second),
        count,
        status: 401,
        error: "signature wrong".into(),
        reason: "the signature is wrong".to_owned(),
        hint: Some("right with a line end behind the secret".to_owned()),
        client: Some([10, 0, 0, 1].into()),
        bytes: 17,
        headers: vec!["content-type".to_owned(), "x-signature".to_owned()],
    }
}

fn batch(records: Vec<RejectionRecord>) -> RejectionBatch {
    let mut counts: BTreeMap<(SourceName, HalfHour), u64> = BTreeMap::new();
    for record in &records {
        *counts.entry((record.source.clone(), HalfHour::of(record.at))).or_default() +=
            record.count;
    }
    RejectionBatch { id: Uuid::new_v4(), records, counts }
}

async fn list(store: &dyn Store, filter: RejectionFilter, limit: usize) -> RejectionPage {
    store.rejections(filter, PageRequest { limit, after: None }).await.unwrap()
}

async fn counted(store: &dyn Store) -> u64 {
    let (since, until) = (HalfHour::of(at(-7_200)), HalfHour::of(at(7_200)));
    let request = SeriesRequest { sources: None, since, until, step: 1 };
    store.series(request).await.unwrap().iter().map(|flows| flows.rejected).sum()
}

#[tokio::test]
async fn batch_that_is_written_again_counts_once() {
    let place = TestStore::new();
    let store = place.open();
    let first = batch(vec![record("form", 1, 3)]);

    // As after a commit that is on disk, and was reported as failed.
    store.write_rejections(first.clone()).await.unwrap();
    store.write_rejections(first.clone()).await.unwrap();
    store.close().await;
    let store = place.open();
    store.write_rejections(first.clone()).await.unwrap();

    let all = list(&*store, RejectionFilter::default(), 10).await;
    assert_eq!((all.rejected, all.next), (first.records.clone(), None));
    assert_eq!(counted(&*store).await, 3);

    let mut grown = record("form", 1, 5);
    grown.at = at(30);
    let mut second = batch(vec![grown.clone()]);
    second.counts = [((name("form"), HalfHour::of(at(30))), 2)].into();
    store.write_rejections(second).await.unwrap();
    assert_eq!(list(&*store, RejectionFilter::default(), 10).await.rejected, [grown]);
    assert_eq!(counted(&*store).await, 5);
}

#[tokio::test]
async fn pages_have_each_row_once_newest_first() {
    let place = TestStore::new();
    let store = place.open();
    let records = (0..25).map(|it| record(if it % 5 == 0 { "other" } else { "form" }, it / 2, 1));
    // Some of the same time differ by their client.
    let records = records.enumerate().map(|(it, mut record)| {
        record.client = Some([10, 0, 0, u8::try_from(it).unwrap()].into());
        record
    });
    store.write_rejections(batch(records.collect())).await.unwrap();

    for (filter, expected) in [
        (RejectionFilter::default(), 25),
        (RejectionFilter::of(name("form")), 20),
        (RejectionFilter { since: Some(at(10)), ..RejectionFilter::default() }, 5),
    ] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = PageRequest { limit: 3, after };
            let page = store.rejections(filter.clone(), page).await.unwrap();
            found.extend(page.rejected);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found.len(), expected, "{filter:?}");
        assert!(found.is_sorted_by_key(|it| std::cmp::Reverse(it.at)));
        assert!(found.iter().all(|it| filter.matches(it)));
        let whole = list(&*store, filter, 100).await;
        assert_eq!(whole.rejected, found);
    }
}

#[tokio::test]
async fn newest_thousand_of_a_source_are_kept_for_thirty_days() {
    let place = TestStore::new();
    let store = place.open();
    let day = 24 * 3_600;
    store.write_rejections(batch(vec![record("other", 0, 1)])).await.unwrap();
    for hundred in 0..11 {
        let records = (0..100).map(|it| record("form", hundred * 100 + it, 1)).collect();
        store.write_rejections(batch(records)).await.unwrap();
    }

    let of_form = list(&*store, RejectionFilter::of(name("form")), 2_000).await.rejected;
    assert_eq!((of_form.len(), of_form[999].at), (REJECTIONS_OF_SOURCE_MAX, at(100)));
    assert_eq!(list(&*store, RejectionFilter::of(name("other")), 10).await.rejected.len(), 1);

    let purge = async |now: Timestamp| {
        run_once(&*store, Duration::from_hours(24 * 365), now).await.unwrap();
        list(&*store, RejectionFilter::default(), 2_000).await.rejected.len()
    };
    assert_eq!(purge(at(30 * day + 1)).await, 1_000, "that of `other` is too old");
    assert_eq!(purge(at(30 * day + 1_100)).await, 0);
}
