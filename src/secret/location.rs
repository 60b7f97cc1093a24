//! Places of secrets: an environment variable or a file.

use std::fmt;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use crate::file;

/// Size limit of a file that holds a secret.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// The folder in which systemd puts the files of `LoadCredential=`.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Place of a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretLocation {
    Variable(String),
    /// The path as it is written, which may begin in the configuration's folder.
    File(String),
}

impl SecretLocation {
    /// Returns it as a configuration names it.
    pub fn reference(&self) -> String {
        match self {
            SecretLocation::Variable(name) => format!("env:{name}"),
            SecretLocation::File(path) => format!("file:{path}"),
        }
    }

    pub fn is_file(&self) -> bool {
        matches!(self, SecretLocation::File(_))
    }

    /// Returns whether it is a credential of systemd.
    pub fn is_credential(&self) -> bool {
        matches!(self, SecretLocation::File(path) if in_credentials(path).is_some())
    }

    /// Returns the location with the path that is read, for messages.
    pub(super) fn at(&self, path: &Path) -> SecretLocation {
        match self {
            SecretLocation::Variable(name) => SecretLocation::Variable(name.clone()),
            SecretLocation::File(_) => SecretLocation::File(path.display().to_string()),
        }
    }
}

impl fmt::Display for SecretLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretLocation::Variable(name) => write!(formatter, "the environment variable {name}"),
            SecretLocation::File(path) => write!(formatter, "the file {path}"),
        }
    }
}

/// Returns the path that is read: relative to the configuration's folder, and with
/// `$CREDENTIALS_DIRECTORY` replaced.
pub fn resolve(written: &str, environment: &Environment) -> Result<PathBuf, String> {
    let Some(rest) = in_credentials(written) else {
        return Ok(environment.path(Path::new(written)));
    };
    let folder = environment.get(CREDENTIALS).filter(|folder| !folder.is_empty());
    let folder = folder.ok_or_else(|| {
        format!(
            "the file {written} cannot be found, since {CREDENTIALS} is not set: systemd sets it for \
             a service with LoadCredential=; for another command, set it to the folder of the \
             credentials"
        )
    })?;
    Ok(environment.path(Path::new(&format!("{folder}{rest}"))))
}

/// Returns what follows `$CREDENTIALS_DIRECTORY` in a path that begins with it.
fn in_credentials(written: &str) -> Option<&str> {
    let braced = format!("${{{CREDENTIALS}}}");
    let plain = format!("${CREDENTIALS}");
    let rest = written.strip_prefix(&braced).or_else(|| written.strip_prefix(&plain))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Reads a text file of at most 64 KiB; an error is a sentence that names it.
pub fn read_file(path: &Path) -> Result<String, String> {
    let path_shown = path.display();
    match file::read(path, FILE_BYTES_MAX).map(String::from_utf8) {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(_)) => Err(format!("the file {path_shown} is not UTF-8")),
        Err(_) if matches!(path.try_exists(), Ok(false)) => {
            Err(format!("the file {path_shown} does not exist"))
        }
        Err(error) => Err(format!("the file {path_shown} cannot be read: {error}")),
    }
}
