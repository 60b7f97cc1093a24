//! Settings of the SQLite store.

use std::path::{Path, PathBuf};

const WEBHOOK_BYTES_MAX: usize = 5 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub path: PathBuf,
    /// Free disk space below which no webhook is stored. The default is 64 MiB, or 5 % of a smaller
    /// file system.
    pub reserve_bytes: Option<u64>,
    /// Size of the largest webhook; the store is ready only while it would fit.
    pub webhook_bytes_max: usize,
}

impl Settings {
    pub fn new(path: impl Into<PathBuf>) -> Settings {
        Settings { path: path.into(), reserve_bytes: None, webhook_bytes_max: WEBHOOK_BYTES_MAX }
    }

    pub fn folder(&self) -> &Path {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new("."))
    }
}
