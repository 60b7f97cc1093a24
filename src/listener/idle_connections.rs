//! Connections whose client has yet to send. To make room for a new one, the longest waiting of the client
//! that has most of them is closed: whoever opens many connections takes the room of nobody else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Incoming;
use tokio::sync::{Notify, mpsc};

use crate::rate::client_key::ClientKey;

/// All of them, by client.
#[derive(Debug, Default)]
pub(super) struct IdleConnections {
    queue: Mutex<IdleQueue>,
    /// One has joined since this was last looked at.
    joined: Notify,
}

#[derive(Debug, Default)]
struct IdleQueue {
    last: u64,
    /// Each client's connections, the longest waiting first. No client is here without one.
    clients: HashMap<ClientKey, BTreeMap<u64, Arc<Notify>>>,
    /// The clients by how many connections they have, then by how long the first of these has waited.
    by_count: BTreeSet<(usize, Reverse<u64>, ClientKey)>,
}

impl IdleQueue {
    fn insert(&mut self, key: ClientKey, close: Arc<Notify>) -> u64 {
        self.last += 1;
        let ticket = self.last;
        self.change(key, |connections| connections.insert(ticket, close));
        ticket
    }

    fn remove(&mut self, key: ClientKey, ticket: u64) {
        self.change(key, |connections| connections.remove(&ticket));
    }

    /// The longest waiting of the client that has most.
    fn pop(&mut self) -> Option<Arc<Notify>> {
        let (_, Reverse(ticket), key) = *self.by_count.last()?;
        self.change(key, |connections| connections.remove(&ticket))
    }

    fn change<T>(
        &mut self,
        key: ClientKey,
        change: impl FnOnce(&mut BTreeMap<u64, Arc<Notify>>) -> T,
    ) -> T {
        let connections = self.clients.entry(key).or_default();
        if let Some(rank) = rank(key, connections) {
            self.by_count.remove(&rank);
        }
        let changed = change(connections);
        match rank(key, connections) {
            Some(rank) => {
                self.by_count.insert(rank);
            }
            None => {
                self.clients.remove(&key);
            }
        }
        changed
    }
}

fn rank(
    key: ClientKey,
    connections: &BTreeMap<u64, Arc<Notify>>,
) -> Option<(usize, Reverse<u64>, ClientKey)> {
    let (longest, _) = connections.first_key_value()?;
    Some((connections.len(), Reverse(*longest), key))
}

impl IdleConnections {
    /// A new connection, which waits from now on; with what nobody wants of what it sends.
    pub(super) fn enter(
        self: &Arc<Self>,
        key: ClientKey,
    ) -> (Arc<ConnectionState>, mpsc::Receiver<Incoming>) {
        // There is one body at a time.
        let (unwanted, rests) = mpsc::channel(1);
        let waiting = Arc::clone(self);
        let (ticket, close) = (Mutex::default(), Arc::default());
        let client = ConnectionState { waiting, key, ticket, close, unwanted };
        client.wait();
        (Arc::new(client), rests)
    }

    /// Closes one connection, as soon as there is one that waits.
    pub(super) async fn close_one(&self) {
        loop {
            let close = self.queue().pop();
            if let Some(close) = close {
                return close.notify_one();
            }
            self.joined.notified().await;
        }
    }

    fn queue(&self) -> MutexGuard<'_, IdleQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client's side of one connection.
#[derive(Debug)]
pub(super) struct ConnectionState {
    waiting: Arc<IdleConnections>,
    key: ClientKey,
    ticket: Mutex<Option<u64>>,
    close: Arc<Notify>,
    unwanted: mpsc::Sender<Incoming>,
}

impl ConnectionState {
    /// It is the client's turn to send.
    pub(super) fn wait(&self) {
        self.leave();
        let ticket = self.waiting.queue().insert(self.key, Arc::clone(&self.close));
        *self.ticket() = Some(ticket);
        self.waiting.joined.notify_one();
    }

    /// It has sent a request; now it is our turn.
    pub(super) fn leave(&self) {
        if let Some(ticket) = self.ticket().take() {
            self.waiting.queue().remove(self.key, ticket);
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

impl Drop for ConnectionState {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn key(address: &str) -> ClientKey {
        address.parse::<IpAddr>().unwrap().into()
    }

    /// Which connections are closed, in this order, of those that these clients opened in this one.
    #[track_caller]
    fn check(opened_by: &[&str], expected: &[usize]) {
        let mut queue = IdleQueue::default();
        let connections: Vec<Arc<Notify>> = opened_by
            .iter()
            .map(|address| {
                let close = Arc::new(Notify::new());
                queue.insert(key(address), Arc::clone(&close));
                close
            })
            .collect();
        let closed: Vec<usize> = std::iter::from_fn(|| queue.pop())
            .map(|close| connections.iter().position(|it| Arc::ptr_eq(it, &close)).unwrap())
            .collect();
        assert_eq!(closed, expected);
        assert!(queue.clients.is_empty() && queue.by_count.is_empty());
    }

    #[test]
    fn client_with_most_connections_makes_room() {
        check(&["1.1.1.1", "2.2.2.2", "2.2.2.2", "2.2.2.2"], &[1, 2, 0, 3]);
        check(&["1.1.1.1", "2.2.2.2", "3.3.3.3"], &[0, 1, 2]);
        check(&["9.9.9.9", "2001:db8::1", "2001:db8::2"], &[1, 0, 2]);
    }

    #[test]
    fn connection_that_sends_is_not_closed() {
        let mut queue = IdleQueue::default();
        let first = queue.insert(key("1.1.1.1"), Arc::default());
        let second = Arc::new(Notify::new());
        queue.insert(key("1.1.1.1"), Arc::clone(&second));

        queue.remove(key("1.1.1.1"), first);

        assert!(queue.pop().is_some_and(|close| Arc::ptr_eq(&close, &second)));
        assert!(queue.pop().is_none());
    }
}
