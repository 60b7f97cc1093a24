//! The files beside the database: whether the open ones are still those at their paths, and the
//! locks that keep a second server out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{io, thread};

use super::file_names::with_suffix;
use super::open_error::OpenError;

/// Device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

impl FileId {
    pub(super) fn of(path: &Path) -> io::Result<FileId> {
        // It takes 1 to 2 µs. A commit, of as many webhooks as wait, needs seven of them.
        let file = fs::metadata(path)?;
        Ok(FileId(file.dev(), file.ino()))
    }

    fn of_file(file: &File) -> io::Result<FileId> {
        let file = file.metadata()?;
        Ok(FileId(file.dev(), file.ino()))
    }
}

/// The write-ahead log and its index, as SQLite opened them. If one of them is removed meanwhile,
/// the next start does not find what is in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log {
    log: FileId,
    index: FileId,
}

/// The state of an open log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogState {
    InPlace,
    /// Its content can still be written into the database from this process.
    Removed,
    /// Another program has begun a log of its own, with which ours must not be mixed.
    Foreign,
}

impl Log {
    /// Identifies the files. Call it right after SQLite has opened or created them.
    pub(super) fn of(database: &Path) -> Result<Log, OpenError> {
        let identity = |suffix| {
            let path = with_suffix(database, suffix);
            FileId::of(&path).map_err(|error| OpenError::File { path, error })
        };
        Ok(Log { log: identity("-wal")?, index: identity("-shm")? })
    }

    pub(super) fn state(&self, database: &Path) -> LogState {
        let path = with_suffix(database, "-wal");
        let log = FileId::of(&path).ok();
        let is_in_place = log == Some(self.log);
        if is_in_place && FileId::of(&with_suffix(database, "-shm")).ok() == Some(self.index) {
            return LogState::InPlace;
        }
        // A connection that only reads creates an empty one.
        let is_empty = || fs::metadata(&path).is_ok_and(|file| file.len() == 0);
        if is_in_place || log.is_none() || is_empty() {
            LogState::Removed
        } else {
            LogState::Foreign
        }
    }
}

/// Options for a file that only its owner can read.
pub(super) fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

/// The locks of a server, held until dropped. No connection may be open then: closing the database
/// file ends all locks that SQLite has on it in this process.
#[derive(Debug)]
pub(super) struct Locks {
    path: PathBuf,
    lock: (File, FileId),
    /// Lock on the database itself, since the lock file may be removed.
    database: Option<File>,
}

impl Locks {
    pub(super) fn acquire(database: &Path) -> Result<Locks, OpenError> {
        let path = with_suffix(database, ".lock");
        let lock = lock_file(database, &path)?;
        let database = lock_database(database, &path)?;
        Ok(Locks { path, lock, database })
    }

    /// Locks the lock file again if it was removed or replaced, and returns whether it was.
    pub(super) fn relock_if_replaced(&mut self, database: &Path) -> Result<bool, OpenError> {
        if FileId::of(&self.path).ok() == Some(self.lock.1) {
            return Ok(false);
        }
        self.lock = lock_file(database, &self.path)?;
        Ok(true)
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        // Closing alone would leave them to a child that this process is just starting, which has
        // the same open files until it executes its program.
        let _ = self.lock.0.unlock();
        if let Some(database) = &self.database {
            let _ = database.unlock();
        }
    }
}

/// Longest wait of a start for commands that check whether a server runs, such as `doctor`.
// Each holds a shared lock for some microseconds, and several may take turns.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(5);
const PROBE_PAUSE: Duration = Duration::from_millis(5);

/// Locks the file, unless a server has locked it.
fn lock(file: &File) -> Result<(), TryLockError> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if start.elapsed() < PROBE_WAIT_MAX => {}
            locked => return locked,
        }
        // A server's lock is exclusive and fails this one too, so a second start is refused at
        // once.
        file.try_lock_shared()?;
        file.unlock().map_err(TryLockError::Error)?;
        thread::sleep(PROBE_PAUSE);
    }
}

/// Returns whether a server runs on the file. Locks it for a moment if none does.
pub fn is_served(path: &Path) -> io::Result<bool> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // Not the database: closing it would end the locks that SQLite has on it in this process.
    let lock = match File::open(with_suffix(&path, ".lock")) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    // Shared, so that two callers at once do not take each other for a server.
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

// A file of its own, since SQLite's locks do not show whether a server runs: they last as long as a
// transaction, and one that lasted longer (`locking_mode = EXCLUSIVE`) would keep `events`,
// `doctor` and backups out, which work beside a server.
fn lock_file(database: &Path, path: &Path) -> Result<(File, FileId), OpenError> {
    let refused = |error| OpenError::File { path: path.to_owned(), error };
    let file = owner_only().open(path).map_err(refused)?;
    match lock(&file) {
        Ok(()) => {
            let identity = FileId::of_file(&file).map_err(refused)?;
            Ok((file, identity))
        }
        Err(TryLockError::WouldBlock) => {
            Err(OpenError::InUse { path: database.to_owned(), lock: path.to_owned() })
        }
        Err(TryLockError::Error(error)) => Err(refused(error)),
    }
}

/// Locks the database itself. Returns none if this kind of lock would conflict with SQLite's own.
fn lock_database(database: &Path, lock: &Path) -> Result<Option<File>, OpenError> {
    if !is_flock_independent(database) {
        return Ok(None);
    }
    let file = File::open(database)
        .map_err(|error| OpenError::File { path: database.to_owned(), error })?;
    match file.try_lock() {
        // Not every file system has such locks. There the lock file alone has to do.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            // Closing it would end the locks that other connections of this process have on it.
            std::mem::forget(file);
            Err(OpenError::InUse { path: database.to_owned(), lock: lock.to_owned() })
        }
    }
}

/// Returns whether locks of whole files (flock) do not conflict with those of ranges (POSIX), which
/// SQLite uses. On network file systems Linux turns both into ranges.
#[cfg(target_os = "linux")]
fn is_flock_independent(database: &Path) -> bool {
    const NINE_P: i128 = 0x0102_1997;
    const CEPH: i128 = 0x00c3_6400;
    const CIFS: i128 = 0xff53_4d42;
    const NFS: i128 = 0x0000_6969;
    const SMB2: i128 = 0xfe53_4d42;
    // The kernel's value has 32 bits, which some machines extend with a sign.
    let kind = rustix::fs::statfs(database).map(|found| i128::from(found.f_type) & 0xffff_ffff);
    kind.is_ok_and(|kind| ![NINE_P, CEPH, CIFS, NFS, SMB2].contains(&kind))
}

#[cfg(not(target_os = "linux"))]
fn is_flock_independent(_: &Path) -> bool {
    false
}
