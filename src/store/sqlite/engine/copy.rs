//! Copies the database into a new file, while a relay may run on it.

mod backup_error;
mod partial_file;
mod watch;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use jiff::Timestamp;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, InterruptHandle};

use super::file_names::with_suffix;
use super::inspection::{self, Opener};
use super::open_error::OpenError;
use super::{backup_mark, check, database_file, migrations};
use crate::store::sqlite::settings::Settings;
pub use backup_error::BackupError;
use partial_file::PartialFile;
use watch::{STEP_PAGES, Watch, folder_of};

/// Pause before SQLite is asked again for what is locked.
const LOCKED_PAUSE: Duration = Duration::from_millis(10);

/// What is being done, for a person who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupProgress {
    /// Bytes that are copied, of how many.
    Copying { done: u64, total: u64 },
    /// The copy is checked for damage.
    Checking,
}

/// Stops a backup from another thread.
#[derive(Default)]
pub struct BackupControl {
    is_stopped: AtomicBool,
    checking: Mutex<Option<InterruptHandle>>,
}

// `InterruptHandle` has no `Debug`.
impl fmt::Debug for BackupControl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stopped = &self.is_stopped;
        formatter.debug_struct("BackupControl").field("is_stopped", stopped).finish_non_exhaustive()
    }
}

impl BackupControl {
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        if let Some(checking) = &*self.checking.lock().unwrap_or_else(PoisonError::into_inner) {
            checking.interrupt();
        }
    }

    fn check(&self) -> Result<(), BackupError> {
        if self.is_stopped.load(Ordering::Relaxed) { Err(BackupError::Interrupted) } else { Ok(()) }
    }
}

/// A complete copy that has no name yet. It is removed when dropped.
#[derive(Debug)]
pub(crate) struct UnnamedCopy {
    pub(crate) connection: Connection,
    pub(crate) bytes: u64,
    partial: PartialFile,
    target: PathBuf,
}

/// Copies the store as it is now. The result is one file, intact and marked as a backup.
pub(crate) fn copy(
    settings: &Settings,
    target: &Path,
    (made_at, control): (Timestamp, &BackupControl),
    mut report: impl FnMut(BackupProgress),
) -> Result<UnnamedCopy, BackupError> {
    inspection::check_former_place(settings)?;
    let path = database_file::find(&settings.path)?;
    check_target(&path, target)?;
    inspection::inspect(&path, Opener::Reader)?;
    let snapshot = Snapshot::open(&path)?;
    let mut watch = Watch::new((&path, target), settings, snapshot.bytes)?;
    watch.check_beforehand()?;
    let partial = PartialFile::create(target)?;
    let failed = |error| BackupError::TargetDatabase { path: target.to_owned(), error };
    let mut connection = Connection::open(&partial.path).map_err(failed)?;
    // Nobody else knows the file, and it is removed unless all of it is written and synced.
    let alone =
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;";
    connection.execute_batch(alone).map_err(failed)?;
    copy_pages(&snapshot, &mut connection, (&mut watch, control, target), &mut report)?;
    // At once: as long as it is open, the log cannot be written back.
    drop(snapshot);
    control.check()?;
    finish(&connection, made_at).map_err(failed)?;
    report(BackupProgress::Checking);
    check_copy(&connection, control, target)?;
    let bytes = watch.total;
    Ok(UnnamedCopy { connection, bytes, partial, target: target.to_owned() })
}

/// The store at one moment, whatever is written meanwhile.
struct Snapshot {
    connection: Connection,
    bytes: u64,
}

impl Snapshot {
    fn open(path: &Path) -> Result<Snapshot, OpenError> {
        let refused = |error| OpenError::Database { path: path.to_owned(), error };
        let connection = database_file::connect_reader(path).map_err(refused)?;
        migrations::check_identity(&connection, path)?;
        // The transaction is what keeps SQLite's backup from starting again after each commit.
        connection.execute_batch("BEGIN").map_err(refused)?;
        let number =
            |sql| connection.query_row(sql, [], |row| row.get::<_, u64>(0)).map_err(refused);
        if number("SELECT count(*) FROM sqlite_schema")? == 0 {
            return Err(OpenError::Empty { path: path.to_owned() });
        }
        let bytes = number("PRAGMA page_count")? * number("PRAGMA page_size")?;
        Ok(Snapshot { connection, bytes })
    }
}

fn copy_pages(
    snapshot: &Snapshot,
    copy: &mut Connection,
    (watch, control, target): (&mut Watch, &BackupControl, &Path),
    report: &mut impl FnMut(BackupProgress),
) -> Result<(), BackupError> {
    let failed = |error| BackupError::TargetDatabase { path: target.to_owned(), error };
    let backup = Backup::new(&snapshot.connection, copy).map_err(failed)?;
    loop {
        control.check()?;
        let start = Instant::now();
        match backup.step(STEP_PAGES).map_err(failed)? {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            // Busy or locked: nobody else uses the copy, and the snapshot is open, so this passes.
            _ => thread::sleep(LOCKED_PAUSE),
        }
        let progress = backup.progress();
        let left = u64::try_from(progress.remaining).unwrap_or(0);
        let pages = u64::try_from(progress.pagecount).unwrap_or(0).max(1);
        let done = watch.total.saturating_sub(watch.total / pages * left);
        report(BackupProgress::Copying { done, total: watch.total });
        thread::sleep(watch.pause(done, start.elapsed())?);
    }
}

/// Marks the copy, and leaves it as one file without a log.
fn finish(copy: &Connection, made_at: Timestamp) -> rusqlite::Result<()> {
    // The copy says of itself that it has a log, as the store does. A reader could then not open it
    // in a folder in which it may not write.
    copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    backup_mark::write(copy, made_at)
}

fn check_copy(
    copy: &Connection,
    control: &BackupControl,
    target: &Path,
) -> Result<(), BackupError> {
    let handle = copy.get_interrupt_handle();
    *control.checking.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
    let faults = check::faults(copy);
    *control.checking.lock().unwrap_or_else(PoisonError::into_inner) = None;
    control.check()?;
    match faults {
        Ok(faults) if faults.is_empty() => Ok(()),
        Ok(faults) => Err(BackupError::Damaged(faults)),
        Err(error) => Err(BackupError::TargetDatabase { path: target.to_owned(), error }),
    }
}

impl UnnamedCopy {
    /// Syncs the copy and gives it its name, unless there is a file of that name by now.
    pub(crate) fn publish(self) -> Result<(), BackupError> {
        let UnnamedCopy { connection, partial, target, .. } = self;
        let failed = |error| BackupError::Target { path: target.clone(), error };
        connection
            .close()
            .map_err(|(_, error)| BackupError::TargetDatabase { path: target.clone(), error })?;
        partial.file.sync_all().map_err(failed)?;
        partial.path.persist_noclobber(&target).map_err(|failure| match failure.error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists(target.clone()),
            _ => failed(failure.error),
        })?;
        // The new name is on disk only once its folder is.
        File::open(folder_of(&target)).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

fn check_target(store: &Path, target: &Path) -> Result<(), BackupError> {
    let failed = |error| BackupError::Target { path: target.to_owned(), error };
    if target.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    if target.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(target.to_owned()));
    }
    let folder = folder_of(target).canonicalize().map_err(failed)?;
    let whole = folder.join(target.file_name().unwrap_or_default());
    let own = ["-wal", "-shm", "-journal", ".lock"].map(|suffix| with_suffix(store, suffix));
    if own.contains(&whole) { Err(BackupError::OwnName(target.to_owned())) } else { Ok(()) }
}
