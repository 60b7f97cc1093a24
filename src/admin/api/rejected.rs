//! Rejected webhooks.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::admin::error::ApiError;
use crate::admin::params::{QueryParams, page};
use crate::admin::rejections;
use crate::admin::state::AdminState;
use crate::admin::time_bound::Since;
use crate::event::SourceName;
use crate::store::{RejectionFilter, RejectionPage};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RejectedQuery {
    /// Webhooks of this source only.
    #[param(value_type = Option<SourceName>)]
    source: Option<String>,
    /// Webhooks that were rejected at this time or later: an age, a date in UTC or a time.
    #[param(inline)]
    since: Option<Since>,
    /// Number of rows at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u16>,
    /// The `next` of the previous page.
    #[param(min_length = 1, pattern = "^-?[0-9]+-[0-9]+$")]
    after: Option<String>,
}

/// List rejected webhooks of the last 30 days, newest first: the last 1,000 rows of each source
#[utoipa::path(get, path = "/api/v1/rejected", params(RejectedQuery),
    responses((status = 200, description = "A page of rejected webhooks", body = RejectionPage),
        (status = 404, description = "There is no such source")))]
pub(crate) async fn list(
    State(admin): State<Arc<AdminState>>,
    QueryParams(query, _): QueryParams<RejectedQuery>,
) -> Result<Json<RejectionPage>, ApiError> {
    let RejectedQuery { source, since, limit, after } = query;
    let page = page(limit, after.as_deref())?;
    let source = source.map(|name| admin.source(&name)).transpose()?;
    let filter = RejectionFilter { source, since: since.map(|Since(at)| at) };
    Ok(Json(rejections::list(&admin, filter, page).await?))
}
