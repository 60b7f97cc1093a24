//! Reloads the mapping files while the relay runs: the whole new set is applied, or nothing of it.

mod file_watcher;
mod missing_files;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::clock;
use crate::config::{self, Config};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::document::Document;
use crate::diagnostics::table::Diagnostics;
use crate::event::SourceName;
use crate::file::UnreadableFile;
use crate::mapping_file::file::{MappingFile, Origin};
use crate::mapping_file::location::{DIRECTORY, FoundFile, Location, LocationError, read_all};
use crate::secret::{Environment, PurposedSecret};
use crate::telemetry::metrics::Reloads;
use file_watcher::{FileWatcher, WatchedPaths};
use missing_files::MissingFiles;

/// Reads the files again at each SIGHUP and whenever one changes.
pub(crate) struct Reloader {
    /// The configuration named on the command line.
    config: Option<PathBuf>,
    environment: Arc<Environment>,
    /// The secrets of the configuration with which the relay started.
    secrets: Arc<[PurposedSecret]>,
    /// Destinations of the running relay, which only a restart changes.
    destinations: Arc<[String]>,
    hangups: Option<Signal>,
    watcher: FileWatcher,
    /// The folder of the mapping files.
    folder: PathBuf,
    /// Result of the last read, whether it was applied or not.
    last_read: Result<FileSet, ReloadError>,
    applied: AppliedFiles,
    missing: MissingFiles,
}

/// The configuration and the mapping files, as they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileSet {
    config: Option<Document>,
    /// The folder of the mapping files, which need not exist.
    folder: PathBuf,
    /// The files in the folder, and those that are missing there and do not count as gone yet.
    in_folder: Vec<FoundFile>,
    /// All files in use: these and the bundled ones.
    mappings: Vec<FoundFile>,
}

/// The texts with which the relay runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct AppliedFiles {
    config: Option<Document>,
    folder: PathBuf,
    in_folder: Vec<FoundFile>,
    /// All files, to read their secrets once more.
    found: Vec<FoundFile>,
    mappings: BTreeMap<SourceName, AppliedFile>,
}

/// Origin and text of a source's file.
type AppliedFile = (Origin, String);

/// Reason for which a new set is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ReloadError {
    Unreadable(String),
    Mistaken(Vec<(Document, Diagnostics)>),
}

/// Reason for which the files are read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReloadTrigger {
    Hangup,
    Changed,
}

type ReadSet = (FileSet, Vec<MappingFile>);

/// Result of a read: the set, the files that were missing, and the secrets of the configuration.
type ReadFiles = (Result<ReadSet, ReloadError>, MissingFiles, Vec<PurposedSecret>);

/// What is to be applied after a trigger.
pub(crate) struct Reload {
    /// The secrets of the configuration, as they are now.
    pub(super) secrets: Vec<PurposedSecret>,
    /// The mapping files; none if they have mistakes.
    pub(super) set: Option<CheckedSet>,
}

/// Mapping files without mistakes, to be applied.
pub(crate) struct CheckedSet {
    pub(super) files: Vec<MappingFile>,
    /// The changes since the last set, for the log.
    changes: String,
    /// Name of the configuration, if it has changed as well.
    changed_config: Option<String>,
}

impl Reloader {
    /// Starts to watch: from here on no change is missed, and SIGHUP does not end the process.
    pub(crate) fn start(
        path: Option<&Path>,
        config: &Config,
        environment: &Environment,
    ) -> Reloader {
        let hangups = signal(SignalKind::hangup());
        if let Err(error) = &hangups {
            warn!(%error, "SIGHUP cannot be watched: a reload happens only when a file changes");
        }
        let (mut missing, nothing) = (MissingFiles::default(), AppliedFiles::default());
        let last_read = FileSet::read(path, environment, (&mut missing, &nothing));
        let destinations = config.destinations.keys().cloned().collect();
        let mut reloader = Reloader {
            config: path.map(Path::to_owned),
            environment: Arc::new(environment.clone()),
            secrets: config.secrets().into(),
            destinations,
            hangups: hangups.ok(),
            watcher: FileWatcher::default(),
            folder: DIRECTORY.into(),
            applied: nothing,
            missing,
            last_read,
        };
        if let Ok(file_set) = &reloader.last_read {
            reloader.folder.clone_from(&file_set.folder);
            let files = file_set.sources(&reloader.destinations, environment);
            reloader.applied = AppliedFiles::of(file_set, &files);
        }
        reloader.watcher.watch(&reloader.watched_paths());
        reloader
    }

