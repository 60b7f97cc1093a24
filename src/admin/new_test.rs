//! A test that is made of a stored event: its files, and the mapping file with it.

use super::error::ApiError;
use super::mapping_changes::NewFiles;
use super::mapping_text::CurrentText;
use crate::clock;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::document::Document;
use crate::event::{Headers, Request, SourceName};
use crate::intake::payload::PayloadLimits;
use crate::intake::provider::Provider;
use crate::mapping_file::bundle;
use crate::mapping_file::expectations::written;
use crate::mapping_file::file::{MappingFile, SamplePayload};
use crate::mapping_file::new_text::test_table;
use crate::mapping_file::served::ServedFiles;

#[derive(Debug)]
pub(super) struct NewTest {
    /// The payload and the expected requests.
    pub(super) files: NewFiles,
    pub(super) appended: String,
    /// The mapping file with the test.
    pub(super) text: String,
    /// Digest of the mapping file without it.
    pub(super) digest_before: String,
}

impl NewTest {
    /// Makes a test of a webhook as it was received, for the text that the mapping file has now.
    pub(super) fn of(
        (served, source): (&ServedFiles, &SourceName),
        (label, mut sample): (&SourceName, SamplePayload),
        current: &CurrentText,
        limits: &PayloadLimits,
    ) -> Result<NewTest, ApiError> {
        let name = served.path(source).display().to_string();
        let file = MappingFile::of_text(Document { name, text: current.text.clone() });
        if file.mistakes.iter().any(Diagnostic::is_error) {
            let reason = "the mapping has mistakes: correct them first";
            return Err(ApiError::Conflict(reason.to_owned()));
        }
        keep_needed(&mut sample.headers, &file);
        let requests = requests(&file, &sample, limits)?;
        let extension = sample.extension();
        let payload = format!("samples/{source}.{label}.{extension}");
        let expect = format!("samples/{source}.{label}.expected.json");
        for path in [&payload, &expect] {
            if served.folder.join(path).exists() || bundle::text(path).is_some() {
                let reason =
                    format!("there is a file {path} already: give the test another `name`");
                return Err(ApiError::Conflict(reason));
            }
        }
        let comment = "A webhook that was received.";
        let files = (payload.as_str(), &sample.headers, expect.as_str());
        let appended = test_table(files, comment, &current.text);
        Ok(NewTest {
            text: current.text.clone() + &appended,
            appended,
            digest_before: current.digest.clone(),
            files: NewFiles(vec![
                (served.folder.join(payload), sample.body),
                (served.folder.join(expect), written(&requests).into_bytes()),
            ]),
        })
    }
}

fn requests(
    file: &MappingFile,
    sample: &SamplePayload,
    limits: &PayloadLimits,
) -> Result<Vec<Request>, ApiError> {
    let failed =
        |reason: String| ApiError::Conflict(format!("no test can be made of this event: {reason}"));
    let carried = file.sample_events(sample, limits, clock::now()).ok_or(ApiError::Internal)?;
    let carried = carried.map_err(|error| failed(error.to_string()))?;
    let mut requests = Vec::new();
    for (event, payload) in &carried.events {
        let mapped = file.mapping.apply(event, payload);
        requests.extend(mapped.map_err(|error| failed(error.to_string()))?.requests);
    }
    Ok(requests)
}

/// Removes the headers that make no difference to the mapping, and those that were redacted.
fn keep_needed(headers: &mut Headers, file: &MappingFile) {
    let provider = file.proof.provider.as_deref().and_then(Provider::builtin).unwrap_or_default();
    let rules = (file.document.text.clone() + provider).to_lowercase();
    let is_json = |value: &str| value.starts_with("application/json");
    headers.retain(|name, value| match name.as_str() {
        "content-type" => !is_json(value),
        "content-encoding" => true,
        name => value != "*" && rules.contains(name),
    });
}
