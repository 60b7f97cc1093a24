//! `check`: shows all mistakes of all files, and runs the tests of the mapping files.

mod difference;
mod test_run;
mod update;

use std::path::{Path, PathBuf};

use super::error::CommandError;
use super::{input, output as shown};
use crate::clock;
use crate::diagnostics::diagnostic::{self, Diagnostic};
use crate::diagnostics::document::Document;
use crate::diagnostics::report::show;
use crate::intake::payload::PayloadLimits;
use crate::intake::registry::SourceStatus;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::location::Location;
use crate::secret::Environment;
use test_run::ChangedTest;
use update::Update;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Mapping files (default: the configuration and all of its mapping files)
    files: Vec<PathBuf>,
    /// Accept what the tests of the mapping files give now: write it as what they expect
    #[arg(long)]
    update: bool,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), CommandError> {
    let files = arguments.files.as_slice();
    let (config, mut found) = input::config_in_part(arguments.config.as_deref(), environment)?;
    let limits = config.intake.limits();
    let location = Location::of(config.mappings.as_deref());
    let (location, sources) = match files {
        [] => (location.clone(), location.files(&config.destination_names(), environment)?),
        files => {
            let read = |path: &PathBuf| {
                let document = read(path)?;
                let file = MappingFile::read(document, environment);
                Some(file.with_known_destinations(config.destination_names()))
            };
            let sources: Vec<MappingFile> = files.iter().filter_map(read).collect();
            found += files.len() - sources.len();
            (Location::Directory(PathBuf::new()), sources)
        }
    };
    if sources.is_empty() && found == 0 {
        return Err(CommandError::InvalidInput("there are no mapping files".to_owned()));
    }
    // With mistakes in the configuration, other files than meant may have been read.
    let mut check =
        Check { limits, update: (arguments.update && found == 0).then(Update::default) };
    let mut text = String::new();
    let mut changed = Vec::new();
    for mut source in sources {
        let CheckedFile { shown, is_changed } = check.file(&mut source, &location);
        found += source.mistakes.iter().filter(|mistake| mistake.is_error()).count();
        changed.extend(is_changed.then(|| source.document.name.clone()));
        text += &shown;
    }
    text += &advice(&changed, arguments);
    shown::print(&text)?;
    if found == 0 { Ok(()) } else { Err(CommandError::AlreadyReported) }
}

/// Returns the command that accepts what the tests give now; empty if no result is waiting for it.
fn advice(changed: &[String], arguments: &Arguments) -> String {
    // More names would be longer than the command without them, which does the same.
    const NAMES_MAX: usize = 3;
    if changed.is_empty() || arguments.update {
        return String::new();
    }
    let mut command = "savio-relay check --update".to_owned();
    if let Some(config) = &arguments.config {
        command += &format!(" --config {}", config.display());
    }
    if changed.len() <= NAMES_MAX || !arguments.files.is_empty() {
        command += &format!(" {}", changed.join(" "));
    }
    format!("If what is given now is right, accept it: {}\n", shown::line(&command))
}

/// Checks one mapping file after the other.
struct Check {
    limits: PayloadLimits,
    /// `None` if nothing is accepted.
    update: Option<Update>,
}

struct CheckedFile {
    shown: String,
    /// Whether only what its tests expect is not accepted.
    is_changed: bool,
}

impl Check {
    /// Runs the tests of a file, and adds to its mistakes what is wrong with them.
    fn file(&mut self, source: &mut MappingFile, location: &Location) -> CheckedFile {
        let results = test_run::run(source, location, &self.limits);
        source.mistakes.extend(results.mistakes);
        let has_mistakes = source.mistakes.iter().any(Diagnostic::is_error);
        let mut after = String::new();
        for changed in &results.changed {
            after += &format!("{}\n", difference::show(changed, shown::stdout_style()));
        }
        let mut is_changed = !results.changed.is_empty() && !has_mistakes;
        match &mut self.update {
            Some(update) if is_changed => {
                after += &accept(update, &results.changed, source);
                is_changed = false;
            }
            Some(_) if has_mistakes && !results.changed.is_empty() => {
                let name = shown::line(&source.document.name);
                after += &format!("nothing is written for {name}: correct its mistakes first\n\n");
            }
            _ => source.mistakes.extend(results.changed.iter().map(ChangedTest::diagnostic)),
        }
        if !source.mistakes.iter().any(Diagnostic::is_error) {
            source.mistakes.extend(results.unreached);
        }
        diagnostic::limit(&source.document, &mut source.mistakes);
        CheckedFile { shown: report(source, &after), is_changed }
    }
}

/// Writes what the tests give now, and says for each file that it was written.
fn accept(update: &mut Update, changed: &[ChangedTest], source: &mut MappingFile) -> String {
    let mut lines = String::new();
    for path in update.accept(changed, &mut source.mistakes) {
        lines += &format!("wrote {}\n", shown::line(&path.display().to_string()));
    }
    lines
}

/// Runs the file's tests and adds their failures to its mistakes.
pub(super) fn examine(source: &mut MappingFile, location: &Location, limits: &PayloadLimits) {
    let results = test_run::run(source, location, limits);
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

/// Reads a file; if that fails, prints the error and returns none.
fn read(path: &Path) -> Option<Document> {
    let read = Document::read(path);
    if let Err(error) = &read {
        shown::print_error(&shown::line(&error.to_string()));
    }
    read.ok()
}

/// Formats the mistakes of a file and what belongs to them, and one line if it has no errors.
fn report(source: &MappingFile, after: &str) -> String {
    let name = &source.document.name;
    let mut lines = String::new();
    if !source.mistakes.is_empty() {
        lines += &show(&source.document, &source.mistakes, shown::stdout_style());
        lines += "\n\n";
    }
    lines += after;
    if source.mistakes.iter().any(Diagnostic::is_error) {
        return lines;
    }
    let tests = match source.tests.len() {
        0 => "no tests".to_owned(),
        1 => "1 test".to_owned(),
        many => format!("{many} tests"),
    };
    let off = match source.status(clock::now()) {
        SourceStatus::Live(_) => String::new(),
        SourceStatus::AwaitingSecret(_) => " (waits for its provider's first request)".to_owned(),
        SourceStatus::Off { reason } => format!(" (off: {})", shown::line(&reason)),
    };
    lines += &format!("{}: ok, {tests}{off}\n", shown::line(name));
    for weakness in source.weaknesses() {
        lines += &format!("  warning: {}\n", shown::line(weakness.as_ref()));
    }
    lines
}