    /// Waits for SIGHUP or a change.
    pub(super) async fn next_trigger(&mut self) -> ReloadTrigger {
        tokio::select! {
            () = hangup(&mut self.hangups) => ReloadTrigger::Hangup,
            () = self.watcher.changed() => ReloadTrigger::Changed,
            () = self.missing.next_gone() => ReloadTrigger::Changed,
        }
    }

    /// Reads the files again, and returns what is to be applied. A set with mistakes is only
    /// logged.
    pub(super) async fn read_again(
        &mut self,
        trigger: ReloadTrigger,
        reloads: &Reloads,
    ) -> Option<Reload> {
        // Before the files are read, so that a change while they are read is not missed.
        self.watcher.watch(&self.watched_paths());
        let (read, secrets) = self.read().await?;
        match (self.evaluate(read, trigger, reloads), trigger) {
            (None, ReloadTrigger::Changed) => None,
            (Some(set), _) => Some(Reload { secrets, set: Some(set) }),
            // A mistake in one mapping file does not keep the new secrets of others from being
            // used.
            (None, ReloadTrigger::Hangup) => {
                Some(Reload { secrets, set: self.read_applied().await })
            }
        }
    }

    fn watched_paths(&self) -> WatchedPaths {
        WatchedPaths {
            config: self.config.clone().unwrap_or_else(|| config::FILE.into()),
            mappings: self.folder.clone(),
        }
    }

    async fn read(&mut self) -> Option<(Result<ReadSet, ReloadError>, Vec<PurposedSecret>)> {
        // On a thread of its own: a network disk that hangs must not hold up the runtime, which
        // also handles the signals.
        let (config, environment) = (self.config.clone(), Arc::clone(&self.environment));
        let destinations = Arc::clone(&self.destinations);
        let (mut missing, applied) = (self.missing.clone(), self.applied.clone());
        let secrets = Arc::clone(&self.secrets);
        let read = spawn_blocking(move || -> ReadFiles {
            let again = secrets.iter().map(|it| it.read_again(&environment)).collect();
            let read = FileSet::read(config.as_deref(), &environment, (&mut missing, &applied));
            let read = read.map(|file_set| {
                let files = file_set.sources(&destinations, &environment);
                (file_set, files)
            });
            (read, missing, again)
        });
        match read.await {
            Ok((read, missing, secrets)) => {
                self.missing = missing;
                Some((read, secrets))
            }
            Err(error) => {
                error!(%error, "reading the mapping files failed, keeping the current ones (bug)");
                None
            }
        }
    }

    /// Reads the applied files once more, with the current secrets.
    async fn read_applied(&self) -> Option<CheckedSet> {
        let (found, environment) = (self.applied.found.clone(), Arc::clone(&self.environment));
        let destinations = Arc::clone(&self.destinations);
        let read = spawn_blocking(move || {
            let known: Vec<&str> = destinations.iter().map(String::as_str).collect();
            read_all(&found, &known, &environment)
        });
        let changes = "the secrets of the current ones were read again".to_owned();
        Some(CheckedSet { files: read.await.ok()?, changes, changed_config: None })
    }

