//! Surroundings in which secrets are looked up: the variables of the process, and the folder of its
//! configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;

/// The environment variables of the process, read once at its start, and the folder from which
/// relative paths of secrets begin.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    folder: PathBuf,
    /// The last usable value of each file. Clones share it.
    last_values: Arc<Mutex<BTreeMap<PathBuf, SecretString>>>,
}

impl Environment {
    pub fn new() -> Environment {
        Environment::default()
    }

    /// Sets the folder from which relative paths begin: that of the configuration.
    #[must_use]
    pub fn in_folder(self, folder: &Path) -> Environment {
        Environment { folder: folder.to_owned(), ..self }
    }

    /// Returns the same surroundings, which know no value that a file had before.
    #[must_use]
    pub fn without_last_values(&self) -> Environment {
        Environment { last_values: Arc::default(), ..self.clone() }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn insert(&mut self, name: String, value: String) {
        self.variables.insert(name, value);
    }

    /// Returns the path as it begins in the working directory.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    pub(super) fn remember(&self, path: &Path, value: &SecretString) {
        let mut last = self.last_values.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(path.to_owned(), value.clone());
    }

    /// Returns the value that the file had when it was last read and usable.
    pub(super) fn last_value(&self, path: &Path) -> Option<SecretString> {
        let last = self.last_values.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(path).cloned()
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Environment {
        Environment { variables: variables.into_iter().collect(), ..Environment::default() }
    }
}

impl<const N: usize> From<[(String, String); N]> for Environment {
    fn from(variables: [(String, String); N]) -> Environment {
        variables.into_iter().collect()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The names only: values may be secrets.
        let names: Vec<&String> = self.variables.keys().collect();
        formatter.debug_struct("Environment").field("variables", &names).finish_non_exhaustive()
    }
}
