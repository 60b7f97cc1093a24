//! One source, with all that its page shows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Of;
use axum::response::Json;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::sources::{SourceView, one};
use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::mistakes::errors;
use crate::admin::params::PathSegment;
use crate::admin::rejections;
use crate::admin::role::Role;
use crate::admin::state::AdminState;
use crate::diagnostics::view::DiagnosticView;
use crate::event::SourceName;
use crate::intake::provider::setup_guide::{FilledSetup, SecretFrom};
use crate::intake::registry::SourceStatus;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::proof::NamedSecret;
use crate::mapping_file::setup;
use crate::store::{
    AuditAction, AuditFilter, CountFor, EventFilter, MatchCount, PageRequest,
    REJECTIONS_OF_SOURCE_MAX, RejectionFilter, StateCounts,
};
use crate::{clock, file};

/// A source with its file, its secrets and what happened today.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceDetail {
    #[serde(flatten)]
    source: SourceView,
    /// Name of the tool that sends; null if the mapping names no provider.
    title: Option<String>,
    /// Path of its mapping file; null if the bundled one is in service.
    file: Option<String>,
    /// Whether the relay can write the file.
    writable: bool,
    /// Reason why it cannot.
    not_writable: Option<String>,
    /// Mistakes in the mapping file with which the relay has started.
    mistakes: Vec<DiagnosticView>,
    paused_since: Option<Timestamp>,
    /// Whoever paused it, as far as the audit has that.
    paused_by: Option<String>,
    /// Time at which the oldest event was received that is kept.
    first_event_at: Option<Timestamp>,
    /// The secrets that its mapping names, in their order.
    secrets: Vec<SecretView>,
    /// Who makes its secret; null if its provider does not say.
    secret_from: Option<SecretFrom>,
    /// What a person does to set it up, in order; null while it has no mapping.
    setup: Option<FilledSetup>,
    /// Address to register in a tool that brings the secret in its first request. It is shown once
    /// to whoever may set the secret, since anybody could set it there; null for all others.
    setup_url: Option<String>,
    /// Events of today (UTC).
    today: Today,
    /// Webhooks that were rejected in the last 30 days, summed up.
    rejected: Vec<RejectionSum>,
}

/// A secret that a mapping file names. Its value is nowhere in the API.
#[derive(Debug, Serialize, ToSchema)]
struct SecretView {
    /// Where it is, such as `env:NAME` or `file:PATH`.
    location: String,
    /// Whether there is a value that can be used.
    set: bool,
    /// Last day (UTC) on which it is accepted.
    #[schema(value_type = Option<String>, format = Date)]
    until: Option<Date>,
    /// Number of webhooks that were signed with it, since the start or since it was set by the API.
    matched: u64,
    last_matched_at: Option<Timestamp>,
}

/// Events that were received today, by their state now.
#[derive(Debug, Serialize, ToSchema)]
struct Today {
    #[serde(flatten)]
    events: StateCounts,
    /// Whether there are more than that.
    at_least: bool,
}

/// Rejected webhooks of one reason.
#[derive(Debug, Serialize, ToSchema)]
struct RejectionSum {
    /// What probably has to be changed; null if that is not known.
    hint: Option<String>,
    /// The reason of the last one.
    reason: String,
    status: u16,
    count: u64,
    last_at: Timestamp,
}

/// Show a source: its file, secrets, events of today, and why webhooks were rejected
#[utoipa::path(get, path = "/api/v1/sources/{name}",
    params(("name" = SourceName, Path, description = "Name of the source")),
    responses((status = 200, description = "The source", body = SourceDetail),
        (status = 404, description = "There is no such source")))]
pub(crate) async fn show(
    Of(admin): Of<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(name): PathSegment,
) -> Result<Json<SourceDetail>, ApiError> {
    let name = admin.source(&name)?;
    detail(&admin, &caller, &name).await
}

