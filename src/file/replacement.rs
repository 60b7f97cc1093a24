//! Replaces files so that nobody ever reads half of one, and no text that another program wrote
//! meanwhile is lost.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tempfile::{Builder, NamedTempFile, TempPath};

use super::explanation::{ReadOnlyFile, check_access, explain};

/// Reason for which a file was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// It holds something else than expected, which stays.
    #[error("another program has changed the file")]
    Changed,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Replaces the content of a file, or makes the file with its folder, so that nobody ever reads
/// half of it. Mode and owner stay as they were; of a link the target is replaced.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = target(path)?;
    let file = prepared(&path, content)?;
    file.persist(&path).map_err(|error| error.error)?;
    sync_folder(&path)
}

/// Replaces a file as [`replace`] does, but only if it holds what is expected; none for a file that
/// does not exist. A text that another program writes at the same time is never lost.
pub fn replace_expected(
    path: &Path,
    content: &[u8],
    expected: Option<&[u8]>,
) -> Result<(), ReplaceError> {
    let path = target(path)?;
    let file = prepared(&path, content)?;
    match expected {
        None => match file.persist_noclobber(&path) {
            Ok(_) => {}
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
                return Err(ReplaceError::Changed);
            }
            Err(error) => return Err(error.error.into()),
        },
        Some(expected) => exchange(file.into_temp_path(), &path, (content, expected))?,
    }
    Ok(sync_folder(&path)?)
}

/// Returns why [`replace`] would fail, as far as that can be known before.
pub fn check_replaceable(path: &Path) -> Result<(), String> {
    let path = target(path).map_err(|error| explain(&error, path))?;
    if fs::metadata(&path).is_ok_and(|it| it.permissions().readonly()) {
        return Err(ReadOnlyFile.to_string());
    }
    let is_there = |folder: &&Path| folder.as_os_str().is_empty() || folder.exists();
    let folder = path.ancestors().skip(1).find(is_there).unwrap_or(Path::new("."));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    check_access(folder, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| format!("{}: {}", folder.display(), explain(&error, folder)))
}

/// Deletes a file, of a link the link itself, if it holds what is expected.
pub fn remove_expected(path: &Path, expected: &[u8]) -> Result<(), ReplaceError> {
    let taken = Builder::new().make_in(folder(path), |free| fs::rename(path, free));
    let taken = match taken {
        Ok(taken) => taken.into_temp_path(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(ReplaceError::Changed),
        Err(error) => return Err(error.into()),
    };
    if fs::read(&taken)? != expected {
        // If there is a file again, it is newer than the one that was taken.
        return match taken.persist_noclobber(path) {
            Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error.into()),
            Ok(()) | Err(_) => Err(ReplaceError::Changed),
        };
    }
    taken.close()?;
    Ok(sync_folder(path)?)
}

/// Makes a folder that only its owner may open, unless it exists.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file that only its owner may read, wholly or not at all; its folder is made likewise.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    make_private_folder(folder(path))?;
    // A new file, whose mode is 0600: one that exists would keep its mode and its owner.
    let mut file = NamedTempFile::new_in(folder(path))?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(path)
}

/// Swaps the new file with the one at the path, and swaps back if that held something else than
/// expected.
// A check before a rename leaves a moment in which another program may write: its text would be
// gone. What is swapped is still there to be compared.
fn exchange(
    new: TempPath,
    path: &Path,
    (content, expected): (&[u8], &[u8]),
) -> Result<(), ReplaceError> {
    /// Number of programs that may write within the same moment.
    const TRIES_MAX: usize = 16;
    let swap = || renameat_with(CWD, &*new, CWD, path, RenameFlags::EXCHANGE);
    match swap() {
        Ok(()) => {}
        Err(Errno::NOENT) => return Err(ReplaceError::Changed),
        // Not every file system can swap two names.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            if fs::read(path)? != expected {
                return Err(ReplaceError::Changed);
            }
            return Ok(new.persist(path).map_err(|error| error.error)?);
        }
        Err(error) => return Err(io::Error::from(error).into()),
    }
    let mut given = content.to_vec();
    let mut taken = fs::read(&new)?;
    if taken == expected {
        return Ok(());
    }
    for _ in 0..TRIES_MAX {
        match swap() {
            Ok(()) => {}
            // Somebody has deleted the file since, and with it what would be put back.
            Err(Errno::NOENT) => return Err(ReplaceError::Changed),
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let got = fs::read(&new)?;
        if got == given {
            return Err(ReplaceError::Changed);
        }
        // A third text, newer than the one that was put back: it is the one to be there.
        (given, taken) = (taken, got);
    }
    drop(taken);
    let kept = new.keep().map_err(|error| error.error)?;
    let kept = kept.display();
    Err(io::Error::other(format!(
        "other programs keep changing it: one of their texts is in {kept}"
    ))
    .into())
}

