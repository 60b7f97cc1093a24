//! Bounded reads of files that people name, and their replacement. A configuration may only name
//! regular files.

mod explanation;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

pub use explanation::{check_access, disk_full, explain, free_bytes};

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

/// Replaces the content of a file, or makes the file with its folder, so that nobody ever reads
/// half of it. Mode and owner stay as they were; of a link the target is replaced.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = if path.is_symlink() { fs::canonicalize(path)? } else { path.to_owned() };
    let before = match fs::metadata(&path) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // A rename needs no permission to write the file itself, which was withdrawn for a reason.
    if before.as_ref().is_some_and(|it| it.permissions().readonly()) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only"));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    // As for a file that is made by opening it: the umask takes bits away.
    let mode = Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder)?;
    file.write_all(content)?;
    if let Some(before) = before {
        let new = file.as_file().metadata()?;
        if (new.uid(), new.gid()) != (before.uid(), before.gid()) {
            chown(file.path(), Some(before.uid()), Some(before.gid()))?;
        }
        // After the owner, whose change takes bits away.
        file.as_file().set_permissions(before.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
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

    #[test]
    fn replaced_file_keeps_its_mode_and_links() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("new/file"), folder.path().join("link"));
        replace(&path, b"one").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("new/file", &link).unwrap();

        replace(&link, b"two").unwrap();

        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert!(link.is_symlink());
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 1);
    }

    #[test]
    fn read_only_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "one").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();

        assert!(replace(&path, b"two").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
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
