//! Sends spans to the collector, OTLP over HTTP as protobuf, on the thread of the SDK's queue. A collector
//! that is away or slow costs spans, and one line in the log.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
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
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use tracing::{info, warn};

use super::target::Target;
use crate::http_client::{chain, is_loopback};

const PROTOBUF: &str = "application/x-protobuf";

/// As the SDKs of other languages have it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Before each further try with the same spans, where the collector may take them then.
const RETRY_WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// How much of an answer is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct Exporter {
    collector: Collector,
    resource: ResourceAttributesWithSchema,
    /// The log has said that spans are lost.
    is_told: AtomicBool,
    /// Its other side is gone once the relay ends.
    closing: Mutex<Receiver<()>>,
}

/// Where spans go. It speaks from a plain thread only.
#[derive(Debug)]
pub(super) struct Collector {
    http: Client,
    url: Url,
}

/// Why the collector does not have them.
#[derive(Debug)]
struct ExportError {
    reason: String,
    may_pass: bool,
}

/// Whether a collector answers there, by a request without spans; else why not. It blocks, and must not
/// be called from an async thread.
pub fn ask(target: Target) -> Result<(), String> {
    Collector::new(target)?.post(Vec::new()).map_err(|refusal| refusal.reason)
}

impl Exporter {
    pub(super) fn new(collector: Collector, closing: Receiver<()>) -> Exporter {
        Exporter {
            collector,
            resource: ResourceAttributesWithSchema::from(&resource()),
            is_told: AtomicBool::new(false),
            closing: Mutex::new(closing),
        }
    }

    fn send(&self, body: &[u8]) -> Result<(), ExportError> {
        let mut sent = self.collector.post(body.to_vec());
        for wait in RETRY_WAITS {
            if !sent.as_ref().is_err_and(|refusal| refusal.may_pass) || self.closes_within(wait) {
                return sent;
            }
            sent = self.collector.post(body.to_vec());
        }
        sent
    }

    /// Waits so long, or until the relay ends.
    fn closes_within(&self, wait: Duration) -> bool {
        let closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        closing.recv_timeout(wait) != Err(RecvTimeoutError::Timeout)
    }

    /// One line when it begins, one when it is over.
    fn tell(&self, sent: &Result<(), ExportError>) {
        let was_told = self.is_told.swap(sent.is_err(), Ordering::Relaxed);
        let collector = self.collector.name();
        match sent {
            Err(ExportError { reason, .. }) if !was_told => {
                warn!(collector, reason, "traces are lost: {collector} does not take them");
            }
            Ok(()) if was_told => info!(collector, "{collector} takes traces again"),
            Ok(()) | Err(_) => {}
        }
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let sent = self.send(&body);
        self.tell(&sent);
        sent.map_err(|refusal| OTelSdkError::InternalFailure(refusal.reason))
    }
}

impl Collector {
    pub(super) fn new(target: Target) -> Result<Collector, String> {
        let Target { url, headers, .. } = target;
        // It fails only where a provider was installed before, which serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut builder = Client::builder()
            .user_agent(concat!("savio-relay/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .timeout(TIMEOUT);
        if url.scheme() == "http" {
            // Without redirects TLS is never spoken, so a machine without CA certificates will do.
            builder = builder.tls_certs_only([]);
        }
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| chain(&error))?;
        Ok(Collector { http, url })
    }

    /// Scheme, host and port: some put a key into the path.
    fn name(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    fn post(&self, body: Vec<u8>) -> Result<(), ExportError> {
        let call = self.http.post(self.url.clone()).header(CONTENT_TYPE, PROTOBUF).body(body);
        let answer = call.send().map_err(|error| ExportError {
            may_pass: error.is_connect(),
            reason: chain(&error.without_url()),
        })?;
        let status = answer.status();
        if !status.is_success() {
            let may_pass = matches!(status.as_u16(), 429 | 502 | 503 | 504);
            return Err(ExportError {
                may_pass,
                reason: format!("it answered {}", status.as_u16()),
            });
        }
        taken(answer).map_err(|reason| ExportError { may_pass: false, reason })
    }
}

/// Whether a 2xx says that all spans were taken. Not every collector answers in the form that it should.
fn taken(answer: Response) -> Result<(), String> {
    let content_type = answer.headers().get(CONTENT_TYPE).map(|it| it.as_bytes().to_vec());
    let content_type = String::from_utf8(content_type.unwrap_or_default()).unwrap_or_default();
    if content_type.starts_with("text/html") {
        return Err("it answered with a page, as no collector does".to_owned());
    }
    let mut bytes = Vec::new();
    if !content_type.starts_with(PROTOBUF)
        || answer.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).is_err()
    {
        return Ok(());
    }
    let answer = ExportTraceServiceResponse::decode(bytes.as_slice()).unwrap_or_default();
    match answer.partial_success.map_or(0, |part| part.rejected_spans) {
        0 => Ok(()),
        rejected => Err(format!("it refused {rejected} spans of a batch")),
    }
}

/// What the environment says of this service, by OpenTelemetry's variables; else what we know.
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
