//! Free disk space that intake leaves, so that accepted events can still be settled.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::unavailable;
use super::open_error::OpenError;
use crate::file;
use crate::store::archive::DiskSpace;
use crate::store::error::{StoreError, UnavailableKind};
use crate::store::sqlite::settings::Settings;

const MIB: u64 = 1024 * 1024;

/// Time for which a reading of the free space is reused.
const READING_VALID_FOR: Duration = Duration::from_secs(1);
/// Share of the reserve, as a divisor, that may be written on one reading.
// Without it, webhooks of a second could use up the reserve before the space is read again.
const READINGS_PER_RESERVE: u64 = 16;

// What is stored is written twice: to the log and, later, to the database.
const COPIES: u64 = 2;

/// Returns the space on the disk of a store that need not be open.
pub fn disk_space(settings: &Settings) -> io::Result<DiskSpace> {
    let folder = settings.folder();
    let reserve = DiskReserve::new(folder, settings.reserve_bytes)?;
    let free_bytes = file::free_bytes(folder)?;
    Ok(DiskSpace { free_bytes, reserve_bytes: reserve.bytes })
}

#[derive(Debug)]
pub(crate) struct DiskReserve {
    folder: PathBuf,
    bytes: u64,
    last: Mutex<Option<SpaceReading>>,
}

#[derive(Debug, Clone, Copy)]
struct SpaceReading {
    at: Instant,
    free: u64,
    written: u64,
}

impl DiskReserve {
    /// Uses the given reserve, or the default for the file system.
    pub(super) fn new(folder: &Path, bytes: Option<u64>) -> io::Result<DiskReserve> {
        let disk = rustix::fs::statvfs(folder)?;
        let bytes =
            bytes.unwrap_or_else(|| default_reserve(disk.f_blocks.saturating_mul(disk.f_frsize)));
        Ok(DiskReserve { folder: folder.to_owned(), bytes, last: Mutex::new(None) })
    }

    /// The reserve on the disk of a database.
    pub(crate) fn for_database(
        database: &Path,
        settings: &Settings,
    ) -> Result<DiskReserve, OpenError> {
        let folder = database.parent().unwrap_or(database);
        DiskReserve::new(folder, settings.reserve_bytes)
            .map_err(|error| OpenError::File { path: folder.to_owned(), error })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn space(&self) -> Result<DiskSpace, StoreError> {
        Ok(DiskSpace { free_bytes: self.free(0)?, reserve_bytes: self.bytes })
    }

    /// Returns an error unless there is room for this many bytes beside those that wait to be
    /// written.
    pub(crate) fn admit(&self, bytes: usize, waiting: usize) -> Result<(), StoreError> {
        let free = self.free(bytes)?;
        let needed = u64::try_from(bytes.saturating_add(waiting)).unwrap_or(u64::MAX);
        if free >= needed.saturating_mul(COPIES).saturating_add(self.bytes) {
            return Ok(());
        }
        let (free, reserve) = (free / MIB, self.bytes / MIB);
        Err(unavailable(
            UnavailableKind::DiskFull,
            format!("disk full: {free} MiB free, {reserve} MiB are kept in reserve"),
        ))
    }

    fn free(&self, bytes: usize) -> Result<u64, StoreError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reading = match *last {
            Some(reading)
                if reading.at.elapsed() < READING_VALID_FOR
                    && reading.written < self.bytes / READINGS_PER_RESERVE =>
            {
                reading
            }
            _ => self.read_disk()?,
        };
        reading.written = reading.written.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        *last = Some(reading);
        Ok(reading.free)
    }

    fn read_disk(&self) -> Result<SpaceReading, StoreError> {
        let free = file::free_bytes(&self.folder).map_err(|error| {
            unavailable(
                UnavailableKind::File,
                format!("cannot see the free space of {}: {error}", self.folder.display()),
            )
        })?;
        Ok(SpaceReading { at: Instant::now(), free, written: 0 })
    }
}

/// Returns the default reserve: 64 MiB, or 5 % of a smaller file system.
fn default_reserve(total: u64) -> u64 {
    (total / 20).min(64 * MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_disk_has_a_small_reserve() {
        assert_eq!(default_reserve(100 * 1024 * MIB), 64 * MIB);
        assert_eq!(default_reserve(100 * MIB), 5 * MIB);
    }

    #[test]
    fn full_disk_error_names_the_free_space() {
        let reserve = DiskReserve::new(Path::new("/"), Some(u64::MAX)).unwrap();

        let StoreError::Unavailable { reason, .. } = reserve.admit(1, 0).unwrap_err() else {
            panic!()
        };

        assert!(reason.starts_with("disk full: "), "{reason}");
        assert!(reason.ends_with(" MiB are kept in reserve"), "{reason}");
    }

    #[test]
    fn pending_writes_count_against_free_space() {
        let reserve = DiskReserve::new(Path::new("/"), Some(0)).unwrap();
        let free = usize::try_from(reserve.free(0).unwrap()).unwrap();

        assert!(reserve.admit(1, 0).is_ok());
        assert!(reserve.admit(1, free).is_err());
    }
}
