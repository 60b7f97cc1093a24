//! What a running relay does beside its work: it forgets what settled long ago, finishes replays that
//! were left half done, and sees at its start whether its events are counted rightly.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::{Store, StoreError, run_replay};
use crate::clock;

const EVERY: Duration = Duration::from_mins(1);

/// After a step others have the disk for so many times as long as it took.
const REST_TIMES: u32 = 4;
const REST_MIN: Duration = Duration::from_millis(10);

/// Looks every minute, and when it is woken, until `shutdown`.
pub async fn run(
    store: Arc<dyn Store>,
    retention: Duration,
    wake: Arc<Notify>,
    shutdown: impl Future<Output = ()>,
) {
    let looking = async {
        recount(&*store).await;
        loop {
            if let Err(error) = run_once(&*store, retention, clock::now()).await {
                warn!(%error, "the store cannot be tidied up now");
            }
            tokio::select! {
                () = wake.notified() => {}
                () = sleep(EVERY) => {}
            }
        }
    };
    tokio::select! {
        () = shutdown => {}
        () = looking => {}
    }
}

/// What is listed and replayed is found by the counts.
async fn recount(store: &dyn Store) {
    match store.recount().await {
        Ok(0) => {}
        Ok(wrong) => error!(wrong, "the store had counted its events wrongly: a bug; it is mended"),
        Err(error) => warn!(%error, "the events in the store cannot be counted"),
    }
}

/// All that is due at `now`.
pub async fn run_once(
    store: &dyn Store,
    retention: Duration,
    now: Timestamp,
) -> Result<(), StoreError> {
    for id in store.open_replays().await? {
        run_replay(store, id, |_| {}).await?;
    }
    let before = now.saturating_sub(retention).unwrap_or(Timestamp::MIN);
    let mut events = 0;
    loop {
        let start = Instant::now();
        let step = store.purge(before).await?;
        events += step.events;
        if !step.has_steps {
            break;
        }
        sleep((start.elapsed() * REST_TIMES).max(REST_MIN)).await;
    }
    if events > 0 {
        info!(events, "forgot events that settled before {before}");
    }
    Ok(())
}
