//! Exports spans to the collector as protobuf, by OTLP over HTTP, on the thread of the SDK's queue. If the collector
//! is unavailable or slow, spans are lost, with one line in the log.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use opentelemetry::{Key, KeyValue};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prost::Message;
use reqwest::Url;
use reqwest::blocking::{Client, Response};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use tracing::{info, warn};

use super::target::Target;
use crate::http_client::{CallFailure, USER_AGENT, error_chain, is_loopback};

const PROTOBUF: &str = "application/x-protobuf";

/// The default of OpenTelemetry's SDKs.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Waits before further tries with the same spans, after errors that may be temporary.
const RETRY_WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// Bytes of a response that are read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

// Not the SDK's exporter: it reads headers from the environment, which would reach the collector of
// `relay.toml` as well, and does not report why an export failed.
#[derive(Debug)]
pub(super) struct Exporter {
    collector: Collector,
    resource: ResourceAttributesWithSchema,
    /// Whether the log says at present that spans are lost.
    is_losing: AtomicBool,
    /// Disconnected when the relay ends, which ends the waits between tries.
    closing: Mutex<Receiver<()>>,
}

/// A connection to the collector. It blocks, so it must not be used on an async thread.
#[derive(Debug)]
pub(super) struct Collector {
    http: Client,
    url: Url,
    headers: SharedHeaders,
}

/// The headers of the collector, which can be replaced while spans are exported.
pub(super) type SharedHeaders = Arc<RwLock<HeaderMap>>;

/// Why an export failed.
#[derive(Debug)]
struct ExportError {
    reason: String,
    is_temporary: bool,
}

/// Checks that a collector accepts requests, by one without spans; the error is the reason. It blocks, so it must not
/// be called on an async thread.
pub fn check_connection(target: Target) -> Result<(), String> {
    Collector::new(target)?.post(Vec::new()).map_err(|error| error.reason)
}

impl Exporter {
    pub(super) fn new(collector: Collector, closing: Receiver<()>) -> Exporter {
        Exporter {
            collector,
            resource: ResourceAttributesWithSchema::from(&resource()),
            is_losing: AtomicBool::new(false),
            closing: Mutex::new(closing),
        }
    }

    fn send(&self, body: &[u8]) -> Result<(), ExportError> {
        let mut sent = self.collector.post(body.to_vec());
        for wait in RETRY_WAITS {
            if !sent.as_ref().is_err_and(|error| error.is_temporary) || self.closes_within(wait) {
                return sent;
            }
            sent = self.collector.post(body.to_vec());
        }
        sent
    }

    /// Waits, and returns whether the relay ended meanwhile.
    fn closes_within(&self, wait: Duration) -> bool {
        let closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        closing.recv_timeout(wait) != Err(RecvTimeoutError::Timeout)
    }

    /// Logs when losing spans begins and when it ends, not each export.
    fn log_change(&self, sent: &Result<(), ExportError>) {
        let was_losing = self.is_losing.swap(sent.is_err(), Ordering::Relaxed);
        let collector = self.collector.name();
        match sent {
            Err(ExportError { reason, .. }) if !was_losing => {
                warn!(collector, reason, "traces are lost: {collector} does not accept them");
            }
            Ok(()) if was_losing => info!(collector, "{collector} accepts traces again"),
            Ok(()) | Err(_) => {}
        }
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let sent = self.send(&body);
        self.log_change(&sent);
        sent.map_err(|error| OTelSdkError::InternalFailure(error.reason))
    }
}

impl Collector {
    pub(super) fn new(target: Target) -> Result<Collector, String> {
        let Target { url, headers, .. } = target;
        // Fails only if a provider is installed already, which will do as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            // A redirect would take the headers, which may hold a key, to another host.
            .redirect(Policy::none())
            // `send` retries itself, and stops when the relay ends.
            .retry(reqwest::retry::never())
            .timeout(TIMEOUT);
        if url.scheme() == "http" {
            // Without redirects TLS is never used, so that a container needs no CA certificates.
            builder = builder.tls_certs_only([]);
        }
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| error_chain(&error))?;
        Ok(Collector { http, url, headers: Arc::new(RwLock::new(headers)) })
    }

    pub(super) fn headers(&self) -> SharedHeaders {
        Arc::clone(&self.headers)
    }

    /// Returns scheme, host and port for messages; the path may hold a key.
    fn name(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    fn post(&self, body: Vec<u8>) -> Result<(), ExportError> {
        let headers = self.headers.read().unwrap_or_else(PoisonError::into_inner).clone();
        let call = self.http.post(self.url.clone()).headers(headers);
        let call = call.header(CONTENT_TYPE, PROTOBUF).body(body);
        let answer = call.send().map_err(|error| {
            let failure = CallFailure::of(error, &self.url);
            // After a timeout the collector may have received the spans: a retry would duplicate
            // them.
            ExportError { is_temporary: failure.is_before_send, reason: failure.to_string() }
        })?;
        let status = answer.status();
        if !status.is_success() {
            // The statuses that OTLP/HTTP calls retryable.
            let is_temporary = matches!(status.as_u16(), 429 | 502 | 503 | 504);
            return Err(ExportError {
                is_temporary,
                reason: format!("it answered {}", status.as_u16()),
            });
        }
        check_accepted(answer).map_err(|reason| ExportError { is_temporary: false, reason })
    }
}

/// Checks that a 2xx response accepts all spans.
fn check_accepted(answer: Response) -> Result<(), String> {
    let content_type = answer.headers().get(CONTENT_TYPE).map(|it| it.as_bytes().to_vec());
    let content_type = String::from_utf8(content_type.unwrap_or_default()).unwrap_or_default();
    // The address of a dashboard, or a login page, answers 200 as well.
    if content_type.starts_with("text/html") {
        return Err("it answered with an HTML page, as no collector does".to_owned());
    }
    // Collectors that answer with an empty body, or in JSON, count as accepting.
    let mut bytes = Vec::new();
    if !content_type.starts_with(PROTOBUF)
        || answer.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).is_err()
    {
        return Ok(());
    }
    let answer = ExportTraceServiceResponse::decode(bytes.as_slice()).unwrap_or_default();
    match answer.partial_success.map_or(0, |part| part.rejected_spans) {
        0 => Ok(()),
        1 => Err("it refused 1 span of a batch".to_owned()),
        rejected => Err(format!("it refused {rejected} spans of a batch")),
    }
}

/// Describes this service, by OpenTelemetry's variables or else by the package.
fn resource() -> Resource {
    let found = Resource::builder().build();
    let lacks = |key: &Key| {
        let value = found.get_ref(key).map(|value| value.as_str());
        value.is_none_or(|value| value.starts_with("unknown_service"))
    };
    let own = [
        KeyValue::new("service.name", env!("CARGO_PKG_NAME")),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ];
    Resource::builder().with_attributes(own.into_iter().filter(|it| lacks(&it.key))).build()
}
