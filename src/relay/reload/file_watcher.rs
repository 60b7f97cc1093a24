//! Notices when a configuration or mapping file may have changed.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::warn;

use crate::mapping_file::location::is_mapping_file;

/// Time without a change after which the files are read.
// An editor or a copy touches files several times, and half of a set must not be read.
const QUIET_TIME: Duration = Duration::from_millis(200);
/// Time after which the files are read even if they still change.
const QUIET_TIMEOUT: Duration = Duration::from_secs(2);

/// Interval at which the paths are compared with what was last seen there.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The watched paths, neither of which has to exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WatchedPaths {
    pub(super) config: PathBuf,
    pub(super) mappings: PathBuf,
}

/// Identity of what is at the paths: inode, size and modification time of the file, device and
/// inode of the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct FileStamps {
    config: Option<[i64; 4]>,
    mappings: Option<[u64; 2]>,
}

/// Says that a file may have changed, and when one did last.
#[derive(Debug, Default)]
struct ChangeSignal {
    changed: Notify,
    last: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
pub(super) struct FileWatcher {
    signal: Arc<ChangeSignal>,
    watcher: Option<RecommendedWatcher>,
    paths: Option<WatchedPaths>,
    seen: FileStamps,
    /// Whether the failure of watching was logged already.
    has_warned: bool,
}

impl FileWatcher {
    /// Watches what is at these paths now. Changes that were already noticed are kept.
    pub(super) fn watch(&mut self, paths: &WatchedPaths) {
        // A watch belongs to a folder and not to its path, so it is begun again each time: another
        // folder may have been moved there.
        self.seen = paths.stamps();
        self.paths = Some(paths.clone());
        match watcher(paths, Arc::clone(&self.signal)) {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                self.has_warned = false;
            }
            Err(error) if self.has_warned => drop(error),
            Err(error) => {
                warn!(%error, "files cannot be watched: after a change, send SIGHUP to the relay");
                self.has_warned = true;
            }
        }
    }

    /// Watches other paths, and reports a change, since they may have changed before.
    pub(super) fn watch_instead(&mut self, paths: &WatchedPaths) {
        self.watch(paths);
        self.report();
    }

    /// Reports a change, so that the files are read again.
    pub(super) fn report(&self) {
        self.signal.changed.notify_one();
    }

    /// Returns once the files have rested, at once if none has changed just now.
    pub(super) async fn rested(&self) {
        let rested = async {
            while let Some(until) = self.signal.rests_at().filter(|until| *until > Instant::now()) {
                sleep_until(until).await;
            }
        };
        // Whether they came to rest or not.
        let _ = timeout(QUIET_TIMEOUT, rested).await;
    }

    /// Returns once something has changed and then rested.
    pub(super) async fn changed(&mut self) {
        let (signal, paths) = (Arc::clone(&self.signal), self.paths.clone());
        tokio::select! {
            () = signal.changed.notified() => {}
            seen = wait_until_replaced(paths, self.seen.clone()) => self.seen = seen,
        }
        let quiet = async { while timeout(QUIET_TIME, signal.changed.notified()).await.is_ok() {} };
        // Whether the files came to rest or not, it is time to read them.
        let _ = timeout(QUIET_TIMEOUT, quiet).await;
    }
}

impl ChangeSignal {
    fn note(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.changed.notify_one();
    }

    /// Returns the time at which no file has changed for a while, if there was a change.
    fn rests_at(&self) -> Option<Instant> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|last| last + QUIET_TIME)
    }
}

/// Returns once something else is at the paths.
// Polled instead of watching the parent folders: the store may be there, and each of its writes
// would be an event. That took a tenth of the CPU time.
async fn wait_until_replaced(paths: Option<WatchedPaths>, seen: FileStamps) -> FileStamps {
    let Some(paths) = paths else { return std::future::pending().await };
    loop {
        sleep(POLL_INTERVAL).await;
        let paths = paths.clone();
        // On a thread of its own, since a network disk may hang.
        match spawn_blocking(move || paths.stamps()).await {
            Ok(stamps) if stamps != seen => return stamps,
            Ok(_) | Err(_) => {}
        }
    }
}

/// Starts to watch the folder of the mapping files.
fn watcher(paths: &WatchedPaths, signal: Arc<ChangeSignal>) -> notify::Result<RecommendedWatcher> {
    let WatchedPaths { config, mappings } = paths.absolute()?;
    let folder = mappings.clone();
    let paths = WatchedPaths { config, mappings };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // An error may mean that events were lost, so it counts as a change.
        if event.is_ok_and(|event| !is_relevant(&event, &paths)) {
            return;
        }
        signal.note();
    })?;
    if folder.is_dir() {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

impl WatchedPaths {
    fn stamps(&self) -> FileStamps {
        let config = std::fs::metadata(&self.config).ok();
        let mappings = std::fs::metadata(&self.mappings).ok();
        FileStamps {
            config: config.map(|file| {
                let (size, number) = (file.size().cast_signed(), file.ino().cast_signed());
                [number, size, file.mtime(), file.mtime_nsec()]
            }),
            mappings: mappings.map(|folder| [folder.dev(), folder.ino()]),
        }
    }

    fn absolute(&self) -> std::io::Result<WatchedPaths> {
        let config = std::path::absolute(&self.config)?;
        Ok(WatchedPaths { config, mappings: std::path::absolute(&self.mappings)? })
    }
}

/// Returns whether an event may be a change of our files.
fn is_relevant(event: &Event, paths: &WatchedPaths) -> bool {
    let is_reading = matches!(event.kind, EventKind::Access(_));
    let named = |path: &PathBuf| path.file_name().is_none_or(|name| is_ours(name, paths));
    !is_reading && (event.need_rescan() || event.paths.iter().any(named))
}

fn is_ours(name: &OsStr, paths: &WatchedPaths) -> bool {
    let is_place = |path: &Path| path.file_name() == Some(name);
    // Kubernetes replaces all files of a mounted ConfigMap at once, by a link called `..data`.
    let is_swap = name.as_encoded_bytes().starts_with(b"..");
    is_mapping_file(name) || is_swap || is_place(&paths.config) || is_place(&paths.mappings)
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, AccessMode, DataChange, Flag, ModifyKind};

    use super::*;

    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));

    fn check(event: &Event, expected: bool) {
        let paths = WatchedPaths { config: "/etc/relay.conf".into(), mappings: "/etc/m".into() };

        assert_eq!(is_relevant(event, &paths), expected, "{event:?}");
    }

    #[test]
    fn only_files_written_by_people_trigger_a_reload() {
        for ours in ["/etc/relay.conf", "/etc/m", "/etc/m/survey.toml", "/etc/m/..data"] {
            check(&Event::new(WRITTEN).add_path(ours.into()), true);
        }
        for other in [
            "/etc/relay.db-wal",
            "/etc/m/.survey.toml.swp",
            "/etc/m/samples",
            "/etc/m/._survey.toml",
            "/etc/m/.#survey.toml",
            "/etc/m/survey.toml~",
            "/etc/m/#survey.toml#",
        ] {
            check(&Event::new(WRITTEN).add_path(other.into()), false);
        }
    }

    #[test]
    fn read_access_triggers_no_reload() {
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));

        check(&Event::new(opened).add_path("/etc/m/survey.toml".into()), false);
    }

    #[test]
    fn lost_notifications_trigger_a_reload() {
        check(&Event::new(EventKind::Other).set_flag(Flag::Rescan), true);
    }
}
