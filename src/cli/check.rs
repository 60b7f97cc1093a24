//! `check`: shows all mistakes of all files, and runs the tests of the mapping files.

mod json;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error::CommandError;
use super::{input, output as shown};
use crate::clock;
use crate::config::Config;
use crate::diagnostics::diagnostic::{self, Diagnostic};
use crate::diagnostics::document::Document;
use crate::diagnostics::report::show;
use crate::event::SourceName;
use crate::intake::payload::PayloadLimits;
use crate::intake::registry::SourceStatus;
use crate::mapping_file::difference;
use crate::mapping_file::expectations::Expectations;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::location::DIRECTORY;
use crate::mapping_file::readiness::{more_ready, ready_for_setup};
use crate::mapping_file::test_run::{self, ChangedTest};
use crate::secret::{Environment, PurposedSecret, Secret};
use json::CheckReport;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Mapping files (default: the configuration and all of its mapping files)
    files: Vec<PathBuf>,
    /// Accept what the tests of the mapping files give now: write it as what they expect
    #[arg(long)]
    update: bool,
    /// Print the mistakes with their places and corrections, and the results of the tests, as JSON
    #[arg(long, conflicts_with = "update")]
    json: bool,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), CommandError> {
    if arguments.json {
        return run_for_programs(arguments, environment);
    }
    let files = arguments.files.as_slice();
    let (config, mut found) = input::config_in_part(arguments.config.as_deref(), environment)?;
    let limits = config.intake.limits();
    let (sources, unreadable) = sources(files, &config, environment)?;
    found += unreadable;
    if sources.is_empty() && found == 0 {
        return Err(no_files());
    }
    // With mistakes in the configuration, other files than meant may have been read.
    let update = (arguments.update && found == 0).then(|| {
        // Of files that are not named too: a test of theirs may expect the same file.
        let others =
            if files.is_empty() { None } else { input::mapping_files(&config, environment).ok() };
        let others = others.unwrap_or_default();
        Expectations::beside(&sources.iter().chain(&others).collect::<Vec<_>>(), &limits)
    });
    let mut check = Check { limits, update };
    let ready = ready(&sources, arguments);
    let mut reports = Reports::default();
    let (own, wrong) = secrets(&config);
    found += wrong;
    let mut changed = Vec::new();
    for mut source in sources {
        let CheckedFile { shown, is_changed } = check.file(&mut source);
        found += source.mistakes.iter().filter(|mistake| mistake.is_error()).count();
        found += source.secrets.iter().filter(|secret| secret.wrong().is_some()).count();
        changed.extend(is_changed.then(|| source.document.name.clone()));
        reports.add(&source, &ready, &shown);
    }
    shown::print(&(own + &reports.text() + &advice(&changed, arguments)))?;
    if found == 0 { Ok(()) } else { Err(CommandError::AlreadyReported) }
}

/// Returns the sources that only wait to be set up, and are summed up.
fn ready(sources: &[MappingFile], arguments: &Arguments) -> BTreeSet<SourceName> {
    // Whoever names files wants to read about each of them.
    if arguments.files.is_empty() { ready_for_setup(sources) } else { BTreeSet::new() }
}

/// Reads the named files or the configured ones. Returns also the number of those that cannot be
/// read, each of which is reported.
fn sources(
    files: &[PathBuf],
    config: &Config,
    environment: &Environment,
) -> Result<(Vec<MappingFile>, usize), CommandError> {
    if files.is_empty() {
        return Ok((input::mapping_files(config, environment)?, 0));
    }
    let mappings = config.mappings.folder.as_deref().unwrap_or(Path::new(DIRECTORY));
    let read = |path: &PathBuf| {
        let file = MappingFile::read(read(path)?, environment);
        let file = file.with_samples_also_of(mappings.to_owned());
        Some(file.with_known_destinations(config.destination_names()))
    };
    let sources: Vec<MappingFile> = files.iter().filter_map(read).collect();
    let unreadable = files.len() - sources.len();
    Ok((sources, unreadable))
}

fn no_files() -> CommandError {
    let none = "there are no mapping files: the folder has none, and shipped_mappings leaves out \
                the bundled ones";
    CommandError::InvalidInput(none.to_owned())
}

