//! The mapping file of a source: its text, and its replacement while the relay runs.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::mapping_changes::{ChangeMade, ExpectedFile, FileChange, NewFiles};
use crate::admin::mapping_text::{CheckedText, CurrentText, Guard, digest_of, waiting_warning};
use crate::admin::params::{ConditionalPath, JsonBody, PathSegment};
use crate::admin::state::AdminState;
use crate::clock;
use crate::diagnostics::document::Document;
use crate::diagnostics::view::DiagnosticView;
use crate::event::SourceName;
use crate::intake::registry::SourceStatus;
use crate::mapping_file::bundle;
use crate::store::{AuditAction, NewAuditEntry};

/// The mapping file of a source.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SourceMapping)]
pub(crate) struct MappingView {
    source: SourceName,
    /// The text, as it is in the folder now. `ETag` is its digest.
    text: String,
    /// SHA-256 of the bytes of the file, for `If-Match`.
    digest: String,
    /// Path of the file; null if the text is the bundled one.
    file: Option<String>,
    /// Whether the program has a mapping of this name, to go back to.
    has_bundled: bool,
    /// Digest of the text in service, which is another one while a changed file has mistakes; null
    /// if the source has none.
    in_service: Option<String>,
    /// Whether the relay can write the file.
    writable: bool,
    /// Reason why it cannot.
    not_writable: Option<String>,
}

impl MappingView {
    fn of(source: SourceName, current: CurrentText) -> MappingView {
        let CurrentText { text, digest, file, has_bundled, in_service, not_writable } = current;
        MappingView {
            source,
            text,
            digest,
            file: file.map(|path| path.display().to_string()),
            has_bundled,
            in_service,
            writable: not_writable.is_none(),
            not_writable,
        }
    }
}

impl IntoResponse for MappingView {
    fn into_response(self) -> Response {
        let tag = HeaderValue::try_from(format!("\"{}\"", self.digest));
        let mut response = Json(self).into_response();
        if let Ok(tag) = tag {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// Show the mapping file of a source
#[utoipa::path(get, path = "/api/v1/sources/{name}/mapping",
    params(("name" = SourceName, Path, description = "Name of the source")),
    responses((status = 200, description = "The text, with its digest as `ETag`", body = MappingView,
            headers(("ETag" = String, description = "The digest, in quotes"))),
        (status = 404, description = "There is no such source, or it has no mapping"),
        (status = 409, description = "The file cannot be read")))]
pub(crate) async fn show(
    State(admin): State<Arc<AdminState>>,
    PathSegment(name): PathSegment,
) -> Result<MappingView, ApiError> {
    let name = admin.source(&name)?;
    let current = current(&admin, &name).await?;
    Ok(MappingView::of(name, current))
}

/// A text to save.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MappingBody {
    /// The whole file; it is written byte for byte.
    mapping: String,
    /// Whether what its tests give now is written as what they expect.
    #[serde(default)]
    update_tests: bool,
}

/// A mapping that is in service now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MappingSaved {
    source: SourceName,
    /// SHA-256 of the bytes of the file.
    digest: String,
    /// Path of the file; null if the bundled text is in service now.
    file: Option<String>,
    /// What is not wrong and probably not meant, and the tests that fail.
    warnings: Vec<DiagnosticView>,
    /// Paths of the expected requests that were written.
    written: Vec<String>,
}

/// Save the mapping file of a source, and put it into service
#[utoipa::path(put, path = "/api/v1/sources/{name}/mapping", request_body = MappingBody,
    params(("name" = SourceName, Path, description = "Name of the source"),
        ("If-Match" = Option<String>, Header,
            description = "The digest of the text that is to be replaced, in quotes, or *. It is required")),
    responses((status = 200, description = "The mapping is in service", body = MappingSaved),
        (status = 202, description = "The file had mistakes and has none now, but another file still has, which \
            the first of `warnings` names: the mappings of before stay in service", body = MappingSaved),
        (status = 403, description = "The token's role does not suffice, for the route or for what the \
            text changes. Nothing changed"),
        (status = 404, description = "There is no such source"),
        (status = 409, description = "The file cannot be written, or another file has mistakes: the reason \
            names it"),
        (status = 412, description = "The file is not the one that `If-Match` names"),
        (status = 422, description = "The mapping has mistakes: `mistakes`"),
        (status = 428, description = "There is no `If-Match`")))]
pub(crate) async fn save(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    path: ConditionalPath,
    JsonBody(body): JsonBody<MappingBody>,
) -> Result<(StatusCode, Json<MappingSaved>), ApiError> {
    let name = admin.source(&path.segment)?;
    let expected = path.condition()?;
    let MappingBody { mapping: text, update_tests } = body;
    let checked = check(&admin, &name, text.clone()).await?;
    let guarded = guard(&admin, &caller, (&name, &checked), expected).await?;
    let AllowedReplacement { expected, before, changed } = guarded;
    let entry = caller.did(AuditAction::SaveMapping).on(&format!("source {name}"));
    let entry = with_changed(entry, &changed).digests(Some(before), Some(digest_of(&text)));
    let beside = NewFiles::default();
    let change = FileChange::Write { source: name.clone(), text, expected, beside };
    let made = admin.change_files(change, entry).await?;
    let (off, folder) = (off_reason(&admin, &name), admin.secrets_folder.clone());
    let status = status(&made);
    let finish = move || {
        let first = match made {
            ChangeMade::InService => off.map(|reason| checked.off_warning(&reason, &folder)),
            ChangeMade::Waiting { mistaken } => Some(checked.waiting_warning(&mistaken)),
        };
        let (warnings, written) = if update_tests {
            checked.write_expectations()
        } else {
            (checked.warnings(), Vec::new())
        };
        // First, since it matters most.
        (first.unwrap_or_default().into_iter().chain(warnings).collect(), written)
    };
    let (warnings, written) = spawn_blocking(finish).await.map_err(|_| ApiError::Internal)?;
    let CurrentText { digest, file, .. } = current(&admin, &name).await?;
    let file = file.map(|path| path.display().to_string());
    Ok((status, Json(MappingSaved { source: name, digest, file, warnings, written })))
}

