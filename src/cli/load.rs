//! Reads what the commands work on: the configuration, the mapping files, their samples.

use std::fs::File;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::CommandError;
use super::output::{stderr_look, tell};
use crate::config::{self, Config, DestinationConfigs};
use crate::diagnostics::diagnostic::{Diagnostic, Document};
use crate::diagnostics::report::show;
use crate::diagnostics::table::FILE_BYTES_MAX;
use crate::event::SourceName;
use crate::file::{self, FileError};
use crate::mapping_file::bundle;
use crate::mapping_file::file::MappingFile;
use crate::secret::Environment;

pub(super) const CONFIG: &str = "relay.toml";
pub(super) const MAPPINGS: &str = "mappings";

/// A payload, or what else is read whole; intake's own limit comes after.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// The configuration; its mistakes and warnings are shown.
pub(super) fn config(
    path: Option<&Path>,
    environment: &Environment,
) -> Result<Config, CommandError> {
    let file = config_file(path)?;
    let (config, read) = match Config::read(file, environment) {
        Ok((config, read)) => (Ok(config), read),
        Err(read) => (Err(CommandError::AlreadyReported), read),
    };
    show_all(&read);
    config
}

/// The same for whoever goes on after mistakes, of which it says how many there are.
pub(super) fn config_in_part(
    path: Option<&Path>,
    environment: &Environment,
) -> Result<(Config, usize), CommandError> {
    let (config, read) = Config::read_in_part(config_file(path)?, environment);
    show_all(&read);
    let mistakes = read.iter().flat_map(|(_, mistakes)| mistakes);
    Ok((config, mistakes.filter(|mistake| mistake.is_error()).count()))
}

/// The file that is named, else `relay.toml`, if it is there.
pub(super) fn config_file(path: Option<&Path>) -> Result<Option<Document>, CommandError> {
    match path {
        Some(path) => document(path).map(Some),
        None if Path::new(CONFIG).exists() => document(Path::new(CONFIG)).map(Some),
        None => Ok(None),
    }
}

fn show_all(read: &config::ReadDocuments) {
    for (document, mistakes) in read.iter().filter(|(_, mistakes)| !mistakes.is_empty()) {
        tell(&format!("{}\n", show(document, mistakes, stderr_look())));
    }
}

/// One line of the log for each mistake, where nobody would see it underlined.
pub(super) fn log_mistakes(document: &Document, mistakes: &[Diagnostic]) {
    for mistake in mistakes {
        let (line, column) = mistake.line_and_column(document);
        let place = format!("{}:{line}:{column}", document.name);
        let help = mistake.help.as_deref();
        warn!(help, "{place}: {}", mistake.message);
    }
}

/// Where mapping files and their samples are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    Folder(PathBuf),
    /// Inside the program.
    Shipped,
}

impl Location {
    /// The folder that is configured; else `mappings`, if it is there; else the shipped files.
    pub(super) fn of(config: &Config) -> Location {
        match &config.mappings {
            Some(folder) => Location::Folder(folder.clone()),
            None if Path::new(MAPPINGS).is_dir() => Location::Folder(PathBuf::from(MAPPINGS)),
            None => Location::Shipped,
        }
    }

    pub(super) fn sources(
        &self,
        config: &Config,
        environment: &Environment,
    ) -> Result<Vec<MappingFile>, CommandError> {
        let read = |document| source(document, &config.destinations, environment);
        Ok(self.documents()?.into_iter().map(read).collect())
    }

    /// The mapping files as they are written.
    pub(super) fn documents(&self) -> Result<Vec<Document>, CommandError> {
        match self {
            Location::Folder(folder) => in_folder(folder),
            Location::Shipped => Ok(bundle::mappings()),
        }
    }

    /// A source by its name here, or by the path of its mapping file.
    pub(super) fn source(
        &self,
        name: &str,
        (config, environment): (&Config, &Environment),
    ) -> Result<MappingFile, CommandError> {
        if Path::new(name).extension().is_some_and(|extension| extension == "toml") {
            return Ok(source(document(Path::new(name))?, &config.destinations, environment));
        }
        let mut files = self.sources(config, environment)?;
        let is_it = |file: &MappingFile| file.name.as_ref().is_some_and(|it| it.as_str() == name);
        let Some(at) = files.iter().position(is_it) else {
            let names: Vec<&str> =
                files.iter().flat_map(|it| &it.name).map(SourceName::as_str).collect();
            let known = names.join(", ");
            return Err(CommandError::InvalidInput(format!(
                "no source `{name}`; there are: {known}"
            )));
        };
        Ok(files.swap_remove(at))
    }

    /// A file that a mapping file names, by its path from there.
    pub(super) fn sample(&self, mapping: &Document, path: &str) -> Result<Vec<u8>, String> {
        match self {
            Location::Folder(_) => {
                let folder = Path::new(&mapping.name).parent().unwrap_or(Path::new(""));
                let path = folder.join(path);
                let read = file::read(&path, BYTES_MAX);
                read.map_err(|error| format!("{}: {error}", path.display()))
            }
            Location::Shipped => {
                let text = bundle::text(path).ok_or(format!("{path}: no such file"))?;
                Ok(text.as_bytes().to_vec())
            }
        }
    }
}

/// What the mapping file says, with the destinations that there are.
pub(super) fn source(
    document: Document,
    destinations: &DestinationConfigs,
    environment: &Environment,
) -> MappingFile {
    MappingFile::read(document, environment).sending_to(destinations.keys().map(String::as_str))
}

/// A header on the command line.
pub(super) fn header(written: &str) -> Result<(String, String), String> {
    let (name, value) = written.split_once(':').ok_or("write it as NAME:VALUE")?;
    if name.trim().is_empty() {
        return Err("a header has a name".to_owned());
    }
    Ok((name.trim().to_lowercase(), value.trim().to_owned()))
}

/// A file's text. What is not UTF-8 shows as U+FFFD, and the file as one with mistakes.
pub(super) fn document(path: &Path) -> Result<Document, CommandError> {
    let bytes = stream(path, FILE_BYTES_MAX).map_err(unread(path))?;
    Ok(document_of(path, &bytes))
}

fn document_of(path: &Path, bytes: &[u8]) -> Document {
    let text = String::from_utf8_lossy(bytes).into_owned();
    Document { name: path.display().to_string(), text }
}

/// A file's content, or that of standard input for `-`.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, CommandError> {
    stream(path, BYTES_MAX).map_err(unread(path))
}

/// What a person names on the command line may be a pipe as well.
fn stream(path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
    if path == Path::new("-") {
        return file::read_stream(std::io::stdin(), bytes_max);
    }
    file::read_stream(File::open(path)?, bytes_max)
}

fn unread(path: &Path) -> impl Fn(FileError) -> CommandError {
    let path = path.display().to_string();
    move |error| CommandError::InvalidInput(format!("{path}: {error}"))
}

fn in_folder(folder: &Path) -> Result<Vec<Document>, CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::InvalidInput(format!("{}: {error}", folder.display()))
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &PathBuf| {
        let bytes = file::read(path, FILE_BYTES_MAX).map_err(unread(path))?;
        Ok(document_of(path, &bytes))
    };
    paths.iter().map(read).collect()
}
