//! What `doctor` finds, checked by the running relay itself.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;

use crate::admin::error::ApiError;
use crate::admin::health_checks::HealthReport;
use crate::admin::state::AdminState;

/// Check what the relay depends on, as `savio-relay doctor` does: seconds may pass
///
/// One run at a time, whose result is given again for 10 seconds. What only another process can see is
/// not among the findings.
#[utoipa::path(get, path = "/api/v1/health",
    responses((status = 200, description = "What was checked and found", body = HealthReport),
        (status = 503, description = "Too many requests wait for the checks")))]
pub(crate) async fn show(
    State(admin): State<Arc<AdminState>>,
) -> Result<Json<HealthReport>, ApiError> {
    let report = admin.health.report().await?;
    Ok(Json(HealthReport::clone(&report)))
}
