//! Input of commands: the configuration, mapping files, payloads.

use std::path::Path;

use super::error::CommandError;
use super::output::{print_error, stderr_style};
use crate::config::{self, Config};
use crate::diagnostics::report::show;
use crate::file;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::location::{Location, LocationError};
use crate::secret::Environment;

/// Largest file or standard input that is read. The limits of intake apply after that.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Reads the configuration, and prints its mistakes and warnings.
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

/// Reads as much of the configuration as is valid, prints its mistakes, and returns their number.
// `check` should show the mistakes of mapping files in the same run.
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
        print_error(&format!("{}\n", show(document, mistakes, stderr_style())));
    }
}

/// Reads the configured mapping files.
pub(super) fn mapping_files(
    config: &Config,
    environment: &Environment,
) -> Result<Vec<MappingFile>, LocationError> {
    Location::of(&config.mappings).files(&config.destination_names(), environment)
}

/// Reads a configured mapping file by the name of its source, or any other by its path.
pub(super) fn mapping_file(
    name: &str,
    config: &Config,
    environment: &Environment,
) -> Result<MappingFile, LocationError> {
    let location = Location::of(&config.mappings);
    location.file(name, &config.destination_names(), environment)
}

/// Reads a file, or standard input for `-`.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, CommandError> {
    Ok(file::read_named(path, BYTES_MAX)?)
}

/// Parses a header on the command line. The name becomes lower-case.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as NAME:VALUE")?;
    if name.trim().is_empty() {
        return Err("a header has a name".to_owned());
    }
    Ok((name.trim().to_lowercase(), value.trim().to_owned()))
}
