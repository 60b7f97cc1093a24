//! Tells when a file that people write may have changed.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::warn;

/// An editor or a copy touches files several times; they are looked at when nothing came for so long.
const REST: Duration = Duration::from_millis(200);
/// Files that never come to rest are looked at all the same.
const REST_WITHIN: Duration = Duration::from_secs(2);

/// How often it is looked whether another file or folder stands at one of the places.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is watched. Neither has to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WatchedPaths {
    pub(super) config: PathBuf,
    pub(super) mappings: PathBuf,
}

/// What stands at the places: a file is known by what changes when it is written, a folder by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct FileStamps {
    config: Option<[i64; 4]>,
    mappings: Option<[u64; 2]>,
}

#[derive(Debug, Default)]
pub(super) struct FileWatcher {
    changed: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    places: Option<WatchedPaths>,
    seen: FileStamps,
    /// That it does not work was said already.
    complained: bool,
}

impl FileWatcher {
    /// Watches the folders that are at these places now: a folder that was put in the place of another
    /// is another to the system. What the last watch saw is not lost.
    pub(super) fn begin(&mut self, places: &WatchedPaths) {
        self.seen = places.look();
        self.places = Some(places.clone());
        match watcher(places, Arc::clone(&self.changed)) {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                self.complained = false;
            }
            Err(error) if self.complained => drop(error),
            Err(error) => {
                warn!(%error, "files cannot be watched: after a change, send SIGHUP to the relay");
                self.complained = true;
            }
        }
    }

    /// Watches other places; what changed there before is to be looked at.
    pub(super) fn move_to(&mut self, places: &WatchedPaths) {
        self.begin(places);
        self.changed.notify_one();
    }

    /// Returns once something changed and came to rest.
    pub(super) async fn changed(&mut self) {
        let (changed, places) = (Arc::clone(&self.changed), self.places.clone());
        tokio::select! {
            () = changed.notified() => {}
            seen = another(places, self.seen.clone()) => self.seen = seen,
        }
        let rest = async { while timeout(REST, self.changed.notified()).await.is_ok() {} };
        // Either way it is time to look.
        let _ = timeout(REST_WITHIN, rest).await;
    }
}

/// Returns once something else stands at the places. Their folders are not watched: the store may lie
/// there, and each of its writes would be told.
async fn another(places: Option<WatchedPaths>, seen: FileStamps) -> FileStamps {
    let Some(places) = places else { return std::future::pending().await };
    loop {
        sleep(LOOK_EVERY).await;
        let places = places.clone();
        // A disk that hangs keeps nobody waiting but this.
        match spawn_blocking(move || places.look()).await {
            Ok(look) if look != seen => return look,
            Ok(_) | Err(_) => {}
        }
    }
}

/// Watches the folder of the mapping files.
fn watcher(places: &WatchedPaths, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let WatchedPaths { config, mappings } = places.absolute()?;
    let folder = mappings.clone();
    let places = WatchedPaths { config, mappings };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| !concerns(&event, &places)) {
            return;
        }
        changed.notify_one();
    })?;
    if folder.is_dir() {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

impl WatchedPaths {
    fn look(&self) -> FileStamps {
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

/// The store may lie beside the configuration, so most of what happens in the folders is not ours.
fn concerns(event: &Event, places: &WatchedPaths) -> bool {
    let is_reading = matches!(event.kind, EventKind::Access(_));
    let named = |path: &PathBuf| path.file_name().is_none_or(|name| is_ours(name, places));
    !is_reading && (event.need_rescan() || event.paths.iter().any(named))
}

fn is_ours(name: &OsStr, places: &WatchedPaths) -> bool {
    let is_place = |path: &Path| path.file_name() == Some(name);
    let is_toml = Path::new(name).extension().is_some_and(|extension| extension == "toml");
    // Kubernetes replaces all files of a mounted folder at once, by a link called `..data`.
    let is_swap = name.as_encoded_bytes().starts_with(b"..");
    is_toml || is_swap || is_place(&places.config) || is_place(&places.mappings)
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, AccessMode, DataChange, Flag, ModifyKind};

    use super::*;

    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));

    fn check(event: &Event, expected: bool) {
        let places = WatchedPaths { config: "/etc/relay.conf".into(), mappings: "/etc/m".into() };

        assert_eq!(concerns(event, &places), expected, "{event:?}");
    }

    #[test]
    fn only_files_written_by_people_trigger_a_reload() {
        for ours in ["/etc/relay.conf", "/etc/m", "/etc/m/survey.toml", "/etc/m/..data"] {
            check(&Event::new(WRITTEN).add_path(ours.into()), true);
        }
        for other in ["/etc/relay.db-wal", "/etc/m/.survey.toml.swp", "/etc/m/samples"] {
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
