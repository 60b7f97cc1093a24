//! `/metrics`: counters since the start, and gauges that are read at each request.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State as Of;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use tokio::task::spawn_blocking;

use super::stats::queues;
use crate::admin::error::ApiError;
use crate::admin::state::AdminState;
use crate::clock;
use crate::event::{SourceName, State};
use crate::intake::registry::SourceStatus;
use crate::intake::response::REJECTIONS;
use crate::issues::reconcile::counted;
use crate::store::DiskSpace;
use crate::telemetry::metrics::{
    Counters, DestinationGauge, DiskGauges, Gauges, ProcessUsage, SourceGauges, TextFormat,
};

/// Get the metrics, for Prometheus
#[utoipa::path(get, path = "/metrics", params(
        ("Accept" = Option<String>, Header,
            description = "OpenMetrics for a client that names `application/openmetrics-text` and \
                           prefers it, else the text format of Prometheus")),
    responses((status = 200, description = "The metrics",
        content((String = "text/plain"), (String = "application/openmetrics-text")))))]
pub(crate) async fn metrics(
    Of(admin): Of<Arc<AdminState>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = TextFormat::accepted(accept);
    expect_series(&admin);
    let disk = admin.store.disk_space().ok();
    let gauges = Gauges {
        at_limit: admin.intake.is_at_limit(),
        open_issues: counted(&admin.issues.current(), clock::now())
            .into_iter()
            .map(|(kind, issues)| (kind.as_str(), issues))
            .collect(),
        store_ready: admin.store.ready().await.is_ok(),
        kept_secrets: admin.secrets.kept().len(),
        sources: sources(&admin).await?,
        destinations: paused(&admin).await?,
        disk: disk.map(|DiskSpace { free_bytes, reserve_bytes }| DiskGauges {
            free_bytes,
            reserve_bytes,
        }),
        process: process_usage().await,
    };
    let text = admin.metrics.text(&gauges, format);
    Ok(([(header::CONTENT_TYPE, format.content_type())], text).into_response())
}

/// Makes the time series of all live sources and all destinations exist.
// Not of sources that are off: most of the shipped ones are, for good.
fn expect_series(admin: &AdminState) {
    let Counters { webhooks, attempts, dead, .. } = &admin.counters;
    for (name, status) in admin.intake.sources.current().iter() {
        match status {
            SourceStatus::Live(_) | SourceStatus::AwaitingSecret(_) => {
                webhooks.expect(name.as_str(), &REJECTIONS);
                dead.expect(name.as_str());
            }
            SourceStatus::Off { .. } => {}
        }
    }
    for name in admin.destinations.keys() {
        attempts.expect(name);
    }
}

/// Returns none where the system does not say.
async fn process_usage() -> Option<ProcessUsage> {
    // With thousands of connections, counting the open files takes milliseconds.
    spawn_blocking(ProcessUsage::read).await.ok()?.ok()
}

/// Returns the gauges of all sources that exist or have events.
async fn sources(admin: &AdminState) -> Result<Vec<SourceGauges>, ApiError> {
    // Zeros too: a time series that appears with the first dead event has no increase for an alert
    // to see.
    let none = || State::ALL.map(|state| (state.as_str(), 0));
    let known = admin.intake.sources.current();
    let mut events: BTreeMap<SourceName, [(&'static str, u64); 5]> =
        known.keys().map(|source| (source.clone(), none())).collect();
    for count in admin.store.counts().await? {
        let counts = events.entry(count.source).or_insert_with(none);
        for (_, events) in counts.iter_mut().filter(|(state, _)| *state == count.state.as_str()) {
            *events = count.events;
        }
    }
    let queues = queues(admin, clock::now()).await?;
    let queue = |(source, events): (SourceName, [(&'static str, u64); 5])| SourceGauges {
        oldest_queued_seconds: queues.get(&source).and_then(|it| it.oldest_seconds).unwrap_or(0),
        source: source.to_string(),
        events: events.to_vec(),
    };
    Ok(events.into_iter().map(queue).collect())
}

async fn paused(admin: &AdminState) -> Result<Vec<DestinationGauge>, ApiError> {
    let mut destinations = Vec::new();
    for (name, to) in &admin.destinations {
        let status = to.delivery.status(clock::now()).await?;
        let paused = status.paused_by.is_some();
        destinations.push(DestinationGauge { destination: name.clone(), paused });
    }
    Ok(destinations)
}
