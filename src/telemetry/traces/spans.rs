//! The three kinds of spans: a webhook, the work on an event, an attempt. Nothing that a sender or Savio
//! wrote is in them, and no secret.

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

/// A request to a source that there is, at its answer.
#[derive(Debug)]
pub struct WebhookSpan<'a> {
    pub began: Timestamp,
    pub method: &'a str,
    pub source: &'a str,
    pub client: Option<IpAddr>,
    pub status: u16,
    pub answered: WebhookResult<'a>,
}

/// What became of a webhook.
#[derive(Debug, Clone, Copy)]
pub enum WebhookResult<'a> {
    /// Its events are on disk; those at the positions `repeated` were before.
    Kept {
        events: &'a [EventId],
        repeated: &'a [usize],
    },
    Ignored,
    Handshake,
    /// `error` is one of a few fixed texts; `reason` is what the sender was told.
    Rejected {
        error: &'static str,
        reason: &'a str,
    },
}

/// The work on one event, from its claim until this goes.
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
    /// None: the work was cut off.
    rest: Option<WorkResult>,
}

/// How the work on an event ended for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkResult {
    Settled(State),
    Waits {
        until: Timestamp,
    },
    /// It waits for another event.
    Parked,
    /// Another works on it, or nobody can.
    Lost,
}

/// The span in which an attempt lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentSpan {
    trace: TraceId,
    span: SpanId,
}

/// One try at sending a request.
#[derive(Debug)]
pub struct AttemptSpan<'a> {
    pub at: Timestamp,
    pub ms: u64,
    pub request: RequestKind,
    /// Where it went, if anywhere.
    pub url: Option<Url>,
    pub destination: &'a str,
    /// From 1.
    pub number: u32,
    pub outcome: Outcome,
    pub status: Option<u16>,
    /// Nothing of the answer's body is in it.
    pub summary: &'a str,
}

impl Traces {
    /// One span for each event, in a trace that has the event's id; one for what is no event.
    pub fn webhook(&self, webhook: &WebhookSpan<'_>) {
        if self.0.is_none() {
            return;
        }
        match webhook.answered {
            WebhookResult::Kept { events, repeated } => {
                for (position, event) in events.iter().enumerate() {
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
        let Some(sending) = self.keeping(receipt.ids) else { return };
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
            // What a client does wrong is no error of the server.
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

    /// Begins the work on an event, of which the span tells once what is given here goes.
    pub fn delivery(&self, event: &Event, destination: &str, began: Timestamp) -> DeliverySpan {
        if self.0.is_none() {
            return DeliverySpan(None);
        }
        let ids = SpanIds::below_root(event.id);
        DeliverySpan(self.keeping(ids).map(|_| OpenDelivery {
            traces: self.clone(),
            ids,
            began,
            event: event.id,
            source: event.source.clone(),
            destination: destination.to_owned(),
            rest: None,
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

    /// Where the spans of this trace go, if any do.
    fn keeping(&self, ids: SpanIds) -> Option<&SpanQueue> {
        self.0.as_deref().filter(|sending| sending.sample.takes(ids.trace))
    }
}

/// What became of one event of a webhook, or of all of it.
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
    /// Where its attempts belong; none if nothing is told of it.
    pub fn parent(&self) -> Option<ParentSpan> {
        self.0.as_ref().map(|it| ParentSpan { trace: it.ids.trace, span: it.ids.own })
    }

    pub fn ended(mut self, rest: WorkResult) {
        if let Some(working) = &mut self.0 {
            working.rest = Some(rest);
        }
    }
}

impl Drop for OpenDelivery {
    fn drop(&mut self) {
        let Some(sending) = &self.traces.0 else { return };
        let word = match self.rest {
            Some(WorkResult::Settled(state)) => state.as_str(),
            Some(WorkResult::Waits { .. }) => "waits",
            Some(WorkResult::Parked) => "parked",
            Some(WorkResult::Lost) => "lost",
            None => "cut off",
        };
        let mut attributes = vec![
            KeyValue::new(EVENT, self.event.to_string()),
            KeyValue::new(SOURCE, self.source.to_string()),
            KeyValue::new(DESTINATION, std::mem::take(&mut self.destination)),
            KeyValue::new("savio_relay.state", word),
        ];
        if let Some(WorkResult::Waits { until }) = self.rest {
            attributes.push(KeyValue::new("savio_relay.next_attempt_at", until.to_string()));
        }
        let is_dead = self.rest == Some(WorkResult::Settled(State::Dead));
        // Why it is dead may quote what Savio answered, so it stands with the event alone.
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

/// A sender may write anything there.
fn known_method(method: &str) -> Option<&'static str> {
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

/// A status that tells of an error, else what came of it.
fn error_type(attempt: &AttemptSpan<'_>) -> Value {
    match attempt.status {
        Some(status) if status >= 400 => status.to_string().into(),
        Some(_) | None => attempt.outcome.as_str().into(),
    }
}
