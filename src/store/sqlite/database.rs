//! The store in one SQLite file: its start and its end, and what all that read and write in it share.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Instant;

use tokio::sync::{Mutex, Semaphore, watch};

use super::archive::stats;
use super::engine::damage::Damage;
use super::engine::database_file::{self, DatabaseFile};
use super::engine::disk_reserve::DiskReserve;
use super::engine::error::OpenError;
use super::engine::readers::{Purpose, Readers};
use super::engine::writer::Writer;
use super::maintenance::recovery;
use super::settings::Settings;
use crate::clock;
use crate::store::error::StoreError;
use crate::telemetry::metrics::Commits;

/// Bodies that wait for their commit, in KiB.
pub(super) const WAITING_KIB: usize = 64 * 1024;

/// A store in one file, which no second server can open.
#[derive(Debug)]
pub struct Sqlite {
    pub commits: Commits,
    pub(super) writer: Writer,
    pub(super) readers: Arc<Readers>,
    pub(super) damage: Arc<Damage>,
    pub(super) reserve: DiskReserve,
    pub(super) webhook_bytes_max: usize,
    pub(super) waiting: Arc<Semaphore>,
    /// How often events came to be due.
    pub(super) arrived: watch::Sender<u64>,
    pub(super) ready: Mutex<Option<(Instant, Result<(), StoreError>)>>,
    /// SQLite's count of what others wrote, when it was last looked at.
    pub(super) written: AtomicI64,
}

impl Sqlite {
    /// Opens or creates the file. Claims of an earlier process end.
    pub fn open(settings: &Settings) -> Result<Sqlite, OpenError> {
        let path = database_file::create(&settings.path)?;
        let reserve = DiskReserve::beside(&path, settings)?;
        // The log has to fit into the reserve, with what it adds to the database.
        let mut database = DatabaseFile::open(&path, reserve.bytes() / 4)?;
        recovery::end_leases(database.connection()?, clock::now())
            .map_err(|source| OpenError::Database { path, source })?;
        Sqlite::start(database, reserve, settings.webhook_bytes_max)
    }

    /// Opens the file of a server beside it, whether it runs or not: to look, replay and release.
    pub fn open_beside(settings: &Settings) -> Result<Sqlite, OpenError> {
        let path = database_file::find(&settings.path)?;
        let reserve = DiskReserve::beside(&path, settings)?;
        let database = DatabaseFile::open_beside(&path, reserve.bytes() / 4)?;
        Sqlite::start(database, reserve, settings.webhook_bytes_max)
    }

    fn start(
        database: DatabaseFile,
        reserve: DiskReserve,
        webhook_bytes_max: usize,
    ) -> Result<Sqlite, OpenError> {
        let damage = Arc::new(Damage::none(database.path()));
        let readers = Arc::new(Readers::new(database.path(), Arc::clone(&damage)));
        let commits = Commits::default();
        let shared = (Arc::clone(&readers), Arc::clone(&damage));
        let writer = Writer::start(database, shared, commits.clone())?;
        Ok(Sqlite {
            commits,
            writer,
            readers,
            damage,
            reserve,
            webhook_bytes_max,
            waiting: Arc::new(Semaphore::new(WAITING_KIB)),
            arrived: watch::Sender::new(0),
            ready: Mutex::new(None),
            written: AtomicI64::new(0),
        })
    }

    /// Writes what was begun and lets go of the file; so does dropping, which blocks meanwhile.
    pub async fn close(&self) {
        let thread = self.writer.stop();
        // A writer that panicked has said so in the log.
        let _ =
            tokio::task::spawn_blocking(move || thread.map(std::thread::JoinHandle::join)).await;
    }

    /// How many events are claimed.
    pub async fn in_hand(&self) -> Result<u64, StoreError> {
        self.readers.read(Purpose::Look, stats::in_hand).await
    }

    /// Wakes whoever waits for work.
    pub(super) fn arrive(&self) {
        self.arrived.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // A writer that panicked has said so in the log.
        let _ = self.writer.stop().map(std::thread::JoinHandle::join);
    }
}