    fn evaluate(
        &mut self,
        read: Result<ReadSet, ReloadError>,
        trigger: ReloadTrigger,
        reloads: &Reloads,
    ) -> Option<CheckedSet> {
        let last_read =
            read.as_ref().map(|(file_set, _)| file_set.clone()).map_err(ReloadError::clone);
        // A file that was only touched, or a write to another file, reads the same. At a SIGHUP the
        // files are applied all the same: secrets that they name may have changed.
        if trigger == ReloadTrigger::Changed && last_read == self.last_read {
            return None;
        }
        if let Ok(file_set) = &last_read
            && file_set.folder != self.folder
        {
            self.folder.clone_from(&file_set.folder);
            self.watcher.watch_instead(&self.watched_paths());
        }
        self.last_read = last_read;
        match read.and_then(|set| self.checked(set)) {
            Ok(set) => {
                reloads.applied(clock::now());
                Some(set)
            }
            Err(rejection) => {
                reloads.rejected();
                rejection.log();
                warn!("reload rejected, keeping the current mapping files: {rejection}");
                None
            }
        }
    }

    /// Returns the set if it can be applied as a whole; later ones are compared with it.
    fn checked(&mut self, (file_set, files): ReadSet) -> Result<CheckedSet, ReloadError> {
        // Its absence means the defaults, which nobody who deletes or renames the file intends.
        if let (None, Some(config)) = (&file_set.config, &self.applied.config) {
            return Err(ReloadError::Unreadable(format!("{} is gone", config.name)));
        }
        let is_mistaken = |file: &MappingFile| file.mistakes.iter().any(Diagnostic::is_error);
        if files.iter().any(is_mistaken) {
            let mistaken = files.into_iter().filter(is_mistaken);
            let mistaken = mistaken.map(|file| (file.document, file.mistakes));
            return Err(ReloadError::Mistaken(mistaken.collect()));
        }
        let new = AppliedFiles::of(&file_set, &files);
        let old = std::mem::replace(&mut self.applied, new);
        let changes = self.applied.changes_since(&old);
        let config = self.applied.config.as_ref().filter(|_| self.applied.config != old.config);
        let changed_config = config.map(|config| config.name.clone());
        Ok(CheckedSet { files, changes, changed_config })
    }
}

impl CheckedSet {
    pub(super) fn log_applied(&self) {
        info!("applied mapping files: {}", self.changes);
        if let Some(name) = &self.changed_config {
            warn!(
                "{name} has changed: only `mappings` and `shipped_mappings` are applied now, the \
                 rest at a restart"
            );
        }
    }
}

async fn hangup(hangups: &mut Option<Signal>) {
    match hangups {
        Some(hangups) => drop(hangups.recv().await),
        None => std::future::pending().await,
    }
}

impl FileSet {
    /// Reads the configuration and the files, and adds those in service that are only missing for
    /// a moment.
    fn read(
        config: Option<&Path>,
        environment: &Environment,
        (missing, applied): (&mut MissingFiles, &AppliedFiles),
    ) -> Result<FileSet, ReloadError> {
        let document = config::document(config)?;
        let (config, _) =
            Config::read(document.clone(), environment).map_err(ReloadError::Mistaken)?;
        let location = Location::of(&config.mappings);
        let folder = config.mappings.folder.unwrap_or_else(|| DIRECTORY.into());
        // Whoever names another folder does not miss the files of the old one.
        let in_service = if folder == applied.folder { &*applied.in_folder } else { &[] };
        let in_folder = missing.add_to(location.in_folder()?, in_service, Instant::now());
        let mappings = location.over_bundled(in_folder.clone());
        Ok(FileSet { config: document, folder, in_folder, mappings })
    }

    /// Reads the mapping files, with the current secrets.
    fn sources(&self, destinations: &[String], environment: &Environment) -> Vec<MappingFile> {
        let known: Vec<&str> = destinations.iter().map(String::as_str).collect();
        read_all(&self.mappings, &known, environment)
    }
}

impl AppliedFiles {
    fn of(file_set: &FileSet, files: &[MappingFile]) -> AppliedFiles {
        let text = |file: &MappingFile| {
            Some((file.name.clone()?, (file.origin, file.document.text.clone())))
        };
        AppliedFiles {
            found: file_set.mappings.clone(),
            config: file_set.config.clone(),
            folder: file_set.folder.clone(),
            in_folder: file_set.in_folder.clone(),
            mappings: files.iter().filter_map(text).collect(),
        }
    }

