//! Keeps a stored event as a test of its source's mapping.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::ToSchema;

use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::mapping_changes::FileChange;
use crate::admin::mapping_text::{CurrentText, digest_of};
use crate::admin::new_test::NewTest;
use crate::admin::params::{ConditionalPath, JsonBody, no_event};
use crate::admin::role::Role;
use crate::admin::state::AdminState;
use crate::event::{EventId, SourceName};
use crate::mapping_file::file::SamplePayload;
use crate::store::AuditAction;

/// A stored event to keep as a test.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptTestBody {
    event: EventId,
    /// Part of the names of the files: a-z, 0-9, - and _. By default the event's id.
    #[schema(value_type = Option<SourceName>)]
    name: Option<String>,
    /// Only say what would be written.
    #[serde(default)]
    dry_run: bool,
}

/// A test that was added to a mapping file, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TestKept {
    source: SourceName,
    dry_run: bool,
    /// What goes into the files, to be read before it does.
    notice: String,
    files: Vec<TestFile>,
    /// The text at the end of the mapping file.
    appended: String,
    /// SHA-256 of the mapping file: as it is now, or as it was written.
    digest: String,
}

/// A file of a test.
#[derive(Debug, Serialize, ToSchema)]
struct TestFile {
    path: String,
    bytes: usize,
}

/// Keep a stored event as a test: its webhook and what becomes of it go into files of the folder
#[utoipa::path(post, path = "/api/v1/sources/{name}/tests", request_body = KeptTestBody,
    params(("name" = SourceName, Path, description = "Name of the source"),
        ("If-Match" = Option<String>, Header,
            description = "The digest of the mapping to which the test is added, in quotes, or *. It is \
                           required, except for a dry run")),
    responses((status = 200, description = "The test that was kept, or would be", body = TestKept),
        (status = 404, description = "There is no such source or event"),
        (status = 409, description = "The event is of another source or cannot be mapped, there is a test of \
            that name, or a file cannot be written"),
        (status = 412, description = "The mapping file is not the one that `If-Match` names"),
        (status = 422, description = "The mapping has mistakes with the test: `mistakes`"),
        (status = 428, description = "There is no `If-Match`")))]
pub(crate) async fn keep(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    path: ConditionalPath,
    JsonBody(KeptTestBody { event, name: label, dry_run }): JsonBody<KeptTestBody>,
) -> Result<Json<TestKept>, ApiError> {
    if !dry_run {
        caller.require(Role::Edit)?;
    }
    let source = admin.source(&path.segment)?;
    let label = label.unwrap_or_else(|| event.to_string());
    // The characters of all names of files here.
    let label: SourceName = label.parse().map_err(|_| {
        let reason = "`name`: a test's name has 1 to 64 of a-z, 0-9, - and _, and begins with a letter \
                      or digit";
        ApiError::BadRequest(reason.to_owned())
    })?;
    let sample = sample(&admin, &source, event).await?;
    let (served, own, limits) = (admin.files.current(), source.clone(), admin.intake.limits());
    let made = admin.checks.run(move || {
        let current = CurrentText::read(&served, &own)?;
        NewTest::of((&served, &own), (&label, sample), &current, &limits)
    });
    let test = made.await??;
    if dry_run {
        let digest = test.digest_before.clone();
        return Ok(Json(kept(source, &test, (dry_run, digest))));
    }
    // The test is added to the text that was read: a newer one would be lost.
    let expected = path.condition()?.narrowed_to(&test.digest_before);
    let change = FileChange::Write {
        source: source.clone(),
        text: test.text.clone(),
        expected,
        beside: test.files.clone(),
    };
    let entry = caller.did(AuditAction::SaveTest).on(&format!("source {source}"));
    let entry = entry.detail(&format!("event {event}"));
    let entry = entry.digests(Some(test.digest_before.clone()), Some(digest_of(&test.text)));
    admin.change_files(change, entry).await?;
    info!(by = %caller, source = %source, "kept an event as a test");
    let digest = digest_of(&test.text);
    Ok(Json(kept(source, &test, (dry_run, digest))))
}

/// Returns the webhook in which the event came.
async fn sample(
    admin: &AdminState,
    source: &SourceName,
    id: EventId,
) -> Result<SamplePayload, ApiError> {
    let record = admin.store.event(id).await?.ok_or_else(|| no_event(id))?;
    if record.event.source != *source {
        let reason = format!("event {id} is of the source {}", record.event.source);
        return Err(ApiError::Conflict(reason));
    }
    let body = admin.store.body(id).await?.ok_or_else(|| no_event(id))?;
    Ok(SamplePayload { headers: record.event.headers, body })
}

fn kept(source: SourceName, test: &NewTest, (dry_run, digest): (bool, String)) -> TestKept {
    let file = |(path, content): &(PathBuf, Vec<u8>)| TestFile {
        path: path.display().to_string(),
        bytes: content.len(),
    };
    let files: Vec<TestFile> = test.files.0.iter().map(file).collect();
    let verb = if dry_run { "would be" } else { "are" };
    let notice = format!(
        "the webhook as it was received, and what becomes of it, {verb} in {}: with all data of \
         customers that are in it, also after the event is deleted here",
        files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(" and ")
    );
    TestKept { source, dry_run, notice, files, appended: test.appended.clone(), digest }
}
