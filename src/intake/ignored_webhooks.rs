//! Counts the verified webhooks that carry nothing to store. They show that their sender sends, so that a
//! source is not called silent while its tool reports what the mapping file leaves out.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::request::Parts;
use jiff::Timestamp;
use tokio::time::sleep;
use tracing::warn;

use super::request::{origin, source_name};
use super::response::Acknowledgement;
use crate::clock;
use crate::event::SourceName;
use crate::store::{HalfHour, Inbox, WebhookOrigin};

/// Interval at which they are written: a commit for each would cost as much as a webhook that is stored.
const INTERVAL: Duration = Duration::from_secs(10);

/// Numbers that wait to be written, while the store is unavailable. Further half hours are left out.
const WAITING_MAX: usize = 10_000;

/// Numbers by source and half hour.
#[derive(Debug, Default)]
pub(super) struct IgnoredWebhooks(Mutex<BTreeMap<(SourceName, HalfHour), u64>>);

impl IgnoredWebhooks {
    /// Counts a webhook that its provider sent, if it was ignored.
    pub(super) fn note(&self, parts: &Parts, acknowledgement: &Acknowledgement) {
        match (acknowledgement, source_name(parts)) {
            (Acknowledgement::Ignored { .. }, Some(name))
                if origin(parts) == WebhookOrigin::Sent =>
            {
                self.add(name, clock::now());
            }
            _ => {}
        }
    }

    fn add(&self, source: SourceName, now: Timestamp) {
        self.put((source, HalfHour::of(now)), 1);
    }

    fn put(&self, key: (SourceName, HalfHour), webhooks: u64) {
        let mut waiting = self.waiting();
        if waiting.len() < WAITING_MAX || waiting.contains_key(&key) {
            *waiting.entry(key).or_default() += webhooks;
        }
    }

    /// Writes them until `closed`, and then what is left.
    pub(super) async fn write_all(&self, store: &dyn Inbox, closed: impl Future<Output = ()>) {
        let mut closed = pin!(closed);
        let mut is_closed = false;
        while !is_closed {
            tokio::select! {
                () = &mut closed => is_closed = true,
                () = sleep(INTERVAL) => {}
            }
            self.write(store).await;
        }
    }

    async fn write(&self, store: &dyn Inbox) {
        let taken = std::mem::take(&mut *self.waiting());
        if taken.is_empty() {
            return;
        }
        if let Err(error) = store.count_webhooks(taken.clone()).await {
            warn!(%error, "ignored webhooks could not be counted and are counted later");
            for (key, webhooks) in taken {
                self.put(key, webhooks);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<(SourceName, HalfHour), u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::Settings;
    use crate::store::{Monitoring, Sqlite};

    #[tokio::test]
    async fn numbers_that_cannot_be_written_are_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&Settings::new(folder.path().join("relay.db"))).unwrap();
        let (ignored, source) = (IgnoredWebhooks::default(), "form".parse::<SourceName>().unwrap());
        let counted = async || {
            let webhooks = store.webhooks(HalfHour::of(Timestamp::UNIX_EPOCH)).await.unwrap();
            webhooks.get(&source).cloned().unwrap_or_default()
        };
        let half_hour = HalfHour::of(Timestamp::UNIX_EPOCH);

        ignored.add(source.clone(), Timestamp::UNIX_EPOCH);
        ignored.add(source.clone(), Timestamp::UNIX_EPOCH);
        ignored.write_all(&store, async {}).await;
        assert_eq!(counted().await, [(half_hour, 2)]);
        ignored.write(&store).await;
        assert_eq!(counted().await, [(half_hour, 2)]);

        store.close().await;
        ignored.add(source.clone(), Timestamp::UNIX_EPOCH);
        ignored.write(&store).await;

        let store = Sqlite::open(&Settings::new(folder.path().join("relay.db"))).unwrap();
        ignored.write(&store).await;
        let webhooks = store.webhooks(half_hour).await.unwrap();
        assert_eq!(webhooks[&source], [(half_hour, 3)]);
    }

    #[test]
    fn numbers_that_wait_are_bounded() {
        let ignored = IgnoredWebhooks::default();
        let source: SourceName = "form".parse().unwrap();
        for half_hour in 0..2 * i64::try_from(WAITING_MAX).unwrap() {
            let now = Timestamp::from_second(half_hour * 1_800).unwrap();
            ignored.add(source.clone(), now);
        }
        ignored.add(source, Timestamp::UNIX_EPOCH);

        assert_eq!(ignored.waiting().len(), WAITING_MAX);
        assert_eq!(ignored.waiting().values().next(), Some(&2));
    }
}