    fn changes_since(&self, old: &AppliedFiles) -> String {
        let mut changes = Vec::new();
        for (name, new) in &self.mappings {
            changes.extend(change(name, old.mappings.get(name), Some(new)));
        }
        let gone = old.mappings.iter().filter(|(name, _)| !self.mappings.contains_key(*name));
        changes.extend(gone.filter_map(|(name, old)| change(name, Some(old), None)));
        changes.extend(bundled_only(&self.mappings, &old.mappings).map(|it| it + " added"));
        changes.extend(bundled_only(&old.mappings, &self.mappings).map(|it| it + " removed"));
        if changes.is_empty() {
            // Who changed a secret and sent SIGHUP looks here for whether it was noticed.
            return "nothing changed in them, and the secrets in files were read again".to_owned();
        }
        changes.join(", ")
    }
}

/// Describes the bundled sources that are only in the first set.
// In one phrase: with the setting `shipped_mappings`, dozens come or go at once.
fn bundled_only(
    those: &BTreeMap<SourceName, AppliedFile>,
    others: &BTreeMap<SourceName, AppliedFile>,
) -> Option<String> {
    let is_one =
        |name: &&SourceName| those[*name].0 == Origin::Bundled && !others.contains_key(*name);
    let names: Vec<&str> = those.keys().filter(is_one).map(SourceName::as_str).collect();
    match names.as_slice() {
        [] => None,
        [name] => Some(format!("bundled source {name}")),
        [..] => Some(format!("{} bundled sources", names.len())),
    }
}

/// Describes what became of a source's file; none if nothing, or if only a bundled file came or went.
fn change(
    name: &SourceName,
    old: Option<&AppliedFile>,
    new: Option<&AppliedFile>,
) -> Option<String> {
    match (old, new) {
        (None, Some((Origin::Disk, _))) => Some(format!("{name} is new")),
        (Some((Origin::Disk, _)), None) => Some(format!("{name} is gone")),
        (Some((Origin::Disk, _)), Some((Origin::Bundled, _))) => {
            Some(format!("{name} is gone from the folder, its bundled file applies"))
        }
        (Some((Origin::Bundled, _)), Some((Origin::Disk, _))) => {
            Some(format!("{name} is new and replaces its bundled file"))
        }
        (Some(old), Some(new)) if old != new => Some(format!("{name} changed")),
        (Some(_), Some(_))
        | (None | Some((Origin::Bundled, _)), None)
        | (None, Some((Origin::Bundled, _))) => None,
    }
}

impl ReloadError {
    fn log(&self) {
        let ReloadError::Mistaken(read) = self else { return };
        for (document, mistakes) in read {
            log_mistakes(document, mistakes);
        }
    }
}

impl From<UnreadableFile> for ReloadError {
    fn from(error: UnreadableFile) -> ReloadError {
        ReloadError::Unreadable(error.to_string())
    }
}

impl From<LocationError> for ReloadError {
    fn from(error: LocationError) -> ReloadError {
        ReloadError::Unreadable(error.to_string())
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReloadError::Unreadable(reason) => formatter.write_str(reason),
            ReloadError::Mistaken(read) => {
                let errors = read.iter().flat_map(|(_, mistakes)| mistakes);
                let count = errors.filter(|mistake| mistake.is_error()).count();
                let names: Vec<&str> = read.iter().map(|(it, _)| it.name.as_str()).collect();
                let mistakes = if count == 1 { "mistake" } else { "mistakes" };
                write!(formatter, "{count} {mistakes} in {}", names.join(", "))
            }
        }
    }
}

/// Logs one line for each mistake, instead of the underlined text of a terminal.
pub(crate) fn log_mistakes(document: &Document, mistakes: &[Diagnostic]) {
    for mistake in mistakes {
        let (line, column) = mistake.line_and_column(document);
        let place = format!("{}:{line}:{column}", document.name);
        let help = mistake.help.as_deref();
        warn!(help, "{place}: {}", mistake.message);
    }
}
