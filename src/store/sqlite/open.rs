//! The database file: its lock, how it is opened, and its migrations.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Row, TransactionBehavior};
use tracing::warn;

use super::{PATIENCE, suspects};
use crate::clock;

/// The n-th brings a database to version n.
const MIGRATIONS: [&str; 9] = [
    include_str!("../../../migrations/sqlite/0001_events.sql"),
    include_str!("../../../migrations/sqlite/0002_gates.sql"),
    include_str!("../../../migrations/sqlite/0003_replays.sql"),
    include_str!("../../../migrations/sqlite/0004_sources.sql"),
    include_str!("../../../migrations/sqlite/0005_upserts.sql"),
    include_str!("../../../migrations/sqlite/0006_imports.sql"),
    include_str!("../../../migrations/sqlite/0007_counted_per_commit.sql"),
    include_str!("../../../migrations/sqlite/0008_suspects.sql"),
    include_str!("../../../migrations/sqlite/0009_waits.sql"),
];

/// "SavR", as the first migration sets it.
const APPLICATION_ID: i64 = 0x5361_7652;

/// Statements that stay prepared: more than there are.
const STATEMENTS: usize = 64;

/// The log is written back into the database at this size.
const LOG_PAGES_MAX: u64 = 4000;
const LOG_PAGES_MIN: u64 = 50;
const PAGE_BYTES: u64 = 4096;

// No memory map: where the disk fails, that would end the process instead of the call.
const PRAGMAS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA foreign_keys = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA mmap_size = 0;
    PRAGMA cache_size = -16384;
    PRAGMA journal_size_limit = 67108864;";

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot open {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("another savio-relay runs on {} (it locks {})", path.display(), lock.display())]
    InUse { path: PathBuf, lock: PathBuf },
    #[error("another file was put in the place of {}: restart", path.display())]
    Replaced { path: PathBuf },
    #[error("{} is a database of another program", path.display())]
    Foreign { path: PathBuf },
    #[error(
        "{} was written by a newer savio-relay: its version is {found}, this one knows {known}",
        path.display()
    )]
    Newer { path: PathBuf, found: usize, known: usize },
    #[error("{} was written by an older savio-relay: `serve` brings it up to date", path.display())]
    Older { path: PathBuf },
    #[error("there is no store at {}", path.display())]
    Missing { path: PathBuf },
    #[error("cannot use the database {}", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
}

/// The file as the writer has it. A server's holds the lock as long as it lives.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    file: Identity,
    log_pages: u64,
    connection: Option<Connection>,
    lock: Option<File>,
}

/// Device and inode.
type Identity = (u64, u64);

impl Database {
    /// The write-ahead log stays near `log_bytes`.
    pub(super) fn open(path: &Path, log_bytes: u64) -> Result<Database, OpenError> {
        let database = Database::new(path, log_bytes, Some(lock(path)?))?;
        if let Some(connection) = &database.connection {
            suspects::end_all(connection, clock::now())
                .map_err(|source| OpenError::Database { path: path.to_owned(), source })?;
        }
        Ok(database)
    }

    /// Beside a server, which may run: its claims stay.
    pub(super) fn open_beside(path: &Path, log_bytes: u64) -> Result<Database, OpenError> {
        Database::new(path, log_bytes, None)
    }

