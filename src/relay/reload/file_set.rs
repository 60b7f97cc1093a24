//! The configuration and the mapping files as they were read, and how two readings differ.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use tokio::time::Instant;
use tracing::warn;

use super::missing_files::MissingFiles;
use crate::config::{self, Config};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::document::Document;
use crate::diagnostics::table::Diagnostics;
use crate::event::SourceName;
use crate::file::UnreadableFile;
use crate::mapping_file::file::{MappingFile, Origin};
use crate::mapping_file::location::{DIRECTORY, FoundFile, Location, LocationError, read_all};
use crate::secret::Environment;

/// The configuration and the mapping files, as they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileSet {
    pub(super) config: Option<Document>,
    /// The folder of the mapping files, which need not exist.
    pub(super) folder: PathBuf,
    /// Where they were found.
    location: Location,
    /// The files in the folder, and those that are missing there and do not count as gone yet.
    pub(super) in_folder: Vec<FoundFile>,
    /// All files in use: these and the bundled ones.
    mappings: Vec<FoundFile>,
}

/// The texts with which the relay runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AppliedFiles {
    pub(super) config: Option<Document>,
    pub(super) folder: PathBuf,
    pub(super) in_folder: Vec<FoundFile>,
    /// All files, to read their secrets once more.
    pub(super) found: Vec<FoundFile>,
    mappings: BTreeMap<SourceName, AppliedFile>,
}

/// Origin and text of a source's file.
type AppliedFile = (Origin, String);

/// Reason for which a new set is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReloadError {
    Unreadable(String),
    Mistaken(Vec<(Document, Diagnostics)>),
}

pub(super) type ReadSet = (FileSet, Vec<MappingFile>);

impl FileSet {
    /// Reads the configuration and the files, and adds those in service that are only missing for
    /// a moment.
    pub(super) fn read(
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
        Ok(FileSet { config: document, folder, location, in_folder, mappings })
    }

    /// Returns the file of a source.
    pub(super) fn of(&self, source: &SourceName) -> Option<&FoundFile> {
        self.mappings.iter().find(|file| file.source_name() == source.as_str())
    }

    /// Returns the set with another file of a source in the folder, or without one.
    pub(super) fn with(&self, path: &Path, text: Option<String>) -> FileSet {
        let mut in_folder = self.in_folder.clone();
        in_folder.retain(|file| Path::new(file.path()) != path);
        in_folder.extend(text.map(|text| FoundFile::with_text(path, text)));
        // In the order of a folder.
        in_folder.sort_by(|a, b| a.path().cmp(b.path()));
        let mappings = self.location.over_bundled(in_folder.clone());
        FileSet { in_folder, mappings, ..self.clone() }
    }

    /// Reads the mapping files, with the current secrets.
    pub(super) fn sources(
        &self,
        destinations: &[String],
        environment: &Environment,
    ) -> Vec<MappingFile> {
        let known: Vec<&str> = destinations.iter().map(String::as_str).collect();
        read_all(&self.mappings, &known, environment)
    }
}

impl AppliedFiles {
    /// Makes the folder if it was never there.
    // One that had files may be on a disk that is not mounted at the moment.
    pub(super) fn ensure_folder(&self) {
        if self.in_folder.is_empty() && !self.folder.as_os_str().is_empty() {
            // If that fails, reading it says why.
            let _ = std::fs::create_dir_all(&self.folder);
        }
    }

    pub(super) fn of(file_set: &FileSet, files: &[MappingFile]) -> AppliedFiles {
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

    pub(super) fn changes_since(&self, old: &AppliedFiles) -> String {
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
    pub(super) fn log(&self) {
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

impl ReloadError {
    /// Returns the first mistake with its place, and how many there are.
    pub(super) fn in_words(&self) -> String {
        let ReloadError::Mistaken(read) = self else { return self.to_string() };
        let errors = || {
            let of = |(document, mistakes): &'_ (Document, Diagnostics)| {
                let errors = mistakes.iter().filter(|mistake| mistake.is_error());
                errors.map(|mistake| placed(document, mistake)).collect::<Vec<_>>()
            };
            read.iter().flat_map(of)
        };
        match (errors().next(), errors().count()) {
            (Some(first), 1) => first,
            (Some(first), count) => format!("{first} (the first of {count} mistakes)"),
            (None, _) => self.to_string(),
        }
    }
}

fn placed(document: &Document, mistake: &Diagnostic) -> String {
    let (line, column) = mistake.line_and_column(document);
    format!("{}:{line}:{column}: {}", document.name, mistake.message)
}

/// Logs one line for each mistake, instead of the underlined text of a terminal.
pub(crate) fn log_mistakes(document: &Document, mistakes: &[Diagnostic]) {
    for mistake in mistakes {
        let help = mistake.help.as_deref();
        warn!(help, "{}", placed(document, mistake));
    }
}
