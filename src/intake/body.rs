//! Reads bodies within their size, time and pace, while all bodies together stay within their room.

mod room;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::response::Rejection;
use crate::rate::client_key::ClientKey;
use room::{NoRoom, Reservation, Room};

/// A body may take its time at first, as behind a connection that was just set up.
const PACE_FREE: Duration = Duration::from_secs(5);
/// After that its sender has to be at least as quick as a modem.
const PACE_BYTES_PER_SECOND: u32 = 1024;

#[derive(Debug)]
pub(super) struct BodyReader {
    timeout: Duration,
    room: Arc<Room>,
}

/// What is to be read, for whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) bytes_max: usize,
    /// None: no limit for one client applies.
    pub(super) client: Option<ClientKey>,
}

/// A body as received; its room, and that of what it became, is free again when this is dropped.
#[derive(Debug)]
pub(super) struct BufferedBody {
    pub(super) bytes: Vec<u8>,
    place: Reservation,
}

impl BodyReader {
    pub(super) fn new(bytes_max: usize, all_bytes_max: usize, timeout: Duration) -> BodyReader {
        BodyReader { timeout, room: Arc::new(Room::new(all_bytes_max.max(bytes_max), bytes_max)) }
    }

    pub(super) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        expected: Expected,
    ) -> Result<BufferedBody, Rejection> {
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok());
        let declared: Option<usize> = declared.and_then(|it| it.parse().ok());
        if declared.is_some_and(|it| it > expected.bytes_max) {
            return Err(Rejection::TooLarge(expected.bytes_max));
        }
        let place = self.room.enter(expected.client);
        let evicted = place.evicted();
        tokio::select! {
            // A body that is whole goes on, even when it was to make room in the same moment.
            biased;
            read = self.buffer(body, place, expected.bytes_max) => read,
            () = evicted.notified() => Err(Rejection::Overloaded),
        }
    }

    /// Room is taken as the bytes arrive, so that a length that is only declared takes none.
    async fn buffer(
        &self,
        mut body: Body,
        place: Reservation,
        bytes_max: usize,
    ) -> Result<BufferedBody, Rejection> {
        let began = Instant::now();
        let mut received = BufferedBody { bytes: Vec::new(), place };
        loop {
            let deadline = began + self.timeout.min(due(received.bytes.len()));
            let frame = timeout_at(deadline, body.frame()).await;
            let Some(frame) = frame.map_err(|_| Rejection::BodyTimeout)? else {
                return Ok(received);
            };
            let frame = frame.map_err(|_| Rejection::IncompleteBody)?;
            if let Ok(chunk) = frame.into_data() {
                received.append(&chunk, bytes_max)?;
            }
        }
    }

    /// Whether a body was turned away for want of room, or something is, at this time or shortly before.
    pub(super) fn is_short_of_room(&self) -> bool {
        self.room.was_short()
    }
}

/// The time after which more than these bytes have to be there.
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
            // Refused at once where there is no room, never queued: bodies that wait would hold what they have, and
            // their senders come again. By halves, so that few bytes are copied often and little is taken that stays empty.
            let wanted = length.max(capacity + capacity / 2).min(bytes_max);
            self.take_room(wanted - capacity)?;
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// From now on it makes room for nobody: its sender is known.
    pub(super) fn verified(&mut self) -> Result<(), Rejection> {
        self.place.keep().map_err(|NoRoom| Rejection::Overloaded)
    }

    /// Resolves when an unverified body has to make room.
    pub(super) fn evicted(&self) -> Arc<Notify> {
        self.place.evicted()
    }

    /// Also for what the body became.
    pub(super) fn take_room(&mut self, bytes: usize) -> Result<(), Rejection> {
        self.place.grow(bytes).map_err(|NoRoom| Rejection::Overloaded)
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
