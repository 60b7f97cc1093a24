//! Connections that wait for their client to send. The one that is closed for a new connection belongs to the client
//! with the most of them, and has waited longest. So a client that opens many connections displaces no other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Incoming;
use tokio::sync::{Notify, mpsc};

use crate::rate::client_key::ClientKey;

/// All idle connections by client.
#[derive(Debug, Default)]
pub(super) struct IdleConnections {
    queue: Mutex<IdleQueue>,
    /// Notified when a connection becomes idle.
    joined: Notify,
}

#[derive(Debug, Default)]
struct IdleQueue {
    last: u64,
    /// Connections of each client that has any, the longest waiting first.
    clients: HashMap<ClientKey, BTreeMap<u64, Arc<Notify>>>,
    /// The clients by number of connections, then by the waiting time of their first one.
    // A second index, since a search through 512 connections would run at every accept under
    // attack.
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

    /// Removes the longest waiting connection of the client with the most.
    fn pop(&mut self) -> Option<Arc<Notify>> {
        let (_, Reverse(ticket), key) = *self.by_count.last()?;
        self.change(key, |connections| connections.remove(&ticket))
    }

    /// Changes the connections of a client, and keeps `by_count` in step.
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
    /// Registers a new connection, which is idle at first. Returns it with the channel for unread bodies.
    pub(super) fn register(
        self: &Arc<Self>,
        key: ClientKey,
    ) -> (Arc<ConnectionState>, mpsc::Receiver<Incoming>) {
        // HTTP/1 has one body at a time.
        let (unread, bodies) = mpsc::channel(1);
        let idle = Arc::clone(self);
        let (ticket, close) = (Mutex::default(), Arc::default());
        let (has_asked, is_streaming) = (AtomicBool::new(false), AtomicBool::new(false));
        let client = ConnectionState { idle, key, ticket, close, unread, has_asked, is_streaming };
        client.mark_idle();
        (Arc::new(client), bodies)
    }

    /// Closes one idle connection, as soon as there is one.
    pub(super) async fn close_one(&self) {
        loop {
            let close = self.queue().pop();
            if let Some(close) = close {
                // Stores a permit, in case its task is not awaiting `closed` just now.
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
    idle: Arc<IdleConnections>,
    key: ClientKey,
    ticket: Mutex<Option<u64>>,
    close: Arc<Notify>,
    unread: mpsc::Sender<Incoming>,
    /// Whether the headers of a request have arrived.
    has_asked: AtomicBool,
    /// Whether the last response was a stream, which ends when the relay stops.
    is_streaming: AtomicBool,
}

impl ConnectionState {
    pub(super) fn mark_asked(&self) {
        self.is_streaming.store(false, Ordering::Relaxed);
        self.has_asked.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    pub(super) fn mark_streaming(&self) {
        self.is_streaming.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_streaming(&self) -> bool {
        self.is_streaming.load(Ordering::Relaxed)
    }

    /// Marks the connection as idle: the client is to send the next request.
    pub(super) fn mark_idle(&self) {
        self.mark_busy();
        let ticket = self.idle.queue().insert(self.key, Arc::clone(&self.close));
        *self.ticket() = Some(ticket);
        self.idle.joined.notify_one();
    }

    /// Marks the connection as busy: the client has sent a whole request.
    pub(super) fn mark_busy(&self) {
        if let Some(ticket) = self.ticket().take() {
            self.idle.queue().remove(self.key, ticket);
        }
    }

    /// Passes on the unread rest of a body, to be discarded.
    pub(super) fn discard_rest(&self, rest: Incoming) {
        // Fails if the connection has ended; then there is nothing to discard.
        let _ = self.unread.try_send(rest);
    }

    /// Resolves when this connection is evicted.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }

    fn ticket(&self) -> MutexGuard<'_, Option<u64>> {
        self.ticket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionState {
    fn drop(&mut self) {
        self.mark_busy();
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn key(address: &str) -> ClientKey {
        address.parse::<IpAddr>().unwrap().into()
    }

    /// Checks the order in which connections are closed that these clients opened.
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
    fn oldest_connection_of_the_busiest_client_is_closed() {
        check(&["1.1.1.1", "2.2.2.2", "2.2.2.2", "2.2.2.2"], &[1, 2, 0, 3]);
        check(&["1.1.1.1", "2.2.2.2", "3.3.3.3"], &[0, 1, 2]);
        check(&["9.9.9.9", "2001:db8::1", "2001:db8::2"], &[1, 0, 2]);
    }

    #[test]
    fn busy_connection_is_not_closed() {
        let mut queue = IdleQueue::default();
        let first = queue.insert(key("1.1.1.1"), Arc::default());
        let second = Arc::new(Notify::new());
        queue.insert(key("1.1.1.1"), Arc::clone(&second));

        queue.remove(key("1.1.1.1"), first);

        assert!(queue.pop().is_some_and(|close| Arc::ptr_eq(&close, &second)));
        assert!(queue.pop().is_none());
    }
}
