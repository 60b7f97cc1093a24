//! A pool of read-only connections, so that reads do not wait for the writer.

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
use crate::store::error::{StoreError, UnavailableKind};

/// Number of concurrent reads for each purpose.
// Separate, so that lookups of people do not delay delivery, and a text search, which reads events
// one by one, delays no lookups.
const DELIVERY_READS_MAX: usize = 4;
const LOOKUP_READS_MAX: usize = 4;
const SEARCHES_MAX: usize = 1;

/// Longest wait of a search for another one, which ends after a second.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest wait of the writer for running reads.
const HOLD_TIMEOUT: Duration = Duration::from_secs(2);
const HOLD_PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    damage: Arc<Damage>,
    delivery: PermitPool,
    look: PermitPool,
    search: PermitPool,
    idle: Mutex<IdleReaders>,
}

/// Result of a read.
pub(crate) type Read<T> = Result<T, StoreError>;

/// Purpose of a read; each has its own limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reads of delivery.
    Delivery,
    /// Lookups of people, of the API and of maintenance.
    Lookup,
    /// Text searches, which read many events.
    Search,
}

/// The permits of one purpose.
#[derive(Debug)]
struct PermitPool {
    permits: Arc<Semaphore>,
    count: usize,
}

/// A permit to read, released on drop.
#[derive(Debug)]
pub(crate) struct ReadPermit {
    _permit: OwnedSemaphorePermit,
}

impl PermitPool {
    fn new(count: usize) -> PermitPool {
        PermitPool { permits: Arc::new(Semaphore::new(count)), count }
    }

    /// Takes all permits, which blocks the thread until the reads have ended or the time is over.
    fn acquire_all(&self, until: Instant) -> Option<SemaphorePermit<'_>> {
        // Polled: tokio's semaphore can only be waited for asynchronously, and this runs on the
        // writer's thread.
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        while Instant::now() < until {
            if let Ok(held) = self.permits.try_acquire_many(count) {
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
    /// Number of times that all were closed. A connection that was taken before is not put back.
    closed: u64,
}

impl Readers {
    pub(crate) fn new(path: &Path, damage: Arc<Damage>) -> Readers {
        Readers {
            path: path.to_owned(),
            damage,
            delivery: PermitPool::new(DELIVERY_READS_MAX),
            look: PermitPool::new(LOOKUP_READS_MAX),
            search: PermitPool::new(SEARCHES_MAX),
            idle: Mutex::default(),
        }
    }

    fn pool(&self, purpose: Purpose) -> &PermitPool {
        match purpose {
            Purpose::Delivery => &self.delivery,
            Purpose::Lookup => &self.look,
            Purpose::Search => &self.search,
        }
    }

    pub(crate) async fn acquire(&self, purpose: Purpose) -> Read<ReadPermit> {
        let (time_max, busy) = match purpose {
            Purpose::Delivery | Purpose::Lookup => {
                (BUSY_TIMEOUT, "too many reads of the database at once")
            }
            Purpose::Search => (SEARCH_TIMEOUT, "another search runs"),
        };
        let permits = Arc::clone(&self.pool(purpose).permits);
        match timeout(time_max, permits.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(ReadPermit { _permit: permit }),
            Ok(Err(_)) | Err(_) => Err(unavailable(UnavailableKind::Busy, busy)),
        }
    }

    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        purpose: Purpose,
        work: impl FnOnce(&Connection) -> Result<T, SqliteError> + Send + 'static,
    ) -> Read<T> {
        let turn = self.acquire(purpose).await?;
        self.read_with(turn, work).await.map(|(answer, _)| answer)
    }

    /// Reads with a permit, and returns it for another read.
    pub(crate) async fn read_with<T: Send + 'static>(
        self: &Arc<Self>,
        turn: ReadPermit,
        work: impl FnOnce(&Connection) -> Result<T, SqliteError> + Send + 'static,
    ) -> Read<(T, ReadPermit)> {
        let readers = Arc::clone(self);
        // The permit moves to the thread: if the caller stops waiting, the read still counts until
        // it has ended.
        let reading = spawn_blocking(move || {
            let answer = readers.run(work).inspect_err(|failure| readers.damage.record(failure));
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
        let (connection, closed) = self.take_idle();
        let connection = match connection {
            Some(connection) => connection,
            None => database_file::connect_reader(&self.path)?,
        };
        let answer = work(&connection);
        // After a failure of the disk the connection's state is unknown. A panic drops it as well.
        if !matches!(&answer, Err(failure) if failure.is_disk_failure()) {
            self.put_back(connection, closed);
        }
        answer
    }

    fn take_idle(&self) -> (Option<Connection>, u64) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        (idle.connections.pop(), idle.closed)
    }

    fn put_back(&self, connection: Connection, closed: u64) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was opened on an earlier log would go on reading that.
        if idle.closed == closed {
            idle.connections.push(connection);
        }
    }

    /// Waits until no read runs, closes all connections, and prevents reads until the permits are
    /// dropped. Returns none if the reads do not end in time. Blocks the thread.
    pub(crate) fn close_and_block(&self) -> Option<[SemaphorePermit<'_>; 3]> {
        let start = Instant::now();
        let until = start.checked_add(HOLD_TIMEOUT).unwrap_or(start);
        let held = [
            self.delivery.acquire_all(until)?,
            self.look.acquire_all(until)?,
            self.search.acquire_all(until)?,
        ];
        self.close();
        Some(held)
    }

    /// Closes all idle connections; later reads open new ones.
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
        let mut held = vec![readers.acquire(Purpose::Search).await.unwrap()];
        for _ in 0..LOOKUP_READS_MAX {
            held.push(readers.acquire(Purpose::Lookup).await.unwrap());
        }

        assert_eq!(readers.read(Purpose::Delivery, |_| Ok(7)).await, Ok(7));
        let busy = readers.acquire(Purpose::Search).await.map(drop);
        assert_eq!(busy, Err(unavailable(UnavailableKind::Busy, "another search runs")));

        drop(held);
        assert_eq!(readers.read(Purpose::Search, |_| Ok(7)).await, Ok(7));
    }

    #[tokio::test]
    async fn exclusive_hold_waits_for_every_reader() {
        let folder = tempfile::tempdir().unwrap();
        let readers = readers(&folder);
        for purpose in [Purpose::Delivery, Purpose::Lookup, Purpose::Search] {
            let turn = readers.acquire(purpose).await.unwrap();
            assert!(readers.close_and_block().is_none(), "{purpose:?}");
            drop(turn);
        }
        let held = readers.close_and_block();
        assert!(held.is_some());
    }
}
