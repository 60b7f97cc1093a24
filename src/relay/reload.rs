//! Takes what people wrote while the relay runs: the whole new set of mapping files, or nothing of it.

mod file_watcher;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use crate::config::{self, Config};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::document::Document;
use crate::diagnostics::table::Diagnostics;
use crate::event::SourceName;
use crate::file::UnreadableFile;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::location::{DIRECTORY, Location, LocationError};
use crate::secret::Environment;
use file_watcher::{FileWatcher, WatchedPaths};

/// Looks at the files again at each SIGHUP, and whenever one changes.
pub(crate) struct Reloader {
    /// The configuration that is named on the command line.
    config: Option<PathBuf>,
    environment: Arc<Environment>,
    /// Those with which the relay runs: they change at a restart.
    destinations: Arc<[String]>,
    hangups: Option<Signal>,
    watch: FileWatcher,
    /// Of the mapping files.
    folder: PathBuf,
    /// At the last look, whether it was taken or not.
    found: Result<FileSet, ReloadError>,
    applied: AppliedFiles,
}

/// What people wrote, as it was on the disk at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileSet {
    config: Option<Document>,
    /// Where the mapping files are, or would be.
    folder: PathBuf,
    mappings: Vec<Document>,
}

/// The texts under which the relay runs.
#[derive(Debug, Default, PartialEq, Eq)]
struct AppliedFiles {
    config: Option<Document>,
    mappings: BTreeMap<SourceName, String>,
}

