//! What this relay is, and what it can do here.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use jiff::Timestamp;
use serde::Serialize;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::admin::error::ApiError;
use crate::admin::state::AdminState;
use crate::diagnostics::document::FILE_BYTES_MAX;
use crate::issues::reconcile::counted;
use crate::{clock, file};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct About {
    version: &'static str,
    /// Base URL of the webhooks.
    public_url: String,
    /// The relay's clock.
    now: Timestamp,
    /// Number of open issues that are not muted.
    open_issues: u64,
    /// Seconds for which an event is kept after it settled.
    retention_seconds: u64,
    /// Folder of the mapping files.
    mappings_folder: String,
    /// Whether the relay can write mapping files there.
    mappings_writable: bool,
    /// Reason why it cannot.
    mappings_not_writable: Option<String>,
    /// Folder of the secrets that are set by the API.
    secrets_folder: String,
    /// Whether the relay can write secrets there.
    secrets_writable: bool,
    /// Reason why it cannot.
    secrets_not_writable: Option<String>,
    limits: Limits,
}

/// The largest that is accepted.
#[derive(Debug, Serialize, ToSchema)]
struct Limits {
    /// Bytes of a webhook.
    body_bytes: usize,
    /// Nesting of a webhook's JSON.
    json_depth: usize,
    /// Bytes of a mapping file.
    mapping_bytes: usize,
}

/// Show the relay's version, address and limits, and whether it can write its files
#[utoipa::path(get, path = "/api/v1/about",
    responses((status = 200, description = "The relay", body = About)))]
pub(crate) async fn about(State(admin): State<Arc<AdminState>>) -> Result<Json<About>, ApiError> {
    let mappings = admin.files.current().folder.clone();
    let secrets = admin.secrets_folder.path().to_owned();
    let (mappings_folder, secrets_folder) =
        (mappings.display().to_string(), secrets.display().to_string());
    // Any file in it: whether there is one, and may be replaced, is shown at its source.
    let places = [mappings, secrets].map(|folder| folder.join("new"));
    let checked = spawn_blocking(move || places.map(|path| file::check_replaceable(&path).err()));
    let [mappings, secrets] = checked.await.map_err(|_| ApiError::Internal)?;
    let (limits, now) = (admin.intake.limits(), clock::now());
    Ok(Json(About {
        version: env!("CARGO_PKG_VERSION"),
        public_url: admin.url.clone(),
        now,
        open_issues: counted(&admin.issues.current(), now).values().sum(),
        retention_seconds: admin.retention.as_secs(),
        mappings_folder,
        mappings_writable: mappings.is_none(),
        mappings_not_writable: mappings,
        secrets_folder,
        secrets_writable: secrets.is_none(),
        secrets_not_writable: secrets,
        limits: Limits {
            body_bytes: limits.bytes_max,
            json_depth: limits.depth_max,
            mapping_bytes: FILE_BYTES_MAX,
        },
    }))
}
