//! The end of the store at a stop, in bounded time, whoever else locks it.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::{error, warn};

use crate::store::{Queue, Sqlite, StoreError, Trouble};

/// After `server.shutdown_timeout`, for writing that the events in hand are given back. It is one commit.
const GIVE_BACK_TIME: Duration = Duration::from_millis(700);

/// After that, for closing the store. What is not written back into the database by then stays in its log.
const CLOSE_TIME: Duration = Duration::from_millis(300);

/// Between tries while another program locks the store.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Why a stop is not clean.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StopError {
    #[error(
        "the events in hand could not be given back to the store: the next start takes this stop for a crash, \
         and maps them one at a time"
    )]
    StillClaimed,
}

/// Up to when each step of a stop may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopDeadlines {
    give_back: Instant,
    close: Instant,
}

impl StopDeadlines {
    /// For a stop that begins now.
    pub(super) fn after(shutdown_timeout: Duration) -> StopDeadlines {
        let now = Instant::now();
        let give_back = now.checked_add(shutdown_timeout.saturating_add(GIVE_BACK_TIME));
        let close = give_back.and_then(|it| it.checked_add(CLOSE_TIME));
        StopDeadlines { give_back: give_back.unwrap_or(now), close: close.unwrap_or(now) }
    }

    /// For the parts that bound themselves by `server.shutdown_timeout`.
    pub(super) fn parts(&self) -> Instant {
        self.give_back
    }
}

/// Gives back the events in hand and closes the store.
pub(super) async fn close(store: &Sqlite, deadlines: StopDeadlines) -> Result<(), StopError> {
    let given_back = give_back(store, deadlines.give_back).await;
    let ended = match &given_back {
        Ok(()) => Ok(()),
        Err(reason) => report(store, reason, deadlines.close).await,
    };
    // The first poll stops the writer in any case. Whatever it still does ends with the process, as by a kill.
    let closed = timeout_at(deadlines.close, store.close()).await;
    if closed.is_err() && given_back.is_ok() {
        warn!(
            "the store is not closed in time: its write-ahead log stays, and the next start reads it"
        );
    }
    ended
}

/// Tries again while the store is only locked. An error: why it is not done.
async fn give_back(store: &Sqlite, deadline: Instant) -> Result<(), String> {
    let mut last = None;
    let tries = async {
        loop {
            match store.give_back().await {
                Err(error @ StoreError::Unavailable { trouble: Trouble::Busy, .. }) => {
                    if last.replace(error.clone()).is_none() {
                        report_wait(store, &error).await;
                    }
                    sleep(RETRY_PAUSE).await;
                }
                ended => return ended,
            }
        }
    };
    let ended = timeout_at(deadline, tries).await;
    let late = || last.map_or("the store takes too long to write".to_owned(), |it| it.to_string());
    ended.map_err(|_| late())?.map_err(|error| error.to_string())
}

async fn report_wait(store: &Sqlite, error: &StoreError) {
    if let Ok(0) = store.in_hand().await {
        warn!(%error, "the store cannot be written yet; nothing is in hand");
    } else {
        warn!(%error, "the events in hand cannot be given back yet");
    }
}

/// What the next start finds.
async fn report(store: &Sqlite, reason: &str, deadline: Instant) -> Result<(), StopError> {
    let in_hand = timeout_at(deadline, store.in_hand()).await;
    if let Ok(Ok(0)) = in_hand {
        warn!(reason, "the store could not be written during the stop; nothing was in hand");
        return Ok(());
    }
    let events = in_hand.ok().and_then(Result::ok);
    error!(events, reason, "the events in hand could not be given back");
    Err(StopError::StillClaimed)
}
