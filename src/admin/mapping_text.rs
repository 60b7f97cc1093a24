//! Texts of mapping files that the API shows or is given: what is in the folder now, and what a new
//! text would be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::access::ApiCaller;
use super::error::ApiError;
use super::mistakes::errors;
use super::role::Role;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::document::{Document, FILE_BYTES_MAX};
use crate::diagnostics::view::DiagnosticView;
use crate::event::SourceName;
use crate::file;
use crate::intake::payload::PayloadLimits;
use crate::mapping_file::bundle;
use crate::mapping_file::expectations::Expectations;
use crate::mapping_file::file::{MappingFile, Origin};
use crate::mapping_file::new_text::secrets_place;
use crate::mapping_file::proof::{NamedSecret, Proof};
use crate::mapping_file::secrets_folder::SecretsFolder;
use crate::mapping_file::served::{ServedFiles, digest};
use crate::mapping_file::test_run::{self, ChangedTest, TestResults};
use crate::secret::SecretLocation;

/// Time after which no further test of a text begins.
const TESTS_TIME_MAX: Duration = Duration::from_secs(10);

/// The text of a source's mapping file, as it is now.
#[derive(Debug)]
pub(super) struct CurrentText {
    pub(super) text: String,
    pub(super) digest: String,
    /// Its path; none for the bundled text.
    pub(super) file: Option<PathBuf>,
    pub(super) has_bundled: bool,
    /// Digest of the text in service.
    pub(super) in_service: Option<String>,
    /// Reason why the relay cannot write the file.
    pub(super) not_writable: Option<String>,
}

impl CurrentText {
    /// Reads the file in the folder. One that is missing there is the one in service.
    pub(super) fn read(served: &ServedFiles, source: &SourceName) -> Result<CurrentText, ApiError> {
        let path = served.path(source);
        let own = served.of(source);
        let in_service = own.map(|file| digest(file.document.text.as_bytes()));
        let has_bundled = bundle::of(source.as_str()).is_some();
        let not_writable = file::check_replaceable(&path).err();
        let (bytes, file) = if path.exists() || path.is_symlink() {
            let read = file::read(&path, FILE_BYTES_MAX);
            let unreadable = |error| format!("{}: {error}", path.display());
            (read.map_err(|error| ApiError::Conflict(unreadable(error)))?, Some(path))
        } else {
            let none = || ApiError::NotFound(format!("the source {source} has no mapping"));
            let own = own.ok_or_else(none)?;
            let is_in_folder = own.origin == Origin::Disk;
            (own.document.text.clone().into_bytes(), is_in_folder.then_some(path))
        };
        let digest = digest(&bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(CurrentText { text, digest, file, has_bundled, in_service, not_writable })
    }
}

/// Returns the digest of a text.
pub(super) fn digest_of(text: &str) -> String {
    digest(text.as_bytes())
}

/// A text without mistakes that is to be the file of a source.
#[derive(Debug)]
pub(super) struct CheckedText {
    file: MappingFile,
    results: TestResults,
    /// Expectations of other mapping files of the folder, each with the name of one of these.
    of_others: BTreeMap<PathBuf, String>,
}

impl CheckedText {
    /// Checks the text alone, and runs its tests. No variable or secret that it names is read.
    pub(super) fn new(
        (served, source): (&ServedFiles, &SourceName),
        text: String,
        limits: &PayloadLimits,
    ) -> Result<CheckedText, ApiError> {
        let name = served.path(source).display().to_string();
        let file = MappingFile::of_text(Document { name, text });
        let file = file.with_samples_of(Some(&served.folder));
        if file.mistakes.iter().any(Diagnostic::is_error) {
            return Err(ApiError::Mistaken(errors(&file.document, &file.mistakes)));
        }
        let end = Instant::now() + TESTS_TIME_MAX;
        let results = test_run::run_until(&file, limits, Some(end));
        Ok(CheckedText { file, results, of_others: expected_by_others(served, source) })
    }

    /// Returns what a person should know, although the text is right.
    pub(super) fn warnings(&self) -> Vec<DiagnosticView> {
        let help = "send \"update_tests\": true to accept what they give now";
        let changed: Vec<Diagnostic> =
            self.results.changed.iter().map(|test| test.diagnostic().help(help)).collect();
        self.views(&changed)
    }

    /// Returns the warning that this text has switched its source off, for this reason.
    pub(super) fn off_warning(&self, reason: &str, secrets: &SecretsFolder) -> Vec<DiagnosticView> {
        let place = secrets_place(&self.file.document.text);
        let name = self.file.name.as_ref().map_or("the source", SourceName::as_str);
        let message = format!("{name} is off now and refuses webhooks (503): {reason}");
        let mut warning = Diagnostic::warning(place, message);
        let kept = self.file.name.as_ref().map(|source| secrets.current(source));
        if self.file.proof.secrets.iter().any(|it| Some(&it.location) == kept.as_ref()) {
            warning = warning.help(format!("set it with PUT /api/v1/sources/{name}/secret"));
        }
        DiagnosticView::all(&self.file.document, &[warning])
    }

    /// Returns the warning that this text waits for these files.
    pub(super) fn waiting_warning(&self, mistaken: &[String]) -> Vec<DiagnosticView> {
        waiting_warning(&self.file.document, mistaken)
    }

