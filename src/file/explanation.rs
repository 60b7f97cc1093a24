//! Explains to a person why the system refused a file: who asked, whose file it is, what to do.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat, statvfs};
use rustix::io::Errno;
use rustix::process::geteuid;

const MIB: u64 = 1024 * 1024;

/// Mode of a file by which nobody is to write it. The system would let its folder's owner replace it.
#[derive(Debug, thiserror::Error)]
#[error("the file is read-only")]
pub(super) struct ReadOnlyFile;

/// Explains why the file or folder cannot be opened, read or written, and what to do.
pub fn explain(error: &io::Error, path: &Path) -> String {
    if let Some(reason) = error.get_ref().and_then(|inner| inner.downcast_ref::<ReadOnlyFile>()) {
        return reason.to_string();
    }
    match error.kind() {
        ErrorKind::PermissionDenied => denied(path),
        ErrorKind::NotFound => missing(path),
        ErrorKind::IsADirectory => FOLDER.to_owned(),
        ErrorKind::NotADirectory => {
            "a part of its path is a file, and has to be a folder".to_owned()
        }
        ErrorKind::ReadOnlyFilesystem => {
            let place = nearest_existing(path);
            format!(
                "the file system of {} is mounted read-only: mount it writable, or choose another place",
                place.display()
            )
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => disk_full(path),
        _ if [Errno::MFILE, Errno::NFILE]
            .map(|it| Some(it.raw_os_error()))
            .contains(&error.raw_os_error()) =>
        {
            "too many files are open: raise the limit (`ulimit -n`, systemd's LimitNOFILE)"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

pub(super) const FOLDER: &str = "it is a folder, not a file (Docker makes a folder where a file to mount \
    does not exist: remove it, and create the file first)";

/// Says how much room is left on the file system of the path, which is full.
pub fn disk_full(path: &Path) -> String {
    let place = nearest_existing(path);
    let left = match free_bytes(&place) {
        Ok(free) => format!("{} MiB are left", free / MIB),
        Err(_) => "no room is left".to_owned(),
    };
    format!("the disk is full: {left} on the file system of {}; make room there", place.display())
}

/// Returns the free space on the file system of the path.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let disk = statvfs(path)?;
    // `f_bavail` and not `f_bfree`, some of which only root may use.
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Returns an error if this process may not use the file or folder in these ways.
pub fn check_access(path: &Path, rights: Access) -> io::Result<()> {
    // `EACCESS`: by the effective user, as the system decides when the file is opened.
    Ok(accessat(CWD, path, rights, AtFlags::EACCESS)?)
}

fn missing(path: &Path) -> String {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        Some(folder) if folder.is_relative() => {
            let here = std::env::current_dir().unwrap_or_default();
            let (folder, here) = (folder.display(), here.display());
            format!(
                "the folder {folder} does not exist in {here}: create it, or choose another place"
            )
        }
        Some(folder) => {
            format!(
                "the folder {} does not exist: create it, or choose another place",
                folder.display()
            )
        }
        None => "No such file or directory".to_owned(),
    }
}

/// Names the folder or file that denies the access, its owner, and this process's user.
fn denied(path: &Path) -> String {
    let us = geteuid().as_raw();
    let Some((culprit, way)) = denying(path) else {
        return format!(
            "permission denied to user {}, although owner and mode allow it: a security module such as \
             SELinux or AppArmor may forbid it (for a bind mount, the option `:z` may help)",
            user(us)
        );
    };
    let shown = culprit.display();
    let Ok(file) = fs::metadata(&culprit) else {
        return format!("permission denied to user {}", user(us));
    };
    format!(
        "permission denied: this process runs as user {}, which may not {way} {shown}. It belongs to user \
         {} and has mode {:o}; `chown {us} {shown}`, run as root, gives it to this user",
        user(us),
        user(file.uid()),
        file.mode() & 0o7777,
    )
}

/// Returns the outermost folder or file that this process may not use as it has to, and how.
fn denying(path: &Path) -> Option<(PathBuf, &'static str)> {
    let path = std::path::absolute(path).ok()?;
    let mut folders: Vec<&Path> = path.ancestors().skip(1).collect();
    folders.reverse();
    let is_denied = |path: &Path, rights| {
        check_access(path, rights).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    };
    if let Some(closed) = folders.iter().find(|folder| is_denied(folder, Access::EXEC_OK)) {
        return Some(((*closed).to_owned(), "enter"));
    }
    if path.is_dir() {
        let closed = is_denied(&path, Access::READ_OK | Access::EXEC_OK)
            || is_denied(&path, Access::WRITE_OK);
        return closed.then_some((path, "use"));
    }
    if path.exists() {
        let way = [(Access::READ_OK, "read"), (Access::WRITE_OK, "write")];
        let way = way.into_iter().find(|(rights, _)| is_denied(&path, *rights))?.1;
        return Some((path, way));
    }
    let folder = path.parent()?;
    is_denied(folder, Access::WRITE_OK).then(|| (folder.to_owned(), "create files in"))
}

/// Returns the number of a user, with its name if it is known.
fn user(id: u32) -> String {
    // Not by the C library, which may ask the network. A container's image may have no such file.
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number == id.to_string()).then(|| name.to_owned())
    });
    name.map_or(id.to_string(), |name| format!("{id} ({name})"))
}

fn nearest_existing(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = path.ancestors().find(|it| it.exists());
    existing.unwrap_or(&path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_the_system_names_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/relay.db");
        let check = |kind: ErrorKind, expected: &str| {
            let text = explain(&io::Error::from(kind), &path);
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("os error"), "{text}");
        };

        check(ErrorKind::NotFound, "none does not exist: create it");
        check(ErrorKind::IsADirectory, "it is a folder, not a file");
        check(ErrorKind::ReadOnlyFilesystem, "is mounted read-only: mount it writable");
        check(ErrorKind::StorageFull, "the disk is full: ");
        check(ErrorKind::PermissionDenied, "permission denied");
        let text = explain(&Errno::MFILE.into(), &path);
        assert!(text.contains("LimitNOFILE"), "{text}");
    }

    #[test]
    fn relative_folder_that_is_missing_is_shown_with_the_current_one() {
        let text = explain(&ErrorKind::NotFound.into(), Path::new("no-such-folder/relay.db"));

        let here = std::env::current_dir().unwrap();
        assert!(
            text.contains(&format!("no-such-folder does not exist in {}", here.display())),
            "{text}"
        );
    }

    #[test]
    fn user_is_shown_with_its_name() {
        assert_eq!(user(4_000_000_000), "4000000000");
        if fs::read_to_string("/etc/passwd").is_ok_and(|users| users.contains("root:x:0:")) {
            assert_eq!(user(0), "0 (root)");
        }
    }
}
