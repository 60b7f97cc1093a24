//! The three kinds of spans: a webhook, the work on an event, an attempt. They contain no text of senders or Savio,
//! and no secrets.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use opentelemetry::trace::{SpanId, SpanKind, Status, TraceId};
use opentelemetry::{KeyValue, Value};
use reqwest::Url;

use super::ids::SpanIds;
use super::span_queue::{FinishedSpan, SpanQueue, Traces};
use crate::clock;
use crate::event::{Event, EventId, Outcome, RequestKind, SourceName, State};

const ROUTE: &str = "/hooks/{source}";

const EVENT: &str = "savio_relay.event.id";
const SOURCE: &str = "savio_relay.source";
const DESTINATION: &str = "savio_relay.destination";

/// A request to a known source and its response.
#[derive(Debug)]
pub struct WebhookSpan<'a> {
    pub began: Timestamp,
    pub method: &'a str,
    pub source: &'a str,
    pub client: Option<IpAddr>,
    pub status: u16,
    pub answered: WebhookResult<'a>,
}

/// The result of a webhook.
#[derive(Debug, Clone, Copy)]
pub enum WebhookResult<'a> {
    /// Its events are on disk; those at the positions `repeated`, in ascending order, were before.
    Stored {
        events: &'a [EventId],
        repeated: &'a [usize],
    },
    Ignored,
    Handshake,
    /// `error` is one of a few fixed texts; `reason` is for the operator, with its causes.
    Rejected {
        error: &'static str,
        reason: &'a str,
    },
}

/// The work on one event, from its claim until this is dropped.
#[derive(Debug)]
pub struct DeliverySpan(Option<OpenDelivery>);

#[derive(Debug)]
struct OpenDelivery {
    traces: Traces,
    ids: SpanIds,
    began: Timestamp,
    event: EventId,
    source: SourceName,
    destination: String,
    /// None if the work was interrupted.
    result: Option<WorkResult>,
}

/// The result of the work on an event, final or for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkResult {
    Settled(State),
    Waiting {
        until: Timestamp,
    },
    /// It waits for another event.
    Parked,
    /// The claim was lost, or the event cannot be read.
    Lost,
}

/// The parent span of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentSpan {
    trace: TraceId,
    span: SpanId,
}

/// One attempt to send a request.
#[derive(Debug)]
pub struct AttemptSpan<'a> {
    pub at: Timestamp,
    pub ms: u64,
    pub request: RequestKind,
    /// The URL, if a request was sent.
    pub url: Option<Url>,
    pub destination: &'a str,
    /// From 1.
    pub number: u32,
    pub outcome: Outcome,
    pub status: Option<u16>,
    /// A summary without text of the response's body.
    pub summary: &'a str,
}

impl Traces {
    /// Exports a span for each event, in the trace of the event; a single span if there is none.
    pub fn webhook(&self, webhook: &WebhookSpan<'_>) {
        if self.0.is_none() {
            return;
        }
        match webhook.answered {
            WebhookResult::Stored { events, repeated } => {
                for (position, event) in events.iter().enumerate() {
                    // A duplicate joins the trace of the event that it repeats, below its root.
                    self.received(
                        webhook,
                        &if repeated.binary_search(&position).is_ok() {
                            Receipt::of(*event, SpanIds::below_root(*event), "duplicate")
                        } else {
                            Receipt::of(*event, SpanIds::root(*event), "accepted")
                        },
                    );
                }
            }
            WebhookResult::Ignored => self.received(webhook, &Receipt::alone("ignored")),
            WebhookResult::Handshake => self.received(webhook, &Receipt::alone("handshake")),
            WebhookResult::Rejected { .. } => self.received(webhook, &Receipt::alone("rejected")),
        }
    }

    fn received(&self, webhook: &WebhookSpan<'_>, receipt: &Receipt) {
        let Some(sending) = self.sampled_queue(receipt.ids) else { return };
        let method = known_method(webhook.method);
        let mut attributes = vec![
            KeyValue::new("http.request.method", method.unwrap_or("_OTHER")),
            KeyValue::new("http.route", ROUTE),
            KeyValue::new("http.response.status_code", i64::from(webhook.status)),
            KeyValue::new(SOURCE, webhook.source.to_owned()),
            KeyValue::new("savio_relay.answer", receipt.answer),
        ];
        let client = webhook.client.map(|it| KeyValue::new("client.address", it.to_string()));
        let event = receipt.event.map(|it| KeyValue::new(EVENT, it.to_string()));
        attributes.extend(client.into_iter().chain(event));
        let mut status = Status::Unset;
        if let WebhookResult::Rejected { error, reason } = webhook.answered {
            attributes.push(KeyValue::new("savio_relay.rejected", error));
            // An error of the client is none of the server (OpenTelemetry's HTTP conventions).
            if webhook.status >= 500 {
                attributes.push(KeyValue::new("error.type", error));
                status = Status::error(reason.to_owned());
            }
        }
        sending.send(FinishedSpan {
            ids: receipt.ids,
            name: format!("{} {ROUTE}", method.unwrap_or("HTTP")),
            kind: SpanKind::Server,
            began: webhook.began,
            ended: clock::now(),
            attributes,
            status,
        });
    }

