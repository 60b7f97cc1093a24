//! The check of a mapping that is not saved yet, and the schema of mapping files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Json};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::params::JsonBody;
use crate::admin::state::AdminState;
use crate::diagnostics::diagnostic;
use crate::diagnostics::document::Document;
use crate::diagnostics::view::DiagnosticView;
use crate::event::SourceName;
use crate::intake::payload::PayloadLimits;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::schema::SCHEMA;
use crate::mapping_file::test_run;
use crate::mapping_file::test_view::TestView;

/// A mapping file's text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckBody {
    mapping: String,
    /// Name of the source that it is for.
    #[schema(value_type = Option<String>)]
    source: Option<SourceName>,
}

/// What is wrong with a mapping, and what its tests give.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MappingCheck {
    /// Errors before warnings, each in order of their places.
    mistakes: Vec<DiagnosticView>,
    /// One for each `[[test]]`; none if the mapping has errors.
    tests: Vec<TestView>,
}

/// Name of the file in messages if none is given.
const NAME: &str = "mapping";
/// Time after which no further test is run.
const TESTS_TIME_MAX: Duration = Duration::from_secs(10);

/// Check a mapping: its mistakes, and the results of its tests
#[utoipa::path(post, path = "/api/v1/check", request_body = CheckBody,
    responses((status = 200, description = "Its mistakes and the results of its tests",
        body = MappingCheck)))]
pub(crate) async fn check(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    JsonBody(CheckBody { mapping, source }): JsonBody<CheckBody>,
) -> Result<Json<MappingCheck>, ApiError> {
    let slot = admin.caller_slots.acquire(caller.key()).await?;
    let name = source.map_or_else(|| NAME.to_owned(), |source| source.to_string());
    let document = Document { name: format!("{name}.toml"), text: mapping };
    let limits = admin.intake.limits();
    // Compiling the file and mapping its samples may take seconds.
    let checked = spawn_blocking(move || {
        let result = run(document, &admin, &limits);
        // Not before: the work goes on when the client has left.
        drop(slot);
        result
    });
    checked.await.map(Json).map_err(|_| ApiError::Internal)
}

fn run(document: Document, admin: &AdminState, limits: &PayloadLimits) -> MappingCheck {
    // From the text alone: the caller must not make the relay open files or read variables that it
    // names. Its samples are those of the folder and of the program.
    let file = MappingFile::of_text(document).with_samples_of(Some(&admin.files.current().folder));
    let destinations = admin.destinations.keys().map(String::as_str);
    let mut file = file.with_known_destinations(destinations);
    let results = test_run::run_until(&file, limits, Some(Instant::now() + TESTS_TIME_MAX));
    let tests = TestView::all(&file, &results);
    file.mistakes.extend(results.mistakes);
    file.mistakes.extend(results.unreached);
    diagnostic::limit(&file.document, &mut file.mistakes);
    MappingCheck { mistakes: DiagnosticView::all(&file.document, &file.mistakes), tests }
}

/// Get the JSON Schema of mapping files: their keys, values and what they mean
#[utoipa::path(get, path = "/api/v1/mapping.schema.json",
    responses((status = 200, description = "A JSON Schema, draft 2020-12", body = Object)))]
pub(crate) async fn schema() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], SCHEMA)
}
