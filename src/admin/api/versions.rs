//! Versions of a source's mapping file: the texts that were in service.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::admin::error::ApiError;
use crate::admin::params::{PathSegment, PathSegments, QueryParams};
use crate::admin::state::AdminState;
use crate::event::{DigestPrefix, MappingDigest, SourceName};
use crate::store::{
    FoundVersion, MappingHistory, MappingHistoryEntry, MappingVersion, VersionCursor,
};

const LIMIT: u16 = 50;
const VERSIONS_MAX: u16 = 500;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct VersionPageParams {
    /// Number of versions at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u16>,
    /// The `next` of the previous page.
    #[param(min_length = 1, pattern = "^[0-9]+$")]
    after: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionList {
    /// Newest first. A text that went back into service is there once for each time.
    pub(crate) versions: Vec<VersionView>,
    /// Where the next page begins; null at the end.
    #[schema(value_type = Option<String>)]
    pub(crate) next: Option<VersionCursor>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionView {
    /// SHA-256 of the file's bytes.
    pub(crate) digest: MappingDigest,
    /// Time at which this text went into service.
    pub(crate) since: Timestamp,
    /// Number of events that were mapped by it last.
    pub(crate) events: u64,
    /// True if there may be more: the count stops at 5,000.
    pub(crate) at_least: bool,
    /// True for the one by which events are mapped at present.
    pub(crate) in_service: bool,
    /// Who put it into service by the API, as the audit names them. Null for a file that was written without the
    /// API or came with the program, and after a year.
    pub(crate) by: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionText {
    digest: MappingDigest,
    /// Time at which this text last went into service.
    since: Timestamp,
    /// True if events are mapped by it at present.
    in_service: bool,
    /// The mapping file, as it was written.
    text: String,
}

/// List the versions of a source's mapping file, newest first
#[utoipa::path(get, path = "/api/v1/sources/{name}/versions",
    params(("name" = SourceName, Path, description = "Name of the source"), VersionPageParams),
    responses((status = 200, description = "A page of versions", body = VersionList),
        (status = 404, description = "There is no such source")))]
pub(crate) async fn list(
    State(admin): State<Arc<AdminState>>,
    PathSegment(name): PathSegment,
    QueryParams(VersionPageParams { limit, after }, _): QueryParams<VersionPageParams>,
) -> Result<Json<VersionList>, ApiError> {
    let limit = limit.unwrap_or(LIMIT);
    if !(1..=VERSIONS_MAX).contains(&limit) {
        return Err(ApiError::BadRequest(format!("`limit` is from 1 to {VERSIONS_MAX}")));
    }
    let after = after.map(|after| after.parse()).transpose();
    let after = after.map_err(|error| ApiError::BadRequest(format!("`after`: {error}")))?;
    let source: SourceName = name.parse().map_err(|_| no_source(&name))?;
    let history = admin.store.mapping_history(source.clone(), usize::from(limit), after).await?;
    // A source whose file has been gone since before the start is known by its history only.
    if history.versions.is_empty() {
        admin.source(&name)?;
    }
    Ok(Json(VersionList::of(history, |digest| is_in_service(&admin, &source, digest))))
}

impl VersionList {
    /// Of the newest version `is_in_service` says whether events are mapped by it.
    pub(crate) fn of(
        history: MappingHistory,
        is_in_service: impl Fn(MappingDigest) -> bool,
    ) -> VersionList {
        let view = |entry: MappingHistoryEntry| {
            let MappingHistoryEntry { version, events, at_least, is_newest, by } = entry;
            let MappingVersion { digest, since } = version;
            let in_service = is_newest && is_in_service(digest);
            VersionView { digest, since, events, at_least, in_service, by }
        };
        let versions = history.versions.into_iter().map(view).collect();
        VersionList { versions, next: history.next }
    }
}

/// Get the text of one version
#[utoipa::path(get, path = "/api/v1/sources/{name}/versions/{digest}",
    params(("name" = SourceName, Path, description = "Name of the source"),
        ("digest" = String, Path, description = "Digest of the text, or its first four digits or more")),
    responses((status = 200, description = "The text", body = VersionText),
        (status = 404, description = "The source had no such text, or several begin so")))]
pub(crate) async fn show(
    State(admin): State<Arc<AdminState>>,
    PathSegments(name, digest): PathSegments,
) -> Result<Json<VersionText>, ApiError> {
    let source: SourceName = name.parse().map_err(|_| no_source(&name))?;
    let none = || {
        ApiError::NotFound(format!("no mapping file of {name} with the digest {digest} is stored"))
    };
    let prefix: DigestPrefix = digest.parse().map_err(|_| none())?;
    match admin.store.mapping_text(source.clone(), prefix).await? {
        FoundVersion::One { version: MappingVersion { digest, since }, text, is_newest } => {
            let in_service = is_newest && is_in_service(&admin, &source, digest);
            Ok(Json(VersionText { digest, since, in_service, text }))
        }
        FoundVersion::None => Err(none()),
        FoundVersion::Several => Err(ApiError::NotFound(format!(
            "several digests of {name} begin with {digest}: write more of it"
        ))),
    }
}

fn is_in_service(admin: &AdminState, source: &SourceName, digest: MappingDigest) -> bool {
    admin.mapping_of(source).is_some_and(|it| it.text.digest == digest)
}

fn no_source(name: &str) -> ApiError {
    ApiError::NotFound(format!("there is no source {name}"))
}
