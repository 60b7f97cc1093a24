//! Settings of the SQLite store.

use std::path::{Path, PathBuf};

const WEBHOOK_BYTES_MAX: usize = 5 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub path: PathBuf,
    /// Where earlier versions kept the store of the same URL, if not at `path`.
    pub former_path: Option<PathBuf>,
    /// Free disk space below which no webhook is stored. The default is 64 MiB, or 5 % of a smaller
    /// file system.
    pub reserve_bytes: Option<u64>,
    /// Size of the largest webhook; the store is ready only while it would fit.
    pub webhook_bytes_max: usize,
    /// What a server does with the undelivered events of a restored backup.
    pub restored_events: RestoredEvents,
}

/// What becomes of the queued events of a restored backup, which may have been sent since it was
/// made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RestoredEvents {
    /// They are sent, marked as possible duplicates.
    #[default]
    Send,
    /// They are held until a person decides.
    Hold,
}

impl Settings {
    pub fn new(path: impl Into<PathBuf>) -> Settings {
        Settings {
            path: path.into(),
            former_path: None,
            reserve_bytes: None,
            webhook_bytes_max: WEBHOOK_BYTES_MAX,
            restored_events: RestoredEvents::default(),
        }
    }

    pub fn folder(&self) -> &Path {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new("."))
    }
}
