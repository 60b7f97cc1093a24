//! The memory that all bodies share, and which body is evicted when it runs short: the unverified one that has
//! waited longest. Verified bodies are never evicted; the unverified ones of a client have an eighth at most.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::rate::client_key::ClientKey;

/// Divisor: a client's unverified bodies may use one eighth of the memory.
const SHARE: usize = 8;
/// Unverified bodies of one client: an eighth of the listener's 512 connections.
const UNVERIFIED_OF_CLIENT_MAX: usize = 64;
/// Time after an eviction or refusal for which the relay reports that it is at its limit: the moment itself is
/// so short that hardly a probe would see it.
const SHORT_FOR: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct BodyMemory {
    bytes_max: usize,
    /// For the unverified bodies of one client; at least one body.
    client_bytes_max: usize,
    table: Mutex<Occupancy>,
}

#[derive(Debug, Default)]
struct Occupancy {
    bytes: usize,
    last: u64,
    /// Unverified bodies by ticket, the longest waiting first.
    unverified: BTreeMap<u64, Unverified>,
    /// Totals of these for each client that has any.
    clients: HashMap<ClientKey, ClientShare>,
    short_at: Option<Instant>,
}

#[derive(Debug)]
struct Unverified {
    client: Option<ClientKey>,
    bytes: usize,
    evicted: Arc<Notify>,
}

#[derive(Debug, Clone, Copy, Default)]
struct ClientShare {
    bodies: usize,
    bytes: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct MemoryFull;

/// The memory reserved for one body, released on drop.
#[derive(Debug)]
pub(super) struct Reservation {
    memory: Arc<BodyMemory>,
    bytes: usize,
    /// None once the body is verified.
    ticket: Option<u64>,
    evicted: Arc<Notify>,
}

impl BodyMemory {
    pub(super) fn new(bytes_max: usize, body_bytes_max: usize) -> BodyMemory {
        // At least one body of the largest size, so that a small total does not refuse valid
        // webhooks.
        let client_bytes_max = (bytes_max / SHARE).max(body_bytes_max);
        BodyMemory { bytes_max, client_bytes_max, table: Mutex::default() }
    }

    /// Registers a body of which nothing has arrived yet. May evict the client's oldest.
    pub(super) fn register(self: &Arc<Self>, client: Option<ClientKey>) -> Reservation {
        let evicted = Arc::new(Notify::new());
        let mut table = self.table();
        // The client's oldest, not the new one: 64 stalled bodies would otherwise lock out a client
        // whose signed webhooks come from the same address.
        if let Some(key) = client
            && table.share(key).bodies >= UNVERIFIED_OF_CLIENT_MAX
        {
            table.evict_first(|body| body.client == Some(key));
        }
        table.last += 1;
        let ticket = table.last;
        let body = Unverified { client, bytes: 0, evicted: Arc::clone(&evicted) };
        table.unverified.insert(ticket, body);
        if let Some(key) = client {
            table.clients.entry(key).or_default().bodies += 1;
        }
        Reservation { memory: Arc::clone(self), bytes: 0, ticket: Some(ticket), evicted }
    }

    pub(super) fn was_short(&self) -> bool {
        self.table().short_at.is_some_and(|at| at.elapsed() < SHORT_FOR)
    }

    fn table(&self) -> MutexGuard<'_, Occupancy> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Occupancy {
    fn share(&self, key: ClientKey) -> ClientShare {
        self.clients.get(&key).copied().unwrap_or_default()
    }

    /// Evicts the longest waiting of the bodies that match, and returns its ticket.
    fn evict_first(&mut self, matches: impl Fn(&Unverified) -> bool) -> Option<u64> {
        let (ticket, _) = self.unverified.iter().find(|(_, body)| matches(body))?;
        let ticket = *ticket;
        let body = self.leave(ticket)?;
        // Subtracted at once, before its task has dropped the bytes: the new body must not wait for
        // that. For that moment there may be one body more in memory than is counted.
        self.bytes -= body.bytes;
        self.short_at = Some(Instant::now());
        // `notify_one` stores the permit, so that a body that awaits nothing just now learns of it
        // later.
        body.evicted.notify_one();
        Some(ticket)
    }

    /// Removes the body from the unverified ones, if it is still among them.
    fn leave(&mut self, ticket: u64) -> Option<Unverified> {
        let body = self.unverified.remove(&ticket)?;
        if let Some(key) = body.client
            && let Some(share) = self.clients.get_mut(&key)
        {
            share.bodies -= 1;
            share.bytes -= body.bytes;
            if share.bodies == 0 {
                self.clients.remove(&key);
            }
        }
        Some(body)
    }

    fn grow_unverified(&mut self, ticket: u64, bytes: usize) {
        let Some(body) = self.unverified.get_mut(&ticket) else { return };
        body.bytes += bytes;
        if let Some(share) = body.client.and_then(|key| self.clients.get_mut(&key)) {
            share.bytes += bytes;
        }
    }
}

impl Reservation {
    /// Returns what is notified when the body is evicted.
    pub(super) fn evicted(&self) -> Arc<Notify> {
        Arc::clone(&self.evicted)
    }

