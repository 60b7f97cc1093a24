//! Issues: what a person should know, and mutes of their alerts.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::params::{JsonBody, PathSegment, QueryParams, id, page};
use crate::admin::state::AdminState;
use crate::admin::time_bound::Since;
use crate::clock;
use crate::event::SourceName;
use crate::store::{
    Issue, IssueFilter, IssueId, IssueKind, IssuePage, IssueState, MuteOutcome, MuteRequest,
};

/// Longest note, in characters.
const NOTE_CHARS_MAX: usize = 500;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct IssueQuery {
    /// Open issues (the default), closed ones, or both.
    #[param(inline)]
    state: Option<IssueState>,
    /// Issues that were open at this time or later: an age, a date in UTC or a time.
    #[param(inline)]
    since: Option<Since>,
    /// Issues of this kind.
    #[param(inline)]
    kind: Option<IssueKind>,
    /// Issues of this source.
    source: Option<SourceName>,
    /// Number of closed issues at most; the open ones are all on the first page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u16>,
    /// The `next` of the previous page.
    #[param(min_length = 1, pattern = "^-?[0-9]+-[0-9]+$")]
    after: Option<String>,
}

/// List issues: the open ones, the worst first, then closed ones, the last first
#[utoipa::path(get, path = "/api/v1/issues", params(IssueQuery),
    responses((status = 200, description = "A page of issues", body = IssuePage)))]
pub(crate) async fn list(
    State(admin): State<Arc<AdminState>>,
    QueryParams(query, _): QueryParams<IssueQuery>,
) -> Result<Json<IssuePage>, ApiError> {
    let IssueQuery { state, since, kind, source, limit, after } = query;
    let page = page(limit, after.as_deref())?;
    let state = state.unwrap_or_default();
    let filter = IssueFilter { state, since: since.map(|Since(at)| at), kind, source };
    let (board, now) = (admin.issues.current(), clock::now());
    let mut found = match admin.store.issues(filter.clone(), page).await {
        Ok(found) => found,
        // That the store is unavailable is an issue, which only the board has then.
        Err(_) if state == IssueState::Open => IssuePage { issues: Vec::new(), next: None },
        Err(error) => return Err(error.into()),
    };
    if state != IssueState::Closed && page.after.is_none() {
        add_unwritten(&mut found.issues, &board, &filter);
    }
    found.issues = found.issues.into_iter().map(|issue| issue.shown(now)).collect();
    Ok(Json(found))
}

/// Adds the open issues that are not in the store yet.
fn add_unwritten(issues: &mut Vec<Issue>, board: &[Issue], filter: &IssueFilter) {
    let matches = |issue: &&Issue| {
        issue.is_open()
            && filter.kind.is_none_or(|kind| issue.kind == kind)
            && (filter.source.is_none() || issue.place.source == filter.source)
            && !issues.iter().any(|it| it.id == issue.id)
    };
    let new: Vec<Issue> = board.iter().filter(matches).cloned().collect();
    // The board is a few seconds old: what it has open may be closed in the store meanwhile, and is
    // then a moment late. The order stays: open ones first, the worst of them first.
    issues.extend(new);
    issues.sort_by_key(|issue| {
        (!issue.is_open(), if issue.is_open() { Some(issue.kind) } else { None })
    });
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MuteBody {
    /// Until when: null until it closes, a time in the past not any more.
    until: Option<Timestamp>,
    /// Why, for others.
    #[schema(max_length = 500)]
    note: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MutedIssue {
    /// The issue as it is now.
    issue: Issue,
}

/// Mute an issue: its alerts stay quiet, and it does not count as open until then
#[utoipa::path(post, path = "/api/v1/issues/{id}/mute", request_body = MuteBody,
    params(("id" = IssueId, Path, description = "Id of the issue")),
    responses((status = 200, description = "The issue as it is now", body = MutedIssue),
        (status = 404, description = "There is no such issue"),
        (status = 409, description = "The issue is closed")))]
pub(crate) async fn mute(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(text): PathSegment,
    JsonBody(MuteBody { until, note }): JsonBody<MuteBody>,
) -> Result<Json<MutedIssue>, ApiError> {
    let id: IssueId = id(&text, "issue")?;
    if note.as_ref().is_some_and(|note| note.chars().count() > NOTE_CHARS_MAX) {
        let reason = format!("`note` has more than {NOTE_CHARS_MAX} characters");
        return Err(ApiError::BadRequest(reason));
    }
    let note = note.map(|note| note.trim().to_owned()).filter(|note| !note.is_empty());
    let now = clock::now();
    let request = MuteRequest { id, now, until, note, by: caller.actor() };
    match admin.store.mute_issue(request).await? {
        MuteOutcome::Changed(issue) => {
            admin.issues.replace(&issue);
            Ok(Json(MutedIssue { issue: issue.shown(now) }))
        }
        MuteOutcome::Closed => Err(ApiError::Conflict(format!("issue {id} is closed"))),
        MuteOutcome::NotFound => Err(ApiError::NotFound(format!("there is no issue {id}"))),
    }
}
