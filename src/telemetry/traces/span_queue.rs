//! The queue of ended spans, and the thread that exports them.

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
use tracing::warn;

use super::export::{Collector, Exporter};
use super::ids::{SamplingRatio, SpanIds};
use super::target::Target;

/// How many spans wait for the collector at most; what is more is dropped.
const QUEUE_MAX: usize = 16_384;

/// How long the end of the relay waits for the collector: with all else it stays within the ten seconds
/// that containers are given.
const END_MAX: Duration = Duration::from_secs(1);

/// Where spans go. Clones go to the same place; the default goes nowhere, and costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Traces(pub(super) Option<Arc<SpanQueue>>);

impl Traces {
    /// Begins the thread that sends. It must not be called from an async thread. The error is why the
    /// connection cannot be set up.
    pub fn start(target: Target) -> Result<Traces, String> {
        let (sample, delay) = (target.sample, target.delay);
        let (open, closing) = channel();
        let exporter = Exporter::new(Collector::new(target)?, closing);
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
            open: Mutex::new(Some(open)),
        }))))
    }

    /// Sends what waits, for a second at most; it blocks so long.
    pub fn end(&self) {
        let Some(sending) = &self.0 else { return };
        drop(sending.open.lock().unwrap_or_else(PoisonError::into_inner).take());
        // Other errors are those of an export, which was told.
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
    /// Gone once the relay ends: nothing is tried again from then on.
    open: Mutex<Option<Sender<()>>>,
}

impl SpanQueue {
    /// A full queue drops it.
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