    /// Reserves more memory, evicting unverified bodies that have waited longer if necessary.
    pub(super) fn reserve(&mut self, bytes: usize) -> Result<(), MemoryFull> {
        let mut table = self.memory.table();
        if let Some(ticket) = self.ticket {
            let body = table.unverified.get(&ticket).ok_or(MemoryFull)?;
            // Within the client's share first, so that a client that exceeds it evicts only its own
            // bodies.
            if let Some(key) = body.client {
                while table.share(key).bytes + bytes > self.memory.client_bytes_max {
                    let evicted = table.evict_first(|body| body.client == Some(key));
                    if evicted.is_none_or(|evicted| evicted == ticket) {
                        return Err(MemoryFull);
                    }
                }
            }
        }
        while table.bytes + bytes > self.memory.bytes_max {
            let evicted = table.evict_first(|_| true);
            if evicted.is_none() {
                table.short_at = Some(Instant::now());
            }
            // The body itself may be the oldest.
            if evicted.is_none() || evicted == self.ticket {
                return Err(MemoryFull);
            }
        }
        table.bytes += bytes;
        match self.ticket {
            Some(ticket) => table.grow_unverified(ticket, bytes),
            None => self.bytes += bytes,
        }
        Ok(())
    }

    /// Excludes the body from eviction. Fails if it was evicted already.
    pub(super) fn mark_verified(&mut self) -> Result<(), MemoryFull> {
        let Some(ticket) = self.ticket else { return Ok(()) };
        let body = self.memory.table().leave(ticket).ok_or(MemoryFull)?;
        self.ticket = None;
        self.bytes = body.bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut table = self.memory.table();
        let bytes = match self.ticket {
            // An evicted body was subtracted at its eviction.
            Some(ticket) => table.leave(ticket).map_or(0, |body| body.bytes),
            None => self.bytes,
        };
        table.bytes -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn memory() -> Arc<BodyMemory> {
        Arc::new(BodyMemory::new(800, 50))
    }

    fn enter(memory: &Arc<BodyMemory>, address: &str) -> Reservation {
        memory.register(Some(address.parse::<IpAddr>().unwrap().into()))
    }

    #[test]
    fn longest_waiting_unverified_body_is_evicted() {
        let memory = memory();
        let mut bodies: Vec<Reservation> =
            (0..8).map(|n| enter(&memory, &format!("10.0.0.{n}"))).collect();
        for body in &mut bodies {
            body.reserve(100).unwrap();
        }
        bodies[0].mark_verified().unwrap();

        let mut latest = enter(&memory, "10.0.1.1");

        assert_eq!(latest.reserve(100), Ok(()));
        assert_eq!(bodies[1].mark_verified(), Err(MemoryFull), "it was evicted");
        assert_eq!(bodies[0].reserve(0), Ok(()), "it is verified");
        assert_eq!(bodies[2].mark_verified(), Ok(()));
        assert!(memory.was_short());
    }

    #[test]
    fn client_has_an_eighth_of_the_memory_until_verified() {
        let memory = memory();
        let mut other = enter(&memory, "2001:db8::1");
        other.reserve(50).unwrap();
        let mut first = enter(&memory, "10.0.0.1");
        first.reserve(60).unwrap();
        let mut second = enter(&memory, "10.0.0.1");

        assert_eq!(second.reserve(50), Ok(()));
        assert_eq!(first.reserve(0), Err(MemoryFull), "the client's own is evicted first");
        assert_eq!(second.mark_verified(), Ok(()));
        let mut third = enter(&memory, "10.0.0.1");
        assert_eq!(third.reserve(100), Ok(()), "verified bodies do not count");
        assert_eq!(other.reserve(0), Ok(()));
    }

    #[test]
    fn one_body_always_fits() {
        let memory = Arc::new(BodyMemory::new(100, 90));
        assert_eq!(enter(&memory, "10.0.0.1").reserve(90), Ok(()));
    }

    #[test]
    fn unknown_client_has_no_limit() {
        let memory = memory();
        let mut first = memory.register(None);
        let mut second = memory.register(None);

        assert_eq!((first.reserve(400), second.reserve(400)), (Ok(()), Ok(())));
    }

    #[test]
    fn more_than_64_unverified_bodies_evict_the_oldest() {
        let memory = memory();
        let mut bodies: Vec<Reservation> = (0..65).map(|_| enter(&memory, "10.0.0.1")).collect();

        assert_eq!(bodies[0].reserve(1), Err(MemoryFull));
        assert_eq!(bodies[1].reserve(1), Ok(()));
        assert_eq!(bodies[64].reserve(1), Ok(()));
    }

    #[test]
    fn memory_is_released_with_the_bodies() {
        let memory = memory();
        for _ in 0..10 {
            let mut verified = enter(&memory, "10.0.0.1");
            verified.reserve(50).unwrap();
            verified.mark_verified().unwrap();
            verified.reserve(600).unwrap();
            let mut refused = enter(&memory, "10.0.0.2");
            assert_eq!(refused.reserve(200), Err(MemoryFull));
        }
        let table = memory.table();
        assert_eq!((table.bytes, table.unverified.len(), table.clients.len()), (0, 0, 0));
    }
}
