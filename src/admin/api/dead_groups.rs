//! Dead events by their cause.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::admin::error::ApiError;
use crate::admin::params::QueryParams;
use crate::admin::state::AdminState;
use crate::admin::time_bound::Since;
use crate::clock;
use crate::event::SourceName;
use crate::issues::kinds::dead_advice::advice;
use crate::store::{DeadGroup, DeadGroups};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeadGroupQuery {
    /// Events of this source only.
    #[param(value_type = Option<SourceName>)]
    source: Option<String>,
    /// Events that died at this time or later: an age, a date in UTC or a time.
    #[param(inline)]
    since: Option<Since>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadGroupList {
    groups: Vec<AdvisedGroup>,
    /// Number of dead events of earlier versions that have no cause yet, up to 10,000; they get it in the background.
    without_cause: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct AdvisedGroup {
    #[serde(flatten)]
    group: DeadGroup,
    /// What to do.
    advice: &'static str,
}

/// List dead events by cause, the most frequent first
#[utoipa::path(get, path = "/api/v1/dead/groups", params(DeadGroupQuery),
    responses((status = 200, description = "The causes", body = DeadGroupList),
        (status = 404, description = "There is no such source")))]
pub(crate) async fn list(
    State(admin): State<Arc<AdminState>>,
    QueryParams(DeadGroupQuery { source, since }, _): QueryParams<DeadGroupQuery>,
) -> Result<Json<DeadGroupList>, ApiError> {
    let source = source.map(|name| admin.source(&name)).transpose()?;
    let since = since.map(|Since(at)| at);
    let DeadGroups { groups, without_cause } =
        admin.store.dead_groups(source, since, clock::now()).await?;
    let advised = groups.into_iter().map(|group| {
        let advice = advice(group.stage, group.status, &group.reason);
        AdvisedGroup { group, advice }
    });
    Ok(Json(DeadGroupList { groups: advised.collect(), without_cause }))
}
