//! What would change with another mapping: it is compared with the one in service on stored events.
//! Nothing is stored or sent.

use std::num::NonZero;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, mem};

use axum::extract::State;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::preview::PreviewErrors;
use crate::admin::access::ApiCaller;
use crate::admin::change_views::EventChangeView;
use crate::admin::error::ApiError;
use crate::admin::mistakes::errors;
use crate::admin::params::{EventQuery, JsonBody, PathSegment};
use crate::admin::reason_kind::ReasonKind;
use crate::admin::state::AdminState;
use crate::admin::states_param::States;
use crate::admin::time_bound::{Since, Until};
use crate::clock;
use crate::comparison::{self, ChangeCounts, ComparisonError, MappingPair, Walk};
use crate::delivery::MappingInService;
use crate::diagnostics::diagnostic::{Diagnostic, Document};
use crate::event::{MappingDigest, SourceName};
use crate::mapping_file::file::MappingFile;
use crate::store::{Cursor, StoppedAt};

/// Longest time for which events are compared for one request.
const COMPARED_FOR: Duration = Duration::from_secs(10);

/// Limits of a page of differing events, which has at least one.
const PAGE_EVENTS_MAX: usize = 50;
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A proposed mapping file, and the events to compare: the newest that match.
// The filter is `EventQuery`, key by key: serde does not support `flatten` with
// `deny_unknown_fields`, and loses the place of a mistake.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangesBody {
    mapping: String,
    /// Number of events at most, 200 by default.
    #[schema(minimum = 1, maximum = 10_000)]
    limit: Option<usize>,
    /// The `next` of an answer: the comparison goes on with the event at which its page ended.
    after: Option<String>,
    /// Events in this state, or in one of several.
    #[schema(inline)]
    state: Option<States>,
    /// Events received at this time or later: an age, a date in UTC or a time.
    #[schema(inline)]
    since: Option<Since>,
    /// Events received before this time; a date includes the whole day.
    #[schema(inline)]
    until: Option<Until>,
    /// Part of the id, delivery id, type, reason, summary, person or company, without regard to case.
    q: Option<String>,
    /// Part of the payload, without regard to case.
    contains: Option<String>,
    /// Events of exactly this type.
    r#type: Option<String>,
    /// Events that were not delivered, by where they stopped.
    #[schema(inline)]
    stage: Option<StoppedAt>,
    /// Dead events of this cause: the `kind` of an entry of `dead/groups`.
    #[schema(inline)]
    reason_kind: Option<ReasonKind>,
    /// Events with at least so many attempts, of all their requests together.
    #[schema(value_type = Option<u32>, minimum = 1)]
    attempts_min: Option<NonZero<u32>>,
    /// Events whose requests lack fields because Savio would refuse their values (true), or do not
    /// (false).
    left_out: Option<bool>,
    /// Events of which Savio may have, or may get, a request twice (true), or the others (false).
    may_repeat: Option<bool>,
    /// Events that a person imported (true), or that were sent (false).
    imported: Option<bool>,
}

impl ChangesBody {
    /// Returns its filter, for the events of a source.
    fn query(self, source: String) -> EventQuery {
        let ChangesBody { state, since, until, q, contains, r#type, stage, .. } = self;
        let ChangesBody { attempts_min, left_out, may_repeat, imported, reason_kind, .. } = self;
        EventQuery {
            state,
            source: Some(source),
            destination: None,
            since,
            until,
            q,
            contains,
            r#type,
            stage,
            reason_kind,
            attempts_min,
            left_out,
            may_repeat,
            imported,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ChangesResponse {
    Compared(ChangesReport),
    Invalid(PreviewErrors),
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangesReport {
    /// SHA-256 of the mapping file in service, with which the proposed one was compared.
    in_service: MappingDigest,
    /// Counts of the events from `after` on.
    #[serde(flatten)]
    counts: ChangeCounts,
    /// False if the time was over before all events were compared. `next` goes on there.
    complete: bool,
    /// Keys of the mapping file that differ and are not compared: they act when a webhook is
    /// received, or on where requests are sent.
    not_compared: Vec<String>,
    /// Events for which something would change, newest first.
    events: Vec<EventChangeView>,
    /// The `after` of the next page of events; null if there are no more.
    #[schema(value_type = Option<String>)]
    next: Option<PagePosition>,
}

/// A position in a comparison, and how many events are left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PagePosition {
    after: Cursor,
    left: usize,
}

impl fmt::Display for PagePosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.after, self.left)
    }
}

impl FromStr for PagePosition {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<PagePosition, ApiError> {
        let wrong = || ApiError::BadRequest("`after`: not the `next` of an answer".to_owned());
        let (after, left) = text.rsplit_once('-').ok_or_else(wrong)?;
        let (after, left) = (after.parse(), left.parse());
        Ok(PagePosition { after: after.map_err(|_| wrong())?, left: left.map_err(|_| wrong())? })
    }
}

impl Serialize for PagePosition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Show what another mapping would change for stored events
#[utoipa::path(post, path = "/api/v1/sources/{name}/changes", request_body = ChangesBody,
    params(("name" = SourceName, Path, description = "Name of the source")),
    responses((status = 200, description = "The counts and the events that differ, or the mistakes \
            in the mapping", body = ChangesResponse),
        (status = 404, description = "There is no such source"),
        (status = 409, description = "No mapping of the source is in service, or a newer request \
            in the same session, or with the same token, has ended this one")))]
