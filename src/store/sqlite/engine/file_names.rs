//! Names of the files beside the database.

use std::path::{Path, PathBuf};

/// Returns the path of the file beside the database with this suffix, such as `-wal`.
pub(super) fn with_suffix(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
