//! Connections whose client has yet to send: the longest waiting makes room for a new one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Incoming;
use tokio::sync::{Notify, mpsc};

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
    /// A new connection, which waits from now on; with what nobody wants of what it sends.
    pub(super) fn enter(self: &Arc<Self>) -> (Arc<Client>, mpsc::Receiver<Incoming>) {
        // There is one body at a time.
        let (unwanted, rests) = mpsc::channel(1);
        let waiting = Arc::clone(self);
        let client = Client { waiting, ticket: Mutex::default(), close: Arc::default(), unwanted };
        client.wait();
        (Arc::new(client), rests)
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
    unwanted: mpsc::Sender<Incoming>,
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
    pub(super) fn leave(&self) {
        if let Some(ticket) = self.ticket().take() {
            self.waiting.queue().closes.remove(&ticket);
        }
    }

    /// The rest of a body that nobody wants.
    pub(super) fn give_up(&self, rest: Incoming) {
        // Nobody takes it where the whole connection is gone.
        let _ = self.unwanted.try_send(rest);
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
