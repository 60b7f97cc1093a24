//! Previews of a mapping that is not saved yet. Nothing is stored or sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::admin::error::ApiError;
use crate::admin::mistakes::errors;
use crate::admin::params::JsonBody;
use crate::admin::state::AdminState;
use crate::clock;
use crate::diagnostics::diagnostic::{Diagnostic, Document};
use crate::diagnostics::view::DiagnosticView;
use crate::event::{Event, EventId, Request, SourceName};
use crate::intake::payload::PayloadLimits;
use crate::mapping::{AnswerTrace, FieldTrace};
use crate::mapping_file::file::{MappingFile, SamplePayload};
use crate::parse_memory::{NoMemory, bytes_to_reserve};

/// A mapping file's text, and either a payload or a stored event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewBody {
    mapping: String,
    /// Any JSON, as the payload of a webhook.
    // As text, so that it is parsed as a webhook's body would be, within its limits.
    #[schema(value_type = Option<Value>)]
    payload: Option<Box<RawValue>>,
    /// Headers of the webhook with the payload.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    event: Option<EventId>,
    /// Name of the source; by default that of the stored event, or "preview".
    #[schema(value_type = Option<String>)]
    source: Option<SourceName>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum PreviewResponse {
    Mapped(PreviewResult),
    Invalid(PreviewErrors),
}

#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct PreviewResult {
    requests: Vec<Request>,
    /// For each field, the query or template that gave its value, and all that were tried.
    explain: Vec<FieldTrace>,
    /// Answers of the form, if the mapping has `[answers]`, at most 500 of an event.
    answers: Vec<AnswerTrace>,
    /// Fields that were left out, and why.
    notes: Vec<String>,
    /// Reason why there are no requests, or not all.
    reason: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewErrors {
    pub(super) mistakes: Vec<DiagnosticView>,
}

/// The payload or event to map.
enum PreviewInput {
    Payload(SamplePayload),
    Event(Box<Event>),
}

impl PreviewInput {
    /// Memory that it takes once it is parsed.
    fn weight(&self) -> usize {
        match self {
            PreviewInput::Payload(sample) => {
                str::from_utf8(&sample.body).map_or(0, |text| bytes_to_reserve(&[text]))
            }
            PreviewInput::Event(event) => bytes_to_reserve(&[&event.payload]),
        }
    }
}

/// Longest wait for memory that webhooks and deliveries use for parsed JSON.
pub(super) const MEMORY_WAIT: Duration = Duration::from_secs(10);
pub(super) const NO_MEMORY: &str =
    "not enough memory to parse the payload now: try again in a few seconds";

/// Show the requests that a mapping would make, or its mistakes
#[utoipa::path(post, path = "/api/v1/preview", request_body = PreviewBody,
    responses((status = 200, description = "The requests, or the mistakes in the mapping",
            body = PreviewResponse),
        (status = 404, description = "There is no such event, or it is erased")))]
pub(crate) async fn preview(
    State(admin): State<Arc<AdminState>>,
    JsonBody(body): JsonBody<PreviewBody>,
) -> Result<Response, ApiError> {
    let PreviewBody { mapping, payload, headers, event, source } = body;
    let input = match (payload, event) {
        (Some(payload), None) => {
            let headers = headers.into_iter().map(|(name, value)| (name.to_lowercase(), value));
            PreviewInput::Payload(SamplePayload {
                headers: headers.collect(),
                body: payload.get().into(),
            })
        }
        (None, Some(id)) => {
            let record = admin.event_with_payload(id).await?;
            PreviewInput::Event(Box::new(record.event))
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(ApiError::BadRequest("give either `payload` or `event`".to_owned()));
        }
    };
    let name = match (&source, &input) {
        (Some(name), _) => name.to_string(),
        (None, PreviewInput::Event(event)) => event.source.to_string(),
        (None, PreviewInput::Payload(_)) => "preview".to_owned(),
    };
    let document = Document { name: format!("{name}.toml"), text: mapping };
    let (limits, memory) = (admin.intake.limits(), Arc::clone(admin.intake.parse_memory()));
    // Compiling the file and mapping may take seconds, and the wait for memory blocks.
    let mapped = spawn_blocking(move || {
        let memory = memory.acquire_within(MEMORY_WAIT, input.weight());
        memory.map(|_taken| run(document, input, &limits))
    });
    let response = mapped.await.map_err(|_| ApiError::Internal)?;
    let response = response.map_err(|NoMemory| ApiError::Unavailable(NO_MEMORY.to_owned()))?;
    Ok(Json(response).into_response())
}

fn run(document: Document, input: PreviewInput, limits: &PayloadLimits) -> PreviewResponse {
    // From the text alone: the caller of the API must not make the relay open files or read
    // variables that it names.
    let file = MappingFile::of_text(document);
    if file.mistakes.iter().any(Diagnostic::is_error) {
        return PreviewResponse::Invalid(PreviewErrors {
            mistakes: errors(&file.document, &file.mistakes),
        });
    }
    let mut result = PreviewResult::default();
    match input {
        PreviewInput::Event(event) => match serde_json::from_str::<Value>(&event.payload) {
            Ok(payload) => result.add(&file, &event, &Arc::new(payload)),
            Err(error) => result.reason = Some(format!("the payload is not JSON: {error}")),
        },
        PreviewInput::Payload(sample) => match file.sample_events(&sample, limits, clock::now()) {
            Some(Ok(carried)) => {
                result.reason = carried.ignored;
                result.notes = carried.notes;
                for (event, payload) in &carried.events {
                    result.add(&file, event, payload);
                }
            }
            Some(Err(error)) => result.reason = Some(error.to_string()),
            None => {}
        },
    }
    PreviewResponse::Mapped(result)
}

impl PreviewResult {
    fn add(&mut self, file: &MappingFile, event: &Event, payload: &Arc<Value>) {
        let explanation = file.explain(event, payload);
        self.explain.extend(explanation.fields);
        self.answers.extend(explanation.answers);
        match explanation.mapped {
            Some(Ok(mapped)) => {
                self.requests.extend(mapped.requests);
                self.notes.extend(mapped.notes);
            }
            Some(Err(unmappable)) => self.reason = Some(unmappable.to_string()),
            None => {}
        }
        if self.requests.is_empty() && self.reason.is_none() {
            let reasons = explanation.blocks.iter().flat_map(|block| &block.reasons);
            self.reason = Some(reasons.cloned().collect::<Vec<_>>().join("; "));
        }
    }
}