/// Returns the file to be replaced: that of a link, or the path itself.
fn target(path: &Path) -> io::Result<PathBuf> {
    if path.is_symlink() { fs::canonicalize(path) } else { Ok(path.to_owned()) }
}

/// Writes the content into a new file beside the path, with mode and owner of the file that is there.
fn prepared(path: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let before = match fs::metadata(path) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // A rename needs no permission to write the file itself, which was withdrawn for a reason.
    if before.as_ref().is_some_and(|it| it.permissions().readonly()) {
        return Err(io::Error::new(ErrorKind::PermissionDenied, ReadOnlyFile));
    }
    fs::create_dir_all(folder(path))?;
    // As for a file that is made by opening it: the umask takes bits away.
    let mode = Permissions::from_mode(0o666);
    let mut file = Builder::new().permissions(mode).tempfile_in(folder(path))?;
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
    Ok(file)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Writes the names in the file's folder to disk, which has an fsync of its own.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn only_the_expected_content_is_replaced_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let is_changed =
            |done: Result<(), ReplaceError>| matches!(done, Err(ReplaceError::Changed));

        assert!(is_changed(replace_expected(&path, b"one", Some(b"none"))));
        assert!(is_changed(remove_expected(&path, b"none")));
        replace_expected(&path, b"one", None).unwrap();
        assert!(is_changed(replace_expected(&path, b"two", None)));
        assert!(is_changed(replace_expected(&path, b"two", Some(b"zero"))));
        assert!(is_changed(remove_expected(&path, b"zero")));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace_expected(&path, b"two", Some(b"one")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        remove_expected(&path, b"two").unwrap();

        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn text_that_another_program_writes_meanwhile_is_never_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "0").unwrap();
        let rename = |number: usize| {
            let new = folder.path().join("new");
            fs::write(&new, format!("theirs {number}")).unwrap();
            fs::rename(new, &path).unwrap();
        };
        // For each of our texts, the one that it has replaced.
        let mut replaced = std::collections::BTreeMap::new();
        // Texts for which there was no place, each in a file of its own.
        let mut kept = 0;
        std::thread::scope(|scope| {
            let theirs = scope.spawn(|| (0..500).for_each(rename));
            for number in 0.. {
                let (before, text) = (fs::read(&path).unwrap(), format!("ours {number}"));
                match replace_expected(&path, text.as_bytes(), Some(&before)) {
                    Ok(()) => drop(replaced.insert(text.into_bytes(), before)),
                    Err(ReplaceError::Changed) => {}
                    Err(ReplaceError::Io(error)) => {
                        assert!(error.to_string().contains("one of their texts is in"), "{error}");
                        kept += 1;
                    }
                }
                if theirs.is_finished() {
                    break;
                }
            }
        });

        let mut last = fs::read(&path).unwrap();
        while let Some(before) = replaced.remove(&last) {
            last = before;
        }
        assert_eq!(String::from_utf8(last).unwrap(), "theirs 499");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1 + kept);
    }

    #[test]
    fn private_file_and_its_folder_are_for_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets/form");

        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();

        assert_eq!(fs::read(&path).unwrap(), b"two");
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder.path().join("secrets"))), (0o600, 0o700));
    }
}