/// Prints the findings as JSON.
fn run_for_programs(arguments: &Arguments, environment: &Environment) -> Result<(), CommandError> {
    let path = arguments.config.as_deref();
    let (config, read) = input::config_and_mistakes(path, environment)?;
    let mut report = CheckReport::of_configuration(&config, &read);
    let (sources, unreadable) = sources(&arguments.files, &config, environment)?;
    if sources.is_empty() && unreadable == 0 && !report.has_errors() {
        return Err(no_files());
    }
    let limits = config.intake.limits();
    let ready = ready(&sources, arguments);
    for mut source in sources {
        let is_ready = source.name.as_ref().is_some_and(|name| ready.contains(name));
        report.check(&mut source, &limits, is_ready);
    }
    shown::print_json(&report)?;
    let is_right = unreadable == 0 && !report.has_errors();
    if is_right { Ok(()) } else { Err(CommandError::AlreadyReported) }
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
    update: Option<Expectations>,
}

struct CheckedFile {
    shown: String,
    /// Whether only what its tests expect is not accepted.
    is_changed: bool,
}

impl Check {
    /// Runs the tests of a file, and adds to its mistakes what is wrong with them.
    fn file(&mut self, source: &mut MappingFile) -> CheckedFile {
        let results = test_run::run(source, &self.limits);
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
fn accept(update: &mut Expectations, changed: &[ChangedTest], source: &mut MappingFile) -> String {
    let mut lines = String::new();
    for path in update.accept(changed, &mut source.mistakes) {
        lines += &format!("wrote {}\n", shown::line(&path.display().to_string()));
    }
    lines
}

/// Formats what is wrong or doubtful about the secrets of the configuration, and counts what is wrong.
fn secrets(config: &Config) -> (String, usize) {
    let (mut lines, mut wrong) = (String::new(), 0);
    let mut shown_reasons = Vec::new();
    for PurposedSecret { secret, .. } in config.secrets() {
        if let Some(reason) = secret.wrong() {
            lines += &format!("error: {}\n", shown::line(reason));
            shown_reasons.push(reason.to_owned());
            wrong += 1;
        }
        if let Some(warning) = secret.warning() {
            lines += &format!("warning: {}\n", shown::line(&warning));
        }
    }
    let is_shown = |doubt: &String| shown_reasons.iter().any(|reason| doubt.contains(reason));
    for doubt in config.admin.doubts().iter().filter(|doubt| !is_shown(doubt)) {
        lines += &format!("warning: {}\n", shown::line(doubt));
    }
    (lines, wrong)
}

/// Reads a file; if that fails, prints the error and returns none.
fn read(path: &Path) -> Option<Document> {
    let read = Document::read(path);
    if let Err(error) = &read {
        shown::print_error(&shown::line(&error.to_string()));
    }
    read.ok()
}

/// What was found in the files, by how much a person wants to know it.
#[derive(Debug, Default)]
struct Reports {
    live: String,
    off: String,
    mistaken: String,
    /// Number of files that are right and whose sources wait to be set up.
    ready: usize,
}

impl Reports {
    fn add(&mut self, source: &MappingFile, ready: &BTreeSet<SourceName>, shown: &str) {
        let is_ready = source.name.as_ref().is_some_and(|name| ready.contains(name));
        let is_live = matches!(source.status(clock::now()), SourceStatus::Live(_));
        match source.mistakes.is_empty() {
            true if is_ready => self.ready += 1,
            true if is_live => self.live += shown,
            true => self.off += shown,
            // Last, since a terminal shows the end.
            false => self.mistaken += shown,
        }
    }

    fn text(self) -> String {
        let Reports { live, off, mistaken, ready } = self;
        let ready = if ready == 0 { String::new() } else { more_ready(ready) + "\n" };
        let right = live + &off + &ready;
        let gap = if right.is_empty() || mistaken.is_empty() { "" } else { "\n" };
        right + gap + &mistaken
    }
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
    let ok = if source.secrets.iter().any(|it| it.wrong().is_some()) { "wrong" } else { "ok" };
    let off = match source.status(clock::now()) {
        SourceStatus::Live(_) => String::new(),
        SourceStatus::AwaitingSecret(_) => " (waits for its provider's first request)".to_owned(),
        SourceStatus::Off { reason } => format!(" (off: {})", shown::line(&reason)),
    };
    let bundled = if source.is_bundled() { " (bundled)" } else { "" };
    lines += &format!("{}{bundled}: {ok}, {tests}{off}\n", shown::line(name));
    if let Some(note) = source.outdated_copy() {
        lines += &format!("  note: {note}\n");
    }
    for wrong in source.secrets.iter().filter_map(Secret::wrong) {
        lines += &format!("  error: {}\n", shown::line(wrong));
    }
    for weakness in source.weaknesses().into_iter().chain(source.secret_warnings()) {
        lines += &format!("  warning: {}\n", shown::line(weakness.as_ref()));
    }
    lines
}