    /// Writes what its tests give now as what they expect. Returns the paths of the files that were
    /// written, and the warnings that are left.
    pub(super) fn write_expectations(&self) -> (Vec<DiagnosticView>, Vec<String>) {
        let is_json = |test: &ChangedTest| {
            Path::new(&test.test.expect.text).extension().is_some_and(|it| it == "json")
        };
        let mut left: Vec<Diagnostic> = Vec::new();
        for test in &self.results.changed {
            let other = test.file.as_ref().and_then(|path| self.of_others.get(path));
            if let Some(other) = other {
                let help = format!(
                    "{other} expects the same: give this test a file of its own in `expect`"
                );
                left.push(test.diagnostic().help(help));
            } else if !is_json(test) {
                let help = "by the API only files that end in .json are written";
                left.push(test.diagnostic().help(help));
            }
        }
        let mut written = Vec::new();
        if left.is_empty() {
            let paths = Expectations::default().accept(&self.results.changed, &mut left);
            written.extend(paths.iter().map(|path| path.display().to_string()));
        }
        (self.views(&left), written)
    }

    fn views(&self, of_tests: &[Diagnostic]) -> Vec<DiagnosticView> {
        let TestResults { mistakes, unreached, .. } = &self.results;
        let all = self.file.mistakes.iter().chain(mistakes).chain(of_tests).chain(unreached);
        // The file is in service: what its tests find does not keep it from being used.
        let all: Vec<Diagnostic> = all.cloned().map(Diagnostic::as_warning).collect();
        DiagnosticView::all(&self.file.document, &all)
    }
}

/// Returns the warning that a file without mistakes waits for these, which have some.
pub(super) fn waiting_warning(document: &Document, mistaken: &[String]) -> Vec<DiagnosticView> {
    let message = format!(
        "it is not in service yet: {} cannot be used, and a set of mapping files is put into service as a whole",
        mistaken.join(", ")
    );
    let warning = Diagnostic::warning(0..0, message).help("correct that next");
    DiagnosticView::all(document, &[warning])
}

/// Returns what the tests of other mapping files of the folder expect.
fn expected_by_others(served: &ServedFiles, source: &SourceName) -> BTreeMap<PathBuf, String> {
    let is_other =
        |file: &&MappingFile| file.origin == Origin::Disk && file.name.as_ref() != Some(source);
    let others = served.files.iter().filter(is_other);
    let expected = others.flat_map(|file| {
        let paths = file.tests.iter().filter_map(|test| file.test_path(&test.expect.text));
        paths.map(|path| (path, file.document.name.clone()))
    });
    expected.collect()
}

/// Decides who may save a text.
#[derive(Debug)]
pub(super) struct Guard<'g> {
    pub(super) caller: &'g ApiCaller,
    pub(super) served: &'g ServedFiles,
    pub(super) secrets: &'g SecretsFolder,
    /// The secrets of the source in that folder that have a file.
    pub(super) existing: Vec<SecretLocation>,
}

impl Guard<'_> {
    /// Returns the keys that change who sends to the source or where its events go. Fails if there
    /// are such and the caller may not change them. `current` is the text that is replaced.
    // A person who may edit mappings could otherwise let the relay accept what anybody sends, check
    // requests with any secret of the machine, or send customers' data to another account.
    pub(super) fn check(
        &self,
        source: &SourceName,
        text: &CheckedText,
        current: &CurrentText,
    ) -> Result<Vec<&'static str>, ApiError> {
        let new = &text.file.proof;
        let mut parts = Vec::new();
        // The one in service, and the one in the folder, which may not be in service yet.
        if let Some(own) = self.served.of(source) {
            parts.extend(new.differences(&own.proof));
        }
        let name = format!("{source}.toml");
        let on_disk = MappingFile::of_text(Document { name, text: current.text.clone() });
        parts.extend(new.differences(&on_disk.proof));
        parts.sort_unstable();
        parts.dedup();
        // A file that no text named so far may be the secret of something else.
        let named = self.served.of(source).map_or(&[][..], |own| own.proof.secrets.as_slice());
        let named = || named.iter().chain(&on_disk.proof.secrets);
        let is_found = |it: &&NamedSecret| {
            self.existing.contains(&it.location) && named().all(|own| own.location != it.location)
        };
        let found = new.secrets.iter().find(is_found);
        let may_all = self.caller.require(Role::Everything).is_ok();
        let is_excepted = found.is_none() && self.is_of_bundled_provider(source, new);
        if may_all || parts.is_empty() || is_excepted {
            return Ok(parts);
        }
        let advice = if let Some(found) = found {
            let place = found.location.reference();
            format!(
                "ask the holder of admin.token, since \"{place}\" was not made by the relay for {source}"
            )
        } else if parts == ["destination"] {
            "ask the holder of admin.token".to_owned()
        } else {
            format!(
                "ask the holder of admin.token, or name a bundled provider without a [signature] of \
                 its own, and its secret as \"{}\"",
                self.secrets.current(source).reference()
            )
        };
        Err(ApiError::ForbiddenParts { who: self.caller.to_string(), parts, advice })
    }

    /// Returns whether requests are proved as a bundled provider proves them, by secrets of this
    /// source that the relay keeps.
    fn is_of_bundled_provider(&self, source: &SourceName, proof: &Proof) -> bool {
        let Some(provider) = &proof.provider else { return false };
        let is_kept = |it: &NamedSecret| self.secrets.holds(source, &it.location);
        // Its text is what the file would be that says nothing else.
        let name = format!("{source}.toml");
        let bare = Document { name, text: format!("provider = \"{provider}\"\n") };
        proof.secrets.iter().all(is_kept) && proof.is_proved_as(&MappingFile::of_text(bare).proof)
    }
}
