//! Takes what people wrote while the relay runs: the whole new set of mapping files, or nothing of it.

mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use super::CommandError;
use super::load::{self, Location};
use super::serve::Relay;
use crate::config::Config;
use crate::diagnostics::diagnostic::{Diagnostic, Document};
use crate::diagnostics::table::Diagnostics;
use crate::event::SourceName;
use crate::mapping_file::file::MappingFile;
use crate::secret::Environment;
use watch::{FileWatcher, WatchedPaths};

/// Looks at the files again at each SIGHUP, and whenever one changes.
pub(super) struct Reloader {
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
    taken: AppliedFiles,
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

type CheckedSet = (FileSet, Vec<MappingFile>);

impl Reloader {
    /// From here on no change is overlooked and no SIGHUP ends the process.
    pub(super) fn begin(
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
            folder: load::MAPPINGS.into(),
            taken: AppliedFiles::default(),
            found,
        };
        if let Ok(written) = &reload.found {
            reload.folder.clone_from(&written.folder);
            let files = written.sources(&reload.destinations, environment);
            reload.taken = AppliedFiles::of(written, &files);
        }
        reload.watch.begin(&reload.places());
        reload
    }

    /// Takes one new set after the other; does not end by itself.
    pub(super) async fn next(mut self, relay: &Relay) {
        loop {
            let occasion = tokio::select! {
                () = hangup(&mut self.hangups) => ReloadTrigger::Asked,
                () = self.watch.changed() => ReloadTrigger::Changed,
            };
            // Before the files are read, so that no change after it is overlooked.
            self.watch.begin(&self.places());
            if let Some(read) = self.read().await {
                self.judge(read, occasion, relay).await;
            }
        }
    }

    fn places(&self) -> WatchedPaths {
        WatchedPaths {
            config: self.config.clone().unwrap_or_else(|| load::CONFIG.into()),
            mappings: self.folder.clone(),
        }
    }

    /// Files may lie on a disk that hangs, so they are read apart from what answers signals.
    async fn read(&self) -> Option<Result<CheckedSet, ReloadError>> {
        let (config, environment) = (self.config.clone(), Arc::clone(&self.environment));
        let destinations = Arc::clone(&self.destinations);
        let read = spawn_blocking(move || {
            let written = FileSet::read(config.as_deref(), &environment)?;
            let files = written.sources(&destinations, &environment);
            Ok((written, files))
        });
        let read = read.await;
        if let Err(error) = &read {
            error!(%error, "reading the mapping files failed, the old ones stay: a bug of the relay");
        }
        read.ok()
    }

    async fn judge(
        &mut self,
        read: Result<CheckedSet, ReloadError>,
        occasion: ReloadTrigger,
        relay: &Relay,
    ) {
        let found = read.as_ref().map(|(written, _)| written.clone()).map_err(ReloadError::clone);
        if occasion == ReloadTrigger::Changed && found == self.found {
            return;
        }
        if let Ok(written) = &found
            && written.folder != self.folder
        {
            self.folder.clone_from(&written.folder);
            self.watch.move_to(&self.places());
        }
        self.found = found;
        match read.and_then(|set| self.fit(set)) {
            Ok((written, files)) => self.take(&written, &files, relay).await,
            Err(refusal) => {
                refusal.log();
                warn!("the mapping files are not taken, the old ones stay: {refusal}");
            }
        }
    }

    /// The set, if it can be taken whole.
    fn fit(&self, (written, files): CheckedSet) -> Result<CheckedSet, ReloadError> {
        if let (None, Some(config)) = (&written.config, &self.taken.config) {
            return Err(ReloadError::Unreadable(format!("{} is gone", config.name)));
        }
        let is_mistaken = |file: &MappingFile| file.mistakes.iter().any(Diagnostic::is_error);
        if files.iter().any(is_mistaken) {
            let mistaken = files.into_iter().filter(is_mistaken);
            let mistaken = mistaken.map(|file| (file.document, file.mistakes));
            return Err(ReloadError::Mistaken(mistaken.collect()));
        }
        Ok((written, files))
    }

    async fn take(&mut self, written: &FileSet, files: &[MappingFile], relay: &Relay) {
        let taken = AppliedFiles::of(written, files);
        relay.apply(files).await;
        info!("took the mapping files: {}", taken.changes_since(&self.taken));
        if let (Some(config), true) = (&taken.config, taken.config != self.taken.config) {
            let name = &config.name;
            warn!("{name} has changed: of it only `mappings` is taken now, the rest at a restart");
        }
        relay.warn_of_waiting(files).await;
        self.taken = taken;
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
        let document = load::config_file(config)?;
        let (config, _) =
            Config::read(document.clone(), environment).map_err(ReloadError::Mistaken)?;
        let mappings = Location::of(&config).documents()?;
        let folder = config.mappings.unwrap_or_else(|| load::MAPPINGS.into());
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
            load::log_mistakes(document, mistakes);
        }
    }
}

impl From<CommandError> for ReloadError {
    fn from(failure: CommandError) -> ReloadError {
        ReloadError::Unreadable(failure.to_string())
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
