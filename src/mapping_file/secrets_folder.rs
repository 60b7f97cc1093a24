//! The folder in which the relay keeps the secrets that it is given by the API: one file for each
//! source, and one for the secret before it.

use std::path::{Path, PathBuf};

use crate::event::SourceName;
use crate::secret::{self, Environment, SecretLocation};

/// Folder that is used if the configuration names none, beside the configuration.
const DEFAULT: &str = "secrets";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretsFolder {
    /// As `file:` of a mapping file names it.
    written: String,
    path: PathBuf,
}

impl SecretsFolder {
    /// Fails if the path cannot be used.
    pub fn new(written: &str, environment: &Environment) -> Result<SecretsFolder, String> {
        let written = written.trim_end_matches('/');
        let path = secret::resolve(written, environment)?;
        Ok(SecretsFolder { written: written.to_owned(), path })
    }

    /// Returns the default one.
    pub(crate) fn beside_configuration(environment: &Environment) -> SecretsFolder {
        let path = secret::resolve(DEFAULT, environment);
        SecretsFolder { written: DEFAULT.to_owned(), path: path.unwrap_or_else(|_| DEFAULT.into()) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the location of a source's secret.
    pub fn current(&self, source: &SourceName) -> SecretLocation {
        self.location(&current_name(source))
    }

    /// Returns the location of the secret before it.
    pub fn former(&self, source: &SourceName) -> SecretLocation {
        self.location(&former_name(source))
    }

    pub fn current_path(&self, source: &SourceName) -> PathBuf {
        self.path.join(current_name(source))
    }

    pub fn former_path(&self, source: &SourceName) -> PathBuf {
        self.path.join(former_name(source))
    }

    /// Returns whether a secret is one of these of the source. That of another source is none: some
    /// handshakes sign what anybody sends.
    pub fn holds(&self, source: &SourceName, secret: &SecretLocation) -> bool {
        *secret == self.current(source) || *secret == self.former(source)
    }

    /// Returns which of these secrets of the source have a file.
    pub(crate) fn existing(&self, source: &SourceName) -> Vec<SecretLocation> {
        let current = (self.current_path(source), self.current(source));
        let former = (self.former_path(source), self.former(source));
        let all = [current, former].into_iter();
        // A link that leads nowhere is there too.
        let existing = all.filter(|(path, _)| path.exists() || path.is_symlink());
        existing.map(|(_, location)| location).collect()
    }

    fn location(&self, name: &str) -> SecretLocation {
        SecretLocation::File(format!("{}/{name}", self.written))
    }
}

// A source's name has no full stop, so that no name is that of another source's file.
fn current_name(source: &SourceName) -> String {
    format!("{source}.secret")
}

fn former_name(source: &SourceName) -> String {
    format!("{source}.old.secret")
}
