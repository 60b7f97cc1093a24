//! Reads files that people name, and no more of one than it may have; of a configuration only regular files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{0}")]
    Failed(#[from] io::Error),
    #[error("it is a folder, not a file")]
    Folder,
    #[error("it is no regular file, but a device, a pipe or a socket")]
    NotRegular,
    #[error("it is larger than {} KiB", .0 / 1024)]
    TooLarge(usize),
}

/// The file's content. Opening waits for nothing: a named pipe without a writer would keep the thread
/// for ever, and a device such as /dev/zero has no end.
pub fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
    let file = open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(FileError::Folder);
    }
    if !kind.is_file() {
        return Err(FileError::NotRegular);
    }
    read_stream(file, bytes_max)
}

/// All that a stream brings, such as standard input, which a person named.
pub fn read_stream(stream: impl Read, bytes_max: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    stream.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max { Err(FileError::TooLarge(bytes_max)) } else { Ok(bytes) }
}

/// A file that cannot be read, by its path as a person gave it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", .path.display())]
pub struct UnreadableFile {
    path: PathBuf,
    error: FileError,
}

/// Reads a file that a person names at the moment, on the command line: it may be a pipe as well, or
/// standard input for `-`.
pub fn read_named(path: &Path, bytes_max: usize) -> Result<Vec<u8>, UnreadableFile> {
    let read = if path == Path::new("-") {
        read_stream(io::stdin(), bytes_max)
    } else {
        File::open(path).map_err(FileError::from).and_then(|file| read_stream(file, bytes_max))
    };
    read.map_err(|error| UnreadableFile { path: path.to_owned(), error })
}

/// As `read`, with the path in the error.
pub fn read_regular(path: &Path, bytes_max: usize) -> Result<Vec<u8>, UnreadableFile> {
    read(path, bytes_max).map_err(|error| UnreadableFile { path: path.to_owned(), error })
}

fn open(path: &Path) -> Result<File, FileError> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).expect("flags fit, the kernel takes an int");
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    opened.map_err(|error| {
        // A socket cannot even be opened, for which the system has odd words.
        let special = path.metadata().is_ok_and(|it| !it.is_file() && !it.is_dir());
        if special { FileError::NotRegular } else { FileError::Failed(error) }
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

    /// Each of these would take the memory or the thread.
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
