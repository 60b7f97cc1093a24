//! Results of `[[test]]`s as JSON, for programs.

use serde::Serialize;
use utoipa::ToSchema;

use super::difference;
use super::file::{MappingFile, MappingTest};
use super::test_run::{TestOutcome, TestResults};
use crate::diagnostics::line_index::LineIndex;
use crate::diagnostics::report::OutputStyle;

/// Result of one `[[test]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TestResult)]
pub(crate) struct TestView {
    /// File with its payload, as the mapping file names it.
    name: String,
    /// Line of the test in the mapping file, from 1.
    line: usize,
    passed: bool,
    /// Reason why it could not be run.
    reason: Option<String>,
    /// Lines that differ: with `-` what is expected, with `+` what the payload gives now.
    difference: Option<String>,
}

impl TestView {
    /// Returns the results of the file's tests, in their order.
    pub(crate) fn all(source: &MappingFile, results: &TestResults) -> Vec<TestView> {
        let lines = LineIndex::of(&source.document.text);
        let view = |(test, outcome): (&MappingTest, &TestOutcome)| {
            let (reason, changed) = match outcome {
                TestOutcome::Passed => (None, None),
                TestOutcome::Changed(at) => (None, results.changed.get(*at)),
                TestOutcome::Failed(reason) => (Some(reason.clone()), None),
            };
            TestView {
                name: test.payload.text.clone(),
                line: lines.span(&test.place).line,
                passed: matches!(outcome, TestOutcome::Passed),
                reason,
                difference: changed.map(|it| difference::show(it, OutputStyle::Plain)),
            }
        };
        source.tests.iter().zip(&results.outcomes).map(view).collect()
    }
}
