//! Reads bodies within limits of size, time and pace, and within the memory that all bodies share.

mod memory;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::response::Rejection;
use crate::rate::client_key::ClientKey;
use memory::{BodyMemory, MemoryFull, Reservation};

/// Time before the pace counts: a new connection starts slowly.
const PACE_FREE: Duration = Duration::from_secs(5);
/// Slowest body after that, about the pace of a modem.
const PACE_BYTES_PER_SECOND: u32 = 1024;

#[derive(Debug)]
pub(super) struct BodyReader {
    timeout: Duration,
    memory: Arc<BodyMemory>,
}

/// Limits for one body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) bytes_max: usize,
    /// None if limits for one client do not apply.
    pub(super) client: Option<ClientKey>,
}

/// A body as received. The memory reserved for it and for its decoded text is released on drop.
#[derive(Debug)]
pub(super) struct BufferedBody {
    pub(super) bytes: Vec<u8>,
    reservation: Reservation,
}

impl BodyReader {
    pub(super) fn new(bytes_max: usize, all_bytes_max: usize, timeout: Duration) -> BodyReader {
        BodyReader {
            timeout,
            memory: Arc::new(BodyMemory::new(all_bytes_max.max(bytes_max), bytes_max)),
        }
    }

    pub(super) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        expected: Expected,
    ) -> Result<BufferedBody, Rejection> {
        // By the header first: a sender that declares too much gets its 413 before it sends the
        // body.
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok());
        let declared: Option<usize> = declared.and_then(|it| it.parse().ok());
        if declared.is_some_and(|it| it > expected.bytes_max) {
            return Err(Rejection::TooLarge(expected.bytes_max));
        }
        let reservation = self.memory.register(expected.client);
        let evicted = reservation.evicted();
        tokio::select! {
            // A body that is complete is processed, even if it is evicted at the same moment.
            biased;
            read = self.buffer(body, reservation, expected.bytes_max) => read,
            () = evicted.notified() => Err(Rejection::Overloaded),
        }
    }

    /// Reads the whole body, and reserves memory for it as the bytes arrive.
    async fn buffer(
        &self,
        mut body: Body,
        reservation: Reservation,
        bytes_max: usize,
    ) -> Result<BufferedBody, Rejection> {
        let began = Instant::now();
        // No capacity by `Content-Length`: a length that is only declared must not take memory.
        let mut received = BufferedBody { bytes: Vec::new(), reservation };
        loop {
            let deadline = began + self.timeout.min(due(received.bytes.len()));
            let frame = timeout_at(deadline, body.frame()).await;
            let Some(frame) = frame.map_err(|_| Rejection::BodyTimeout)? else {
                return Ok(received);
            };
            let frame = frame.map_err(|_| Rejection::IncompleteBody)?;
            // Trailers are ignored: no provider signs or sends any.
            if let Ok(chunk) = frame.into_data() {
                received.append(&chunk, bytes_max)?;
            }
        }
    }

    /// Returns whether a body was refused for lack of memory, now or in the last seconds.
    pub(super) fn is_short_of_memory(&self) -> bool {
        self.memory.was_short()
    }
}

/// Returns the time by which more than these bytes must have arrived.
fn due(bytes: usize) -> Duration {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    PACE_FREE + Duration::from_secs(1) * bytes / PACE_BYTES_PER_SECOND
}

impl BufferedBody {
    fn append(&mut self, chunk: &Bytes, bytes_max: usize) -> Result<(), Rejection> {
        let length = self.bytes.len() + chunk.len();
        if length > bytes_max {
            return Err(Rejection::TooLarge(bytes_max));
        }
        let capacity = self.bytes.capacity();
        if length > capacity {
            // Refused at once without memory, never queued: waiting bodies would hold what they
            // have, and their senders retry anyway. Grows by a half, not twofold: fewer reserved
            // bytes stay unused.
            let needed = length.max(capacity + capacity / 2).min(bytes_max);
            self.reserve(needed - capacity)?;
            self.bytes.reserve_exact(needed - self.bytes.len());
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// Marks the body as verified; from then on it cannot be evicted. Fails if it was evicted before.
    pub(super) fn mark_verified(&mut self) -> Result<(), Rejection> {
        self.reservation.mark_verified().map_err(|MemoryFull| Rejection::Overloaded)
    }

    /// Returns what is notified when the body is evicted.
    pub(super) fn evicted(&self) -> Arc<Notify> {
        self.reservation.evicted()
    }

    /// Reserves more memory, also for what the body is decoded to.
    pub(super) fn reserve(&mut self, bytes: usize) -> Result<(), Rejection> {
        self.reservation.reserve(bytes).map_err(|MemoryFull| Rejection::Overloaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_is_one_kib_a_second_after_five_seconds() {
        assert_eq!(due(0), Duration::from_secs(5));
        assert_eq!(due(1024), Duration::from_secs(6));
        assert_eq!(due(10 * 1024), Duration::from_secs(15));
    }
}