    fn new(path: &Path, log_bytes: u64, lock: Option<File>) -> Result<Database, OpenError> {
        let log_pages = (log_bytes / PAGE_BYTES).clamp(LOG_PAGES_MIN, LOG_PAGES_MAX);
        let (path, file) = (path.to_owned(), identity(path)?);
        let mut database = Database { path, file, log_pages, connection: None, lock };
        database.connection()?;
        Ok(database)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The connection, opened anew where it was closed.
    pub(super) fn connection(&mut self) -> Result<&Connection, OpenError> {
        // The log belongs to the file that it was begun for, and would spoil another.
        if identity(&self.path)? != self.file {
            return Err(OpenError::Replaced { path: self.path.clone() });
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        Ok(self.connection.insert(connection))
    }

    fn connect(&self) -> Result<Connection, OpenError> {
        let refused = |source| OpenError::Database { path: self.path.clone(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.path, flags).map_err(refused)?;
        connection.busy_timeout(PATIENCE).map_err(refused)?;
        recognise(&connection, &self.path)?;
        if self.lock.is_none() && version(&connection).map_err(refused)? < MIGRATIONS.len() {
            return Err(OpenError::Older { path: self.path.clone() });
        }
        set_up(&connection, self.log_pages).map_err(refused)?;
        migrate(&mut connection).map_err(refused)?;
        Ok(connection)
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.is_autocommit())
    }

    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// A server leaves one file behind, without its write-ahead log.
    pub(super) fn close(self) {
        let (Some(connection), Some(_lock)) = (self.connection, self.lock) else { return };
        let checkpoint = |row: &Row<'_>| row.get::<_, i64>(0);
        let done = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], checkpoint);
        if let Err(error) = done {
            warn!(%error, "the write-ahead log stays beside the database");
        }
    }
}

/// The file, made if it is not there, by the name at which all its names meet.
pub(super) fn create(path: &Path) -> Result<PathBuf, OpenError> {
    let refused = |source| OpenError::File { path: path.to_owned(), source };
    // One that is there is left closed: closing it again would end SQLite's locks in this process.
    match private().create_new(true).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refused(error)),
    }
    path.canonicalize().map_err(refused)
}

/// The file that is there already, by the name at which all its names meet.
pub(super) fn find(path: &Path) -> Result<PathBuf, OpenError> {
    let path = path.to_owned();
    match path.canonicalize() {
        Ok(found) => Ok(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OpenError::Missing { path }),
        Err(source) => Err(OpenError::File { path, source }),
    }
}

/// A file of ours can be read by nobody else.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

fn lock_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Whether a server runs on the file. Asking holds its lock for a moment, if nobody else does.
pub fn is_served(path: &Path) -> io::Result<bool> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let lock = match File::open(lock_of(&path)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let lock = lock_of(path);
    let refused = |source| OpenError::File { path: lock.clone(), source };
    let file = private().open(&lock).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned(), lock }),
        Err(TryLockError::Error(error)) => Err(refused(error)),
    }
}

fn identity(path: &Path) -> Result<Identity, OpenError> {
    let file =
        fs::metadata(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    Ok((file.dev(), file.ino()))
}

fn set_up(connection: &Connection, log_pages: u64) -> rusqlite::Result<()> {
    // This has to come before the first page is written, and would itself write to a full disk.
    if version(connection)? == 0 {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.execute_batch(PRAGMAS)?;
    keep_plans(connection)?;
    connection.pragma_update(None, "wal_autocheckpoint", log_pages)?;
    Ok(())
}

/// Statements are prepared once. Without the guarantee one with a `LIMIT` that is bound is prepared
/// anew for each value.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

pub(super) fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    keep_plans(&connection)?;
    Ok(connection)
}

/// Refuses a file that is not ours, before anything in it is changed.
fn recognise(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let number = |sql| connection.query_row(sql, [], |row| row.get(0));
    let refused = |source| OpenError::Database { path: path.to_owned(), source };
    let application: i64 = number("PRAGMA application_id").map_err(refused)?;
    let tables: i64 = number("SELECT count(*) FROM sqlite_schema").map_err(refused)?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let found = version(connection).map_err(refused)?;
    let known = MIGRATIONS.len();
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<usize> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    for (index, migration) in MIGRATIONS.iter().enumerate() {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if version(&transaction)? == index {
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", index + 1)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

/// Writes to the disk without a change.
pub(super) fn touch(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "user_version", MIGRATIONS.len())
}

/// Another number than before, if another connection wrote since.
pub(super) fn written_by_others(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "data_version", |row| row.get(0))
}
