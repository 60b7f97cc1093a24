//! Checks of relay.toml, the mapping files and their secrets.

use std::path::Path;

use super::finding::Finding;
use crate::cli::check;
use crate::clock;
use crate::config::{self, Config};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::document::Document;
use crate::intake::registry::SourceStatus;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::location::{Location, LocationError};
use crate::secret::Environment;

const CONFIGURATION: &str = "configuration";
const MAPPINGS: &str = "mapping files";
const SOURCES: &str = "sources";

/// Reads the configuration; none if it cannot be used, so that nothing else can be checked.
pub(super) fn configuration(
    path: Option<&Path>,
    environment: &Environment,
    findings: &mut Vec<Finding>,
) -> Option<Config> {
    let file = match config::document(path) {
        Ok(file) => file,
        Err(error) => {
            findings.push(Finding::wrong(CONFIGURATION, error.to_string()));
            return None;
        }
    };
    let name = file.as_ref().map(|file| file.name.clone());
    let (config, read) = match Config::read(file, environment) {
        Ok((config, read)) => (Some(config), read),
        Err(read) => (None, read),
    };
    for (document, mistakes) in &read {
        findings.extend(mistakes.iter().map(|it| found(CONFIGURATION, document, it)));
    }
    if config.is_some() {
        let what = match name {
            Some(name) => format!("{name} and the environment have no mistakes"),
            None => {
                format!(
                    "there is no {} here; the defaults and the environment variables apply",
                    config::FILE
                )
            }
        };
        findings.push(Finding::ok(CONFIGURATION, what));
    }
    config
}

/// Converts a mistake, with its place and message.
// Without the line of the file that `check` shows: a secret may be in it, and the output of
// `doctor` is sent to others.
fn found(part: &'static str, document: &Document, mistake: &Diagnostic) -> Finding {
    let (line, column) = mistake.line_and_column(document);
    let text = format!("{}:{line}:{column}: {}", document.name, mistake.message);
    let finding =
        if mistake.is_error() { Finding::wrong(part, text) } else { Finding::warning(part, text) };
    match &mistake.help {
        Some(help) => finding.advice(help.clone()),
        None => finding,
    }
}

/// Checks the mapping files and runs their tests; returns those that could be read.
pub(super) fn sources(
    read: Result<Vec<MappingFile>, LocationError>,
    config: &Config,
    findings: &mut Vec<Finding>,
) -> Vec<MappingFile> {
    let mut files = match read {
        Ok(files) => files,
        Err(error) => {
            findings.push(Finding::wrong(MAPPINGS, error.to_string()));
            return Vec::new();
        }
    };
    let location = Location::of(config.mappings.as_deref());
    let limits = config.intake.limits();
    for file in &mut files {
        check::examine(file, &location, &limits);
        findings.extend(file.mistakes.iter().map(|it| found(MAPPINGS, &file.document, it)));
    }
    findings.push(count(&location, &files));
    statuses(&location, &files, findings);
    files
}

fn count(location: &Location, files: &[MappingFile]) -> Finding {
    let place = match location {
        Location::Directory(folder) => format!("in {}", folder.display()),
        Location::Bundled => "inside the program (there is no folder `mappings` here)".to_owned(),
    };
    let wrong = files.iter().filter(|file| file.mistakes.iter().any(Diagnostic::is_error)).count();
    match (files.len(), wrong) {
        (0, _) => Finding::wrong(MAPPINGS, format!("there are none {place}"))
            .advice("put one there for each tool; `savio-relay providers` lists the tools"),
        (all, 0) => Finding::ok(MAPPINGS, format!("{all} {place}, and their tests pass")),
        (all, wrong) => Finding::wrong(MAPPINGS, format!("{wrong} of {all} {place} have mistakes"))
            .advice("`savio-relay check` shows each mistake at its place"),
    }
}

fn statuses(location: &Location, files: &[MappingFile], findings: &mut Vec<Finding>) {
    let now = clock::now();
    let mut live = 0;
    let mut off = Vec::new();
    for (name, file) in files.iter().filter_map(|file| Some((file.name.as_ref()?, file))) {
        match file.status(now) {
            SourceStatus::Live(source) => {
                live += 1;
                let secrets = match source.keys.iter().filter(|key| key.is_valid_at(now)).count() {
                    0 => "no secret needed".to_owned(),
                    1 => "1 secret found".to_owned(),
                    many => format!("{many} secrets found"),
                };
                findings.push(Finding::ok(SOURCES, format!("{name} is live: {secrets}")));
                let warn = |it| Finding::warning(SOURCES, format!("{name}: {it}"));
                findings.extend(file.warnings(now).into_iter().map(warn));
            }
            SourceStatus::AwaitingSecret(_) => {
                live += 1;
                let found = format!("{name} waits for its provider to send the secret");
                let advice = "`serve` shows the address to register on a terminal; without one it is \
                    in the file setup-addresses beside the store";
                findings.push(Finding::warning(SOURCES, found).advice(advice));
            }
            // Of the bundled files, nobody uses more than a few: one line for all that are off.
            SourceStatus::Off { .. } if *location == Location::Bundled => off.push(name.as_str()),
            SourceStatus::Off { reason } => {
                findings.push(Finding::warning(SOURCES, format!("{name} is off: {reason}")));
            }
        }
    }
    if !off.is_empty() {
        let found =
            format!("{} are off, as their secrets are not set: {}", off.len(), off.join(", "));
        findings.push(Finding::ok(SOURCES, found));
    }
    if live == 0 {
        let advice =
            "set the secret of one; `secrets` in its mapping file says where it is looked for";
        findings.push(Finding::wrong(SOURCES, "no source is live").advice(advice));
    }
}
