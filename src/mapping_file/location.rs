//! Location of mapping files and their samples: a folder, or the program itself.

use std::io;
use std::path::{Path, PathBuf};

use super::bundle;
use super::file::MappingFile;
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

impl Location {
    /// Returns the configured folder, or `mappings` if it exists, or the bundled files.
    pub(crate) fn of(configured: Option<&Path>) -> Location {
        match configured {
            Some(path) => Location::Directory(path.to_owned()),
            None if Path::new(DIRECTORY).is_dir() => Location::Directory(DIRECTORY.into()),
            None => Location::Bundled,
        }
    }

    /// Returns the texts of the mapping files.
    pub(crate) fn documents(&self) -> Result<Vec<Document>, LocationError> {
        match self {
            Location::Directory(path) => in_directory(path),
            Location::Bundled => Ok(bundle::mappings()),
        }
    }

    /// Reads the mapping files and checks them against the names of the destinations.
    pub(crate) fn files(
        &self,
        destinations: &[&str],
        environment: &Environment,
    ) -> Result<Vec<MappingFile>, LocationError> {
        let read = |document| read(document, destinations, environment);
        Ok(self.documents()?.into_iter().map(read).collect())
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
            return Ok(read(document, destinations, environment));
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

/// Reads a mapping file and checks it against the names of the destinations.
fn read(document: Document, destinations: &[&str], environment: &Environment) -> MappingFile {
    MappingFile::read(document, environment).with_known_destinations(destinations.iter().copied())
}

fn in_directory(directory: &Path) -> Result<Vec<Document>, LocationError> {
    let failed = |error| LocationError::Directory { path: directory.to_owned(), error };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") && path.is_file() {
            paths.push(path);
        }
    }
    // A directory has no order; sources and messages should always come in the same one.
    paths.sort();
    paths.iter().map(|path| Ok(Document::read_regular(path)?)).collect()
}
