//! What the commands read: the configuration, the mapping files, payloads.

use std::path::Path;

use super::error::CommandError;
use super::output::{stderr_look, tell};
use crate::config::{self, Config};
use crate::diagnostics::report::show;
use crate::file;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::location::{Location, LocationError};
use crate::secret::Environment;

/// Of a payload, or what else is read whole; intake's own limit comes after.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// The configuration; its mistakes and warnings are shown.
pub(super) fn config(
    path: Option<&Path>,
    environment: &Environment,
) -> Result<Config, CommandError> {
    let (config, read) = match Config::read(config::document(path)?, environment) {
        Ok((config, read)) => (Ok(config), read),
        Err(read) => (Err(CommandError::AlreadyReported), read),
    };
    show_all(&read);
    config
}

/// As `config`, for a command that continues after mistakes; with the number of mistakes.
pub(super) fn config_in_part(
    path: Option<&Path>,
    environment: &Environment,
) -> Result<(Config, usize), CommandError> {
    let (config, read) = Config::read_in_part(config::document(path)?, environment);
    show_all(&read);
    let mistakes = read.iter().flat_map(|(_, mistakes)| mistakes);
    Ok((config, mistakes.filter(|mistake| mistake.is_error()).count()))
}

fn show_all(read: &config::ReadDocuments) {
    for (document, mistakes) in read.iter().filter(|(_, mistakes)| !mistakes.is_empty()) {
        tell(&format!("{}\n", show(document, mistakes, stderr_look())));
    }
}

/// The configured mapping files.
pub(super) fn mapping_files(
    config: &Config,
    environment: &Environment,
) -> Result<Vec<MappingFile>, LocationError> {
    Location::of(config.mappings.as_deref()).files(&config.destination_names(), environment)
}

/// One of them, by its source's name; or any other, by its path.
pub(super) fn mapping_file(
    name: &str,
    config: &Config,
    environment: &Environment,
) -> Result<MappingFile, LocationError> {
    let location = Location::of(config.mappings.as_deref());
    location.file(name, &config.destination_names(), environment)
}

/// A file's content, or that of standard input for `-`.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, CommandError> {
    Ok(file::read_named(path, BYTES_MAX)?)
}

/// A header on the command line.
pub(super) fn header(written: &str) -> Result<(String, String), String> {
    let (name, value) = written.split_once(':').ok_or("write it as NAME:VALUE")?;
    if name.trim().is_empty() {
        return Err("a header has a name".to_owned());
    }
    Ok((name.trim().to_lowercase(), value.trim().to_owned()))
}
