//! A source whose provider hands its secret over in its first request.

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

/// Waits for the secret; only who was shown the code may bring it.
pub struct PendingSetup {
    pub source: Arc<Source>,
    code: SecretString,
    /// Where the secret will be, and where nothing is yet.
    path: PathBuf,
}

impl fmt::Debug for PendingSetup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PendingSetup").field("source", &self.source).finish_non_exhaustive()
    }
}

impl PendingSetup {
    pub fn new(source: Arc<Source>, path: PathBuf) -> PendingSetup {
        PendingSetup { source, code: Uuid::new_v4().simple().to_string().into(), path }
    }

    /// The same code and file for the source as its mapping file describes it now.
    pub(super) fn with_source(&self, source: &Arc<Source>) -> PendingSetup {
        let (code, path) = (self.code.clone(), self.path.clone());
        PendingSetup { source: Arc::clone(source), code, path }
    }

    /// Whether the secret has been written by now.
    pub(super) fn has_secret_file(&self) -> bool {
        self.path.exists()
    }

    /// What follows the relay's URL in the one to register with the provider.
    pub fn address(&self) -> String {
        format!("/hooks/{}?setup={}", self.source.name, self.code.expose_secret())
    }

    /// Refuses a request that does not bring the code.
    pub(super) fn expects(&self, query: Option<&str>) -> Result<(), Rejection> {
        let code = self.code.expose_secret().as_bytes();
        let is_code = |(name, value): (String, String)| {
            name == "setup" && code.ct_eq(value.as_bytes()).into()
        };
        let is_meant = form::pairs(query.unwrap_or_default()).any(is_code);
        if is_meant { Ok(()) } else { Err(waits()) }
    }

    /// Writes the secret down for good, and gives the source that it makes live.
    pub(super) fn finish(&self, secret: &SecretString) -> io::Result<Source> {
        let key = self.source.signature.key(secret, None, 0);
        let key = key.map_err(|error| io::Error::other(format!("the secret {error}")))?;
        write_once(&self.path, secret.expose_secret())?;
        Ok(Source { keys: vec![key], ..Source::clone(&self.source) })
    }
}

/// What anybody else is told.
pub(super) fn waits() -> Rejection {
    Rejection::off("it waits for its provider's first request")
}

/// All of it or nothing, for the owner's eyes only, on disk when this returns; a file that is
/// there already is left as it is.
fn write_once(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_written_once_and_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");

        write_once(&path, "first").unwrap();
        let again = write_once(&path, "second");

        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
