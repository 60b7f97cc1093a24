//! Connections whose client has yet to send: the longest waiting makes room for a new one.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::Notify;

/// All of them, the longest waiting first.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: Mutex<Queue>,
    /// One has joined since this was last looked at.
    joined: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    last: u64,
    closes: BTreeMap<u64, Arc<Notify>>,
}

impl Waiting {
    /// A new connection, which waits from now on.
    pub(super) fn enter(self: &Arc<Self>) -> Arc<Client> {
        let client =
            Client { waiting: Arc::clone(self), ticket: Mutex::default(), close: Arc::default() };
        client.wait();
        Arc::new(client)
    }

    /// Closes the one that waits longest, as soon as there is one.
    pub(super) async fn close_longest(&self) {
        loop {
            let longest = self.queue().closes.pop_first();
            if let Some((_, close)) = longest {
                return close.notify_one();
            }
            self.joined.notified().await;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client's side of one connection.
#[derive(Debug)]
pub(super) struct Client {
    waiting: Arc<Waiting>,
    ticket: Mutex<Option<u64>>,
    close: Arc<Notify>,
}

impl Client {
    /// It is the client's turn to send.
    pub(super) fn wait(&self) {
        self.leave();
        let mut queue = self.waiting.queue();
        queue.last += 1;
        let ticket = queue.last;
        queue.closes.insert(ticket, Arc::clone(&self.close));
        drop(queue);
        *self.ticket() = Some(ticket);
        self.waiting.joined.notify_one();
    }

    /// It has sent a request; now it is our turn.
    fn leave(&self) {
        if let Some(ticket) = self.ticket().take() {
            self.waiting.queue().closes.remove(&ticket);
        }
    }

    /// Resolves when this connection has to make room.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }

    fn ticket(&self) -> MutexGuard<'_, Option<u64>> {
        self.ticket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A body as it arrives; its client waits no longer once it is all there.
pub(super) struct Arriving {
    body: Incoming,
    client: Arc<Client>,
}

impl Arriving {
    pub(super) fn new(body: Incoming, client: Arc<Client>) -> Arriving {
        if body.is_end_stream() {
            client.leave();
        }
        Arriving { body, client }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.client.leave();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
