//! Checks of relay.toml, the mapping files and their secrets.

use std::path::Path;

use super::finding::Finding;
use crate::clock;
use crate::config::{self, Config};
use crate::diagnostics::diagnostic::{self, Diagnostic};
use crate::diagnostics::document::Document;
use crate::intake::payload::PayloadLimits;
use crate::intake::registry::SourceStatus;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::location::{DIRECTORY, Location};
use crate::mapping_file::readiness::{more_ready, ready_for_setup};
use crate::mapping_file::test_run;
use crate::secret::{Environment, PurposedSecret};

/// Heading of all findings about the configuration.
pub(super) const CONFIGURATION: &str = "configuration";
const MAPPINGS: &str = "mapping files";
const SOURCES: &str = "sources";

/// Reads the configuration; none if it cannot be used, so that nothing else can be checked.
pub(crate) fn configuration(
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
    let (config, mut read) = match Config::read(file, environment) {
        Ok((config, read)) => (Some(config), read),
        Err(read) => (None, read),
    };
    if let Some(config) = &config {
        config.check_certificates(&mut read, clock::now());
    }
    for (document, mistakes) in &read {
        findings.extend(mistakes.iter().map(|it| found(CONFIGURATION, document, it)));
    }
    let is_right = !read.iter().flat_map(|(_, mistakes)| mistakes).any(Diagnostic::is_error);
    if let Some(config) = config.as_ref().filter(|_| is_right) {
        secrets(config, findings);
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

fn secrets(config: &Config, findings: &mut Vec<Finding>) {
    for PurposedSecret { secret, .. } in config.secrets() {
        let wrong = secret.wrong().map(|reason| Finding::wrong(CONFIGURATION, reason));
        let advice = "`serve` does not start before it is corrected";
        findings.extend(wrong.map(|finding| finding.advice(advice)));
        findings.extend(secret.warning().map(|it| Finding::warning(CONFIGURATION, it)));
    }
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

/// Reads the configured mapping files and runs their tests; returns those that could be read.
pub(crate) fn mapping_files(
    config: &Config,
    environment: &Environment,
    findings: &mut Vec<Finding>,
) -> Vec<MappingFile> {
    let location = Location::of(&config.mappings);
    let mut files = match location.files(&config.destination_names(), environment) {
        Ok(files) => files,
        Err(error) => {
            findings.push(Finding::wrong(MAPPINGS, error.to_string()));
            return Vec::new();
        }
    };
    let limits = config.intake.limits();
    for file in &mut files {
        examine(file, &limits);
        findings.extend(file.mistakes.iter().map(|it| found(MAPPINGS, &file.document, it)));
    }
    findings.push(count(&location, &files));
    for (file, note) in files.iter().filter_map(|file| Some((file, file.outdated_copy()?))) {
        findings.push(Finding::warning(MAPPINGS, format!("{}: {note}", file.document.name)));
    }
    files
}

/// Runs the file's tests and adds their failures to its mistakes.
fn examine(source: &mut MappingFile, limits: &PayloadLimits) {
    let results = test_run::run(source, limits);
    source.mistakes.extend(results.mistakes);
    let name = &source.document.name;
    let help = format!("`savio-relay check {name}` shows what differs, and how to accept it");
    let changed = results.changed.iter().map(|it| it.diagnostic().help(help.as_str()));
    source.mistakes.extend(changed.collect::<Vec<_>>());
    if !source.mistakes.iter().any(Diagnostic::is_error) {
        source.mistakes.extend(results.unreached);
    }
    diagnostic::limit(&source.document, &mut source.mistakes);
}

fn count(location: &Location, files: &[MappingFile]) -> Finding {
    let own = files.iter().filter(|file| !file.is_bundled()).count();
    let bundled = files.len() - own;
    let place = match (location.folder(), bundled) {
        (Some(folder), 0) => format!("{own} in {}", folder.display()),
        (Some(folder), _) => format!("{own} in {}, {bundled} bundled", folder.display()),
        (None, _) => format!("{bundled} bundled, since there is no folder `{DIRECTORY}` here"),
    };
    let wrong = files.iter().filter(|file| file.mistakes.iter().any(Diagnostic::is_error)).count();
    match (files.len(), wrong) {
        (0, _) => {
            Finding::wrong(MAPPINGS, "there are none: shipped_mappings leaves out the bundled ones")
                .advice("set shipped_mappings = true, or put one for each tool into the folder")
        }
        (_, 0) => Finding::ok(MAPPINGS, format!("{place}; their tests pass")),
        (all, wrong) => Finding::wrong(
            MAPPINGS,
            format!(
                "{wrong} of {all} {} mistakes ({place})",
                if wrong == 1 { "has" } else { "have" }
            ),
        )
        .advice("`savio-relay check` shows each mistake at its place")
        .command("savio-relay check"),
    }
}

/// Adds a finding for each source: first those that accept webhooks, then those that are off for a
/// reason that somebody has to know, and one for all bundled ones that only wait to be set up.
pub(crate) fn statuses(files: &[MappingFile], findings: &mut Vec<Finding>) {
    let now = clock::now();
    let ready = ready_for_setup(files);
    let (mut accepting, mut off) = (Vec::new(), Vec::new());
    for (name, file) in files.iter().filter_map(|file| Some((file.name.as_ref()?, file))) {
        match file.status(now) {
            SourceStatus::Live(source) => {
                let secrets = match source.keys.iter().filter(|key| key.is_valid_at(now)).count() {
                    0 => "no secret needed".to_owned(),
                    1 => "1 secret found".to_owned(),
                    many => format!("{many} secrets found"),
                };
                accepting.push(Finding::ok(SOURCES, format!("{name} is live: {secrets}")));
                let warn = |it| Finding::warning(SOURCES, format!("{name}: {it}"));
                accepting.extend(file.warnings(now).into_iter().map(warn));
            }
            SourceStatus::AwaitingSecret(_) => {
                let found = format!("{name} waits for its provider to send the secret");
                let advice = "`serve` shows the address to register on a terminal; without one it is \
                    in the file setup-addresses beside the store";
                accepting.push(Finding::warning(SOURCES, found).advice(advice));
            }
            SourceStatus::Off { .. } if ready.contains(name) => {}
            // Whoever renamed a copy of the bundled file wants it so.
            SourceStatus::Off { reason } if file.yields_to_folder() => {
                off.push(Finding::ok(SOURCES, format!("the bundled {name} is off: {reason}")));
            }
            SourceStatus::Off { reason } => {
                off.push(Finding::warning(SOURCES, format!("{name} is off: {reason}")));
            }
        }
    }
    let is_none_live = accepting.is_empty();
    findings.extend(accepting);
    findings.extend(off);
    findings.extend((!ready.is_empty()).then(|| Finding::ok(SOURCES, more_ready(ready.len()))));
    if is_none_live {
        let advice = "set the secret of one: `savio-relay providers` lists the bundled sources with \
            their secrets, and `savio-relay init NAME` prints how to set one up";
        let finding = Finding::wrong(SOURCES, "no source is live").advice(advice);
        findings.push(finding.command("savio-relay providers"));
    }
}
