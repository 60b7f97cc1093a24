//! The mapping files in service, for those who show them or compare others with them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::file::MappingFile;
use super::location::DIRECTORY;
use super::settings::Settings;
use crate::event::SourceName;

/// The mapping files with which the relay works, and their folder. Replaced as a whole.
#[derive(Debug)]
pub struct ServedFiles {
    /// It need not exist.
    pub folder: PathBuf,
    pub files: Vec<MappingFile>,
}

impl ServedFiles {
    pub(crate) fn new(settings: &Settings, files: Vec<MappingFile>) -> ServedFiles {
        let folder = settings.folder.clone().unwrap_or_else(|| DIRECTORY.into());
        ServedFiles { folder, files }
    }

    pub fn of(&self, source: &SourceName) -> Option<&MappingFile> {
        self.files.iter().find(|file| file.name.as_ref() == Some(source))
    }

    /// Returns the path of a source's file in the folder, whether there is one or not.
    pub fn path(&self, source: &SourceName) -> PathBuf {
        path_in(&self.folder, source)
    }
}

/// Returns the path of a source's file in a folder.
pub fn path_in(folder: &Path, source: &SourceName) -> PathBuf {
    folder.join(format!("{source}.toml"))
}

/// Returns the digest by which a text is known: SHA-256 of its bytes.
pub fn digest(text: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(text))
}

/// The place of the files in service.
#[derive(Debug)]
pub struct FilesInService(RwLock<Arc<ServedFiles>>);

impl FilesInService {
    pub fn new(files: Arc<ServedFiles>) -> FilesInService {
        FilesInService(RwLock::new(files))
    }

    pub fn current(&self) -> Arc<ServedFiles> {
        // A panic cannot leave half of a set behind: the `Arc` is replaced in one assignment.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn replace(&self, files: Arc<ServedFiles>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = files;
    }
}
