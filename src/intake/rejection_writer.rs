//! Writes what was rejected to the store: in the background, so that a flood of rejections costs no commit
//! for each.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::sleep;
use tracing::warn;

use super::recent_rejections::RecentRejections;
use crate::store::{Inbox, RejectionBatch, StoreError};

/// Shortest time between two commits.
const INTERVAL: Duration = Duration::from_secs(1);
/// The same after a failure.
const INTERVAL_AFTER_FAILURE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct RejectionWriter {
    /// The batch that could not be written yet. While it is tried again, all that is rejected stays in
    /// its bounded place.
    unwritten: Mutex<Option<RejectionBatch>>,
}

impl RejectionWriter {
    /// Writes until `closed`, and then what is left.
    pub(super) async fn write_all(
        &self,
        rejected: &RecentRejections,
        store: &dyn Inbox,
        closed: impl Future<Output = ()>,
    ) {
        let mut closed = pin!(closed);
        let mut is_closed = false;
        let mut has_failed = false;
        while !is_closed {
            let interval = if has_failed { INTERVAL_AFTER_FAILURE } else { INTERVAL };
            tokio::select! {
                () = &mut closed => is_closed = true,
                () = sleep(interval) => {}
            }
            let result = self.write(rejected, store).await;
            if let Err(error) = &result
                && !has_failed
            {
                warn!(%error, "rejected webhooks could not be recorded and are recorded later");
            }
            has_failed = result.is_err();
        }
    }

    /// Writes what was rejected up to now; nothing if nothing was.
    pub(super) async fn write(
        &self,
        rejected: &RecentRejections,
        store: &dyn Inbox,
    ) -> Result<(), StoreError> {
        // Held over the writes: a batch must not overtake an earlier one.
        let mut unwritten = self.unwritten.lock().await;
        loop {
            let Some(batch) = unwritten.take().or_else(|| rejected.take_batch()) else {
                return Ok(());
            };
            // Before the write, and not only after its failure: this future may be dropped in it.
            *unwritten = Some(batch.clone());
            store.write_rejections(batch).await?;
            *unwritten = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::sqlite::Settings;
    use crate::store::{
        HalfHour, Monitoring, PageRequest, RejectionFilter, RejectionRecord, SeriesRequest, Sqlite,
    };

    fn reject(rejected: &RecentRejections, second: i64) {
        let at = Timestamp::from_second(second).unwrap();
        rejected.add(RejectionRecord::example(at), true);
    }

    async fn written(store: &Sqlite) -> (usize, u64) {
        let page = PageRequest { limit: 500, after: None };
        let listed = store.rejections(RejectionFilter::default(), page).await.unwrap();
        let since = HalfHour::of(Timestamp::UNIX_EPOCH);
        let request = SeriesRequest { sources: None, since, until: since.plus(48), step: 48 };
        let flows = store.series(request).await.unwrap();
        (listed.rejected.len(), flows.iter().map(|flows| flows.rejected).sum())
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Sqlite::open(&Settings::new(folder.path().join("relay.db"))).unwrap();
        let (rejected, writer) = (RecentRejections::default(), RejectionWriter::default());
        let store = open();
        reject(&rejected, 0);
        writer.write_all(&rejected, &store, async {}).await;
        assert_eq!(written(&store).await, (1, 1));

        store.close().await;
        for second in [30, 100, 200] {
            reject(&rejected, second);
            writer.write(&rejected, &store).await.unwrap_err();
        }
        let store = open();
        writer.write(&rejected, &store).await.unwrap();

        assert_eq!(written(&store).await, (3, 4));
        writer.write(&rejected, &store).await.unwrap();
        assert_eq!(written(&store).await, (3, 4));
    }
}
