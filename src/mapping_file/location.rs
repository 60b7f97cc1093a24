//! Location of mapping files and their samples: a folder, or the program itself.

use std::io;
use std::path::{Path, PathBuf};

use super::bundle;
use super::file::MappingFile;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::document::Document;
use crate::event::SourceName;
use crate::file::{self, UnreadableFile};
use crate::secret::Environment;

/// Folder that is used if the configuration names none and it exists.
pub(crate) const DIRECTORY: &str = "mappings";

/// Size of a sample; the limits of intake apply in addition.
const SAMPLE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Reason why mapping files cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocationError {
    #[error("{}: {error}", .path.display())]
    Directory { path: PathBuf, error: io::Error },
    #[error(transparent)]
    File(#[from] UnreadableFile),
    #[error("no source `{name}`; there are: {known}")]
    UnknownSource { name: String, known: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    Directory(PathBuf),
    /// The files that are part of the program.
    Bundled,
}

/// Mapping file that was found, with its text or with the reason why it cannot be read.
// One such file does not keep the others from being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundFile {
    /// Its text is empty if it cannot be read.
    document: Document,
    failure: Option<Diagnostic>,
}

impl Location {
    /// Returns the configured folder, or `mappings` if it exists, or the bundled files.
    pub(crate) fn of(configured: Option<&Path>) -> Location {
        let default = Path::new(DIRECTORY);
        match configured {
            Some(path) => Location::Directory(path.to_owned()),
            // A link whose folder is gone is an error: the bundled files would replace it unseen.
            None if default.is_dir() || default.is_symlink() => {
                Location::Directory(default.to_owned())
            }
            None => Location::Bundled,
        }
    }

    /// Returns the mapping files, also those that cannot be read.
    pub(crate) fn found(&self) -> Result<Vec<FoundFile>, LocationError> {
        let found = |document| FoundFile { document, failure: None };
        match self {
            Location::Directory(path) => in_directory(path),
            Location::Bundled => Ok(bundle::mappings().into_iter().map(found).collect()),
        }
    }

    /// Reads the mapping files and checks them against the names of the destinations.
    pub(crate) fn files(
        &self,
        destinations: &[&str],
        environment: &Environment,
    ) -> Result<Vec<MappingFile>, LocationError> {
        let read = |found: FoundFile| found.read(destinations.iter().copied(), environment);
        Ok(self.found()?.into_iter().map(read).collect())
    }

    /// Reads one of them by its source's name, or any other file by its path.
    pub(crate) fn file(
        &self,
        name: &str,
        destinations: &[&str],
        environment: &Environment,
    ) -> Result<MappingFile, LocationError> {
        let path = Path::new(name);
        if path.extension().is_some_and(|extension| extension == "toml") {
            let document = Document::read(path)?;
            let found = FoundFile { document, failure: None };
            return Ok(found.read(destinations.iter().copied(), environment));
        }
        let mut files = self.files(destinations, environment)?;
        let is_it = |file: &MappingFile| file.name.as_ref().is_some_and(|it| it.as_str() == name);
        let Some(at) = files.iter().position(is_it) else {
            let known: Vec<&str> =
                files.iter().flat_map(|it| &it.name).map(SourceName::as_str).collect();
            let known = known.join(", ");
            return Err(LocationError::UnknownSource { name: name.to_owned(), known });
        };
        Ok(files.swap_remove(at))
    }

    /// Reads a sample by its path relative to the mapping file.
    pub(crate) fn sample(&self, mapping: &Document, path: &str) -> Result<Vec<u8>, String> {
        match self {
            Location::Directory(_) => {
                let folder = Path::new(&mapping.name).parent().unwrap_or(Path::new(""));
                let read = file::read_regular(&folder.join(path), SAMPLE_BYTES_MAX);
                read.map_err(|error| error.to_string())
            }
            Location::Bundled => {
                let text = bundle::text(path).ok_or(format!("{path}: no such file"))?;
                Ok(text.as_bytes().to_vec())
            }
        }
    }
}

impl FoundFile {
    fn at(path: &Path) -> FoundFile {
        match Document::read_regular(path) {
            Ok(document) => FoundFile { document, failure: None },
            Err(failure) => {
                let name = path.display().to_string();
                let failure = unreadable(path, &failure);
                FoundFile {
                    document: Document { name, text: String::new() },
                    failure: Some(failure),
                }
            }
        }
    }

    /// Reads the file and checks it against the names of the destinations.
    pub(crate) fn read<'n>(
        self,
        destinations: impl IntoIterator<Item = &'n str>,
        environment: &Environment,
    ) -> MappingFile {
        match self.failure {
            Some(failure) => MappingFile::unreadable(self.document, failure),
            None => {
                MappingFile::read(self.document, environment).with_known_destinations(destinations)
            }
        }
    }
}

