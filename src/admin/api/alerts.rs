//! Tests of those that get alerts.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::params::JsonBody;
use crate::admin::state::AdminState;
use crate::alerts::{AlertAnswer, TestResult};
use crate::clock;
use crate::store::AuditAction;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlertTestBody {
    /// Name of one of `[[alerts]]`; null for all of them.
    name: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlertTests {
    /// In the order of the configuration.
    alerts: Vec<AlertTest>,
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
struct AlertTest {
    name: String,
    /// Whether the answer was 2xx.
    accepted: bool,
    /// Status of the answer; null if there was none.
    status: Option<u16>,
    /// The answer's first words.
    answer: Option<String>,
    /// Why there was no answer.
    reason: Option<String>,
}

impl From<TestResult> for AlertTest {
    fn from(TestResult { name, answer }: TestResult) -> AlertTest {
        let accepted = answer.as_ref().is_ok_and(AlertAnswer::is_success);
        let status = answer.as_ref().ok().map(|answer| answer.status);
        let (answer, reason) = match answer {
            Ok(answer) => (Some(answer.text), None),
            Err(reason) => (None, Some(reason)),
        };
        AlertTest { name, accepted, status, answer, reason }
    }
}

/// Send a test message to those that get alerts, and return what each answered
#[utoipa::path(post, path = "/api/v1/alerts/test", request_body = AlertTestBody,
    responses((status = 200, description = "What each answered, within 10 s", body = AlertTests),
        (status = 404, description = "There are no such alerts")))]
pub(crate) async fn test(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    JsonBody(AlertTestBody { name }): JsonBody<AlertTestBody>,
) -> Result<Json<AlertTests>, ApiError> {
    let Some(results) = admin.alerts.test(name.as_deref(), clock::now()).await else {
        let name = name.unwrap_or_default();
        return Err(ApiError::NotFound(format!("there are no alerts with the name {name}")));
    };
    let on = name.map_or_else(|| "all alerts".to_owned(), |name| format!("alerts {name}"));
    admin.record(caller.did(AuditAction::TestAlerts).on(&on)).await;
    Ok(Json(AlertTests { alerts: results.into_iter().map(AlertTest::from).collect() }))
}