    /// Starts the span of the work on an event, which is exported when the returned value is dropped.
    pub fn delivery(&self, event: &Event, destination: &str, began: Timestamp) -> DeliverySpan {
        if self.0.is_none() {
            return DeliverySpan(None);
        }
        let ids = SpanIds::below_root(event.id);
        DeliverySpan(self.sampled_queue(ids).map(|_| OpenDelivery {
            traces: self.clone(),
            ids,
            began,
            event: event.id,
            source: event.source.clone(),
            destination: destination.to_owned(),
            result: None,
        }))
    }

    pub fn attempt(&self, parent: ParentSpan, attempt: &AttemptSpan<'_>) {
        let Some(sending) = &self.0 else { return };
        let mut attributes = vec![
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new(DESTINATION, attempt.destination.to_owned()),
            KeyValue::new("savio_relay.attempt", i64::from(attempt.number)),
            KeyValue::new("savio_relay.outcome", attempt.outcome.as_str()),
        ];
        attributes.extend(attempt.url.iter().flat_map(address));
        let answered = attempt.status.map(i64::from);
        attributes.extend(answered.map(|it| KeyValue::new("http.response.status_code", it)));
        let mut status = Status::Unset;
        if attempt.outcome != Outcome::Done {
            attributes.push(KeyValue::new("error.type", error_type(attempt)));
            status = Status::error(attempt.summary.to_owned());
        }
        let took = SignedDuration::from_millis(i64::try_from(attempt.ms).unwrap_or(i64::MAX));
        sending.send(FinishedSpan {
            ids: SpanIds::within(parent.trace, parent.span),
            name: format!("send {}", attempt.request.as_str()),
            kind: SpanKind::Client,
            began: attempt.at,
            ended: attempt.at.saturating_add(took).unwrap_or(attempt.at),
            attributes,
            status,
        });
    }

    /// Returns the queue, if the trace is sampled.
    fn sampled_queue(&self, ids: SpanIds) -> Option<&SpanQueue> {
        self.0.as_deref().filter(|sending| sending.sample.takes(ids.trace))
    }
}

/// The result for one event of a webhook, or for a webhook without events.
struct Receipt {
    ids: SpanIds,
    event: Option<EventId>,
    answer: &'static str,
}

impl Receipt {
    fn of(event: EventId, ids: SpanIds, answer: &'static str) -> Receipt {
        Receipt { ids, event: Some(event), answer }
    }

    fn alone(answer: &'static str) -> Receipt {
        Receipt { ids: SpanIds::alone(), event: None, answer }
    }
}

impl DeliverySpan {
    /// Returns the parent for the attempts; none if the trace is not exported.
    pub fn parent(&self) -> Option<ParentSpan> {
        self.0.as_ref().map(|it| ParentSpan { trace: it.ids.trace, span: it.ids.own })
    }

    /// Records the result and ends the span.
    pub fn end(mut self, result: WorkResult) {
        if let Some(open) = &mut self.0 {
            open.result = Some(result);
        }
    }
}

impl Drop for OpenDelivery {
    // On drop, so that work that is cancelled or panics has a span as well.
    fn drop(&mut self) {
        let Some(sending) = &self.traces.0 else { return };
        let state = match self.result {
            Some(WorkResult::Settled(state)) => state.as_str(),
            Some(WorkResult::Waiting { .. }) => "waits",
            Some(WorkResult::Parked) => "parked",
            Some(WorkResult::Lost) => "lost",
            None => "cut off",
        };
        let mut attributes = vec![
            KeyValue::new(EVENT, self.event.to_string()),
            KeyValue::new(SOURCE, self.source.to_string()),
            KeyValue::new(DESTINATION, std::mem::take(&mut self.destination)),
            KeyValue::new("savio_relay.state", state),
        ];
        if let Some(WorkResult::Waiting { until }) = self.result {
            attributes.push(KeyValue::new("savio_relay.next_attempt_at", until.to_string()));
        }
        let is_dead = self.result == Some(WorkResult::Settled(State::Dead));
        // Without the reason, which may quote Savio's response; it is stored with the event.
        let status = if is_dead { Status::error("the event is dead") } else { Status::Unset };
        sending.send(FinishedSpan {
            ids: self.ids,
            name: format!("deliver {}", self.source),
            kind: SpanKind::Consumer,
            began: self.began,
            ended: clock::now(),
            attributes,
            status,
        });
    }
}

/// Returns the method if it is a standard one.
fn known_method(method: &str) -> Option<&'static str> {
    // A sender may write any text as the method, which must not reach the collector.
    const KNOWN: [&str; 9] =
        ["POST", "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method)
}

fn address(url: &Url) -> impl Iterator<Item = KeyValue> {
    let host = url.host_str().map(|host| KeyValue::new("server.address", host.to_owned()));
    let port = url.port_or_known_default().map(i64::from);
    let port = port.map(|port| KeyValue::new("server.port", port));
    let whole = KeyValue::new("url.full", url.to_string());
    host.into_iter().chain(port).chain([whole])
}

/// Returns the status if it is an error, otherwise the outcome.
fn error_type(attempt: &AttemptSpan<'_>) -> Value {
    match attempt.status {
        Some(status) if status >= 400 => status.to_string().into(),
        Some(_) | None => attempt.outcome.as_str().into(),
    }
}
