//! What the log, the metrics, the traces and the list of refusals say of each request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::request::Parts;
use jiff::Timestamp;
use tokio::time::interval;
use tracing::field::display;
use tracing::{debug, info, warn};

use super::log_limit::LeftOut;
use super::recent_rejections::RejectionRecord;
use super::response::{Acknowledgement, Rejection};
use super::{Intake, source_name};
use crate::clock;
use crate::event::{EventId, SourceName};
use crate::http_client::chain;
use crate::telemetry::traces::{self, WebhookResult};

impl Intake {
    pub(super) fn log(&self, parts: &Parts, began: Timestamp, taken: &Acknowledgement) {
        let source = source_name(parts).map(|name| name.to_string()).unwrap_or_default();
        let status = taken.status().as_u16();
        let address = self.client(parts);
        let client = address.map(display);
        self.webhooks.answered(&source, status);
        self.traces.webhook(&traces::WebhookSpan {
            began,
            method: parts.method.as_str(),
            source: &source,
            client: address,
            status,
            answered: answered(taken),
        });
        match taken {
            Acknowledgement::Accepted { kept, .. } => {
                self.webhooks.repeated(&source, kept.repeated.len());
                let events = first_ids(&kept.events);
                info!(source, status, client, events, "accepted a webhook for {source}");
            }
            Acknowledgement::Duplicate { kept, .. } => {
                self.webhooks.repeated(&source, kept.repeated.len());
                let events = first_ids(&kept.events);
                info!(source, status, client, events, "had a webhook for {source} already");
            }
            Acknowledgement::Ignored { reason, .. } => {
                info!(source, status, client, reason, "ignored a webhook for {source}");
            }
            Acknowledgement::Greeted(_) => {
                info!(source, status, client, "answered a handshake for {source}");
            }
        }
    }

    pub(super) fn note(&self, parts: &Parts, began: Timestamp, rejection: &Rejection) {
        let (status, error) = rejection.status();
        let status = status.as_u16();
        let known = source_name(parts).filter(|name| self.sources.current().contains_key(name));
        let Some(source) = known else {
            debug!(status, "a webhook for no source was refused");
            return;
        };
        self.webhooks.answered(source.as_str(), status);
        self.webhooks.rejected(source.as_str(), error);
        let now = clock::now();
        let is_told = self.log_limit.admits(&source, error, Instant::now());
        let reason = rejection.reason();
        let hint = rejection.hint().map(str::to_owned);
        let client = self.client(parts);
        if is_told {
            self.tell(parts, began, (&source, rejection));
        }
        let refusal = RejectionRecord { at: now, status, error, reason, hint, client, count: 1 };
        self.rejected.add(&source, refusal, is_told);
    }

    /// To the log and the collector.
    fn tell(
        &self,
        parts: &Parts,
        began: Timestamp,
        (source, rejection): (&SourceName, &Rejection),
    ) {
        let (status, error) = rejection.status();
        let status = status.as_u16();
        let told = rejection.to_string();
        let cause = std::error::Error::source(rejection).map(chain);
        let reason = rejection.reason();
        let hint = rejection.hint();
        let client = self.client(parts);
        let from = client.map(display);
        warn!(%source, status, client = from, reason = told, cause, hint, "refused a webhook for {source}");
        self.traces.webhook(&traces::WebhookSpan {
            began,
            method: parts.method.as_str(),
            source: source.as_str(),
            client,
            status,
            answered: WebhookResult::Rejected { error, reason: &reason },
        });
    }

    /// Tells each minute how many refused webhooks had no line of their own in the log.
    pub async fn tell_left_out(self: Arc<Self>, closed: impl Future<Output = ()>) {
        let mut minutes = interval(Duration::from_mins(1));
        tokio::pin!(closed);
        loop {
            let is_last = tokio::select! {
                () = &mut closed => true,
                _ = minutes.tick() => false,
            };
            for LeftOut { source, error, count } in self.log_limit.take_left_out() {
                warn!(%source, error, count, "refused {count} more webhooks for {source}: {error}");
            }
            if is_last {
                return;
            }
        }
    }
}

fn answered(taken: &Acknowledgement) -> WebhookResult<'_> {
    match taken {
        Acknowledgement::Accepted { kept, .. } | Acknowledgement::Duplicate { kept, .. } => {
            WebhookResult::Kept { events: &kept.events, repeated: &kept.repeated }
        }
        Acknowledgement::Ignored { .. } => WebhookResult::Ignored,
        Acknowledgement::Greeted(_) => WebhookResult::Greeted,
    }
}

/// A line of the log stays a line, however many events a webhook carries.
fn first_ids(events: &[EventId]) -> String {
    let first: Vec<String> = events.iter().take(10).map(ToString::to_string).collect();
    match events.len().saturating_sub(first.len()) {
        0 => first.join(" "),
        more => format!("{} and {more} more", first.join(" ")),
    }
}
