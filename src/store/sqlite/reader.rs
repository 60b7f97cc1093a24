//! A few connections that only read, so that looking never waits for the writer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::damage::Damage;
use super::failure::{Failure, unavailable};
use super::{PATIENCE, open};
use crate::store::{StoreError, Trouble};

const CONNECTIONS: usize = 4;

/// How long the writer waits for those who read.
const HOLD_PATIENCE: Duration = Duration::from_secs(2);
const HOLD_PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    damage: Arc<Damage>,
    turns: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    connections: Vec<Connection>,
    /// How often all were closed: one that was lent out before that is not taken back.
    closed: u64,
}

impl Readers {
    pub(super) fn new(path: &Path, damage: Arc<Damage>) -> Readers {
        let turns = Arc::new(Semaphore::new(CONNECTIONS));
        Readers { path: path.to_owned(), damage, turns, idle: Mutex::default() }
    }

    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(unavailable(Trouble::Busy, "too many others read from the database"));
        };
        let readers = Arc::clone(self);
        let reading = spawn_blocking(move || {
            let _until_read = turn;
            readers.run(work).inspect_err(|failure| readers.damage.note(failure))
        });
        match reading.await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::Panicked.into()),
        }
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        let (connection, closed) = self.take();
        let connection = match connection {
            Some(connection) => connection,
            None => open::connect_reader(&self.path)?,
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
    pub(super) fn hold(&self) -> Option<SemaphorePermit<'_>> {
        let turns = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
        let begun = Instant::now();
        while begun.elapsed() < HOLD_PATIENCE {
            if let Ok(held) = self.turns.try_acquire_many(turns) {
                self.close();
                return Some(held);
            }
            thread::sleep(HOLD_PAUSE);
        }
        None
    }

    /// Lets go of the file; later reads open it anew.
    pub(super) fn close(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.connections.clear();
        idle.closed += 1;
    }
}