/// Why nothing of the new set is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ReloadError {
    Unreadable(String),
    Mistaken(Vec<(Document, Diagnostics)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReloadTrigger {
    Asked,
    Changed,
}

type ReadSet = (FileSet, Vec<MappingFile>);

/// Mapping files without mistakes, which the relay is to apply.
pub(crate) struct CheckedSet {
    pub(super) files: Vec<MappingFile>,
    /// In comparison with those before.
    changes: String,
    /// The configuration's name, if it has changed as well.
    changed_config: Option<String>,
}

impl Reloader {
    /// From here on no change is overlooked and no SIGHUP ends the process.
    pub(crate) fn begin(
        path: Option<&Path>,
        config: &Config,
        environment: &Environment,
    ) -> Reloader {
        let hangups = signal(SignalKind::hangup());
        if let Err(error) = &hangups {
            warn!(%error, "SIGHUP cannot be watched: a reload happens only when a file changes");
        }
        let found = FileSet::read(path, environment);
        let destinations = config.destinations.keys().cloned().collect();
        let mut reload = Reloader {
            config: path.map(Path::to_owned),
            environment: Arc::new(environment.clone()),
            destinations,
            hangups: hangups.ok(),
            watch: FileWatcher::default(),
            folder: DIRECTORY.into(),
            applied: AppliedFiles::default(),
            found,
        };
        if let Ok(written) = &reload.found {
            reload.folder.clone_from(&written.folder);
            let files = written.sources(&reload.destinations, environment);
            reload.applied = AppliedFiles::of(written, &files);
        }
        reload.watch.begin(&reload.places());
        reload
    }

    /// The next set that has no mistakes; one with mistakes is only logged.
    pub(crate) async fn next(&mut self) -> CheckedSet {
        loop {
            let trigger = tokio::select! {
                () = hangup(&mut self.hangups) => ReloadTrigger::Asked,
                () = self.watch.changed() => ReloadTrigger::Changed,
            };
            // Before the files are read, so that no change after it is overlooked.
            self.watch.begin(&self.places());
            let Some(read) = self.read().await else { continue };
            if let Some(set) = self.judge(read, trigger) {
                return set;
            }
        }
    }

    fn places(&self) -> WatchedPaths {
        WatchedPaths {
            config: self.config.clone().unwrap_or_else(|| config::FILE.into()),
            mappings: self.folder.clone(),
        }
    }

    /// Files may lie on a disk that hangs, so they are read apart from what answers signals.
    async fn read(&self) -> Option<Result<ReadSet, ReloadError>> {
        let (config, environment) = (self.config.clone(), Arc::clone(&self.environment));
        let destinations = Arc::clone(&self.destinations);
        let read = spawn_blocking(move || {
            let written = FileSet::read(config.as_deref(), &environment)?;
            let files = written.sources(&destinations, &environment);
            Ok((written, files))
        });
        let read = read.await;
        if let Err(error) = &read {
            error!(%error, "reading the mapping files failed, keeping the current ones (bug)");
        }
        read.ok()
    }

    fn judge(
        &mut self,
        read: Result<ReadSet, ReloadError>,
        trigger: ReloadTrigger,
    ) -> Option<CheckedSet> {
        let found = read.as_ref().map(|(written, _)| written.clone()).map_err(ReloadError::clone);
        if trigger == ReloadTrigger::Changed && found == self.found {
            return None;
        }
        if let Ok(written) = &found
            && written.folder != self.folder
        {
            self.folder.clone_from(&written.folder);
            self.watch.move_to(&self.places());
        }
        self.found = found;
        match read.and_then(|set| self.checked(set)) {
            Ok(set) => Some(set),
            Err(refusal) => {
                refusal.log();
                warn!("reload rejected, keeping the current mapping files: {refusal}");
                None
            }
        }
    }

    /// The set, if it can be applied whole; from then on it is what later ones are compared with.
    fn checked(&mut self, (written, files): ReadSet) -> Result<CheckedSet, ReloadError> {
        if let (None, Some(config)) = (&written.config, &self.applied.config) {
            return Err(ReloadError::Unreadable(format!("{} is gone", config.name)));
        }
        let is_mistaken = |file: &MappingFile| file.mistakes.iter().any(Diagnostic::is_error);
        if files.iter().any(is_mistaken) {
            let mistaken = files.into_iter().filter(is_mistaken);
            let mistaken = mistaken.map(|file| (file.document, file.mistakes));
            return Err(ReloadError::Mistaken(mistaken.collect()));
        }
        let new = AppliedFiles::of(&written, &files);
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
            warn!("{name} has changed: of it only `mappings` is taken now, the rest at a restart");
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
    fn read(config: Option<&Path>, environment: &Environment) -> Result<FileSet, ReloadError> {
        let document = config::document(config)?;
        let (config, _) =
            Config::read(document.clone(), environment).map_err(ReloadError::Mistaken)?;
        let mappings = Location::of(config.mappings.as_deref()).documents()?;
        let folder = config.mappings.unwrap_or_else(|| DIRECTORY.into());
        Ok(FileSet { config: document, folder, mappings })
    }

    /// With the secrets as they are now.
    fn sources(&self, destinations: &[String], environment: &Environment) -> Vec<MappingFile> {
        let known = || destinations.iter().map(String::as_str);
        let read = |document: &Document| {
            MappingFile::read(document.clone(), environment).sending_to(known())
        };
        self.mappings.iter().map(read).collect()
    }
}

impl AppliedFiles {
    fn of(written: &FileSet, files: &[MappingFile]) -> AppliedFiles {
        let text = |file: &MappingFile| Some((file.name.clone()?, file.document.text.clone()));
        let mappings = files.iter().filter_map(text).collect();
        AppliedFiles { config: written.config.clone(), mappings }
    }

    fn changes_since(&self, old: &AppliedFiles) -> String {
        let mut changes = Vec::new();
        for (name, text) in &self.mappings {
            match old.mappings.get(name) {
                None => changes.push(format!("{name} is new")),
                Some(old) if old != text => changes.push(format!("{name} changed")),
                Some(_) => {}
            }
        }
        let gone = old.mappings.keys().filter(|name| !self.mappings.contains_key(*name));
        changes.extend(gone.map(|name| format!("{name} is gone")));
        if changes.is_empty() { "all are as before".to_owned() } else { changes.join(", ") }
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

/// One line of the log for each mistake, where nobody would see it underlined.
pub(crate) fn log_mistakes(document: &Document, mistakes: &[Diagnostic]) {
    for mistake in mistakes {
        let (line, column) = mistake.line_and_column(document);
        let place = format!("{}:{line}:{column}", document.name);
        let help = mistake.help.as_deref();
        warn!(help, "{place}: {}", mistake.message);
    }
}
