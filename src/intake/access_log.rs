//! One log line, metric, trace and (if rejected) list entry for each request.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use tokio::time::interval;
use tracing::field::display;
use tracing::{debug, info, warn};

use super::body_size::BodySize;
use super::log_limit::{LogLimit, SuppressedLines};
use super::recent_rejections::RecentRejections;
use super::registry::Sources;
use super::request::source_name;
use super::response::{Acknowledgement, Rejection};
use crate::clock;
use crate::diagnostics::counted;
use crate::event::{EventId, SourceName};
use crate::http_client::error_chain;
use crate::store::RejectionRecord;
use crate::telemetry::metrics::Webhooks;
use crate::telemetry::traces::{Traces, WebhookResult, WebhookSpan};

/// Number and length of the names of headers that are kept of a rejected webhook.
const NAMES_MAX: usize = 50;
const NAME_CHARS_MAX: usize = 64;

/// Reports each request to a known source once. In a flood of rejections it omits log lines and spans, and
/// counts what it omitted.
#[derive(Debug)]
pub(super) struct AccessLog {
    webhooks: Webhooks,
    rejections: Arc<RecentRejections>,
    pub(super) traces: Traces,
    limit: LogLimit,
}

/// A request whose response is decided.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnsweredRequest<'r> {
    pub(super) parts: &'r Parts,
    pub(super) size: &'r BodySize,
    pub(super) began: Timestamp,
    /// None if the listener does not report the peer's address.
    pub(super) client: Option<IpAddr>,
}

impl AccessLog {
    pub(super) fn new(webhooks: Webhooks, rejections: Arc<RecentRejections>) -> AccessLog {
        let (traces, limit) = (Traces::default(), LogLimit::default());
        AccessLog { webhooks, rejections, traces, limit }
    }

    pub(super) fn accepted(
        &self,
        request: &AnsweredRequest<'_>,
        acknowledgement: &Acknowledgement,
    ) {
        let source = source_name(request.parts).map(|name| name.to_string()).unwrap_or_default();
        let status = acknowledgement.status().as_u16();
        let client = request.client.map(display);
        self.webhooks.answered(&source, status);
        self.traces.webhook(&WebhookSpan {
            began: request.began,
            method: request.parts.method.as_str(),
            source: &source,
            client: request.client,
            status,
            answered: result_of(acknowledgement),
        });
        match acknowledgement {
            Acknowledgement::Accepted { stored, .. } => {
                self.webhooks.repeated(&source, stored.repeated.len());
                let events = first_ids(&stored.events);
                info!(source, status, client, events, "accepted a webhook for {source}");
            }
            Acknowledgement::Duplicate { stored, .. } => {
                self.webhooks.repeated(&source, stored.repeated.len());
                let events = first_ids(&stored.events);
                info!(source, status, client, events, "had a webhook for {source} already");
            }
            Acknowledgement::Ignored { reason, .. } => {
                info!(source, status, client, reason, "ignored a webhook for {source}");
            }
            Acknowledgement::Handshake(_) => {
                info!(source, status, client, "answered a handshake for {source}");
            }
        }
    }

    /// Reports a rejection, if the request named one of `sources`.
    pub(super) fn rejected(
        &self,
        request: &AnsweredRequest<'_>,
        rejection: &Rejection,
        sources: &Sources,
    ) {
        let (status, error) = rejection.status();
        let status = status.as_u16();
        // Any sender can make up names: each would become a time series and a list of its own.
        let known = source_name(request.parts).filter(|name| sources.contains_key(name));
        let Some(source) = known else {
            debug!(status, "a webhook for no source was refused");
            return;
        };
        self.webhooks.answered(source.as_str(), status);
        self.webhooks.rejected(source.as_str(), error);
        let now = clock::now();
        // The steady clock, since a wall clock that is set back would stop the log for that long.
        let is_logged = self.limit.admits(&source, error, Instant::now());
        if is_logged {
            self.log_rejection(request, &source, rejection);
        }
        let record = RejectionRecord {
            source,
            at: now,
            first_at: now,
            count: 1,
            status,
            error: error.into(),
            reason: rejection.kept_reason(),
            hint: rejection.hint().map(str::to_owned),
            client: request.client,
            bytes: request.size.bytes(),
            // Otherwise it is only counted.
            headers: if is_logged { names(&request.parts.headers) } else { Vec::new() },
        };
        self.rejections.add(record, is_logged);
    }

    /// Writes the log line and exports the span.
    fn log_rejection(
        &self,
        request: &AnsweredRequest<'_>,
        source: &SourceName,
        rejection: &Rejection,
    ) {
        let (status, error) = rejection.status();
        let status = status.as_u16();
        // Apart from `cause`, so that one can search the log for what the sender saw.
        let public_reason = rejection.to_string();
        let cause = std::error::Error::source(rejection).map(error_chain);
        let reason = rejection.reason();
        let hint = rejection.hint();
        let client = request.client.map(display);
        warn!(%source, status, client, reason = public_reason, cause, hint, "refused a webhook for {source}");
        self.traces.webhook(&WebhookSpan {
            began: request.began,
            method: request.parts.method.as_str(),
            source: source.as_str(),
            client: request.client,
            status,
            answered: WebhookResult::Rejected { error, reason: &reason },
        });
    }

    /// Logs every minute, and once more at the end, how many rejected webhooks had no log line.
    pub(super) async fn log_suppressed(&self, closed: impl Future<Output = ()>) {
        let mut minutes = interval(Duration::from_mins(1));
        tokio::pin!(closed);
        loop {
            let is_last = tokio::select! {
                () = &mut closed => true,
                _ = minutes.tick() => false,
            };
            for SuppressedLines { source, error, count } in self.limit.take_suppressed() {
                let webhooks = counted(count, "more webhook");
                warn!(%source, error, count, "refused {webhooks} for {source}: {error}");
            }
            if is_last {
                return;
            }
        }
    }
}

/// Returns the names of the first headers.
fn names(headers: &HeaderMap) -> Vec<String> {
    let short = |name: &HeaderName| name.as_str().chars().take(NAME_CHARS_MAX).collect();
    headers.keys().take(NAMES_MAX).map(short).collect()
}

fn result_of(acknowledgement: &Acknowledgement) -> WebhookResult<'_> {
    match acknowledgement {
        Acknowledgement::Accepted { stored, .. } | Acknowledgement::Duplicate { stored, .. } => {
            WebhookResult::Stored { events: &stored.events, repeated: &stored.repeated }
        }
        Acknowledgement::Ignored { .. } => WebhookResult::Ignored,
        Acknowledgement::Handshake(_) => WebhookResult::Handshake,
    }
}

/// Formats the first ids, and how many more there are.
fn first_ids(events: &[EventId]) -> String {
    // A webhook carries up to 1,000 events, which would be 37 KB in one log line.
    let first: Vec<String> = events.iter().take(10).map(ToString::to_string).collect();
    match events.len().saturating_sub(first.len()) {
        0 => first.join(" "),
        more => format!("{} and {more} more", first.join(" ")),
    }
}
