//! Reasons for which a database cannot be opened, each with what to do. All commands show them as
//! they are.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rustix::fs::Access;

use super::file_names::with_suffix;
use crate::file;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or folder of the store cannot be used.
    #[error("cannot open {} of the store (`store.url`): {}", path.display(), file::explain(error, path))]
    File { path: PathBuf, error: io::Error },
    #[error("{} is no regular file: `store.url` has to name one, such as sqlite:relay.db", path.display())]
    NotAFile { path: PathBuf },
    #[error(
        "another savio-relay runs on {} (it locks {}): stop it first, or let `store.url` name another file",
        path.display(), lock.display()
    )]
    InUse { path: PathBuf, lock: PathBuf },
    #[error("another file was put in the place of {}: restart", path.display())]
    Replaced { path: PathBuf },
    #[error("{}-wal was removed, and another program keeps it from being saved", path.display())]
    LogRemoved { path: PathBuf },
    #[error(
        "another program has begun a log of its own at {}-wal: end that program and remove this file",
        path.display()
    )]
    LogForeign { path: PathBuf },
    /// A restored backup beside the log of the database that it replaced.
    #[error(
        "{0} is a restored backup, and {0}-wal beside it belongs to the database that was there before: \
         remove {0}-wal and {0}-shm, then start again",
        path.display()
    )]
    LogLeftOver { path: PathBuf },
    /// A copy of the file alone, of a database whose content is still in its log.
    #[error(
        "{0} is incomplete: it has no tables, since its log {0}-wal is missing. A copy of the file alone, \
         made while the relay ran, has nothing in it: put {0}-wal of the same database beside it, or \
         restore a copy that `savio-relay backup` made",
        path.display()
    )]
    Incomplete { path: PathBuf },
    #[error(
        "{} is empty (0 bytes): nothing was stored in it yet, or copying it failed. `serve` begins a new store \
         in it; for an old one put a backup in its place",
        path.display()
    )]
    Empty { path: PathBuf },
    #[error(
        "{0} is empty (0 bytes), but its log {0}-wal is not: copying it failed. Put the database of this log or \
         a backup in its place; to begin a new store, remove both",
        path.display()
    )]
    CutOff { path: PathBuf },
    #[error("{} is a database of another program: let `store.url` name a file of the relay's own", path.display())]
    Foreign { path: PathBuf },
    #[error(
        "{} was written by a newer savio-relay: its tables have version {found}, which programs from version \
         {readable_from} on can use, and this program knows {known}. Run that release again, or restore the \
         backup that was made before the upgrade",
        path.display()
    )]
    Newer { path: PathBuf, found: usize, readable_from: usize, known: usize },
    #[error("{} was written by an older savio-relay: `serve` brings it up to date", path.display())]
    Older { path: PathBuf },
    #[error("there is no store at {}", path.display())]
    Missing { path: PathBuf },
    /// The URL was read in another way by earlier versions, which kept their store elsewhere.
    #[error(
        "there is no store at {}, but one at {}, where earlier versions kept it for this `store.url`: write \
         `store.url = \"sqlite:{}\"`, or move it (its -wal with it)",
        path.display(), former.display(), former.display()
    )]
    Moved { path: PathBuf, former: PathBuf },
    #[error("cannot open the store {}: {}", path.display(), explain(path, error))]
    Database { path: PathBuf, error: rusqlite::Error },
}

/// Explains an error of SQLite by the state of the files and of the disk, since its own text names
/// neither.
fn explain(path: &Path, error: &rusqlite::Error) -> String {
    let folder = path.parent().unwrap_or(path);
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => file::disk_full(folder),
        // SQLite reports a full disk as a failed write where it extends the index of the log.
        Some(ErrorCode::SystemIoFailure) if is_full(folder) => file::disk_full(folder),
        Some(ErrorCode::SystemIoFailure) => {
            format!("the disk failed ({error}): the system's log (`dmesg`) may say why")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            match unusable_file(path, Access::READ_OK | Access::WRITE_OK) {
                Some((path, error)) => {
                    format!("{}: {}", path.display(), file::explain(&error, &path))
                }
                None if is_full(folder) => file::disk_full(folder),
                None => format!("its files cannot be used ({error}): the system's log may say why"),
            }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program has locked it for \
             more than 5 s, such as an open transaction of `sqlite3`: end that program"
                .to_owned()
        }
        Some(ErrorCode::NotADatabase) => {
            "it is not an SQLite database; let `store.url` name a file of the \
             relay's own, or put a backup in its place"
                .to_owned()
        }
        Some(ErrorCode::DatabaseCorrupt) => format!(
            "it is damaged ({error}). Copy it and its -wal, look with `savio-relay doctor --deep`, then put a \
             backup in its place"
        ),
        _ => format!("SQLite says: {error}"),
    }
}

/// Free space below which SQLite may not even begin.
const FREE_BYTES_MIN: u64 = 128 * 1024;

fn is_full(folder: &Path) -> bool {
    file::free_bytes(folder).is_ok_and(|free| free < FREE_BYTES_MIN)
}

/// Returns the first file or folder of the store that this process cannot use in this way, and why.
pub(super) fn unusable_file(path: &Path, rights: Access) -> Option<(PathBuf, io::Error)> {
    let folder = path.parent().unwrap_or(path).to_owned();
    let files = ["", "-wal", "-shm", "-journal"].map(|suffix| (with_suffix(path, suffix), rights));
    // The folder last: with a file that belongs to another user, that is what to correct.
    let places = files.into_iter().chain([(folder, rights | Access::EXEC_OK)]);
    let checked = places.filter_map(|(path, rights)| {
        let error = file::check_access(&path, rights).err()?;
        (error.kind() != io::ErrorKind::NotFound).then_some((path, error))
    });
    checked.into_iter().next()
}
