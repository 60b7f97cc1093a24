//! Closes the store at a stop, in bounded time even if another program locks it.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::{error, warn};

use crate::store::{Queue, Sqlite, StoreError, UnavailableKind};

/// Time after `server.shutdown_timeout` for releasing the claims, which is one commit.
// With `CLOSE_TIME` one second, so that the default of 8 s ends before the 10 s after which Docker
// kills. Without a deadline each wait for the lock takes five seconds, and a stop had up to three.
const GIVE_BACK_TIME: Duration = Duration::from_millis(700);

/// Time after that for closing the store. What is not written back into the database by then stays
/// in its log.
const CLOSE_TIME: Duration = Duration::from_millis(300);

/// Pause between tries while another program locks the store.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Reason for which a stop is not clean.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StopError {
    #[error(
        "claimed events could not be returned to the store: the next start treats this stop as a \
         crash and maps them one at a time"
    )]
    StillClaimed,
}

/// Deadlines of the steps of a stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopDeadlines {
    give_back: Instant,
    close: Instant,
}

impl StopDeadlines {
    /// Returns the deadlines of a stop that begins now.
    pub(super) fn after(shutdown_timeout: Duration) -> StopDeadlines {
        let now = Instant::now();
        let give_back = now.checked_add(shutdown_timeout.saturating_add(GIVE_BACK_TIME));
        let close = give_back.and_then(|it| it.checked_add(CLOSE_TIME));
        StopDeadlines { give_back: give_back.unwrap_or(now), close: close.unwrap_or(now) }
    }

    /// Returns the deadline of the tasks, which themselves end after `server.shutdown_timeout`.
    pub(super) fn parts(&self) -> Instant {
        self.give_back
    }
}

/// Releases the claims, lets what is rejected during the stop be written, and closes the store.
pub(super) async fn close(
    store: &Sqlite,
    last_write: impl Future<Output = Result<(), StoreError>>,
    deadlines: StopDeadlines,
) -> Result<(), StopError> {
    let given_back = give_back(store, deadlines.give_back).await;
    // After the claims, which matter more. Not while the store is locked: that would take the time in
    // which it closes.
    if given_back.is_ok() {
        let written = timeout_at(deadlines.give_back, last_write).await;
        if !matches!(written, Ok(Ok(()))) {
            warn!("some rejected webhooks were not recorded");
        }
    }
    let ended = match &given_back {
        Ok(()) => Ok(()),
        Err(reason) => report(store, reason, deadlines.close).await,
    };
    // The first poll stops the writer in any case. What it still does ends with the process, as by
    // a kill.
    let closed = timeout_at(deadlines.close, store.close()).await;
    if closed.is_err() && given_back.is_ok() {
        warn!(
            "the store is not closed in time: its write-ahead log stays, and the next start reads it"
        );
    }
    ended
}

/// Releases the claims, and tries again while the store is locked. Returns the reason if it fails.
async fn give_back(store: &Sqlite, deadline: Instant) -> Result<(), String> {
    let mut last = None;
    let attempts = async {
        loop {
            match store.release_all().await {
                Err(error @ StoreError::Unavailable { trouble: UnavailableKind::Busy, .. }) => {
                    if last.replace(error.clone()).is_none() {
                        report_wait(store, &error).await;
                    }
                    sleep(RETRY_PAUSE).await;
                }
                ended => return ended,
            }
        }
    };
    let ended = timeout_at(deadline, attempts).await;
    let late = || last.map_or("the store takes too long to write".to_owned(), |it| it.to_string());
    ended.map_err(|_| late())?.map_err(|error| error.to_string())
}

async fn report_wait(store: &Sqlite, error: &StoreError) {
    if let Ok(0) = store.count_claimed().await {
        warn!(%error, "the store cannot be written yet; no event is claimed");
    } else {
        warn!(%error, "claimed events cannot be returned yet");
    }
}

/// Reports what the next start will find.
async fn report(store: &Sqlite, reason: &str, deadline: Instant) -> Result<(), StopError> {
    let in_hand = timeout_at(deadline, store.count_claimed()).await;
    if let Ok(Ok(0)) = in_hand {
        warn!(reason, "the store could not be written during the stop; no event was claimed");
        return Ok(());
    }
    let events = in_hand.ok().and_then(Result::ok);
    error!(events, reason, "claimed events could not be returned");
    Err(StopError::StillClaimed)
}