pub(crate) async fn changes(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(name): PathSegment,
    JsonBody(mut body): JsonBody<ChangesBody>,
) -> Result<Json<ChangesResponse>, ApiError> {
    let source = admin.source(&name)?;
    let mapping = mem::take(&mut body.mapping);
    let limit = body.limit.unwrap_or(comparison::EVENTS);
    let after: Option<PagePosition> = body.after.as_deref().map(str::parse).transpose()?;
    let left = after.map_or(limit, |after| after.left);
    for (key, events) in [("limit", limit), ("after", left)] {
        if !(1..=comparison::EVENTS_MAX).contains(&events) {
            let reason = format!("`{key}` is from 1 to {} events", comparison::EVENTS_MAX);
            return Err(ApiError::BadRequest(reason));
        }
    }
    let filter = body.query(name).filter(&admin)?;
    let none = || ApiError::Conflict(format!("no mapping of {source} is in service"));
    let in_service = admin.mapping_of(&source).ok_or_else(none)?;
    // Before the mapping is compiled, which takes time too.
    let turn = admin.comparisons.begin(caller.key());
    let digest = in_service.text.digest;
    let prepared = spawn_blocking(move || Prepared::new(&source, mapping, in_service));
    let Prepared { pair, not_compared } = match prepared.await.map_err(|_| ApiError::Internal)? {
        Ok(prepared) => prepared,
        Err(mistakes) => return Ok(Json(ChangesResponse::Invalid(mistakes))),
    };
    let memory = admin.intake.parse_memory();
    let walk = Walk::new(
        &*admin.store,
        pair,
        (filter, left, after.map(|it| it.after)),
        (memory, &admin.comparisons, turn),
    );
    let mut report = ChangesReport {
        in_service: digest,
        counts: ChangeCounts::default(),
        complete: true,
        not_compared,
        events: Vec::new(),
        next: None,
    };
    report.fill(walk, left).await?;
    let now = clock::now();
    report.events.iter_mut().for_each(|it| admin.complete(&mut it.event, now));
    Ok(Json(ChangesResponse::Compared(report)))
}

/// Both mappings, ready to be compared.
struct Prepared {
    pair: MappingPair,
    not_compared: Vec<String>,
}

impl Prepared {
    /// Compiles the proposed mapping; fails with its mistakes.
    fn new(
        source: &SourceName,
        mapping: String,
        in_service: MappingInService,
    ) -> Result<Prepared, PreviewErrors> {
        let name = format!("{source}.toml");
        // From the texts alone: the caller of the API must not make the relay open files or read
        // variables that they name.
        let new = MappingFile::of_text(Document { name: name.clone(), text: mapping });
        if new.mistakes.iter().any(Diagnostic::is_error) {
            return Err(PreviewErrors { mistakes: errors(&new.document, &new.mistakes) });
        }
        let old = MappingFile::of_text(Document { name, text: in_service.text.text.to_string() });
        let not_compared = comparison::not_compared(&old, &new);
        // The very mapping that delivery uses.
        let pair = MappingPair { old: in_service.mapping, new: new.mapping };
        Ok(Prepared { pair, not_compared })
    }
}

impl ChangesReport {
    /// Compares until all events are, or the time is over.
    async fn fill(&mut self, mut walk: Walk<'_>, left: usize) -> Result<(), ApiError> {
        let (begun, mut bytes, mut last) = (Instant::now(), 0, None);
        while let Some(compared) = walk.next().await? {
            for event in compared {
                let position = event.position();
                // Only counted once the page is full: the next page begins before this event.
                let is_full = self.events.len() >= PAGE_EVENTS_MAX || bytes >= PAGE_BYTES_MAX;
                if is_full && event.change.is_some() && self.next.is_none() {
                    self.next = last;
                }
                self.counts.add(event.kind());
                if !is_full {
                    bytes += event.change.as_ref().map_or(0, |change| change.bytes());
                    self.events.extend(EventChangeView::of(event));
                }
                last = Some(self.position(position, left));
            }
            if begun.elapsed() >= COMPARED_FOR && walk.has_more() {
                self.complete = false;
                // Not the last event: a search may have passed many others since.
                self.next = self.next.or(walk.reached().map(|it| self.position(it, left)));
                break;
            }
        }
        Ok(())
    }

    /// Returns a position behind the events that are counted.
    fn position(&self, after: Cursor, left: usize) -> PagePosition {
        let compared = usize::try_from(self.counts.compared).unwrap_or(usize::MAX);
        PagePosition { after, left: left.saturating_sub(compared) }
    }
}

impl From<ComparisonError> for ApiError {
    fn from(error: ComparisonError) -> ApiError {
        match error {
            ComparisonError::Store(error) => error.into(),
            ComparisonError::NoMemory => ApiError::Unavailable(error.to_string()),
            ComparisonError::Replaced => ApiError::Conflict(error.to_string()),
            ComparisonError::Failed => ApiError::Internal,
        }
    }
}
