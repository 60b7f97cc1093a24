//! Accepts what tests give now: writes it as what they expect.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::Diagnostics;
use crate::event::Request;
use crate::file;
use crate::intake::payload::PayloadLimits;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::test_run::{self, ChangedTest, TestOutcome};

/// The files with expected requests that were written by one command.
#[derive(Debug, Default)]
pub(crate) struct Expectations {
    written: BTreeMap<PathBuf, Vec<Request>>,
    /// The tests that expect a file which another test expects too.
    shared: BTreeMap<PathBuf, Vec<SharingTest>>,
}

/// A test that shares its file with another.
#[derive(Debug)]
struct SharingTest {
    /// The mapping file that it is of.
    of: String,
    /// What it gives; none if that is what the file says now.
    gives: Option<Vec<Request>>,
}

impl Expectations {
    /// Overwrites nothing by which a test of these files would fail that gives what it expects.
    // The tests are run before anything is written: afterwards, one that was right looks as changed as the others.
    pub(crate) fn beside(sources: &[&MappingFile], limits: &PayloadLimits) -> Expectations {
        let mut named: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let paths = |source: &MappingFile| -> Vec<Option<PathBuf>> {
            let is_own = !source.is_bundled() && source.source.is_some();
            let path = |text: &str| source.test_path(text).filter(|_| is_own).map(real);
            source.tests.iter().map(|test| path(&test.expect.text)).collect()
        };
        for path in sources.iter().flat_map(|source| paths(source)).flatten() {
            *named.entry(path).or_default() += 1;
        }
        let is_shared = |path: &PathBuf| named.get(path).is_some_and(|tests| *tests > 1);
        let mut shared: BTreeMap<PathBuf, Vec<SharingTest>> = BTreeMap::new();
        for source in sources {
            let paths = paths(source);
            if !paths.iter().flatten().any(is_shared) {
                continue;
            }
            let results = test_run::run(source, limits);
            for (path, outcome) in paths.into_iter().zip(&results.outcomes) {
                let Some(path) = path.filter(is_shared) else { continue };
                let gives = match outcome {
                    TestOutcome::Passed => None,
                    TestOutcome::Changed(at) => Some(results.changed[*at].requests.clone()),
                    TestOutcome::Failed(_) => continue,
                };
                let of = source.document.name.clone();
                shared.entry(path).or_default().push(SharingTest { of, gives });
            }
        }
        Expectations { shared, ..Expectations::default() }
    }

    /// Writes the expected requests of a file's tests. Returns the paths of the files that were
    /// written; none is, if one of them cannot be.
    pub(crate) fn accept(
        &mut self,
        changed: &[ChangedTest],
        mistakes: &mut Diagnostics,
    ) -> Vec<PathBuf> {
        let mut accepted = BTreeMap::new();
        for test in changed {
            match self.acceptable(test, &accepted) {
                Ok(path) => drop(accepted.insert(path, test)),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.iter().any(Diagnostic::is_error) {
            return Vec::new();
        }
        let mut paths = Vec::new();
        for (path, test) in accepted {
            let text = format!("{:#}\n", ordered(test));
            match file::replace(&path, text.as_bytes()) {
                Ok(()) => {
                    self.written.insert(path.clone(), test.requests.clone());
                    paths.push(path);
                }
                Err(error) => {
                    let help = "make the file and its folder writable, and run the command again";
                    let message = format!("{} cannot be written: {error}", path.display());
                    mistakes.push(wrong(test, message).help(help));
                }
            }
        }
        paths
    }

    /// Returns the path to write to, if that overwrites nothing but expected requests.
    fn acceptable(
        &self,
        test: &ChangedTest,
        accepted: &BTreeMap<PathBuf, &ChangedTest>,
    ) -> Result<PathBuf, Diagnostic> {
        let Some(path) = &test.file else {
            let help =
                "`savio-relay init` writes a bundled mapping file into the folder, to be changed";
            return Err(wrong(test, "this file is part of the program".to_owned()).help(help));
        };
        let sharing = self.shared.get(&real(path.clone())).into_iter().flatten();
        let mut others = sharing.filter(|other| other.gives.as_ref() != Some(&test.requests));
        if let Some(other) = others.next() {
            let message = format!(
                "two tests expect {}, and give different requests; the other is in {}",
                path.display(),
                other.of
            );
            return Err(wrong(test, message).help("give each test a file of its own"));
        }
        let earlier = accepted.get(path).map(|earlier| &earlier.requests);
        if earlier.or(self.written.get(path)).is_some_and(|earlier| *earlier != test.requests) {
            let message =
                format!("two tests expect {}, and give different requests", path.display());
            return Err(wrong(test, message).help("give each test a file of its own"));
        }
        if Path::new(&test.test.payload.text) == Path::new(&test.test.expect.text) {
            let help = "name another file in `expect`; `check --update` writes it";
            return Err(wrong(test, "this is the payload itself".to_owned()).help(help));
        }
        Ok(path.clone())
    }
}

/// Returns the one path of a file that may be named in several ways.
fn real(path: PathBuf) -> PathBuf {
    path.canonicalize().unwrap_or(path)
}

/// Returns the text of a file that expects these requests.
pub(crate) fn written(requests: &[Request]) -> String {
    let all =
        requests.iter().map(|request| json!({ "request": request.kind, "body": request.body }));
    format!("{:#}\n", all.collect::<Value>())
}

/// Returns the requests as JSON. Keys that were there before keep their order, so that version
/// control shows what has changed and nothing else.
fn ordered(test: &ChangedTest) -> Value {
    let mut before: Vec<&Request> = test.expected.iter().flatten().collect();
    let requests = test.requests.iter().map(|request| {
        let same_kind = before.iter().position(|earlier| earlier.kind == request.kind);
        let earlier = same_kind.map(|at| &before.remove(at).body);
        let body = earlier.map_or_else(|| request.body.clone(), |it| in_order(&request.body, it));
        json!({ "request": request.kind, "body": body })
    });
    requests.collect()
}

fn in_order(object: &Map<String, Value>, before: &Map<String, Value>) -> Map<String, Value> {
    let kept = before.keys().filter(|key| object.contains_key(*key));
    let added = object.keys().filter(|key| !before.contains_key(*key));
    let entries = kept.chain(added).map(|key| {
        let value = match (&object[key], before.get(key)) {
            (Value::Object(inner), Some(Value::Object(before))) => in_order(inner, before).into(),
            (value, _) => value.clone(),
        };
        (key.clone(), value)
    });
    entries.collect()
}

fn wrong(test: &ChangedTest, message: String) -> Diagnostic {
    Diagnostic::error(test.test.expect.place.clone(), message)
}
