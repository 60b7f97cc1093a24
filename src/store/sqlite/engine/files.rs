//! The files beside the database: whether the open ones are those at their paths, and the locks that keep a
//! second server out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{io, thread};

use super::error::OpenError;

/// Device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

impl FileId {
    /// One look takes 1 to 2 µs, and a commit, of as many webhooks as wait, seven of them.
    pub(super) fn of(path: &Path) -> io::Result<FileId> {
        let file = fs::metadata(path)?;
        Ok(FileId(file.dev(), file.ino()))
    }

    fn of_open(file: &File) -> io::Result<FileId> {
        let file = file.metadata()?;
        Ok(FileId(file.dev(), file.ino()))
    }
}

/// The write-ahead log and its index, as SQLite opened them: whoever removes one of them while it is open
/// takes what is in the log from the next start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log {
    log: FileId,
    index: FileId,
}

/// What became of an open log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogState {
    InPlace,
    /// What is in it can be written into the database from here.
    Removed,
    /// Another program has begun a log of its own, with which ours must not be mixed.
    Foreign,
}

impl Log {
    /// Right after SQLite opened or made them.
    pub(super) fn of(database: &Path) -> Result<Log, OpenError> {
        let identity = |suffix| {
            let path = beside(database, suffix);
            FileId::of(&path).map_err(|source| OpenError::File { path, source })
        };
        Ok(Log { log: identity("-wal")?, index: identity("-shm")? })
    }

    pub(super) fn state(&self, database: &Path) -> LogState {
        let path = beside(database, "-wal");
        let log = FileId::of(&path).ok();
        let is_in_place = log == Some(self.log);
        if is_in_place && FileId::of(&beside(database, "-shm")).ok() == Some(self.index) {
            return LogState::InPlace;
        }
        // A connection that only reads makes an empty one.
        let is_empty = || fs::metadata(&path).is_ok_and(|file| file.len() == 0);
        if is_in_place || log.is_none() || is_empty() {
            LogState::Removed
        } else {
            LogState::Foreign
        }
    }
}

pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A file of ours can be read by nobody else.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

/// A server's locks, held until they are dropped. No connection may be open then: closing the database file
/// ends all locks that SQLite has on it in this process.
#[derive(Debug)]
pub(super) struct Locks {
    path: PathBuf,
    lock: (File, FileId),
    /// On the database itself, since the lock file may be removed.
    database: Option<File>,
}

impl Locks {
    pub(super) fn take(database: &Path) -> Result<Locks, OpenError> {
        let path = beside(database, ".lock");
        let lock = lock_file(database, &path)?;
        let database = lock_database(database, &path)?;
        Ok(Locks { path, lock, database })
    }

    /// Locks the lock file again if it is another than before, and tells whether it was.
    pub(super) fn keep(&mut self, database: &Path) -> Result<bool, OpenError> {
        if FileId::of(&self.path).ok() == Some(self.lock.1) {
            return Ok(false);
        }
        self.lock = lock_file(database, &self.path)?;
        Ok(true)
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        // Closing alone would leave them to a child that this process is just starting.
        let _ = self.lock.0.unlock();
        if let Some(database) = &self.database {
            let _ = database.unlock();
        }
    }
}

/// How long a start waits for those who look whether a server runs, such as `doctor`: they hold the lock, as
/// others who look may, for some microseconds.
const LOOKING_MAX: Duration = Duration::from_secs(5);
const LOOKING_PAUSE: Duration = Duration::from_millis(5);

/// Locks the file, unless a server does.
fn lock(file: &File) -> Result<(), TryLockError> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOOKING_MAX => {}
            locked => return locked,
        }
        // A server's lock keeps everybody out.
        file.try_lock_shared()?;
        file.unlock().map_err(TryLockError::Error)?;
        thread::sleep(LOOKING_PAUSE);
    }
}

// A file of its own, since SQLite's locks cannot tell whether a server runs: they last as long as a transaction, and
// one that lasted longer (`locking_mode = EXCLUSIVE`) would keep `events`, `doctor` and backups out, which work beside
// a server.
fn lock_file(database: &Path, path: &Path) -> Result<(File, FileId), OpenError> {
    let refused = |source| OpenError::File { path: path.to_owned(), source };
    let file = private().open(path).map_err(refused)?;
    match lock(&file) {
        Ok(()) => {
            let identity = FileId::of_open(&file).map_err(refused)?;
            Ok((file, identity))
        }
        Err(TryLockError::WouldBlock) => {
            Err(OpenError::InUse { path: database.to_owned(), lock: path.to_owned() })
        }
        Err(TryLockError::Error(error)) => Err(refused(error)),
    }
}

/// None where this kind of lock would be in the way of SQLite's own.
fn lock_database(database: &Path, lock: &Path) -> Result<Option<File>, OpenError> {
    if !is_apart_from_sqlites(database) {
        return Ok(None);
    }
    let file = File::open(database)
        .map_err(|source| OpenError::File { path: database.to_owned(), source })?;
    match file.try_lock() {
        // Not every file system has such locks; the lock file is there too.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            // Closing it would end the locks of other connections in this process.
            std::mem::forget(file);
            Err(OpenError::InUse { path: database.to_owned(), lock: lock.to_owned() })
        }
    }
}

/// Linux keeps the locks of whole files apart from those of ranges, which SQLite uses, on its own file
/// systems. On those of a network a server makes ranges of both.
#[cfg(target_os = "linux")]
fn is_apart_from_sqlites(database: &Path) -> bool {
    const NINE_P: i128 = 0x0102_1997;
    const CEPH: i128 = 0x00c3_6400;
    const CIFS: i128 = 0xff53_4d42;
    const NFS: i128 = 0x0000_6969;
    const SMB2: i128 = 0xfe53_4d42;
    // The kernel gives 32 bits, on some machines with a sign.
    let kind = rustix::fs::statfs(database).map(|found| i128::from(found.f_type) & 0xffff_ffff);
    kind.is_ok_and(|kind| ![NINE_P, CEPH, CIFS, NFS, SMB2].contains(&kind))
}

#[cfg(not(target_os = "linux"))]
fn is_apart_from_sqlites(_: &Path) -> bool {
    false
}
