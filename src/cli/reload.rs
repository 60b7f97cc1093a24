//! Takes what people wrote while the relay runs: the whole new set of mapping files, or nothing of it.

mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::event::SourceName;
use crate::mistake::{Document, Mistake};
use crate::secret::Environment;
use crate::sources::SourceFile;
use crate::table::Mistakes;

use super::Failure;
use super::load::{self, Shelf};
use super::serve::Relay;
use watch::{Places, Watch};

/// Looks at the files again at each SIGHUP, and whenever one changes.
pub(super) struct Reload {
    /// The configuration that is named on the command line.
    config: Option<PathBuf>,
    environment: Arc<Environment>,
    /// Those with which the relay runs: they change at a restart.
    destinations: Arc<[String]>,
    hangups: Option<Signal>,
    watch: Watch,
    /// Of the mapping files.
    folder: PathBuf,
    /// At the last look, whether it was taken or not.
    found: Result<Written, Refusal>,
    taken: Taken,
}

/// What people wrote, as it was on the disk at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Written {
    config: Option<Document>,
    /// Where the mapping files are, or would be.
    folder: PathBuf,
    mappings: Vec<Document>,
}

/// The texts under which the relay runs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Taken {
    config: Option<Document>,
    mappings: BTreeMap<SourceName, String>,
}

/// Why nothing of the new set is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    Unreadable(String),
    Mistaken(Vec<(Document, Mistakes)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    Asked,
    Changed,
}

type Set = (Written, Vec<SourceFile>);

impl Reload {
    /// From here on no change is overlooked and no SIGHUP ends the process.
    pub(super) fn begin(path: Option<&Path>, config: &Config, environment: &Environment) -> Reload {
        let hangups = signal(SignalKind::hangup());
        if let Err(error) = &hangups {
            warn!(%error, "SIGHUP cannot be watched: a reload happens only when a file changes");
        }
        let found = Written::read(path, environment);
        let destinations = config.destinations.keys().cloned().collect();
        let mut reload = Reload {
            config: path.map(Path::to_owned),
            environment: Arc::new(environment.clone()),
            destinations,
            hangups: hangups.ok(),
            watch: Watch::default(),
            folder: load::MAPPINGS.into(),
            taken: Taken::default(),
            found,
        };
        if let Ok(written) = &reload.found {
            reload.folder.clone_from(&written.folder);
            let files = written.sources(&reload.destinations, environment);
            reload.taken = Taken::of(written, &files);
        }
        reload.watch.begin(&reload.places());
        reload
    }

    /// Takes one new set after the other; does not end by itself.
    pub(super) async fn keep_up(mut self, relay: &Relay) {
        loop {
            let occasion = tokio::select! {
                () = hangup(&mut self.hangups) => Occasion::Asked,
                () = self.watch.changed() => Occasion::Changed,
            };
            // Before the files are read, so that no change after it is overlooked.
            self.watch.begin(&self.places());
            if let Some(read) = self.read().await {
                self.judge(read, occasion, relay).await;
            }
        }
    }

    fn places(&self) -> Places {
        Places {
            config: self.config.clone().unwrap_or_else(|| load::CONFIG.into()),
            mappings: self.folder.clone(),
        }
    }

    /// Files may lie on a disk that hangs, so they are read apart from what answers signals.
    async fn read(&self) -> Option<Result<Set, Refusal>> {
        let (config, environment) = (self.config.clone(), Arc::clone(&self.environment));
        let destinations = Arc::clone(&self.destinations);
        let read = spawn_blocking(move || {
            let written = Written::read(config.as_deref(), &environment)?;
            let files = written.sources(&destinations, &environment);
            Ok((written, files))
        });
        let read = read.await;
        if let Err(error) = &read {
            error!(%error, "reading the mapping files failed, the old ones stay: a bug of the relay");
        }
        read.ok()
    }

    async fn judge(&mut self, read: Result<Set, Refusal>, occasion: Occasion, relay: &Relay) {
        let found = read.as_ref().map(|(written, _)| written.clone()).map_err(Refusal::clone);
        if occasion == Occasion::Changed && found == self.found {
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
    fn fit(&self, (written, files): Set) -> Result<Set, Refusal> {
        if let (None, Some(config)) = (&written.config, &self.taken.config) {
            return Err(Refusal::Unreadable(format!("{} is gone", config.name)));
        }
        let is_mistaken = |file: &SourceFile| file.mistakes.iter().any(Mistake::is_error);
        if files.iter().any(is_mistaken) {
            let mistaken = files.into_iter().filter(is_mistaken);
            let mistaken = mistaken.map(|file| (file.document, file.mistakes));
            return Err(Refusal::Mistaken(mistaken.collect()));
        }
        Ok((written, files))
    }

    async fn take(&mut self, written: &Written, files: &[SourceFile], relay: &Relay) {
        let taken = Taken::of(written, files);
        relay.take(files).await;
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

impl Written {
    fn read(config: Option<&Path>, environment: &Environment) -> Result<Written, Refusal> {
        let document = load::config_file(config)?;
        let (config, _) = Config::read(document.clone(), environment).map_err(Refusal::Mistaken)?;
        let mappings = Shelf::of(&config).documents()?;
        let folder = config.mappings.unwrap_or_else(|| load::MAPPINGS.into());
        Ok(Written { config: document, folder, mappings })
    }

    /// With the secrets as they are now.
    fn sources(&self, destinations: &[String], environment: &Environment) -> Vec<SourceFile> {
        let known = || destinations.iter().map(String::as_str);
        let read = |document: &Document| {
            SourceFile::read(document.clone(), environment).sending_to(known())
        };
        self.mappings.iter().map(read).collect()
    }
}

impl Taken {
    fn of(written: &Written, files: &[SourceFile]) -> Taken {
        let text = |file: &SourceFile| Some((file.name.clone()?, file.document.text.clone()));
        let mappings = files.iter().filter_map(text).collect();
        Taken { config: written.config.clone(), mappings }
    }

    fn changes_since(&self, old: &Taken) -> String {
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

impl Refusal {
    fn log(&self) {
        let Refusal::Mistaken(read) = self else { return };
        for (document, mistakes) in read {
            load::log_mistakes(document, mistakes);
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        Refusal::Unreadable(failure.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unreadable(reason) => formatter.write_str(reason),
            Refusal::Mistaken(read) => {
                let errors = read.iter().flat_map(|(_, mistakes)| mistakes);
                let count = errors.filter(|mistake| mistake.is_error()).count();
                let names: Vec<&str> = read.iter().map(|(it, _)| it.name.as_str()).collect();
                let mistakes = if count == 1 { "mistake" } else { "mistakes" };
                write!(formatter, "{count} {mistakes} in {}", names.join(", "))
            }
        }
    }
}
