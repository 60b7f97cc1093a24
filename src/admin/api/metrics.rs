//! `/metrics`: counters since the start, and gauges that are read at each request.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State as Of;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::stats::queues;
use crate::admin::error::{ApiError, CommonErrors};
use crate::admin::state::AdminState;
use crate::clock;
use crate::event::{SourceName, State};
use crate::telemetry::metrics::{CONTENT_TYPE, DestinationGauge, Gauges, SourceGauges};

/// Get the metrics, for Prometheus
#[utoipa::path(get, path = "/metrics", responses(CommonErrors,
    (status = 200, description = "OpenMetrics text", body = String,
        content_type = "application/openmetrics-text")))]
pub(crate) async fn metrics(Of(admin): Of<Arc<AdminState>>) -> Result<Response, ApiError> {
    let gauges = Gauges {
        at_limit: admin.intake.is_at_limit(),
        store_ready: admin.store.ready().await.is_ok(),
        sources: sources(&admin).await?,
        destinations: paused(&admin).await?,
    };
    let text = admin.metrics.text(&gauges);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
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