/// Go back to the bundled mapping of a source: its file is deleted
#[utoipa::path(delete, path = "/api/v1/sources/{name}/mapping",
    params(("name" = SourceName, Path, description = "Name of the source"),
        ("If-Match" = Option<String>, Header,
            description = "The digest of the text that is to be deleted, in quotes, or *. It is required")),
    responses((status = 200, description = "The bundled mapping is in service", body = MappingSaved),
        (status = 202, description = "The file, which had mistakes, is deleted, but another file still has some, \
            which the first of `warnings` names: the mappings of before stay in service", body = MappingSaved),
        (status = 403, description = "The token's role does not suffice, for the route or for what the \
            bundled text changes. Nothing changed"),
        (status = 404, description = "There is no such source, or it has no file in the folder"),
        (status = 409, description = "The program has no mapping of this name, the file cannot be deleted, \
            or another file has mistakes"),
        (status = 412, description = "The file is not the one that `If-Match` names"),
        (status = 428, description = "There is no `If-Match`")))]
pub(crate) async fn remove(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    path: ConditionalPath,
) -> Result<(StatusCode, Json<MappingSaved>), ApiError> {
    let name = admin.source(&path.segment)?;
    let expected = path.condition()?;
    let guarded = match bundle::of(name.as_str()) {
        Some(bundled) => {
            let bundled = check(&admin, &name, bundled.to_owned()).await?;
            guard(&admin, &caller, (&name, &bundled), expected).await?
        }
        None => AllowedReplacement { expected, before: String::new(), changed: Vec::new() },
    };
    let AllowedReplacement { expected, before, changed } = guarded;
    let after = bundle::of(name.as_str()).map(digest_of);
    let entry = caller.did(AuditAction::RemoveMapping).on(&format!("source {name}"));
    let entry = with_changed(entry, &changed).digests(Some(before), after);
    let change = FileChange::Remove { source: name.clone(), expected };
    let made = admin.change_files(change, entry).await?;
    let CurrentText { digest, text, .. } = current(&admin, &name).await?;
    let warnings = match &made {
        ChangeMade::InService => Vec::new(),
        ChangeMade::Waiting { mistaken } => {
            let document = Document { name: format!("{name}.toml"), text };
            waiting_warning(&document, mistaken)
        }
    };
    let saved = MappingSaved { source: name, digest, file: None, warnings, written: Vec::new() };
    Ok((status(&made), Json(saved)))
}

fn status(made: &ChangeMade) -> StatusCode {
    match made {
        ChangeMade::InService => StatusCode::OK,
        ChangeMade::Waiting { .. } => StatusCode::ACCEPTED,
    }
}

async fn current(admin: &AdminState, name: &SourceName) -> Result<CurrentText, ApiError> {
    let (served, name) = (admin.files.current(), name.clone());
    let read = spawn_blocking(move || CurrentText::read(&served, &name));
    read.await.map_err(|_| ApiError::Internal)?
}

async fn check(
    admin: &AdminState,
    name: &SourceName,
    text: String,
) -> Result<CheckedText, ApiError> {
    let (served, name) = (admin.files.current(), name.clone());
    let limits = admin.intake.limits();
    admin.checks.run(move || CheckedText::new((&served, &name), text, &limits)).await?
}

/// Returns why the source refuses webhooks; none if it does not.
fn off_reason(admin: &AdminState, name: &SourceName) -> Option<String> {
    match admin.intake.sources.current().get(name)? {
        SourceStatus::Live(source) => source.off_reason(clock::now()).map(str::to_owned),
        SourceStatus::AwaitingSecret(_) => None,
        SourceStatus::Off { reason } => Some(reason.clone()),
    }
}

/// What the replacement of a text needs, which its caller may make.
struct AllowedReplacement {
    /// What the file has to hold.
    expected: ExpectedFile,
    /// Digest of the current text.
    before: String,
    /// The keys that change who sends or where the events go.
    changed: Vec<&'static str>,
}

/// Adds to an entry that its text changes who may send.
fn with_changed(entry: NewAuditEntry, changed: &[&str]) -> NewAuditEntry {
    if changed.is_empty() {
        entry
    } else {
        entry.detail(&format!("changes {}", changed.join(", ")))
    }
}

/// Fails if the caller may not replace the current text by this one.
async fn guard(
    admin: &AdminState,
    caller: &ApiCaller,
    (name, text): (&SourceName, &CheckedText),
    expected: ExpectedFile,
) -> Result<AllowedReplacement, ApiError> {
    let (served, secrets) = (admin.files.current(), &admin.secrets_folder);
    let current = current(admin, name).await?;
    let (folder, source) = (secrets.clone(), name.clone());
    let existing = spawn_blocking(move || folder.existing(&source));
    let existing = existing.await.map_err(|_| ApiError::Internal)?;
    let guard = Guard { caller, served: &served, secrets, existing };
    let changed = guard.check(name, text, &current)?;
    // What was compared is what is replaced.
    let expected = expected.narrowed_to(&current.digest);
    Ok(AllowedReplacement { expected, before: current.digest, changed })
}
