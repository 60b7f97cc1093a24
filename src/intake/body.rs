//! Reads a body in its time and size, while all bodies together stay within their room.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Rejection;

#[derive(Debug)]
pub(super) struct Bodies {
    bytes_max: usize,
    timeout: Duration,
    /// One permit for each byte that may be held at a time.
    room: Arc<Semaphore>,
}

/// A body as received; its room is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    pub(super) fn new(bytes_max: usize, all_bytes_max: usize, timeout: Duration) -> Bodies {
        let permits = all_bytes_max.clamp(bytes_max, Semaphore::MAX_PERMITS);
        Bodies { bytes_max, timeout, room: Arc::new(Semaphore::new(permits)) }
    }

    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Held, Rejection> {
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok());
        if declared.and_then(|it| it.parse().ok()).is_some_and(|it: usize| it > self.bytes_max) {
            return Err(Rejection::TooLarge(self.bytes_max));
        }
        let read = tokio::time::timeout(self.timeout, self.gather(body));
        read.await.unwrap_or(Err(Rejection::TooSlow))
    }

    /// Room is taken as the bytes arrive, so that a length that is only declared takes none.
    async fn gather(&self, mut body: Body) -> Result<Held, Rejection> {
        let mut held = Held { bytes: Vec::new(), room: None };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Rejection::BrokenOff)?;
            let Ok(chunk) = frame.into_data() else {
                continue;
            };
            if held.bytes.len() + chunk.len() > self.bytes_max {
                return Err(Rejection::TooLarge(self.bytes_max));
            }
            held.take_room(&self.room, chunk.len())?;
            held.bytes.extend_from_slice(&chunk);
        }
        Ok(held)
    }
}

impl Bodies {
    /// Also for what a body became.
    pub(super) fn make_room(&self, held: &mut Held, bytes: usize) -> Result<(), Rejection> {
        held.take_room(&self.room, bytes)
    }
}

impl Held {
    fn take_room(&mut self, room: &Arc<Semaphore>, bytes: usize) -> Result<(), Rejection> {
        let bytes = u32::try_from(bytes).map_err(|_| Rejection::Overloaded)?;
        let more =
            Arc::clone(room).try_acquire_many_owned(bytes).map_err(|_| Rejection::Overloaded)?;
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        Ok(())
    }
}