pub(super) async fn detail(
    admin: &AdminState,
    caller: &ApiCaller,
    name: &SourceName,
) -> Result<Json<SourceDetail>, ApiError> {
    let (Json(source), served) = (one(admin, name).await?, admin.files.current());
    let own = served.of(name);
    let not_writable = not_writable(served.path(name)).await?;
    let paused = match admin.destinations.values().next() {
        Some(any) => any.delivery.paused_sources().await?,
        None => BTreeMap::new(),
    };
    let paused_since = paused.get(name).copied();
    Ok(Json(SourceDetail {
        source,
        title: own.and_then(|file| file.title.clone()),
        file: own.filter(|file| !file.is_bundled()).map(|file| file.document.name.clone()),
        writable: not_writable.is_none(),
        not_writable,
        mistakes: own.map_or(Vec::new(), |file| errors(&file.document, &file.mistakes)),
        paused_since,
        paused_by: paused_by(admin, name, paused_since).await?,
        first_event_at: admin.store.first_event_at(name.clone()).await?,
        secrets: own.map_or(Vec::new(), |file| secrets(admin, name, file)),
        secret_from: own.and_then(|file| file.setup.secret_from),
        setup: own.map(|file| setup::steps_with(file, &admin.url, Some(&admin.secrets_folder))),
        setup_url: setup_url(admin, name).filter(|_| caller.require(Role::Edit).is_ok()),
        today: today(admin, name).await?,
        rejected: rejected(admin, name).await?,
    }))
}

/// Returns the person whose action began a pause.
async fn paused_by(
    admin: &AdminState,
    name: &SourceName,
    since: Option<Timestamp>,
) -> Result<Option<String>, ApiError> {
    let Some(since) = since else { return Ok(None) };
    // Recorded right after the pause, that of a new source once its file is in service.
    let until = since.checked_add(Duration::from_mins(2)).unwrap_or(since);
    let filter = AuditFilter { since: Some(since), until: Some(until), ..AuditFilter::default() };
    let page = admin.store.audit(filter, PageRequest { limit: 500, after: None }).await?;
    let on = format!("source {name}");
    let actions = [AuditAction::Pause, AuditAction::AddSource].map(AuditAction::as_str);
    // Newest first: the last one is the one that began it.
    let mut own = page.entries.into_iter().rev().filter(|it| it.on.as_ref() == Some(&on));
    Ok(own.find(|it| actions.contains(&it.action.as_str())).map(|entry| entry.who))
}

async fn not_writable(path: PathBuf) -> Result<Option<String>, ApiError> {
    let checked = spawn_blocking(move || file::check_replaceable(&path).err());
    checked.await.map_err(|_| ApiError::Internal)
}

fn setup_url(admin: &AdminState, name: &SourceName) -> Option<String> {
    match admin.intake.sources.current().get(name)? {
        SourceStatus::AwaitingSecret(setup) => Some(format!("{}{}", admin.url, setup.address())),
        SourceStatus::Live(_) | SourceStatus::Off { .. } => None,
    }
}

fn secrets(admin: &AdminState, name: &SourceName, file: &MappingFile) -> Vec<SecretView> {
    let keys = file.source.iter().flat_map(|source| &source.keys);
    let set: Vec<usize> = keys.map(|key| key.position).collect();
    let (webhooks, name) = (&admin.counters.webhooks, name.as_str());
    let view = |(position, secret): (usize, &NamedSecret)| SecretView {
        location: secret.location.reference(),
        set: set.contains(&position),
        until: secret.until,
        matched: webhooks.matches(name, position),
        last_matched_at: webhooks.last_match(name, position),
    };
    file.proof.secrets.iter().enumerate().map(view).collect()
}

async fn today(admin: &AdminState, name: &SourceName) -> Result<Today, ApiError> {
    let day = clock::now().to_zoned(TimeZone::UTC).start_of_day().ok().map(|day| day.timestamp());
    let filter =
        EventFilter { sources: Some(vec![name.clone()]), since: day, ..EventFilter::default() };
    let MatchCount { states, at_least } =
        admin.store.count_matching(filter, CountFor::Display).await?;
    Ok(Today { events: states, at_least })
}

async fn rejected(admin: &AdminState, name: &SourceName) -> Result<Vec<RejectionSum>, ApiError> {
    let filter = RejectionFilter::of(name.clone());
    let all = PageRequest { limit: REJECTIONS_OF_SOURCE_MAX, after: None };
    let mut sums: BTreeMap<(u16, Option<String>), RejectionSum> = BTreeMap::new();
    // Newest first, so that the first of a kind has the last reason.
    for it in rejections::list(admin, filter, all).await?.rejected {
        let sum = sums.entry((it.status, it.hint.clone())).or_insert_with(|| RejectionSum {
            hint: it.hint,
            reason: it.reason,
            status: it.status,
            count: 0,
            last_at: it.at,
        });
        sum.count += it.count;
    }
    let mut sums: Vec<RejectionSum> = sums.into_values().collect();
    sums.sort_by_key(|sum| std::cmp::Reverse(sum.last_at));
    Ok(sums)
}
