//! Looks at a database file before SQLite opens it with its log, to refuse what would go wrong:
//! a log that belongs to another file, a copy without its log, and what is no database.

use std::fs;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::Access;

use super::file_names::with_suffix;
use super::open_error::{OpenError, unusable_file};
use super::{backup_mark, files};
use crate::store::sqlite::settings::Settings;

/// Who is about to open the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opener {
    /// A server, which has locked it and begins a new store in an empty one.
    Server,
    /// A command that reads and writes an existing store.
    Command,
    /// A command that only reads.
    Reader,
}

/// Refuses a path if there is nothing at it, while earlier versions kept the store elsewhere for
/// the same URL.
// Otherwise an upgrade would silently begin an empty store.
pub fn check_former_place(settings: &Settings) -> Result<(), OpenError> {
    match &settings.former_path {
        Some(former) if former.exists() && !settings.path.exists() => {
            Err(OpenError::Moved { path: settings.path.clone(), former: former.clone() })
        }
        Some(_) | None => Ok(()),
    }
}

/// Refuses what must not be opened. A file that a server uses is in order, and is not read: the
/// server may be writing to it.
pub(super) fn inspect(path: &Path, opener: Opener) -> Result<(), OpenError> {
    let file =
        fs::metadata(path).map_err(|error| OpenError::File { path: path.to_owned(), error })?;
    if !file.is_file() {
        return Err(OpenError::NotAFile { path: path.to_owned() });
    }
    let rights = match opener {
        Opener::Server | Opener::Command => Access::READ_OK | Access::WRITE_OK,
        Opener::Reader => Access::READ_OK,
    };
    if let Some((path, error)) = unusable_file(path, rights) {
        return Err(OpenError::File { path, error });
    }
    if opener != Opener::Server && files::is_served(path).unwrap_or(false) {
        return Ok(());
    }
    let log = fs::metadata(with_suffix(path, "-wal")).map(|log| log.len()).ok();
    let path = path.to_owned();
    match (content(&path)?, opener) {
        // SQLite removes the log of an empty file, with all that is in it.
        (FileContent::Nothing, _) if log.is_some_and(|bytes| bytes > 0) => {
            Err(OpenError::CutOff { path })
        }
        (FileContent::Nothing, Opener::Command | Opener::Reader) => Err(OpenError::Empty { path }),
        // A server that ended while it made a new store leaves an empty log.
        (FileContent::NoTables, Opener::Server) if log.is_none() => {
            Err(OpenError::Incomplete { path })
        }
        (FileContent::NoTables, Opener::Command | Opener::Reader) if log.unwrap_or(0) == 0 => {
            Err(OpenError::Incomplete { path })
        }
        (FileContent::UnopenedBackup, _) if log.is_some_and(|bytes| bytes > 0) => {
            Err(OpenError::LogLeftOver { path })
        }
        (
            FileContent::Nothing
            | FileContent::NoTables
            | FileContent::UnopenedBackup
            | FileContent::Tables,
            _,
        ) => Ok(()),
    }
}

/// What the file itself has in it, without its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileContent {
    /// It has no bytes.
    Nothing,
    NoTables,
    /// A backup that was not opened since it was made, so that it cannot have a log yet.
    UnopenedBackup,
    Tables,
}

fn content(path: &Path) -> Result<FileContent, OpenError> {
    let is_empty = fs::metadata(path).is_ok_and(|file| file.len() == 0);
    if is_empty {
        return Ok(FileContent::Nothing);
    }
    match read_alone(path) {
        Ok(content) => Ok(content),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            Err(OpenError::Database { path: path.to_owned(), error })
        }
        // Damage, for example. What opens the file with its log reports it.
        Err(_) => Ok(FileContent::Tables),
    }
}

fn read_alone(path: &Path) -> rusqlite::Result<FileContent> {
    /// Characters that stand for themselves in the URI of a file.
    const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

    // `immutable`: SQLite reads the file alone, takes no lock and looks at no log. By SQLite and not
    // by std's `File`, whose closing would end the POSIX locks that SQLite has on the file in this
    // process.
    let path = percent_encode(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()), PATH);
    let uri = format!("file:{path}?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let alone = Connection::open_with_flags(uri, flags)?;
    let tables: i64 =
        alone.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(FileContent::NoTables);
    }
    let is_unopened = backup_mark::find(&alone)?.is_some_and(|mark| !mark.was_opened);
    Ok(if is_unopened { FileContent::UnopenedBackup } else { FileContent::Tables })
}
