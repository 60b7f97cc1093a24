//! SQLite's own check of a database file, while a relay may run on it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, InterruptHandle};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::database_file;
use super::disk_reserve::DiskReserve;
use super::error;
use super::file_names::with_suffix;
use super::inspection::{self, Opener};
use super::open_error::OpenError;
use crate::store::sqlite::settings::Settings;

/// Speed of the check.
// Measured on 600 MiB that were not in memory. In memory it is fifteen times as fast.
const BYTES_PER_SECOND: u64 = 50 * 1024 * 1024;

/// Number of faults after which the check stops.
const FAULTS_MAX: usize = 20;

/// Interval at which the limits are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Limits of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckLimits {
    /// Time after which it stops.
    pub time: Option<Duration>,
    /// Length of the write-ahead log at which it stops: its snapshot keeps the log from being
    /// written back.
    pub log_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckResult {
    Intact,
    /// The faults that SQLite found.
    Damaged(Vec<String>),
    /// Stopped by the time limit; nothing was found until then.
    TimedOut,
    /// Stopped since the log grew too long; nothing was found until then.
    LogFull {
        log_bytes: u64,
    },
}

/// Estimates how long a check of the whole file takes.
pub fn estimated_time(bytes: u64) -> Duration {
    Duration::from_secs(bytes.div_ceil(BYTES_PER_SECOND))
}

/// Returns the length of the write-ahead log at which a check should stop: half of its maximum.
pub fn log_bytes_max(settings: &Settings) -> Result<u64, OpenError> {
    let path = database_file::find(&settings.path)?;
    let reserve = DiskReserve::for_database(&path, settings)?;
    Ok(database_file::log_bytes_max(reserve.bytes() / 4) / 2)
}

/// Reads the file and writes nothing.
pub async fn check(path: &Path, limits: CheckLimits) -> Result<CheckResult, OpenError> {
    let (path, log) = (database_file::find(path)?, with_suffix(path, "-wal"));
    let refused = |error| OpenError::Database { path: path.clone(), error };
    let start = Instant::now();
    let stop = || {
        let log_bytes = fs::metadata(&log).map_or(0, |log| log.len());
        if log_bytes > limits.log_bytes {
            return Some(CheckResult::LogFull { log_bytes });
        }
        let is_late = limits.time.is_some_and(|time| start.elapsed() > time);
        is_late.then_some(CheckResult::TimedOut)
    };
    // Before a connection is opened, which alone would hold up the log.
    if let Some(stopped) = stop() {
        return Ok(stopped);
    }
    inspection::inspect(&path, Opener::Reader)?;
    let connection = database_file::connect_reader(&path).map_err(refused)?;
    let interrupt = InterruptOnDrop(connection.get_interrupt_handle());
    let mut checking = spawn_blocking(move || faults(&connection));
    let mut stopped = None;
    let found = loop {
        tokio::select! {
            found = &mut checking => break found,
            () = sleep(POLL_INTERVAL) => {
                stopped = stopped.or_else(stop);
                if stopped.is_some() {
                    interrupt.0.interrupt();
                }
            }
        }
    };
    // A check that ended just before the interruption counts with its result.
    match (found, stopped) {
        (Ok(Ok(faults)), _) if faults.is_empty() => Ok(CheckResult::Intact),
        (Ok(Ok(faults)), _) => Ok(CheckResult::Damaged(faults)),
        (Ok(Err(error)), Some(stopped)) if is_interruption(&error) => Ok(stopped),
        (Ok(Err(error)), _) if error::is_damage(&error) => {
            Ok(CheckResult::Damaged(vec![error.to_string()]))
        }
        (Ok(Err(error)), _) => Err(refused(error)),
        (Err(_), _) => Ok(CheckResult::Damaged(vec!["the check stopped unexpectedly".to_owned()])),
    }
}

/// Ends the check if nobody waits for it any more: its snapshot keeps the log from being written back.
struct InterruptOnDrop(InterruptHandle);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

fn is_interruption(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}

/// Returns the faults, including those that were found before an interruption.
pub(super) fn faults(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    // Not `integrity_check`, which also compares indexes with their tables, and for that takes
    // O(N log N) instead of O(N).
    let mut check = connection.prepare(&format!("PRAGMA quick_check({FAULTS_MAX})"))?;
    let mut rows = check.query([])?;
    let mut faults = Vec::new();
    loop {
        match rows.next() {
            Ok(Some(row)) => faults.push(row.get::<_, String>(0)?),
            Ok(None) => break,
            Err(error) if is_interruption(&error) && !faults.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    faults.retain(|fault| fault != "ok");
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sqlite;

    const PLENTY: CheckLimits = CheckLimits { time: None, log_bytes: u64::MAX };

    #[tokio::test]
    async fn check_reports_intact_and_stops_at_its_limits() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::new(folder.path().join("relay.db"));
        let _store = Sqlite::open(&settings).unwrap();

        let check = |limits| check(&settings.path, limits);

        assert_eq!(check(PLENTY).await.unwrap(), CheckResult::Intact);
        let stopped = check(CheckLimits { log_bytes: 0, ..PLENTY }).await.unwrap();
        assert!(matches!(stopped, CheckResult::LogFull { log_bytes: 1.. }), "{stopped:?}");
        let late = check(CheckLimits { time: Some(Duration::ZERO), ..PLENTY }).await.unwrap();
        assert_eq!(late, CheckResult::TimedOut);
    }

    #[test]
    fn check_may_use_half_of_the_longest_log() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::new(folder.path().join("relay.db"));
        drop(Sqlite::open(&settings).unwrap());

        let half = |reserve_bytes| {
            log_bytes_max(&Settings { reserve_bytes: Some(reserve_bytes), ..settings.clone() })
        };

        assert_eq!(half(u64::MAX).unwrap(), 2 * 4000 * 4096);
        assert_eq!(half(8 * 1024 * 1024).unwrap(), 2 * 2 * 1024 * 1024);
    }

    #[test]
    fn estimated_check_time_grows_with_the_file() {
        assert_eq!(estimated_time(1), Duration::from_secs(1));
        assert_eq!(estimated_time(10 * BYTES_PER_SECOND), Duration::from_secs(10));
    }
}
