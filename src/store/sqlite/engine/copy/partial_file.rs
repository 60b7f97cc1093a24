//! The file that becomes the backup, under another name until it is complete.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempPath;

use super::backup_error::BackupError;
use crate::store::sqlite::engine::file_names::with_suffix;
use crate::store::sqlite::engine::files::owner_only;

/// Removed when dropped.
#[derive(Debug)]
pub(super) struct PartialFile {
    // In this order: it is removed before the lock ends.
    pub(super) path: TempPath,
    /// Locked, so that no other backup takes it for what a killed one left.
    pub(super) file: File,
}

impl PartialFile {
    pub(super) fn create(target: &Path) -> Result<PartialFile, BackupError> {
        // A fixed name: what a killed backup left is found by the next one, and people see what it is.
        let path = with_suffix(target, ".partial");
        let failed = |error| BackupError::Target { path: path.clone(), error };
        let file = owner_only().open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => return Err(BackupError::Running(target.to_owned())),
        }
        let kept = TempPath::try_from_path(&path).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        let mode = fs::Permissions::from_mode(0o600);
        file.set_permissions(mode).map_err(failed)?;
        Ok(PartialFile { path: kept, file })
    }
}
