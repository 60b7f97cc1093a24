//! Runs the `[[test]]`s of a mapping file.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::file::{MappingFile, MappingTest, SampleEvents, SamplePayload};
use crate::clock;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::Diagnostics;
use crate::event::Request;
use crate::intake::payload::PayloadLimits;
use crate::json::{self, Object};

/// Results of all tests of one file.
#[derive(Debug, Default)]
pub(crate) struct TestResults {
    /// Tests that cannot be run, and warnings; `changed` is not among them.
    pub(crate) mistakes: Diagnostics,
    pub(crate) changed: Vec<ChangedTest>,
    /// Warnings about blocks of which no test makes a request.
    pub(crate) unreached: Diagnostics,
    /// Outcome of each test, in their order; none if no test was run.
    pub(crate) outcomes: Vec<TestOutcome>,
}

#[derive(Debug)]
pub(crate) enum TestOutcome {
    Passed,
    /// Position in `changed`.
    Changed(usize),
    /// Reason why it was not run to its end.
    Failed(String),
}

/// Test whose payload becomes other requests than its `expect` says.
#[derive(Debug)]
pub(crate) struct ChangedTest {
    pub(crate) test: MappingTest,
    /// `None` if the file is missing or empty.
    pub(crate) expected: Option<Vec<Request>>,
    pub(crate) requests: Vec<Request>,
    /// File with the expected requests; `None` if the mapping file is part of the program.
    pub(crate) file: Option<PathBuf>,
}

impl ChangedTest {
    pub(crate) fn diagnostic(&self) -> Diagnostic {
        let (payload, expect) = (&self.test.payload.text, &self.test.expect);
        let message = match self.expected {
            Some(_) => format!("{payload} gives other requests than expected"),
            None => format!("{} is not written yet", expect.text),
        };
        Diagnostic::error(expect.place.clone(), message)
    }
}

/// Runs the tests of a file that has no mistakes; of any other it runs none.
pub(crate) fn run(source: &MappingFile, limits: &PayloadLimits) -> TestResults {
    run_until(source, limits, None)
}

/// Runs the tests until a time from which on none is begun.
pub(crate) fn run_until(
    source: &MappingFile,
    limits: &PayloadLimits,
    end: Option<Instant>,
) -> TestResults {
    let mut results = TestResults::default();
    // Without a source no test makes a request, which is only a consequence of the mistakes.
    if source.source.is_none() || source.tests.is_empty() {
        return results;
    }
    let mut worked = vec![false; source.mapping.blocks().len()];
    for test in &source.tests {
        let run = TestRun { source, limits, test };
        let outcome = if end.is_some_and(|end| Instant::now() >= end) {
            Err(run.wrong("the tests before it took too long".to_owned()))
        } else {
            run.test(&mut results.mistakes, &mut worked)
        };
        results.outcomes.push(match outcome {
            Ok(None) => TestOutcome::Passed,
            Ok(Some(changed)) => {
                results.changed.push(changed);
                TestOutcome::Changed(results.changed.len() - 1)
            }
            Err(mistake) => {
                let reason = mistake.message.clone();
                results.mistakes.push(mistake);
                TestOutcome::Failed(reason)
            }
        });
    }
    // After a failure, a block may lack a request because of that.
    if !results.mistakes.iter().any(Diagnostic::is_error) {
        for (block, _) in source.mapping.blocks().iter().zip(worked).filter(|(_, worked)| !worked) {
            let message = format!("no test makes a request of {}", block.name);
            let help = "add a [[test]] with a payload for it, or check its `events` and `when`";
            results.unreached.push(Diagnostic::warning(block.place.clone(), message).help(help));
        }
    }
    results
}

struct TestRun<'r> {
    source: &'r MappingFile,
    limits: &'r PayloadLimits,
    test: &'r MappingTest,
}

impl TestRun<'_> {
    fn test(
        &self,
        warnings: &mut Diagnostics,
        worked: &mut [bool],
    ) -> Result<Option<ChangedTest>, Diagnostic> {
        let Some(carried) = self.sample()? else { return Ok(None) };
        let mut requests = Vec::new();
        for (event, payload) in &carried.events {
            for warning in self.source.mapping.lints(event, payload) {
                // Several tests show the same doubt.
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
            let mapped = self.source.mapping.apply(event, payload);
            let mapped =
                mapped.map_err(|error| self.wrong(format!("it cannot be mapped: {error}")))?;
            for block in mapped.made_by {
                worked[block] = true;
            }
            requests.extend(mapped.requests);
        }
        self.compare(requests)
    }

    fn sample(&self) -> Result<Option<SampleEvents>, Diagnostic> {
        let test = self.test;
        let body = self.source.test_file(&test.payload.text);
        let body = body.map_err(|message| {
            let help = "the path is relative to the mapping file";
            self.wrong(format!("the payload cannot be read: {message}")).help(help)
        })?;
        let sample = SamplePayload { headers: test.headers.clone(), body };
        let carried = self.source.sample_events(&sample, self.limits, clock::now()).transpose();
        carried.map_err(|error| self.wrong(format!("this payload is refused: {error}")))
    }

    fn wrong(&self, message: String) -> Diagnostic {
        Diagnostic::error(self.test.payload.place.clone(), message)
    }

    fn compare(&self, requests: Vec<Request>) -> Result<Option<ChangedTest>, Diagnostic> {
        let expected = self.expected()?;
        if expected.as_ref() == Some(&requests) {
            return Ok(None);
        }
        let file = self.file();
        Ok(Some(ChangedTest { test: self.test.clone(), expected, requests, file }))
    }

    /// Reads the expected requests; `None` if they are not written yet.
    fn expected(&self) -> Result<Option<Vec<Request>>, Diagnostic> {
        let expect = &self.test.expect;
        let wrong = |message: String| Diagnostic::error(expect.place.clone(), message);
        let bytes = match self.source.test_file(&expect.text) {
            Ok(bytes) => bytes,
            Err(_) if self.file().is_some_and(|path| is_missing(&path)) => return Ok(None),
            Err(message) => {
                return Err(wrong(format!("the expected requests cannot be read: {message}")));
            }
        };
        if bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        let expected: Vec<Object<Request>> = serde_json::from_slice(json::without_bom(&bytes))
            .map_err(|error| {
                // What the file holds instead may be needed: nothing overwrites it.
                let help = format!(
                    "remove the file, and `savio-relay check --update {}` writes it anew",
                    self.source.document.name
                );
                wrong(format!("{} is no list of requests: {error}", expect.text)).help(help)
            })?;
        Ok(Some(expected.into_iter().map(|Object(request)| request).collect()))
    }

    fn file(&self) -> Option<PathBuf> {
        if self.source.is_bundled() {
            return None;
        }
        self.source.test_path(&self.test.expect.text)
    }
}

/// Returns whether there is nothing at the path, not even a link to nothing.
fn is_missing(path: &Path) -> bool {
    matches!(path.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
}
