//! `check`: shows all mistakes of all files, and runs the tests of the mapping files.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::CommandError;
use super::{input, output as shown};
use crate::clock;
use crate::diagnostics::diagnostic::{self, Diagnostic};
use crate::diagnostics::document::Document;
use crate::diagnostics::report::show;
use crate::event::Request;
use crate::intake::payload::PayloadLimits;
use crate::intake::registry::SourceStatus;
use crate::json::{self, Object};
use crate::mapping_file::file::{MappingFile, MappingTest, SamplePayload};
use crate::mapping_file::location::Location;
use crate::secret::Environment;

pub(super) fn run(
    files: &[PathBuf],
    config: Option<&Path>,
    environment: &Environment,
) -> Result<(), CommandError> {
    let (config, mut found) = input::config_in_part(config, environment)?;
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
    let mut text = String::new();
    for mut source in sources {
        examine(&mut source, &location, &limits);
        found += source.mistakes.iter().filter(|mistake| mistake.is_error()).count();
        text += &report(&source);
    }
    shown::print(&text)?;
    if found == 0 { Ok(()) } else { Err(CommandError::AlreadyReported) }
}

/// Reads a file; if that fails, prints the error and returns none.
fn read(path: &Path) -> Option<Document> {
    let read = Document::read(path);
    if let Err(error) = &read {
        shown::print_error(&shown::line(&error.to_string()));
    }
    read.ok()
}

/// Formats the mistakes of a file, or one line if it has no errors.
fn report(source: &MappingFile) -> String {
    let name = &source.document.name;
    let mut lines = String::new();
    if !source.mistakes.is_empty() {
        lines += &show(&source.document, &source.mistakes, shown::stdout_style());
        lines += "\n\n";
    }
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

/// Runs the file's tests and adds their failures to its mistakes.
pub(super) fn examine(source: &mut MappingFile, location: &Location, limits: &PayloadLimits) {
    let mut mistakes = Vec::new();
    let mut worked = vec![false; source.mapping.blocks().len()];
    for test in &source.tests {
        let run = TestRun { source, location, limits, test };
        if let Err(mistake) = run.test(&mut mistakes, &mut worked) {
            mistakes.push(mistake);
        }
    }
    // Only if all tests pass: after a failure, a block may lack a request because of that.
    if !source.tests.is_empty() && !mistakes.iter().any(Diagnostic::is_error) {
        for (block, _) in source.mapping.blocks().iter().zip(worked).filter(|(_, worked)| !worked) {
            let message = format!("no test makes a request of {}", block.name);
            mistakes.push(Diagnostic::warning(block.place.clone(), message));
        }
    }
    // Several tests show the same doubt about a query.
    mistakes.dedup();
    source.mistakes.extend(mistakes);
    diagnostic::limit(&source.document, &mut source.mistakes);
}

struct TestRun<'r> {
    source: &'r MappingFile,
    location: &'r Location,
    limits: &'r PayloadLimits,
    test: &'r MappingTest,
}

impl TestRun<'_> {
    fn test(&self, warnings: &mut Vec<Diagnostic>, worked: &mut [bool]) -> Result<(), Diagnostic> {
        let test = self.test;
        let wrong = |message: String| Diagnostic::error(test.payload.place.clone(), message);
        let body =
            self.location.sample(&self.source.document, &test.payload.text).map_err(wrong)?;
        let sample = SamplePayload { headers: test.headers.clone(), body };
        let Some(carried) = self.source.sample_events(&sample, self.limits, clock::now()) else {
            return Ok(());
        };
        let carried =
            carried.map_err(|error| wrong(format!("this payload is refused: {error}")))?;
        let mut requests = Vec::new();
        for (event, payload) in &carried.events {
            warnings.extend(self.source.mapping.lints(event, payload));
            let mapped = self.source.mapping.apply(event, payload);
            let mapped = mapped.map_err(|error| wrong(format!("it cannot be mapped: {error}")))?;
            for block in mapped.made_by {
                worked[block] = true;
            }
            requests.extend(mapped.requests);
        }
        self.compare(&requests)
    }

    fn compare(&self, requests: &[Request]) -> Result<(), Diagnostic> {
        let expect = &self.test.expect;
        let wrong = |message: String| Diagnostic::error(expect.place.clone(), message);
        let bytes = self.location.sample(&self.source.document, &expect.text).map_err(wrong)?;
        let expected: Vec<Object<Request>> = serde_json::from_slice(json::without_bom(&bytes))
            .map_err(|error| wrong(format!("this file holds no requests: {error}")))?;
        let expected: Vec<Request> = expected.into_iter().map(|Object(request)| request).collect();
        match difference(&expected, requests) {
            None => Ok(()),
            Some(difference) => {
                let message = format!("{} gives other requests", self.test.payload.text);
                Err(wrong(message).help(difference))
            }
        }
    }
}

/// Describes the first field that differs.
fn difference(expected: &[Request], actual: &[Request]) -> Option<String> {
    if expected.len() != actual.len() {
        let kinds = |requests: &[Request]| -> String {
            let kinds: Vec<&str> = requests.iter().map(|request| request.kind.as_str()).collect();
            if kinds.is_empty() { "no request".to_owned() } else { kinds.join(", ") }
        };
        return Some(format!("expected {}, but it gives {}", kinds(expected), kinds(actual)));
    }
    for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
        if expected.kind != actual.kind {
            let kinds = (expected.kind.as_str(), actual.kind.as_str());
            return Some(format!(
                "request {index}: expected {}, but it gives {}",
                kinds.0, kinds.1
            ));
        }
        let keys = expected.body.keys().chain(actual.body.keys());
        for key in keys {
            let (expected, value) = (expected.body.get(key), actual.body.get(key));
            if expected != value {
                let show =
                    |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
                let kind = actual.kind.as_str();
                let (expected, value) = (show(expected), show(value));
                return Some(format!(
                    "{kind} {index}, {key}: expected {expected}, it gives {value}"
                ));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(expected: &Value, actual: &Value, message: Option<&str>) {
        let read = |value: &Value| serde_json::from_value::<Vec<Request>>(value.clone()).unwrap();

        assert_eq!(difference(&read(expected), &read(actual)).as_deref(), message);
    }

    #[test]
    fn first_difference_is_described() {
        let one = json!([{"request": "feedback", "body": {"problem": "Slow", "tags": ["a"]}}]);
        let other = json!([{"request": "feedback", "body": {"problem": "Slow", "state": "NEW"}}]);

        check(&one, &one, None);
        check(&one, &json!([]), Some("expected feedback, but it gives no request"));
        check(&one, &other, Some("feedback 0, tags: expected [\"a\"], it gives nothing"));
        check(&other, &one, Some("feedback 0, state: expected \"NEW\", it gives nothing"));
    }
}
