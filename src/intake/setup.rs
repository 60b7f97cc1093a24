//! A source whose provider sends the secret in its first request, such as Asana and Notion.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tempfile::NamedTempFile;
use uuid::Uuid;

use super::payload::form;
use super::response::Rejection;
use super::source::Source;
use crate::file;

/// A source that waits for its secret. Only a request with the one-time code may set it.
pub struct PendingSetup {
    pub source: Arc<Source>,
    code: SecretString,
    /// Path of the secret's file, which does not exist yet.
    path: PathBuf,
}

impl fmt::Debug for PendingSetup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PendingSetup").field("source", &self.source).finish_non_exhaustive()
    }
}

impl PendingSetup {
    pub fn new(source: Arc<Source>, path: PathBuf) -> PendingSetup {
        // 122 random bits. The first request is not signed, so the code is all that authenticates
        // it.
        PendingSetup { source, code: Uuid::new_v4().simple().to_string().into(), path }
    }

    /// Keeps the code and the file, with the source as its mapping file describes it now.
    pub(super) fn with_source(&self, source: &Arc<Source>) -> PendingSetup {
        let (code, path) = (self.code.clone(), self.path.clone());
        PendingSetup { source: Arc::clone(source), code, path }
    }

    /// Returns whether the secret's file exists.
    pub(super) fn has_secret_file(&self) -> bool {
        self.path.exists()
    }

    /// Returns path and query of the URL to register with the provider.
    pub fn address(&self) -> String {
        format!("/hooks/{}?setup={}", self.source.name, self.code.expose_secret())
    }

    /// Rejects a request without the code.
    pub(super) fn check_code(&self, query: Option<&str>) -> Result<(), Rejection> {
        let code = self.code.expose_secret().as_bytes();
        // In constant time, so that the code cannot be guessed byte by byte.
        let is_code = |(name, value): (String, String)| {
            name == "setup" && code.ct_eq(value.as_bytes()).into()
        };
        let is_meant = form::pairs(query.unwrap_or_default()).any(is_code);
        if is_meant { Ok(()) } else { Err(awaiting_secret()) }
    }

    /// Saves the secret, and returns the live source.
    pub(super) fn save_secret(&self, secret: &SecretString) -> io::Result<Source> {
        // Before it is written: a secret that is no key would stay in the file and stop the source.
        let key = self.source.signature.key(secret, None, 0);
        let key = key.map_err(|error| io::Error::other(format!("the secret {error}")))?;
        write_once(&self.path, secret.expose_secret())?;
        Ok(Source { keys: vec![key], ..Source::clone(&self.source) })
    }
}

/// The rejection of all other requests to the source.
pub(super) fn awaiting_secret() -> Rejection {
    Rejection::off("it waits for its provider's first request")
}

/// Writes the file with mode 0600, wholly or not at all, and on disk when this returns. An existing file is an
/// error and stays unchanged, unless it holds the same text.
fn write_once(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // Beside its final place, since a rename is atomic only within a file system.
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        // Of simultaneous requests with one secret, each is answered as the first: for the provider
        // they are repeats of one.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists && holds(path, text) => {}
        Err(error) => return Err(error.into()),
    }
    // The new name is in the folder, which has an fsync of its own.
    File::open(folder)?.sync_all()
}

fn holds(path: &Path, text: &str) -> bool {
    let saved = file::read(path, text.len());
    saved.is_ok_and(|saved| saved.ct_eq(text.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secret_file_is_written_once_with_mode_0600() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");

        write_once(&path, "first").unwrap();
        for other in ["second", "fir", "first2", ""] {
            let again = write_once(&path, other);
            assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists, "{other}");
        }
        write_once(&path, "first").unwrap();

        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
