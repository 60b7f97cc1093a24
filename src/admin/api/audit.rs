//! What people did, for whoever may read.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::admin::error::ApiError;
use crate::admin::params::{QueryParams, page};
use crate::admin::state::AdminState;
use crate::admin::time_bound::{Since, Until};
use crate::store::{AuditAction, AuditEntry, AuditFilter, AuditNames, AuditPage, Cursor};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Actions of this person, token or `USER@HOST`.
    #[param(min_length = 1)]
    who: Option<String>,
    /// Actions of this kind.
    #[param(inline)]
    action: Option<AuditAction>,
    /// Actions at this time or later: an age, a date in UTC or a time.
    #[param(inline)]
    since: Option<Since>,
    /// Actions before this time; a date includes the whole day.
    #[param(inline)]
    until: Option<Until>,
    /// Number of actions at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u16>,
    /// The `next` of the previous page.
    #[param(min_length = 1, pattern = "^-?[0-9]+-[0-9]+$")]
    after: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditList {
    entries: Vec<AuditEntry>,
    /// Where the next page begins; null at the end.
    #[schema(value_type = Option<String>)]
    next: Option<Cursor>,
    /// Everybody who did anything, by name: the values of `who`. At most 200.
    people: Vec<String>,
    /// All that was done: the values of `action`.
    actions: Vec<String>,
}

/// List what people did, newest first: kept for a year
#[utoipa::path(get, path = "/api/v1/audit", params(AuditQuery),
    responses((status = 200, description = "A page of actions", body = AuditList)))]
pub(crate) async fn list(
    State(admin): State<Arc<AdminState>>,
    QueryParams(AuditQuery { who, action, since, until, limit, after }, _): QueryParams<AuditQuery>,
) -> Result<Json<AuditList>, ApiError> {
    let page = page(limit, after.as_deref())?;
    let (since, until) = (since.map(|Since(time)| time), until.map(|Until(time)| time));
    let filter = AuditFilter { who, action, since, until };
    let AuditPage { entries, next } = admin.store.audit(filter, page).await?;
    let AuditNames { people, actions } = admin.store.audit_names().await?;
    Ok(Json(AuditList { entries, next, people, actions }))
}
