//! The database file: opening, closing, and its write-ahead log.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Row};
use tracing::{error, warn};

use super::file_names::with_suffix;
use super::files::{FileId, Locks, Log, LogState, owner_only};
use super::inspection::{self, Opener};
use super::open_error::OpenError;
use super::{backup_mark, migrations};

/// Longest wait of a command for the lock of another process, a place in the queue or a reader.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Number of statements that stay prepared; more than there are.
const STATEMENTS: usize = 64;

/// Pages of the log at which it is written back: just below 16 MiB, a quarter of the usual reserve.
const LOG_PAGES_MAX: u64 = 4000;
// With fewer the log would be written back every few commits.
const LOG_PAGES_MIN: u64 = 50;
const PAGE_BYTES: u64 = 4096;

// `WAL`: reads do not wait for writes, and a commit is one write at the end of a file.
// `synchronous`: FULL waits for the disk at each commit. With NORMAL a power loss would take the
// last commits, which were answered 202.
// `fullfsync`: macOS needs it for the same promise, elsewhere it does nothing.
// `foreign_keys`: what belongs to an event is deleted with it, by ON DELETE CASCADE.
// `secure_delete`: what is deleted is overwritten, with the pages that become free, so that an erasure has
// no older copies to look for: SQLite does not clear all of a page that it uses again. Retention, which
// frees most pages, leaves that out.
// `temp_store`: sorting does not write to a disk that may be full.
// `mmap_size`: no memory map. If the disk fails, that would end the process instead of the call.
// `cache_size`: 16 MiB at most, for the writer's connection alone.
// `journal_size_limit`: 64 MiB, about what `log_bytes_max` allows. A log that grew longer behind a
// long read is cut to it once it is written back.
const PRAGMAS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA foreign_keys = ON;
    PRAGMA secure_delete = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA mmap_size = 0;
    PRAGMA cache_size = -16384;
    PRAGMA journal_size_limit = 67108864;";

/// The file with the writer's connection. A server's keeps the locks until it is dropped.
#[derive(Debug)]
pub(crate) struct DatabaseFile {
    path: PathBuf,
    file: FileId,
    log_pages: u64,
    connection: Option<(Connection, Log)>,
    locks: Option<Locks>,
}

impl DatabaseFile {
    /// Opens the file for a server, which locks it. The write-ahead log stays near `log_bytes`.
    pub(crate) fn open(path: &Path, log_bytes: u64) -> Result<DatabaseFile, OpenError> {
        DatabaseFile::new(path, log_bytes, Some(Locks::acquire(path)?))
    }

    /// Opens the file without a lock, beside a server that may run.
    pub(crate) fn open_shared(path: &Path, log_bytes: u64) -> Result<DatabaseFile, OpenError> {
        DatabaseFile::new(path, log_bytes, None)
    }

    fn new(path: &Path, log_bytes: u64, locks: Option<Locks>) -> Result<DatabaseFile, OpenError> {
        let opener = if locks.is_some() { Opener::Server } else { Opener::Command };
        inspection::inspect(path, opener)?;
        let log_pages = log_pages(log_bytes);
        let (path, file) = (path.to_owned(), identity(path)?);
        let mut database = DatabaseFile { path, file, log_pages, connection: None, locks };
        database.connection()?;
        Ok(database)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the connection, and opens a new one if it was closed.
    pub(crate) fn connection(&mut self) -> Result<&Connection, OpenError> {
        self.check_in_place()?;
        self.relock()?;
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        Ok(&self.connection.insert(connection).0)
    }

    /// Returns an error if another file is at the path.
    pub(crate) fn check_in_place(&self) -> Result<(), OpenError> {
        // The log belongs to the file for which it was begun. Another file with it would be
        // damaged.
        if identity(&self.path)? != self.file {
            return Err(OpenError::Replaced { path: self.path.clone() });
        }
        Ok(())
    }

    /// Locks the lock file again if it was removed or replaced, so that no second server can start.
    fn relock(&mut self) -> Result<(), OpenError> {
        let Some(locks) = &mut self.locks else { return Ok(()) };
        if locks.relock_if_replaced(&self.path)? {
            let lock = with_suffix(&self.path, ".lock");
            let lock = lock.display();
            error!("{lock} was removed or replaced while the relay runs on it: it is locked again");
        }
        Ok(())
    }

    /// Returns whether the log is the one that the next start will find.
    pub(super) fn log_state(&self) -> LogState {
        let log = self.connection.as_ref().map(|(_, log)| log);
        log.map_or(LogState::InPlace, |log| log.state(&self.path))
    }

    /// Writes a removed log into the database, and begins a new one. All readers have to be closed,
    /// and none may open meanwhile.
    pub(crate) fn save_removed_log(&mut self) -> Result<(), OpenError> {
        let Some((connection, _)) = &self.connection else { return Ok(()) };
        let refused = |error| OpenError::Database { path: self.path.clone(), error };
        // The removed file is still open here: this is the last chance to save what is in it.
        let is_busy = checkpoint(connection).map_err(refused)?;
        if is_busy {
            return Err(OpenError::LogRemoved { path: self.path.clone() });
        }
        self.disconnect();
        self.connection()?;
        let path = self.path.display();
        error!(
            "{path}-wal or {path}-shm was removed while the relay runs: what was in it is written to \
             {path}, and nothing is lost. These files belong to the relay as long as it runs"
        );
        Ok(())
    }

    fn connect(&self) -> Result<(Connection, Log), OpenError> {
        let refused = |error| OpenError::Database { path: self.path.clone(), error };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.path, flags).map_err(refused)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(refused)?;
        // Before the pragmas, which write to the file: one of another program stays as it is.
        migrations::check_identity(&connection, &self.path)?;
        // Without the lock a server of the older version may run, which does not know the new
        // tables.
        if self.locks.is_none()
            && migrations::version(&connection).map_err(refused)? < migrations::LATEST
        {
            return Err(OpenError::Older { path: self.path.clone() });
        }
        // Before the log is switched on.
        backup_mark::record_opening(&connection).map_err(refused)?;
        configure(&connection, self.log_pages).map_err(refused)?;
        migrations::migrate(&mut connection).map_err(refused)?;
        Ok((connection, Log::of(&self.path)?))
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        self.connection.as_ref().is_some_and(|(connection, _)| !connection.is_autocommit())
    }

    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Closes the file. A server writes the log back first, so that it leaves one file to copy.
    pub(crate) fn close(self) {
        let (Some((connection, _)), Some(locks)) = (self.connection, self.locks) else { return };
        if let Err(error) = checkpoint(&connection) {
            warn!(%error, "the write-ahead log stays beside the database");
        }
        // In this order: with the locks released first, a new server could start on a file that
        // this connection still writes to.
        drop(connection);
        drop(locks);
    }
}

