//! Adds a source, with the mapping of its provider.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use serde::Deserialize;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::source::{SourceDetail, detail};
use super::sources::pausing_destination;
use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::mapping_changes::{ExpectedFile, FileChange, NewFiles};
use crate::admin::params::JsonBody;
use crate::admin::state::AdminState;
use crate::diagnostics::suggestion::nearest;
use crate::event::SourceName;
use crate::intake::provider::Provider;
use crate::intake::registry::SourceStatus;
use crate::mapping_file::proof::NamedSecret;
use crate::mapping_file::{bundle, new_text};
use crate::store::AuditAction;
use crate::{clock, file};

/// A source to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSource {
    /// Name of the source: its webhooks are posted to `/hooks/NAME`.
    #[schema(value_type = SourceName)]
    name: String,
    /// The kind of tool that sends: the `name` of one of `GET providers`.
    provider: String,
    /// The `name` of one of the provider's `mappings`; by default the first.
    mapping: Option<String>,
}

/// Add a source with a bundled mapping of its provider; it is paused, and its secret is set next
#[utoipa::path(post, path = "/api/v1/sources", request_body = NewSource,
    responses((status = 200, description = "The source as it is now: paused, and off without a secret",
            body = SourceDetail),
        (status = 409, description = "There is such a source, or a file where its secret would be kept, or its file \
            or the folder of its secret cannot be written, or another file has mistakes")))]
pub(crate) async fn add(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    JsonBody(NewSource { name, provider, mapping }): JsonBody<NewSource>,
) -> Result<Json<SourceDetail>, ApiError> {
    let name: SourceName =
        name.parse().map_err(|error| ApiError::BadRequest(format!("`name`: {error}")))?;
    let mapping = bundled_mapping(&provider, mapping.as_deref())?;
    check_free(&admin, &name)?;
    let (secrets, source) = (admin.secrets_folder.clone(), name.clone());
    let made = spawn_blocking(move || {
        let folder = secrets.path();
        let explained = |error| format!("{}: {}", folder.display(), file::explain(&error, folder));
        // It may be the secret of something else, which the new source would accept and replace.
        if let Some(kept) = secrets.existing(&source).first() {
            let reason = "is there already, and was not made for this source: choose another name, or delete it \
                          if nothing uses it";
            return Err(format!("{} {reason}", kept.reference()));
        }
        // Before its file: a provider that brings the secret finds where to keep it.
        file::make_private_folder(folder).map_err(explained)
    });
    made.await.map_err(|_| ApiError::Internal)?.map_err(ApiError::Conflict)?;
    let secret = NamedSecret { location: admin.secrets_folder.current(&name), until: None };
    let text = new_text::of_provider(&provider, mapping, &[secret]);
    let expected = ExpectedFile::NotInFolder;
    let beside = NewFiles::default();
    let change = FileChange::Write { source: name.clone(), text, expected, beside };
    // Before it exists: no event is sent to Savio that nobody has looked at.
    let pausing = pausing_destination(&admin, &name);
    let was_paused = match pausing {
        Some(to) => to.delivery.paused_sources().await?.contains_key(&name),
        None => false,
    };
    if let Some(to) = pausing {
        to.delivery.pause_source(name.clone(), clock::now()).await?;
    }
    let entry = caller.did(AuditAction::AddSource).on(&format!("source {name}"));
    let entry = entry.detail(&match mapping {
        Some(mapping) => format!("provider {provider}, mapping {mapping}"),
        None => format!("provider {provider}"),
    });
    if let Err(refusal) = admin.change_files(change, entry).await {
        if let Some(to) = pausing.filter(|_| !was_paused) {
            to.delivery.resume_source(&name).await?;
        }
        return Err(match refusal {
            ApiError::Changed(_) => exists(&name),
            other => other,
        });
    }
    detail(&admin, &caller, &name).await
}

/// Returns the bundled mapping of this name, or the usual one; none if the provider has none.
fn bundled_mapping(
    provider: &str,
    mapping: Option<&str>,
) -> Result<Option<&'static str>, ApiError> {
    let mappings = bundle::of_provider(provider);
    if mappings.is_empty() && Provider::builtin(provider).is_none() {
        let advice = match nearest(provider, Provider::names().chain(bundle::names())) {
            Some(known) => format!("did you mean {known}?"),
            None => "`GET /api/v1/providers` lists them".to_owned(),
        };
        return Err(ApiError::BadRequest(format!("there is no provider {provider}: {advice}")));
    }
    let Some(mapping) = mapping else { return Ok(mappings.first().copied()) };
    let known = mappings.iter().find(|name| **name == mapping).copied();
    let unknown = || {
        let known = if mappings.is_empty() { "none".to_owned() } else { mappings.join(", ") };
        ApiError::BadRequest(format!("`mapping`: the provider {provider} has {known}"))
    };
    known.ok_or_else(unknown).map(Some)
}

/// Fails if the source exists. A bundled one that nobody has set up is there to be added.
fn check_free(admin: &AdminState, name: &SourceName) -> Result<(), ApiError> {
    let served = admin.files.current();
    let is_in_folder = served.of(name).is_some_and(|file| !file.is_bundled());
    let sources = admin.intake.sources.current();
    let is_live = matches!(sources.get(name), Some(SourceStatus::Live(_)));
    if is_in_folder || is_live { Err(exists(name)) } else { Ok(()) }
}

fn exists(name: &SourceName) -> ApiError {
    ApiError::Conflict(format!("there is a source {name} already: choose another name"))
}
