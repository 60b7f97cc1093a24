//! Bounded reads of files that people name, and their replacement. A configuration may only name
//! regular files.

mod explanation;
mod replacement;

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

pub use explanation::{check_access, disk_full, explain, free_bytes};
pub use replacement::{
    ReplaceError, check_replaceable, make_private_folder, remove_expected, replace,
    replace_expected, write_private,
};

/// Reason for which a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Says why, and what to do.
    #[error("{0}")]
    Failed(String),
    #[error("{}", explanation::FOLDER)]
    Folder,
    #[error("it is not a regular file, but a device, a pipe or a socket")]
    NotRegular,
    #[error("it is larger than {} KiB", .0 / 1024)]
    TooLarge(usize),
}

impl FileError {
    fn at(path: &Path, error: &io::Error) -> FileError {
        match error.kind() {
            ErrorKind::IsADirectory => FileError::Folder,
            _ => FileError::Failed(explain(error, path)),
        }
    }
}

/// Reads a regular file of at most `bytes_max` bytes.
pub fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
    let file = open(path)?;
    // The kind of the open file, not of the path, which may name another file by now.
    let kind = file.metadata().map_err(|error| FileError::at(path, &error))?.file_type();
    if kind.is_dir() {
        return Err(FileError::Folder);
    }
    if !kind.is_file() {
        return Err(FileError::NotRegular);
    }
    read_to_end(path, file, bytes_max)
}

fn read_to_end(path: &Path, stream: impl Read, bytes_max: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    // One byte more tells a stream that is too long from one that has just the size.
    let read = stream.take(bytes_max as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| FileError::at(path, &error))?;
    if bytes.len() > bytes_max { Err(FileError::TooLarge(bytes_max)) } else { Ok(bytes) }
}

/// A file that cannot be read, with its path as it was given.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", .path.display())]
pub struct UnreadableFile {
    path: PathBuf,
    error: FileError,
}

impl UnreadableFile {
    /// Returns the reason without the path.
    pub fn reason(&self) -> &FileError {
        &self.error
    }
}

/// Reads a file named on the command line; `-` is standard input.
pub fn read_named(path: &Path, bytes_max: usize) -> Result<Vec<u8>, UnreadableFile> {
    // It may be a pipe, as in `check <(generate)`: whoever started the command can end the wait.
    let read = if path == Path::new("-") {
        read_to_end(path, io::stdin(), bytes_max)
    } else {
        let opened = File::open(path).map_err(|error| FileError::at(path, &error));
        opened.and_then(|file| read_to_end(path, file, bytes_max))
    };
    read.map_err(|error| UnreadableFile { path: path.to_owned(), error })
}

/// Reads a regular file as [`read`] does, with the path in the error.
pub fn read_regular(path: &Path, bytes_max: usize) -> Result<Vec<u8>, UnreadableFile> {
    read(path, bytes_max).map_err(|error| UnreadableFile { path: path.to_owned(), error })
}

fn open(path: &Path) -> Result<File, FileError> {
    // `NONBLOCK`: opening a named pipe without a writer would block the thread for ever. `NOCTTY`:
    // a terminal that is opened could become the process's own, whose hangup would then end it.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).expect("flags fit, the kernel takes an int");
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    opened.map_err(|error| {
        // A socket cannot be opened at all: the system says "No such device or address".
        let special = path.metadata().is_ok_and(|it| !it.is_file() && !it.is_dir());
        if special { FileError::NotRegular } else { FileError::at(path, &error) }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[test]
    fn regular_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();

        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(matches!(read(&path, 4), Err(FileError::TooLarge(4))));
        assert!(matches!(read(&folder.path().join("none"), 5), Err(FileError::Failed(_))));
    }

    // Reading one of these would exhaust the memory or block the thread.
    #[test]
    fn special_file_is_refused_without_blocking() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, socket) = (folder.path().join("pipe"), folder.path().join("socket"));
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();

        assert!(matches!(read(folder.path(), 5), Err(FileError::Folder)));
        for path in [pipe, socket, "/dev/zero".into(), "/dev/full".into(), "/dev/tty".into()] {
            let unread = read(&path, 5);
            let is_refused = matches!(unread, Err(FileError::NotRegular));
            assert!(is_refused || !path.exists(), "{}: {unread:?}", path.display());
        }
    }
}
