//! The origin of each value of a stored event's requests.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::spawn_blocking;
use utoipa::{IntoParams, ToSchema};

use super::preview::{MEMORY_WAIT, NO_MEMORY};
use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::params::{PathSegment, QueryParams, id};
use crate::admin::state::AdminState;
use crate::diagnostics::document::Document;
use crate::diagnostics::line_index::LineIndex;
use crate::event::{Event, EventId, MappingDigest, Request, SourceName};
use crate::mapping::{AnswerTrace, BlockTrace, Explanation, FieldTrace, Mapping};
use crate::mapping_file::file::MappingFile;
use crate::parse_memory::{NoMemory, bytes_to_reserve};
use crate::store::{EventRecord, FoundVersion};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainParams {
    /// `used` (the default) for the version by which the event was mapped last, `current` for the
    /// one in service.
    #[param(inline)]
    mapping: Option<ExplainedBy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ExplainedBy {
    Used,
    Current,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventExplanation {
    mapping: ExplainingMapping,
    /// The requests that this mapping makes of the event.
    requests: Vec<Request>,
    /// For each field, where its value comes from; lines and columns are those of this mapping's
    /// text.
    explain: Vec<FieldTrace>,
    blocks: Vec<BlockTrace>,
    /// Answers of the form, if the mapping has `[answers]`, at most 500.
    answers: Vec<AnswerTrace>,
    /// Fields that were left out, and why.
    notes: Vec<String>,
    /// Reason why the event cannot be mapped.
    reason: Option<String>,
}

/// The version of the mapping file by which an event is explained.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ExplainingMapping {
    /// SHA-256 of the file's bytes.
    digest: MappingDigest,
    /// Time at which this text went into service.
    since: Timestamp,
    /// True if events are mapped by it at present.
    in_service: bool,
}

/// A mapping and its text, or the text alone.
struct MappingSource {
    version: ExplainingMapping,
    compiled: Option<Arc<Mapping>>,
    text: Arc<str>,
}

/// Explain an event: which line of the mapping gives each value, from which values of the payload
#[utoipa::path(get, path = "/api/v1/events/{id}/explain",
    params(("id" = EventId, Path, description = "Id of the event"), ExplainParams),
    responses((status = 404, description = "There is no such event, or it is erased"),
        (status = 409, description = "Its source has no mapping by which it could be explained"),
        (status = 200, description = "The requests that the mapping makes of it, explained",
            body = EventExplanation)))]
pub(crate) async fn explain(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(text): PathSegment,
    QueryParams(ExplainParams { mapping }, _): QueryParams<ExplainParams>,
) -> Result<Json<EventExplanation>, ApiError> {
    let id = id(&text, "event")?;
    let record = admin.event_with_payload(id).await?;
    let source = mapping_source(&admin, &record, mapping.unwrap_or(ExplainedBy::Used)).await?;
    let slot = admin.caller_slots.acquire(caller.key()).await?;
    let memory = Arc::clone(admin.intake.parse_memory());
    // Compiling and mapping may take seconds, and the wait for memory blocks.
    let explained = spawn_blocking(move || {
        let weight = bytes_to_reserve(&[&record.event.payload]);
        let taken = memory.acquire_within(MEMORY_WAIT, weight);
        let taken = taken.map_err(|NoMemory| ApiError::Unavailable(NO_MEMORY.to_owned()))?;
        let explained = source.explain(&record.event);
        // Not before: the work goes on when the client has left.
        drop((taken, slot));
        explained
    });
    explained.await.map_err(|_| ApiError::Internal)?.map(Json)
}

