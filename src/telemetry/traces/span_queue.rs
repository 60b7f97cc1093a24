//! The queue of finished spans, and the thread that exports them.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};
use reqwest::header::{HeaderName, HeaderValue};
use tracing::warn;

use super::export::{Collector, Exporter, SharedHeaders};
use super::ids::{SamplingRatio, SpanIds};
use super::target::Target;

/// Spans that wait for the collector; further ones are dropped.
const QUEUE_MAX: usize = 16_384;

/// Longest wait for the collector at the end of the relay. With the drain of connections, 8 s, this stays within
/// the 10 s after which containers are killed.
const END_MAX: Duration = Duration::from_secs(1);

/// A handle to the queue, shared by its clones. The default drops all spans at no cost.
#[derive(Debug, Clone, Default)]
pub struct Traces(pub(super) Option<Arc<SpanQueue>>);

impl Traces {
    /// Starts the thread that exports. Must not be called on an async thread. The error is why the HTTP client cannot
    /// be built.
    pub fn start(target: Target) -> Result<Traces, String> {
        let (sample, delay) = (target.sample, target.delay);
        let (open, closing) = channel();
        let collector = Collector::new(target)?;
        let headers = collector.headers();
        let exporter = Exporter::new(collector, closing);
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_MAX)
            .with_scheduled_delay(delay)
            .build();
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Ok(Traces(Some(Arc::new(SpanQueue {
            queue: BatchSpanProcessor::new(exporter, config),
            scope,
            sample,
            headers,
            open: Mutex::new(Some(open)),
        }))))
    }

    /// Sends another value of a header from the next export on. Returns false if no spans are
    /// exported.
    pub fn replace_header(&self, name: HeaderName, value: HeaderValue) -> bool {
        let Some(sending) = &self.0 else { return false };
        let mut headers = sending.headers.write().unwrap_or_else(PoisonError::into_inner);
        headers.insert(name, value);
        true
    }

    /// Exports the spans in the queue. Blocks for a second at most.
    pub fn end(&self) {
        let Some(sending) = &self.0 else { return };
        // First: an export that waits for its next try would outlast the second.
        drop(sending.open.lock().unwrap_or_else(PoisonError::into_inner).take());
        // Other errors are those of an export, which were logged.
        if let Err(OTelSdkError::Timeout(_)) = sending.queue.shutdown_with_timeout(END_MAX) {
            warn!("the last traces are lost: the collector did not take them in time");
        }
    }
}

#[derive(Debug)]
pub(super) struct SpanQueue {
    queue: BatchSpanProcessor,
    scope: InstrumentationScope,
    pub(super) sample: SamplingRatio,
    headers: SharedHeaders,
    /// Dropped when the relay ends: no export is retried from then on.
    open: Mutex<Option<Sender<()>>>,
}

impl SpanQueue {
    /// Queues a span. A full queue drops it.
    pub(super) fn send(&self, span: FinishedSpan) {
        let FinishedSpan { ids, name, kind, began, ended, attributes, status } = span;
        let context =
            SpanContext::new(ids.trace, ids.own, TraceFlags::SAMPLED, false, TraceState::default());
        self.queue.on_end(SpanData {
            span_context: context,
            parent_span_id: ids.parent,
            parent_span_is_remote: false,
            span_kind: kind,
            name: name.into(),
            start_time: SystemTime::from(began),
            // The wall clock may have been set back meanwhile.
            end_time: SystemTime::from(ended.max(began)),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: self.scope.clone(),
        });
    }
}

/// A span that has ended.
pub(super) struct FinishedSpan {
    pub(super) ids: SpanIds,
    pub(super) name: String,
    pub(super) kind: SpanKind,
    pub(super) began: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) status: Status,
}
