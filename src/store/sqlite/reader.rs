//! A few connections that only read, so that looking never waits for the writer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::failure::{Failure, unavailable};
use super::{PATIENCE, open};
use crate::store::StoreError;

const CONNECTIONS: usize = 4;

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
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
    pub(super) fn new(path: &Path) -> Readers {
        let turns = Arc::new(Semaphore::new(CONNECTIONS));
        Readers { path: path.to_owned(), turns, idle: Mutex::default() }
    }

    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(unavailable("too many others read from the database"));
        };
        let readers = Arc::clone(self);
        let reading = spawn_blocking(move || {
            let _until_read = turn;
            readers.run(work)
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

    /// Lets go of the file; later reads open it anew.
    pub(super) fn close(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.connections.clear();
        idle.closed += 1;
    }
}
