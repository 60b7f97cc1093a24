//! The SQLite store: opening and closing, and the state that its traits share.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::time::Instant;

use tokio::sync::{Mutex, Semaphore, watch};

use super::archive::stats;
use super::engine::change_log::ChangeLog;
use super::engine::damage::Damage;
use super::engine::database_file::{self, DatabaseFile};
use super::engine::disk_reserve::DiskReserve;
use super::engine::inspection;
use super::engine::migrations::{self, NewerSchema};
use super::engine::open_error::OpenError;
use super::engine::readers::{Purpose, Readers};
use super::engine::writer::Writer;
use super::maintenance::recovery;
use super::maintenance::restored::{self, Restored};
use super::settings::Settings;
use crate::clock;
use crate::store::error::StoreError;
use crate::telemetry::metrics::Commits;

/// Memory for bodies that wait for their commit, in KiB.
// Bodies of less than 1 KiB take no permit; the bound of webhooks in intake limits their number.
pub(super) const PENDING_KIB_MAX: usize = 64 * 1024;

/// A store in one file, which only one server can open at a time.
#[derive(Debug)]
pub struct Sqlite {
    pub commits: Commits,
    /// What was found if this is the first start on a restored backup.
    pub restored: Option<Restored>,
    /// Versions if a newer program wrote the store.
    pub newer: Option<NewerSchema>,
    pub(super) path: PathBuf,
    pub(super) writer: Writer,
    pub(super) readers: Arc<Readers>,
    pub(super) damage: Arc<Damage>,
    pub(super) changes: Arc<ChangeLog>,
    pub(super) reserve: DiskReserve,
    pub(super) webhook_bytes_max: usize,
    pub(super) pending_bodies: Arc<Semaphore>,
    /// Number of times that events became due.
    pub(super) arrivals: watch::Sender<u64>,
    pub(super) readiness: Mutex<Option<(Instant, Result<(), StoreError>)>>,
    /// The last seen `data_version`, which changes when another process writes.
    pub(super) data_version: AtomicI64,
    /// Whether all events were counted anew since the start.
    pub(super) is_recounted: AtomicBool,
}

impl Sqlite {
    /// Opens or creates the file for a server. Claims of an earlier process end.
    pub fn open(settings: &Settings) -> Result<Sqlite, OpenError> {
        inspection::check_former_place(settings)?;
        let path = database_file::create(&settings.path)?;
        let reserve = DiskReserve::for_database(&path, settings)?;
        // A quarter: what is in the log is written to the database as well, and the log grows while
        // a long read keeps it from being written back.
        let mut database = DatabaseFile::open(&path, reserve.bytes() / 4)?;
        let connection = database.connection()?;
        let failed = |error| OpenError::Database { path: path.clone(), error };
        let restored = restored::mark_events(connection, settings.restored_events, clock::now());
        let restored = restored.map_err(failed)?;
        if restored.is_none() {
            recovery::end_leases(connection, clock::now()).map_err(failed)?;
        }
        let mut store = Sqlite::start(database, reserve, settings.webhook_bytes_max)?;
        store.restored = restored;
        Ok(store)
    }

    /// Opens an existing file beside its server, which may run, for the commands that read, replay
    /// and release. Takes no lock and ends no claim.
    pub fn open_shared(settings: &Settings) -> Result<Sqlite, OpenError> {
        inspection::check_former_place(settings)?;
        let path = database_file::find(&settings.path)?;
        let reserve = DiskReserve::for_database(&path, settings)?;
        let database = DatabaseFile::open_shared(&path, reserve.bytes() / 4)?;
        Sqlite::start(database, reserve, settings.webhook_bytes_max)
    }

    fn start(
        mut database: DatabaseFile,
        reserve: DiskReserve,
        webhook_bytes_max: usize,
    ) -> Result<Sqlite, OpenError> {
        let newer = migrations::newer(database.connection()?);
        let refused = |error| OpenError::Database { path: database.path().to_owned(), error };
        let newer = newer.map_err(refused)?;
        let damage = Arc::new(Damage::none(database.path()));
        let readers = Arc::new(Readers::new(database.path(), Arc::clone(&damage)));
        let (path, commits) = (database.path().to_owned(), Commits::default());
        let changes = Arc::new(ChangeLog::default());
        let shared = (Arc::clone(&readers), Arc::clone(&damage), Arc::clone(&changes));
        let writer = Writer::start(database, shared, commits.clone())?;
        Ok(Sqlite {
            commits,
            restored: None,
            newer,
            path,
            writer,
            readers,
            damage,
            changes,
            reserve,
            webhook_bytes_max,
            pending_bodies: Arc::new(Semaphore::new(PENDING_KIB_MAX)),
            arrivals: watch::Sender::new(0),
            readiness: Mutex::new(None),
            data_version: AtomicI64::new(0),
            is_recounted: AtomicBool::new(false),
        })
    }

    /// Completes pending writes and closes the file. Dropping does the same, and blocks the thread.
    pub async fn close(&self) {
        let thread = self.writer.stop();
        // An error means that the writer panicked, which the panic hook has logged.
        let _ =
            tokio::task::spawn_blocking(move || thread.map(std::thread::JoinHandle::join)).await;
    }

    /// Resolves when the thread that writes has answered, whether it could write or not; never if
    /// it is stuck.
    pub async fn writer_answers(&self) {
        self.writer.answers().await;
    }

    /// Returns how many events are claimed.
    pub async fn count_claimed(&self) -> Result<u64, StoreError> {
        self.readers.read(Purpose::Lookup, stats::count_claimed).await
    }

    /// Wakes all that wait for work.
    pub(super) fn notify_work(&self) {
        self.arrivals.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // An error means that the writer panicked, which the panic hook has logged.
        let _ = self.writer.stop().map(std::thread::JoinHandle::join);
    }
}