async fn mapping_source(
    admin: &AdminState,
    record: &EventRecord,
    by: ExplainedBy,
) -> Result<MappingSource, ApiError> {
    let source = &record.event.source;
    let in_service = admin.mapping_of(source);
    let used = record.mapping.filter(|_| by == ExplainedBy::Used);
    let is_current = |digest| in_service.as_ref().is_some_and(|it| it.text.digest == digest);
    if let Some(used) = used.filter(|used| !is_current(used.digest)) {
        let prefix = used.digest.to_string().parse().map_err(|_| ApiError::Internal)?;
        let found = admin.store.mapping_text(source.clone(), prefix).await?;
        let FoundVersion::One { version, text, .. } = found else {
            let reason = format!(
                "the mapping by which {} was mapped is no longer stored: ask for the one in \
                 service by mapping=current",
                record.event.id
            );
            return Err(ApiError::Conflict(reason));
        };
        let (digest, since) = (version.digest, version.since);
        let version = ExplainingMapping { digest, since, in_service: false };
        return Ok(MappingSource { version, compiled: None, text: text.into() });
    }
    let Some(current) = in_service else {
        let reason = format!("{source} has no mapping in service: its events cannot be explained");
        return Err(ApiError::Conflict(reason));
    };
    let (digest, text) = (current.text.digest, Arc::clone(&current.text.text));
    let since = match used {
        Some(used) => used.since,
        None => stored_since(admin, source, digest).await?.unwrap_or(current.text.since),
    };
    let version = ExplainingMapping { digest, since, in_service: true };
    Ok(MappingSource { version, compiled: Some(current.mapping), text })
}

/// Returns the time at which a text last went into service, as the history of the source has it.
// The process that took it into service may have been another one.
async fn stored_since(
    admin: &AdminState,
    source: &SourceName,
    digest: MappingDigest,
) -> Result<Option<Timestamp>, ApiError> {
    let prefix = digest.to_string().parse().map_err(|_| ApiError::Internal)?;
    Ok(match admin.store.mapping_text(source.clone(), prefix).await? {
        FoundVersion::One { version, .. } => Some(version.since),
        FoundVersion::None | FoundVersion::Several => None,
    })
}

impl MappingSource {
    fn explain(self, event: &Event) -> Result<EventExplanation, ApiError> {
        let MappingSource { version, compiled, text } = self;
        let mapping = match compiled {
            Some(mapping) => mapping,
            None => compiled_again(&event.source, &text)?,
        };
        match serde_json::from_str::<Value>(&event.payload) {
            Ok(payload) => {
                let lines = LineIndex::of(&text);
                let explanation = mapping.explain(event, &Arc::new(payload), &lines);
                Ok(EventExplanation::of(version, explanation))
            }
            Err(error) => {
                let reason = Some(format!("the payload is not JSON: {error}"));
                let none = EventExplanation::of(version, Explanation::default());
                Ok(EventExplanation { reason, ..none })
            }
        }
    }
}

/// Compiles an earlier version of a mapping file, from its text alone: what it names is not read.
fn compiled_again(source: &SourceName, text: &str) -> Result<Arc<Mapping>, ApiError> {
    let document = Document { name: format!("{source}.toml"), text: text.to_owned() };
    let file = MappingFile::of_text(document);
    let mapping = file.mapped().map(|(_, mapping)| Arc::clone(mapping));
    mapping.ok_or_else(|| {
        let reason = "this version of the program cannot read the mapping by which the event was \
                      mapped: ask for the one in service by mapping=current";
        ApiError::Conflict(reason.to_owned())
    })
}

impl EventExplanation {
    fn of(mapping: ExplainingMapping, explanation: Explanation) -> EventExplanation {
        let Explanation { fields, blocks, answers, mapped } = explanation;
        let (requests, notes, reason) = match mapped {
            Some(Ok(mapped)) => (mapped.requests, mapped.notes, None),
            Some(Err(unmappable)) => (Vec::new(), Vec::new(), Some(unmappable.to_string())),
            None => (Vec::new(), Vec::new(), None),
        };
        EventExplanation { mapping, requests, explain: fields, blocks, answers, notes, reason }
    }
}
