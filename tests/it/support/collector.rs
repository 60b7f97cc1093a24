//! An OpenTelemetry collector for tests, which records what it receives.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value::{IntValue, StringValue};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{self as wire};
use prost::Message;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::wait::until_async;

pub(crate) struct Collector(pub(crate) MockServer);

/// Attributes of a span; numbers are texts.
pub(crate) type Attributes = BTreeMap<String, String>;

#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Id of the parent span; empty for a root.
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) attributes: Attributes,
    /// Message of its error status.
    pub(crate) error: Option<String>,
    pub(crate) nanoseconds: std::ops::Range<u64>,
}

impl Collector {
    pub(crate) async fn new() -> Collector {
        let collector = Collector(MockServer::start().await);
        collector.answer(ResponseTemplate::new(200)).await;
        collector
    }

    /// Sets the response from now on, and discards what was received.
    pub(crate) async fn answer(&self, answer: ResponseTemplate) {
        self.0.reset().await;
        let call = Mock::given(method("POST")).and(path("/v1/traces"));
        call.respond_with(answer).mount(&self.0).await;
    }

    pub(crate) async fn requests(&self) -> Vec<Request> {
        self.0.received_requests().await.unwrap()
    }

    pub(crate) async fn spans(&self) -> Vec<Span> {
        let requests = self.requests().await;
        let resources = requests.iter().flat_map(|it| decoded(it).resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).map(Span::of).collect()
    }

    /// Waits for this many spans and returns all.
    pub(crate) async fn spans_from(&self, count: usize) -> Vec<Span> {
        until_async(async || self.spans().await.len() >= count).await;
        self.spans().await
    }

    /// Returns the resource attributes of the first request.
    pub(crate) async fn resource(&self) -> Attributes {
        let request = &self.requests().await[0];
        let resource = decoded(request).resource_spans.remove(0).resource;
        attributes(resource.unwrap().attributes)
    }
}

impl Span {
    fn of(span: wire::Span) -> Span {
        let status = span.status.clone().unwrap();
        Span {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            kind: span.kind(),
            error: (status.code() == StatusCode::Error).then_some(status.message),
            nanoseconds: span.start_time_unix_nano..span.end_time_unix_nano,
            attributes: attributes(span.attributes),
            name: span.name,
        }
    }
}

fn decoded(request: &Request) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(request.body.as_slice()).expect("it is what OTLP says")
}

fn attributes(attributes: Vec<KeyValue>) -> Attributes {
    attributes.into_iter().map(|it| (it.key, text(it.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(StringValue(text)) => text,
        Some(IntValue(number)) => number.to_string(),
        other => panic!("neither a text nor a whole number: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
