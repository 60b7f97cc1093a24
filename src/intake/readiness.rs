//! Readiness for `/readyz`: whether webhooks would be stored now. The log has more detail than the response, which
//! anybody can read.

use std::sync::{Mutex, PoisonError};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tracing::{info, warn};

use super::registry::{SourceStatus, Sources};
use super::response::Rejection;
use crate::clock;
use crate::store::{Inbox, StoreError};

/// Middleware that answers 400 to any parameter, as the admin API does to an unknown one.
pub(super) async fn without_parameters(
    request: Request,
    next: Next,
) -> Result<Response, Rejection> {
    match request.uri().query() {
        None | Some("") => Ok(next.run(request).await),
        Some(_) => Err(Rejection::ParametersSent),
    }
}

/// Reasons for which a webhook would not be stored now; none if the relay is ready.
#[derive(Debug)]
pub(super) struct NotReady {
    /// For the response: no path, no setting.
    pub(super) reasons: Vec<&'static str>,
    /// For the log.
    store_error: Option<StoreError>,
}

pub(super) async fn not_ready_reasons(
    store: &dyn Inbox,
    sources: &Sources,
    is_closing: bool,
) -> NotReady {
    let mut reasons = Vec::new();
    if is_closing {
        reasons.push("the relay is shutting down");
    }
    let store_error = store.ready().await.err();
    reasons.extend(store_error.as_ref().map(StoreError::summary));
    let now = clock::now();
    let is_live = |status: &SourceStatus| match status {
        SourceStatus::Live(source) => source.off_reason(now).is_none(),
        // The first request of its provider has to reach it: a load balancer must not remove the
        // relay.
        SourceStatus::AwaitingSecret(_) => true,
        SourceStatus::Off { .. } => false,
    };
    // Any, not all: a source that is off must not take the others offline.
    if !sources.values().any(is_live) {
        reasons.push("no source is live");
    }
    NotReady { reasons, store_error }
}

/// The reasons at the last probe.
#[derive(Debug, Default)]
pub(super) struct Readiness(Mutex<Vec<&'static str>>);

impl Readiness {
    /// Logs a change since the last probe.
    pub(super) fn note(&self, NotReady { reasons, store_error }: &NotReady) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Not every probe: the route is public, and anybody could fill the log.
        if *last == *reasons {
            return;
        }
        reasons.clone_into(&mut last);
        if reasons.is_empty() {
            info!("ready again");
            return;
        }
        let cause = store_error.as_ref().map(StoreError::to_string);
        warn!(cause, "not ready: {}", reasons.join("; "));
    }
}
