//! Reloads the mapping files while the relay runs: the whole new set is applied, or nothing of it.

mod change;
mod file_set;
mod file_watcher;
mod missing_files;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use crate::admin::{ChangeMade, ChangeRefusal, FileChange, MappingChanges, OrderedChange};
use crate::clock;
use crate::config::{self, Config};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::location::{DIRECTORY, read_all};
use crate::mapping_file::served::ServedFiles;
use crate::secret::{Environment, PurposedSecret};
use crate::telemetry::metrics::Reloads;
use change::{ChangedFile, Scene};
pub(crate) use file_set::log_mistakes;
use file_set::{AppliedFiles, FileSet, ReadSet, ReloadError};
use file_watcher::{FileWatcher, WatchedPaths};
use missing_files::MissingFiles;

/// Reads the files again at each SIGHUP and whenever one changes, and changes them on order.
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
    orders: Receiver<OrderedChange>,
    changes: MappingChanges,
}

/// Reason for which the files are read again.
#[derive(Debug)]
pub(super) enum ReloadTrigger {
    Hangup,
    Changed,
    Ordered(Box<OrderedChange>),
}

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
    pub(super) files: Arc<ServedFiles>,
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
        let (changes, orders) = MappingChanges::channel();
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
            orders,
            changes,
        };
        if let Ok(file_set) = &reloader.last_read {
            reloader.folder.clone_from(&file_set.folder);
            let files = file_set.sources(&reloader.destinations, environment);
            reloader.applied = AppliedFiles::of(file_set, &files);
        }
        reloader.watcher.watch(&reloader.watched_paths());
        reloader
    }

    /// Returns the handle by which changes of the files are ordered.
    pub(crate) fn changes(&self) -> MappingChanges {
        self.changes.clone()
    }

    /// Waits for SIGHUP, a change or an order.
    pub(super) async fn next_trigger(&mut self) -> ReloadTrigger {
        tokio::select! {
            () = hangup(&mut self.hangups) => ReloadTrigger::Hangup,
            () = self.watcher.changed() => ReloadTrigger::Changed,
            () = self.missing.next_gone() => ReloadTrigger::Changed,
            Some(order) = self.orders.recv() => ReloadTrigger::Ordered(order.into()),
        }
    }

    /// Reads the files again after a change, and returns what is to be applied. A set with mistakes is
    /// only logged.
    pub(super) async fn read_changed(&mut self, reloads: &Reloads) -> Option<Reload> {
        let (read, secrets) = self.read().await?;
        // A file that was only touched, or a write to another file, reads the same.
        if self.is_as_before(&read) {
            return None;
        }
        let set = self.evaluate(read, reloads).ok()?;
        Some(Reload { secrets, set: Some(set) })
    }

    /// Reads all files again, those of secrets included, and returns what is to be applied, even if the
    /// files are the same: secrets that they name may have changed.
    pub(super) async fn read_all(&mut self, reloads: &Reloads) -> Option<Reload> {
        let (read, secrets) = self.read().await?;
        let set = match self.evaluate(read, reloads) {
            Ok(set) => Some(set),
            // A mistake in one mapping file does not keep the new secrets of others from being used.
            Err(_) => self.read_applied().await,
        };
        Some(Reload { secrets, set })
    }

    /// Changes a file, and returns what is to be applied. If the set cannot be applied, the file is as
    /// it was before, except for the correction of one of several mistaken files.
    pub(super) async fn change(
        &mut self,
        change: FileChange,
        reloads: &Reloads,
    ) -> Result<(Reload, ChangeMade), ChangeRefusal> {
        // The order may have ended the wait for files that a program is writing.
        self.watcher.rested().await;
        self.watcher.report();
        let failed = || ChangeRefusal::Conflict("the mapping files cannot be read now".to_owned());
        let written = match change {
            FileChange::Secret { path, secret, former } => {
                self.write_secret(path, secret, former).await?;
                let reload = self.read_all(reloads).await.ok_or_else(failed)?;
                return Ok((reload, ChangeMade::InService));
            }
            FileChange::Write { .. } | FileChange::Remove { .. } => self.make(change).await?,
        };
        // A file that was removed on purpose is not missed.
        self.applied.in_folder.retain(|file| !written.is_removed(file.path()));
        let (read, secrets) = self.read().await.ok_or_else(failed)?;
        match self.evaluate(read, reloads) {
            Ok(set) => Ok((Reload { secrets, set: Some(set) }, ChangeMade::InService)),
            Err(_) if !written.mistaken.is_empty() => {
                let made = ChangeMade::Waiting { mistaken: written.mistaken };
                Ok((Reload { secrets, set: None }, made))
            }
            Err(rejection) => {
                let undone = spawn_blocking(move || written.undo()).await;
                if let Ok(Err(error)) = undone {
                    warn!(%error, "a mapping file that cannot be used is not as before");
                }
                Err(ChangeRefusal::Conflict(format!(
                    "another file was changed at the same moment: {rejection}"
                )))
            }
        }
    }

    async fn write_secret(
        &self,
        path: PathBuf,
        secret: SecretString,
        former: Option<PathBuf>,
    ) -> Result<(), ChangeRefusal> {
        let written = spawn_blocking(move || change::write_secret(&path, &secret, former));
        let failed = |_| ChangeRefusal::Conflict("the secret was not written".to_owned());
        written.await.map_err(failed)?
    }

    async fn make(&self, change: FileChange) -> Result<ChangedFile, ChangeRefusal> {
        let (config, environment) = (self.config.clone(), Arc::clone(&self.environment));
        let destinations = Arc::clone(&self.destinations);
        let (mut missing, applied) = (self.missing.clone(), self.applied.clone());
        let made = spawn_blocking(move || {
            applied.ensure_folder();
            let read = FileSet::read(config.as_deref(), &environment, (&mut missing, &applied));
            let files = read.map_err(|error| ChangeRefusal::Conflict(error.to_string()))?;
            let scene = Scene { files, destinations: &destinations, environment: &environment };
            match change {
                FileChange::Write { source, text, expected, beside } => {
                    scene.write(&source, (&text, beside), &expected)
                }
                FileChange::Remove { source, expected } => scene.remove(&source, &expected),
                FileChange::Secret { .. } => Err(ChangeRefusal::NoFile),
            }
        });
        made.await.unwrap_or_else(|error| {
            error!(%error, "changing a mapping file failed (bug)");
            Err(ChangeRefusal::Conflict("the file was not written: internal error".to_owned()))
        })
    }

    fn watched_paths(&self) -> WatchedPaths {
        WatchedPaths {
            config: self.config.clone().unwrap_or_else(|| config::FILE.into()),
            mappings: self.folder.clone(),
        }
    }

    async fn read(&mut self) -> Option<(Result<ReadSet, ReloadError>, Vec<PurposedSecret>)> {
        // Before the files are read, so that a change while they are read is not missed.
        self.watcher.watch(&self.watched_paths());
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
        let files = ServedFiles { folder: self.folder.clone(), files: read.await.ok()? };
        Some(CheckedSet { files: files.into(), changes, changed_config: None })
    }

    fn is_as_before(&self, read: &Result<ReadSet, ReloadError>) -> bool {
        read.as_ref().map(|(file_set, _)| file_set) == self.last_read.as_ref()
    }

    fn evaluate(
        &mut self,
        read: Result<ReadSet, ReloadError>,
        reloads: &Reloads,
    ) -> Result<CheckedSet, ReloadError> {
        let last_read =
            read.as_ref().map(|(file_set, _)| file_set.clone()).map_err(ReloadError::clone);
        if let Ok(file_set) = &last_read
            && file_set.folder != self.folder
        {
            self.folder.clone_from(&file_set.folder);
            self.watcher.watch_instead(&self.watched_paths());
        }
        self.last_read = last_read;
        let checked = read.and_then(|set| self.checked(set));
        match &checked {
            Ok(_) => reloads.applied(clock::now()),
            Err(rejection) => {
                reloads.rejected(clock::now(), rejection.in_words());
                rejection.log();
                warn!("reload rejected, keeping the current mapping files: {rejection}");
            }
        }
        checked
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
        let files = ServedFiles { folder: file_set.folder, files };
        Ok(CheckedSet { files: files.into(), changes, changed_config })
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
