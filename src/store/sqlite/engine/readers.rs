//! A few connections that only read, so that looking never waits for the writer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::damage::Damage;
use super::database_file::{self, BUSY_TIMEOUT};
use super::error::{SqliteError, unavailable};
use crate::store::error::{StoreError, Trouble};

/// How many may read at a time for each purpose. Who looks into the store keeps no delivery waiting, and who searches
/// for a text, which reads events one by one, keeps nobody else who looks.
const DELIVERY_TURNS: usize = 4;
const LOOK_TURNS: usize = 4;
const SEARCH_TURNS: usize = 1;

/// How long a search waits for another one.
const SEARCH_PATIENCE: Duration = Duration::from_secs(2);

/// How long the writer waits for those who read.
const HOLD_PATIENCE: Duration = Duration::from_secs(2);
const HOLD_PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    damage: Arc<Damage>,
    delivery: Lane,
    look: Lane,
    search: Lane,
    idle: Mutex<IdleReaders>,
}

/// What was read, or why nothing was.
pub(crate) type Read<T> = Result<T, StoreError>;

/// What is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// What delivery needs to go on.
    Delivery,
    /// What people, programs and upkeep want to know.
    Look,
    /// A text, in very many events.
    Search,
}

/// The turns of one purpose.
#[derive(Debug)]
struct Lane {
    turns: Arc<Semaphore>,
    count: usize,
}

/// The right to read; it is the next one's when it is dropped.
#[derive(Debug)]
pub(crate) struct ReadTurn {
    _permit: OwnedSemaphorePermit,
}

impl Lane {
    fn new(count: usize) -> Lane {
        Lane { turns: Arc::new(Semaphore::new(count)), count }
    }

    /// All of its turns.
    fn hold(&self, until: Instant) -> Option<SemaphorePermit<'_>> {
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        while Instant::now() < until {
            if let Ok(held) = self.turns.try_acquire_many(count) {
                return Some(held);
            }
            thread::sleep(HOLD_PAUSE);
        }
        None
    }
}

#[derive(Debug, Default)]
struct IdleReaders {
    connections: Vec<Connection>,
    /// How often all were closed: one that was lent out before that is not taken back.
    closed: u64,
}

impl Readers {
    pub(crate) fn new(path: &Path, damage: Arc<Damage>) -> Readers {
        Readers {
            path: path.to_owned(),
            damage,
            delivery: Lane::new(DELIVERY_TURNS),
            look: Lane::new(LOOK_TURNS),
            search: Lane::new(SEARCH_TURNS),
            idle: Mutex::default(),
        }
    }

    fn lane(&self, purpose: Purpose) -> &Lane {
        match purpose {
            Purpose::Delivery => &self.delivery,
            Purpose::Look => &self.look,
            Purpose::Search => &self.search,
        }
    }

    pub(crate) async fn turn(&self, purpose: Purpose) -> Read<ReadTurn> {
        let (patience, busy) = match purpose {
            Purpose::Delivery | Purpose::Look => {
                (BUSY_TIMEOUT, "too many others read from the database")
            }
            Purpose::Search => (SEARCH_PATIENCE, "another search runs"),
        };
        let turns = Arc::clone(&self.lane(purpose).turns);
        match timeout(patience, turns.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(ReadTurn { _permit: permit }),
            Ok(Err(_)) | Err(_) => Err(unavailable(Trouble::Busy, busy)),
        }
    }

    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        purpose: Purpose,
        work: impl FnOnce(&Connection) -> Result<T, SqliteError> + Send + 'static,
    ) -> Read<T> {
        let turn = self.turn(purpose).await?;
        self.read_in(turn, work).await.map(|(answer, _)| answer)
    }

    /// Gives the turn back for another read in it; whoever leaves meanwhile gives it up when this read ends.
    pub(crate) async fn read_in<T: Send + 'static>(
        self: &Arc<Self>,
        turn: ReadTurn,
        work: impl FnOnce(&Connection) -> Result<T, SqliteError> + Send + 'static,
    ) -> Read<(T, ReadTurn)> {
        let readers = Arc::clone(self);
        let reading = spawn_blocking(move || {
            let answer = readers.run(work).inspect_err(|failure| readers.damage.note(failure));
            answer.map(|answer| (answer, turn))
        });
        match reading.await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(SqliteError::Panicked.into()),
        }
    }

    fn run<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, SqliteError>,
    ) -> Result<T, SqliteError> {
        let (connection, closed) = self.take();
        let connection = match connection {
            Some(connection) => connection,
            None => database_file::connect_reader(&self.path)?,
        };
        let answer = work(&connection);
        if !matches!(&answer, Err(failure) if failure.is_of_the_disk()) {
            self.give_back(connection, closed);
        }
        answer
    }

    fn take(&self) -> (Option<Connection>, u64) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        (idle.connections.pop(), idle.closed)
    }

    fn give_back(&self, connection: Connection, closed: u64) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.closed == closed {
            idle.connections.push(connection);
        }
    }

    /// Keeps all from reading and lets go of the file, once nobody reads; none if that takes long. It
    /// blocks the thread.
    pub(crate) fn hold(&self) -> Option<[SemaphorePermit<'_>; 3]> {
        let begun = Instant::now();
        let until = begun.checked_add(HOLD_PATIENCE).unwrap_or(begun);
        let held = [self.delivery.hold(until)?, self.look.hold(until)?, self.search.hold(until)?];
        self.close();
        Some(held)
    }

    /// Lets go of the file; later reads open it anew.
    pub(crate) fn close(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.connections.clear();
        idle.closed += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readers(folder: &tempfile::TempDir) -> Arc<Readers> {
        let path = database_file::create(&folder.path().join("relay.db")).unwrap();
        Arc::new(Readers::new(&path, Arc::new(Damage::none(&path))))
    }

    #[tokio::test]
    async fn lookups_and_searches_use_no_permit_of_delivery() {
        let folder = tempfile::tempdir().unwrap();
        let readers = readers(&folder);
        let mut held = vec![readers.turn(Purpose::Search).await.unwrap()];
        for _ in 0..LOOK_TURNS {
            held.push(readers.turn(Purpose::Look).await.unwrap());
        }

        assert_eq!(readers.read(Purpose::Delivery, |_| Ok(7)).await, Ok(7));
        let busy = readers.turn(Purpose::Search).await.map(drop);
        assert_eq!(busy, Err(unavailable(Trouble::Busy, "another search runs")));

        drop(held);
        assert_eq!(readers.read(Purpose::Search, |_| Ok(7)).await, Ok(7));
    }

    #[tokio::test]
    async fn exclusive_hold_waits_for_every_reader() {
        let folder = tempfile::tempdir().unwrap();
        let readers = readers(&folder);
        for purpose in [Purpose::Delivery, Purpose::Look, Purpose::Search] {
            let turn = readers.turn(purpose).await.unwrap();
            assert!(readers.hold().is_none(), "{purpose:?}");
            drop(turn);
        }
        let held = readers.hold();
        assert!(held.is_some());
    }
}