/// Writes all of the log into the database. Returns whether readers or writers prevented it.
fn checkpoint(connection: &Connection) -> rusqlite::Result<bool> {
    let is_busy = |row: &Row<'_>| row.get(0);
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], is_busy)
}

/// Writes all of the log into the database and cuts it to nothing, on a connection of its own. Returns
/// whether that was possible: a read that began before keeps it.
pub(crate) fn empty_log(path: &Path) -> rusqlite::Result<bool> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Most of it without the write lock, for which webhooks would wait.
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    Ok(!checkpoint(&connection)?)
}

fn identity(path: &Path) -> Result<FileId, OpenError> {
    FileId::of(path).map_err(|error| OpenError::File { path: path.to_owned(), error })
}

/// Returns the number of pages at which the log is written back.
fn log_pages(log_bytes: u64) -> u64 {
    // A longer log would take the room in which accepted events settle. With a shorter one, pages
    // that change often are written into the database more often.
    (log_bytes / PAGE_BYTES).clamp(LOG_PAGES_MIN, LOG_PAGES_MAX)
}

/// Returns the length in bytes to which the log may grow while a read keeps it from being written
/// back.
pub(crate) fn log_bytes_max(log_bytes: u64) -> u64 {
    // Four times the usual length, which is a quarter of the reserve: all of the reserve, and about
    // the `journal_size_limit` to which SQLite cuts the log afterwards.
    4 * log_pages(log_bytes) * PAGE_BYTES
}

/// Creates the file if it does not exist. Returns its canonical path, so that a link to it has the
/// same lock and log.
pub(crate) fn create(path: &Path) -> Result<PathBuf, OpenError> {
    let refused = |error| OpenError::File { path: path.to_owned(), error };
    // Never opens one that exists: closing it would end all POSIX locks that SQLite has on the file
    // in this process.
    match owner_only().create_new(true).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if path.is_dir() {
                return Err(OpenError::NotAFile { path: path.to_owned() });
            }
        }
        Err(error) => return Err(refused(error)),
    }
    path.canonicalize().map_err(refused)
}

/// Returns the canonical path of an existing file.
pub(crate) fn find(path: &Path) -> Result<PathBuf, OpenError> {
    let path = path.to_owned();
    match path.canonicalize() {
        Ok(found) => Ok(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OpenError::Missing { path }),
        Err(error) => Err(OpenError::File { path, error }),
    }
}

fn configure(connection: &Connection, log_pages: u64) -> rusqlite::Result<()> {
    // It only takes effect before the first page is written. Later it would do nothing but write,
    // which fails on a full disk.
    if migrations::version(connection)? == 0 {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.execute_batch(PRAGMAS)?;
    cache_statements(connection)?;
    connection.pragma_update(None, "wal_autocheckpoint", log_pages)?;
    Ok(())
}

/// Keeps prepared statements for reuse.
fn cache_statements(connection: &Connection) -> rusqlite::Result<()> {
    // Without the query planner stability guarantee, a statement with a bound `LIMIT` is prepared
    // again for each value. That took a fifth of the writer's time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

pub(crate) fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    cache_statements(&connection)?;
    Ok(connection)
}

/// Returns a number that changes when another connection has written.
pub(crate) fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "data_version", |row| row.get(0))
}

/// Returns the steps in which SQLite would execute the statement on an empty store.
#[cfg(test)]
pub(crate) fn query_plan(sql: &str) -> Vec<String> {
    let folder = tempfile::TempDir::new().unwrap();
    let path = create(&folder.path().join("relay.db")).unwrap();
    let mut database = DatabaseFile::open(&path, 1 << 20).unwrap();
    let sql = format!("EXPLAIN QUERY PLAN {sql}");
    let mut plan = database.connection().unwrap().prepare(&sql).unwrap();
    let parameters = vec![0; plan.parameter_count()];
    let steps = plan.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3)).unwrap();
    steps.collect::<rusqlite::Result<_>>().unwrap()
}
