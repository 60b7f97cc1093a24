//! Copies of events: a person edits the payload and sends it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::params::{JsonBody, PathSegment, id, no_event};
use crate::admin::state::AdminState;
use crate::clock;
use crate::event::{Event, EventId, IMPORTED_HEADER, SourceName};
use crate::intake::payload;
use crate::intake::registry::SourceStatus;
use crate::store::{Arrival, CopyOutcome, CopyRequest, NewEvent, Webhook, WebhookOrigin};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CopyBody {
    /// Payload of the new event: any JSON that a webhook could have.
    // As text, so that it is stored as it was written.
    #[schema(value_type = serde_json::Value)]
    payload: Box<RawValue>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CopyResult {
    /// Id of the new event.
    id: EventId,
    /// Id of the event that it is a copy of.
    copy_of: EventId,
}

/// Send an edited copy of an event: a new event with its type and headers and another payload
#[utoipa::path(post, path = "/api/v1/events/{id}/copy",
    params(("id" = EventId, Path, description = "Id of the event")),
    request_body = CopyBody,
    responses((status = 200, description = "The new event, which is queued", body = CopyResult),
        (status = 404, description = "There is no such event"),
        (status = 409, description = "It is erased, or its source is not live")))]
pub(crate) async fn copy(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(text): PathSegment,
    JsonBody(CopyBody { payload }): JsonBody<CopyBody>,
) -> Result<Json<CopyResult>, ApiError> {
    let original: EventId = id(&text, "event")?;
    let limits = admin.intake.limits();
    if payload.get().len() > limits.bytes_max {
        return Err(ApiError::TooLarge);
    }
    let record = admin.store.event(original).await?.ok_or_else(|| no_event(original))?;
    if record.erased_at.is_some() {
        return Err(erased(original));
    }
    let now = clock::now();
    require_live(&admin, &record.event.source, now)?;
    // A large payload takes a while to check.
    let checked = spawn_blocking(move || {
        payload::checked(payload.get(), &limits).map(std::borrow::Cow::into_owned)
    });
    let checked = checked.await.map_err(|_| ApiError::Internal)?;
    let payload = checked.map_err(|error| ApiError::BadRequest(format!("`payload`: {error}")))?;
    let webhook = webhook(record.event, payload, now);
    let request = CopyRequest { original, webhook, by: caller.actor() };
    match admin.store.copy(request).await? {
        CopyOutcome::Stored(id) => Ok(Json(CopyResult { id, copy_of: original })),
        CopyOutcome::Erased => Err(erased(original)),
        CopyOutcome::NotFound => Err(no_event(original)),
    }
}

fn erased(id: EventId) -> ApiError {
    ApiError::Conflict(format!("event {id} is erased: there is nothing left to copy"))
}

/// Fails if a webhook of the source would not be accepted now.
fn require_live(admin: &AdminState, name: &SourceName, now: Timestamp) -> Result<(), ApiError> {
    let sources = admin.intake.sources.current();
    let reason = match sources.get(name) {
        Some(SourceStatus::Live(source)) => source.off_reason(now).map(str::to_owned),
        Some(SourceStatus::AwaitingSecret(_)) => {
            Some("it waits for its provider's first request".to_owned())
        }
        Some(SourceStatus::Off { reason }) => Some(reason.clone()),
        None => Some("it has no mapping file".to_owned()),
    };
    let Some(reason) = reason else { return Ok(()) };
    Err(ApiError::Conflict(format!("the source {name} is not live: {reason}")))
}

/// Returns the copy as if it had been received now.
fn webhook(original: Event, payload: String, received_at: Timestamp) -> Webhook {
    let Event { source, event_type, mut headers, .. } = original;
    headers.remove(IMPORTED_HEADER);
    let body = payload.into_bytes();
    let event = NewEvent {
        id: EventId::new(received_at),
        event_type,
        // With that of the original it would be a repeat, which is not stored.
        delivery_id: None,
        payload: 0..body.len(),
    };
    Webhook {
        source,
        received_at,
        headers,
        body,
        decoded: None,
        notes: Vec::new(),
        // A person made it: nobody sent it, and no secret matched.
        arrival: Arrival::default(),
        events: vec![event],
        origin: WebhookOrigin::Made,
    }
}
