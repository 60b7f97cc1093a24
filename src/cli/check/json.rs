//! The findings of `check` as JSON.

use serde::Serialize;

use crate::config::{Config, ReadDocuments};
use crate::diagnostics::diagnostic::{self, Diagnostic};
use crate::diagnostics::view::DiagnosticView;
use crate::event::SourceName;
use crate::intake::payload::PayloadLimits;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::test_run::{self, ChangedTest};
use crate::mapping_file::test_view::TestView;
use crate::secret::{PurposedSecret, Secret};

/// All that was checked, by file.
#[derive(Debug, Serialize)]
pub(super) struct CheckReport {
    files: Vec<FileReport>,
    /// Secrets of the configuration that cannot be used.
    errors: Vec<String>,
    warnings: Vec<String>,
    /// Number of files that are right and not listed, since their sources only wait to be set up.
    ready: usize,
    #[serde(skip)]
    has_errors: bool,
}

#[derive(Debug, Default, Serialize)]
struct FileReport {
    file: String,
    /// Source of a mapping file; null for the configuration, or if the file's name is wrong.
    source: Option<SourceName>,
    mistakes: Vec<DiagnosticView>,
    tests: Vec<TestView>,
    /// Errors that have no place in the file, such as a secret that cannot be used.
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl CheckReport {
    /// Reports what is wrong with the configuration.
    pub(super) fn of_configuration(config: &Config, read: &ReadDocuments) -> CheckReport {
        let secrets: Vec<Secret> =
            config.secrets().into_iter().map(|PurposedSecret { secret, .. }| secret).collect();
        let errors = wrong(&secrets);
        let warnings = secrets.iter().filter_map(Secret::warning).collect();
        let has_errors = !errors.is_empty();
        let (files, ready) = (Vec::new(), 0);
        let mut report = CheckReport { files, errors, warnings, ready, has_errors };
        for (document, mistakes) in read {
            report.files.push(FileReport {
                file: document.name.clone(),
                mistakes: DiagnosticView::all(document, mistakes),
                ..FileReport::default()
            });
            report.has_errors |= mistakes.iter().any(Diagnostic::is_error);
        }
        report
    }

    /// Runs the tests of a mapping file and reports what is wrong with it. One that is ready to be set up is
    /// only counted, if it has no mistakes.
    pub(super) fn check(
        &mut self,
        source: &mut MappingFile,
        limits: &PayloadLimits,
        is_ready: bool,
    ) {
        let results = test_run::run(source, limits);
        let tests = TestView::all(source, &results);
        source.mistakes.extend(results.mistakes);
        source.mistakes.extend(results.changed.iter().map(ChangedTest::diagnostic));
        if !source.mistakes.iter().any(Diagnostic::is_error) {
            source.mistakes.extend(results.unreached);
        }
        diagnostic::limit(&source.document, &mut source.mistakes);
        if is_ready && source.mistakes.is_empty() {
            self.ready += 1;
            return;
        }
        let errors = wrong(&source.secrets);
        self.has_errors |= !errors.is_empty() || source.mistakes.iter().any(Diagnostic::is_error);
        let warnings = source.weaknesses().into_iter().chain(source.secret_warnings()).collect();
        self.files.push(FileReport {
            file: source.document.name.clone(),
            source: source.name.clone(),
            mistakes: DiagnosticView::all(&source.document, &source.mistakes),
            tests,
            errors,
            warnings,
        });
    }

    pub(super) fn has_errors(&self) -> bool {
        self.has_errors
    }
}

fn wrong(secrets: &[Secret]) -> Vec<String> {
    secrets.iter().filter_map(Secret::wrong).map(str::to_owned).collect()
}