fn unreadable(path: &Path, failure: &UnreadableFile) -> Diagnostic {
    let mistake = Diagnostic::error(0..0, format!("the file cannot be read: {}", failure.reason()));
    match std::fs::read_link(path) {
        Ok(target) => mistake.help(format!(
            "it is a link to {}: restore that file, or remove the link",
            target.display()
        )),
        Err(_) => mistake,
    }
}

fn in_directory(directory: &Path) -> Result<Vec<FoundFile>, LocationError> {
    let failed = |error| LocationError::Directory { path: directory.to_owned(), error };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") && !is_lock(&path) {
            paths.push(path);
        }
    }
    // A directory has no order; sources and messages should always come in the same one.
    paths.sort();
    Ok(paths.iter().map(|path| FoundFile::at(path)).collect())
}

/// Returns whether it is a link that Emacs makes beside a file with unsaved changes, to no file.
fn is_lock(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".#") && path.is_symlink()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    const GOOD: &str =
        "provider = \"form\"\nsecrets = [\"env:SECRET\"]\n[[feedback]]\nproblem = \"$.text\"\n";

    #[test]
    fn file_that_cannot_be_read_has_one_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("good.toml"), GOOD).unwrap();
        fs::write(path("notes.txt"), "x").unwrap();
        fs::write(path("large.toml"), "#".repeat(2 * 1024 * 1024)).unwrap();
        fs::create_dir(path("folder.toml")).unwrap();
        symlink("gone/x.toml", path("link.toml")).unwrap();
        symlink("loop.toml", path("loop.toml")).unwrap();
        symlink("ada@example.com.1:2", path(".#good.toml")).unwrap();
        let _listener = UnixListener::bind(path("socket.toml")).unwrap();

        let location = Location::Directory(folder.path().to_owned());
        let files = location.files(&[], &Environment::new()).unwrap();

        let found: Vec<(String, Vec<&str>)> = files
            .iter()
            .map(|file| {
                let path = Path::new(&file.document.name);
                let messages = file.mistakes.iter().map(|it| it.message.as_str()).collect();
                (path.file_name().unwrap().to_string_lossy().into_owned(), messages)
            })
            .collect();
        let expected = [
            ("folder.toml", "it is a folder, not a file"),
            ("good.toml", ""),
            ("large.toml", "it is larger than 1024 KiB"),
            ("link.toml", "No such file or directory"),
            ("loop.toml", "Too many levels"),
            ("socket.toml", "it is not a regular file"),
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((name, messages), (expected_name, reason)) in found.iter().zip(expected) {
            assert_eq!(name, expected_name);
            assert_eq!(messages.len(), usize::from(!reason.is_empty()), "{name}: {messages:?}");
            assert!(messages.iter().all(|it| it.contains(reason)), "{name}: {messages:?}");
        }
        let is_live = |file: &MappingFile| file.source.is_some();
        assert_eq!(files.iter().filter(|file| is_live(file)).count(), 1);
    }
}
