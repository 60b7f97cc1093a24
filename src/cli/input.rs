//! Input of commands: the configuration, mapping files, payloads.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use super::error::CommandError;
use super::output::{print_error, stderr_style};
use crate::config::{self, Config};
use crate::diagnostics::report::show;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::location::{Location, LocationError};
use crate::secret::Environment;
use crate::{clock, file, json, listener};

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

/// Reads the configuration of a relay that is to start, with the files of its certificates.
pub(super) fn config_to_serve(
    path: Option<&Path>,
    environment: &Environment,
) -> Result<Config, CommandError> {
    let (config, mistakes) = config_in_part(path, environment)?;
    if mistakes == 0 { Ok(config) } else { Err(CommandError::AlreadyReported) }
}

/// Reads as much of the configuration as is valid, with the files of its certificates, prints its
/// mistakes, and returns their number.
// `check` should show the mistakes of mapping files in the same run.
pub(super) fn config_in_part(
    path: Option<&Path>,
    environment: &Environment,
) -> Result<(Config, usize), CommandError> {
    let (config, read) = config_and_mistakes(path, environment)?;
    show_all(&read);
    let mistakes = read.iter().flat_map(|(_, mistakes)| mistakes);
    Ok((config, mistakes.filter(|mistake| mistake.is_error()).count()))
}

/// Reads as much of the configuration as is valid, with the files of its certificates, and its
/// mistakes.
pub(super) fn config_and_mistakes(
    path: Option<&Path>,
    environment: &Environment,
) -> Result<(Config, config::ReadDocuments), CommandError> {
    let (config, mut read) = Config::read_in_part(config::document(path)?, environment);
    config.check_certificates(&mut read, clock::now());
    Ok((config, read))
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

/// Returns the address at which this machine reaches a server that listens there; none if that
/// leaves the port open.
pub(super) fn local_address(listen: SocketAddr) -> Option<SocketAddr> {
    (listen.port() != 0).then(|| listener::local_address(listen))
}

/// Reads a file, or standard input for `-`.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, CommandError> {
    Ok(file::read_named(path, BYTES_MAX)?)
}

/// Parses the content of a JSON file.
pub(super) fn json(path: &Path, bytes: &[u8]) -> Result<Value, CommandError> {
    if json::is_utf16(bytes) {
        return Err(unreadable(path, "it is UTF-16: save it as UTF-8"));
    }
    let parsed = serde_json::from_slice(&json::repaired(bytes));
    parsed.map_err(|error| unreadable(path, &format!("not JSON: {error}")))
}

/// Returns the error of a file with this mistake. A place at the end of the parser's reason moves to
/// the name of the file, where editors look for it.
pub(super) fn unreadable(path: &Path, reason: &str) -> CommandError {
    let is_stdin = path == Path::new("-");
    let name = if is_stdin { "standard input".into() } else { path.display().to_string() };
    let place = reason.rsplit_once(" at line ").and_then(|(reason, place)| {
        let (line, column) = place.split_once(" column ")?;
        Some((reason, line.parse::<u64>().ok()?, column.parse::<u64>().ok()?))
    });
    CommandError::InvalidInput(match place {
        Some((reason, line, column)) => format!("{name}:{line}:{column}: {}", explained(reason)),
        None => format!("{name}: {reason}"),
    })
}

/// Returns the parser's reason in the words of somebody who wrote or copied the file.
fn explained(reason: &str) -> String {
    let Some(reason) = reason.strip_prefix("not JSON: ") else { return reason.to_owned() };
    let explained = match reason {
        _ if reason.starts_with("EOF while parsing") => {
            "it ends in the middle of a value: was it copied whole?"
        }
        "trailing characters" => "something follows after the value: one payload is expected",
        "expected value" => "no value begins here: a text needs double quotation marks",
        "key must be a string" => "a name in double quotation marks is expected here",
        other => other,
    };
    format!("not JSON: {explained}")
}

/// Parses a header on the command line. The name becomes lower-case.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as NAME:VALUE")?;
    if name.trim().is_empty() {
        return Err("a header has a name".to_owned());
    }
    Ok((name.trim().to_lowercase(), value.trim().to_owned()))
}
