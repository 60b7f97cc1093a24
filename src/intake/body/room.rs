//! The memory for bodies, and who goes when it is short. A body that is not verified yet has no right to its
//! place: the one that has waited longest goes, and a client has an eighth of these places at most.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::rate::client_key::ClientKey;

/// The part of the room that one client's unverified bodies may take.
const SHARE: usize = 8;
/// Connections that one client may send unverified bodies on: an eighth of the 512 that there are.
const UNVERIFIED_OF_CLIENT_MAX: usize = 64;
/// For so long after a body was turned away, the relay counts as being at its limit.
const SHORT_FOR: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Room {
    bytes_max: usize,
    /// Of one client's unverified bodies; one body fits in any case.
    client_bytes_max: usize,
    table: Mutex<Occupancy>,
}

#[derive(Debug, Default)]
struct Occupancy {
    bytes: usize,
    last: u64,
    /// Bodies that are not verified, the longest waiting first.
    unverified: BTreeMap<u64, Unverified>,
    /// What of these is each client's. No client is here without one.
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
pub(super) struct NoRoom;

/// One body's part of the room, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    room: Arc<Room>,
    bytes: usize,
    /// None: it is kept.
    ticket: Option<u64>,
    evicted: Arc<Notify>,
}

impl Room {
    pub(super) fn new(bytes_max: usize, body_bytes_max: usize) -> Room {
        let client_bytes_max = (bytes_max / SHARE).max(body_bytes_max);
        Room { bytes_max, client_bytes_max, table: Mutex::default() }
    }

    /// A new body, of which nothing is there yet.
    pub(super) fn enter(self: &Arc<Self>, client: Option<ClientKey>) -> Reservation {
        let evicted = Arc::new(Notify::new());
        let mut table = self.table();
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
        Reservation { room: Arc::clone(self), bytes: 0, ticket: Some(ticket), evicted }
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

    /// Takes its place from the longest waiting of these bodies; which one it was.
    fn evict_first(&mut self, is_meant: impl Fn(&Unverified) -> bool) -> Option<u64> {
        let (ticket, _) = self.unverified.iter().find(|(_, body)| is_meant(body))?;
        let ticket = *ticket;
        let body = self.leave(ticket)?;
        self.bytes -= body.bytes;
        self.short_at = Some(Instant::now());
        body.evicted.notify_one();
        Some(ticket)
    }

    /// The body is none of the unverified any more.
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
    /// Resolves when the body has to make room.
    pub(super) fn evicted(&self) -> Arc<Notify> {
        Arc::clone(&self.evicted)
    }

    /// Takes more room, if need be from unverified bodies that have waited longer.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let mut table = self.room.table();
        if let Some(ticket) = self.ticket {
            let body = table.unverified.get(&ticket).ok_or(NoRoom)?;
            if let Some(key) = body.client {
                while table.share(key).bytes + bytes > self.room.client_bytes_max {
                    let gone = table.evict_first(|body| body.client == Some(key));
                    if gone.is_none_or(|gone| gone == ticket) {
                        return Err(NoRoom);
                    }
                }
            }
        }
        while table.bytes + bytes > self.room.bytes_max {
            let gone = table.evict_first(|_| true);
            if gone.is_none() {
                table.short_at = Some(Instant::now());
            }
            if gone.is_none() || gone == self.ticket {
                return Err(NoRoom);
            }
        }
        table.bytes += bytes;
        match self.ticket {
            Some(ticket) => table.grow_unverified(ticket, bytes),
            None => self.bytes += bytes,
        }
        Ok(())
    }

    /// It makes room for nobody from now on.
    pub(super) fn keep(&mut self) -> Result<(), NoRoom> {
        let Some(ticket) = self.ticket else { return Ok(()) };
        let body = self.room.table().leave(ticket).ok_or(NoRoom)?;
        self.ticket = None;
        self.bytes = body.bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut table = self.room.table();
        let bytes = match self.ticket {
            // One that was evicted has no room left to give back.
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

    fn room() -> Arc<Room> {
        Arc::new(Room::new(800, 50))
    }

    fn enter(room: &Arc<Room>, address: &str) -> Reservation {
        room.enter(Some(address.parse::<IpAddr>().unwrap().into()))
    }

    #[test]
    fn longest_waiting_unverified_body_makes_room() {
        let room = room();
        let mut bodies: Vec<Reservation> =
            (0..8).map(|n| enter(&room, &format!("10.0.0.{n}"))).collect();
        for body in &mut bodies {
            body.grow(100).unwrap();
        }
        bodies[0].keep().unwrap();

        let mut newcomer = enter(&room, "10.0.1.1");

        assert_eq!(newcomer.grow(100), Ok(()));
        assert_eq!(bodies[1].keep(), Err(NoRoom), "it was evicted");
        assert_eq!(bodies[0].grow(0), Ok(()), "it is verified");
        assert_eq!(bodies[2].keep(), Ok(()));
        assert!(room.was_short());
    }

    #[test]
    fn client_has_an_eighth_of_the_room_until_it_is_verified() {
        let room = room();
        let mut other = enter(&room, "2001:db8::1");
        other.grow(50).unwrap();
        let mut first = enter(&room, "10.0.0.1");
        first.grow(60).unwrap();
        let mut second = enter(&room, "10.0.0.1");

        assert_eq!(second.grow(50), Ok(()));
        assert_eq!(first.grow(0), Err(NoRoom), "the client's own goes first");
        assert_eq!(second.keep(), Ok(()));
        let mut third = enter(&room, "10.0.0.1");
        assert_eq!(third.grow(100), Ok(()), "what is verified does not count");
        assert_eq!(other.grow(0), Ok(()));
    }

    #[test]
    fn one_body_fits_whatever_the_share() {
        let room = Arc::new(Room::new(100, 90));
        assert_eq!(enter(&room, "10.0.0.1").grow(90), Ok(()));
    }

    #[test]
    fn proxy_has_no_share() {
        let room = room();
        let mut first = room.enter(None);
        let mut second = room.enter(None);

        assert_eq!((first.grow(400), second.grow(400)), (Ok(()), Ok(())));
    }

    #[test]
    fn client_sends_64_unverified_bodies_at_a_time() {
        let room = room();
        let mut bodies: Vec<Reservation> = (0..65).map(|_| enter(&room, "10.0.0.1")).collect();

        assert_eq!(bodies[0].grow(1), Err(NoRoom));
        assert_eq!(bodies[1].grow(1), Ok(()));
        assert_eq!(bodies[64].grow(1), Ok(()));
    }

    #[test]
    fn room_is_free_again_when_its_bodies_are_gone() {
        let room = room();
        for _ in 0..10 {
            let mut kept = enter(&room, "10.0.0.1");
            kept.grow(50).unwrap();
            kept.keep().unwrap();
            kept.grow(600).unwrap();
            let mut gone = enter(&room, "10.0.0.2");
            assert_eq!(gone.grow(200), Err(NoRoom));
        }
        let table = room.table();
        assert_eq!((table.bytes, table.unverified.len(), table.clients.len()), (0, 0, 0));
    }
}
