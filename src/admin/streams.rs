//! The open streams of changes: how many there may be, and what they send. All read the same batches
//! from one place, so that a slow client costs no memory of its own.

pub(super) mod batch_ring;
pub(super) mod message;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use uuid::Uuid;

use super::error::ApiError;
use batch_ring::{BatchRing, NextBatch};
use message::StreamMessage;

/// Number of streams at a time.
// Half of the connections of the listener, so that as many are left for requests.
const STREAMS_MAX: usize = 256;

/// Longest wait for the store at the first stream.
const START_MAX: Duration = Duration::from_secs(5);

/// What all streams share.
pub struct Streams {
    slots: Arc<Semaphore>,
    /// Notified when a stream opens.
    opened: Notify,
    ring: Mutex<BatchRing>,
    phase: watch::Sender<StreamPhase>,
    /// Tells the batches of this process from those of another.
    run: String,
}

/// Whether there are batches to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamPhase {
    /// Changes are not followed: there is no stream.
    Resting,
    /// Number of the last batch.
    Following(u64),
    /// The relay stops.
    Ended,
}

/// The place of one stream among those that are open, until it is dropped.
#[derive(Debug)]
pub(super) struct StreamSlot {
    _permit: OwnedSemaphorePermit,
}

impl Default for Streams {
    fn default() -> Streams {
        let run = Uuid::new_v4().simple().to_string();
        Streams {
            slots: Arc::new(Semaphore::new(STREAMS_MAX)),
            opened: Notify::new(),
            ring: Mutex::default(),
            phase: watch::Sender::new(StreamPhase::Resting),
            run: run[..16].to_owned(),
        }
    }
}

impl Streams {
    /// Opens a stream. From then on changes are followed.
    pub(super) async fn open(&self) -> Result<StreamSlot, ApiError> {
        let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() else {
            let reason = format!("{STREAMS_MAX} streams are open: close one");
            return Err(ApiError::Unavailable(reason));
        };
        self.opened.notify_one();
        let mut phase = self.phase.subscribe();
        let begun = phase.wait_for(|phase| *phase != StreamPhase::Resting);
        match timeout(START_MAX, begun).await {
            Ok(Ok(phase)) if *phase != StreamPhase::Ended => {}
            Ok(_) => return Err(ApiError::Unavailable("the relay stops".to_owned())),
            Err(_) => {
                let reason = "the store cannot be read at present";
                return Err(ApiError::Unavailable(reason.to_owned()));
            }
        }
        Ok(StreamSlot { _permit: permit })
    }

    /// Returns whether a stream is open.
    pub(super) fn is_any_open(&self) -> bool {
        self.slots.available_permits() < STREAMS_MAX
    }

    /// Resolves when a stream is open.
    pub(super) async fn wanted(&self) {
        while !self.is_any_open() {
            self.opened.notified().await;
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<StreamPhase> {
        self.phase.subscribe()
    }

    /// Returns the number of the last batch.
    pub(super) fn position(&self) -> u64 {
        self.ring().last()
    }

    /// Returns what follows on a batch.
    pub(super) fn after(&self, position: u64) -> NextBatch {
        self.ring().after(position)
    }

    /// Returns the id of a batch.
    pub(super) fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.run)
    }

    /// Returns the number of a batch by its id; none if it is of another process.
    pub(super) fn number(&self, id: &str) -> Option<u64> {
        let (run, number) = id.split_once('-')?;
        (run == self.run).then(|| number.parse().ok())?
    }

    /// Says that changes are followed from now on.
    pub(super) fn begin(&self) {
        self.phase.send_replace(StreamPhase::Following(self.position()));
    }

    /// Sends a batch to all streams.
    pub(super) fn push(&self, messages: &[StreamMessage]) {
        let number = {
            let mut ring = self.ring();
            let number = ring.last() + 1;
            ring.push(message::encode(messages, &self.id(number)));
            number
        };
        self.phase.send_replace(StreamPhase::Following(number));
    }

    /// Says that changes are no longer followed. Who continues after the last batch has missed some.
    pub(super) fn rest(&self) {
        self.ring().skip();
        self.phase.send_replace(StreamPhase::Resting);
    }

    /// Ends all streams, now and later.
    pub(super) fn end(&self) {
        self.phase.send_replace(StreamPhase::Ended);
    }

    /// Returns what tells a client that it has missed something, and is at this batch now.
    pub(super) fn reset_to(&self, number: u64) -> Bytes {
        message::encode(&[StreamMessage::Reset], &self.id(number))
    }

    fn ring(&self) -> MutexGuard<'_, BatchRing> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Streams").field("phase", &self.phase).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stream_beyond_the_limit_is_refused_until_one_closes() {
        let streams = Streams::default();
        assert!(!streams.is_any_open());
        streams.begin();
        let mut open = Vec::new();
        for _ in 0..STREAMS_MAX {
            open.push(streams.open().await.unwrap());
        }

        let refused = streams.open().await.map(drop).unwrap_err();

        assert_eq!(refused.to_string(), "256 streams are open: close one");
        open.pop();
        assert!(streams.open().await.is_ok());
    }

    #[tokio::test]
    async fn id_of_another_process_or_from_before_a_rest_is_unknown() {
        let (streams, other) = (Streams::default(), Streams::default());
        streams.push(&[StreamMessage::Reset]);
        let id = streams.id(1);

        assert_eq!(streams.number(&id), Some(1));
        assert_eq!(other.number(&id), None);
        for unknown in ["", "1", "x-1", &id[..id.len() - 1], &format!("{id}x")] {
            assert_eq!(streams.number(unknown), None, "{unknown}");
        }
        assert_eq!(streams.after(1), NextBatch::NotYet);
        streams.rest();
        assert_eq!(streams.after(1), NextBatch::Missed);
    }

    #[tokio::test]
    async fn ended_streams_open_no_more() {
        let streams = Streams::default();
        streams.end();

        assert!(streams.open().await.is_err());
    }
}
